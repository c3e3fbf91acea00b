"""Let a library's own training loop run a few steps at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Turns:
    """Lets a library's own training loop run some steps at a time.

    The loop runs in a thread; it calls ``step`` after every update, and
    stands still there when its turn is over.
    """

    def __init__(self, loop: Callable[[], Any]) -> None:
        self._left = 0
        self._may_run = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._ended = False
        threading.Thread(target=self._run, args=(loop,), daemon=True).start()

    def take(self, steps: int) -> None:
        """Run for some steps, or until the loop ends; returns then."""
        if self._ended:
            raise RuntimeError("the training loop has already ended.")
        self._left = steps
        self._may_run.release()
        self._stands.acquire()
        if self._error is not None:
            raise RuntimeError("the training loop failed") from self._error

    def step(self) -> None:
        """Report one update; blocks when the turn is over."""
        self._left -= 1
        if self._left == 0:
            self._stands.release()
            self._may_run.acquire()

    def counted(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield batches; the loop's body must have used up each."""
        for batch in batches:
            yield batch
            self.step()

    def _run(self, loop: Callable[[], Any]) -> None:
        self._may_run.acquire()
        try:
            loop()
        except BaseException as error:
            self._error = error
        self._ended = True
        self._stands.release()
