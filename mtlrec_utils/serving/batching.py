"""Micro-batching: rows of several requests go through the model together.

A batch starts with the first request that waits, and closes when it has B
rows or T milliseconds have passed. The model runs in a thread of its own, so
connections are served meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

Inputs = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]


class OverloadedError(Exception):
    """Too many rows wait already."""


class ClosedError(Exception):
    """The batcher takes no more rows."""


class _Waiting(NamedTuple):
    inputs: Inputs
    rows: int
    answer: asyncio.Future[Outputs]


class MicroBatcher:
    """Collects requests for one model.

    Args:
        run: encoded rows to scores; called in a thread, one call at a time.
        max_rows: B, rows at which a batch closes. A larger request is a
            batch of its own. 1: no batching.
        max_wait: T in seconds.
        max_waiting: rows that may wait; more are refused.
        on_batch: told the number of rows of each batch.

    Raises:
        ValueError: a limit out of range.
    """

    def __init__(
        self,
        run: Callable[[Inputs], Outputs],
        *,
        max_rows: int = 64,
        max_wait: float = 0.002,
        max_waiting: int = 4096,
        on_batch: Callable[[int], None] = lambda rows: None,
    ) -> None:
        if max_rows < 1 or max_waiting < 1 or not 0 <= max_wait <= 1:
            raise ValueError(
                f"max_rows={max_rows} and max_waiting={max_waiting} must be "
                f"at least 1, max_wait={max_wait} between 0 and 1 second."
            )
        self._run, self._on_batch = run, on_batch
        self._max_rows, self._max_wait = max_rows, max_wait
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting] = deque()
        self._rows_waiting = 0
        self._arrived = asyncio.Event()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._task: asyncio.Task[None] | None = None

    @property
    def rows_waiting(self) -> int:
        """Rows in the queue."""
        return self._rows_waiting

    async def score(self, inputs: Inputs) -> Outputs:
        """Score rows, together with those of others.

        Raises:
            OverloadedError: the queue is full.
            ClosedError: ``close`` was called.
        """
        rows = len(next(iter(inputs.values())))
        if self._closed:
            raise ClosedError
        if self._rows_waiting + rows > self._max_waiting:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._task = loop.create_task(self._work())
        waiting = _Waiting(inputs, rows, loop.create_future())
        self._queue.append(waiting)
        self._rows_waiting += rows
        self._arrived.set()
        return await waiting.answer

    async def close(self) -> None:
        """Answer everything that waits, then end."""
        self._closed = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                if self._closed:
                    return
                self._arrived.clear()
                await self._arrived.wait()
            await self._collect(loop)
            batch = self._take()
            if not batch:
                continue
            self._on_batch(sum(waiting.rows for waiting in batch))
            joined = {
                name: np.concatenate([w.inputs[name] for w in batch])
                for name in batch[0].inputs
            }
            try:
                found = await loop.run_in_executor(
                    self._thread, self._run, joined
                )
            except Exception as error:
                for waiting in batch:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                continue
            _hand_out(batch, found)

    async def _collect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until a batch is full, time is up, or the end has come."""
        until = loop.time() + self._max_wait
        while self._rows_waiting < self._max_rows and not self._closed:
            left = until - loop.time()
            if left <= 0:
                return
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except TimeoutError:
                return

    def _take(self) -> list[_Waiting]:
        """Take requests off the queue, up to B rows, at least one."""
        batch: list[_Waiting] = []
        rows = 0
        while self._queue:
            first = self._queue[0]
            if batch and rows + first.rows > self._max_rows:
                break
            self._queue.popleft()
            self._rows_waiting -= first.rows
            if first.answer.cancelled():  # its client has gone
                continue
            batch.append(first)
            rows += first.rows
        return batch


def _hand_out(batch: list[_Waiting], found: Outputs) -> None:
    start = 0
    for waiting in batch:
        part = slice(start, start + waiting.rows)
        start += waiting.rows
        if not waiting.answer.done():
            answer = {task: values[part] for task, values in found.items()}
            waiting.answer.set_result(answer)
