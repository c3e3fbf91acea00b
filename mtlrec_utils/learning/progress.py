"""One updating line of text while a model trains; never a widget."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any

from tqdm.std import tqdm

#: Characters of a line that a notebook page shows on a laptop unbroken.
_PAGE = 100

#: Without tqdm's steps per second, which would push the losses off the page.
_LINE = (
    "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
    "[{elapsed}<{remaining}{postfix}]"
)


def wanted(progress: bool | None) -> bool:
    """Decide whether to show progress.

    Args:
        progress: True or False decides; None shows it where somebody can
            watch (a terminal, a notebook), unless MTLREC_PROGRESS=0.
    """
    if progress is not None:
        return progress
    if os.environ.get("MTLREC_PROGRESS", "").strip() == "0":
        return False
    return bool(sys.stdout.isatty()) or _in_notebook()


def _in_notebook() -> bool:
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class Progress:
    """Counts training steps on one line of standard output.

    Args:
        shown: print anything at all.
        steps: how many steps there will be.
        label: what is being trained.
        keep: leave the line on the screen at the end.
    """

    def __init__(
        self, shown: bool, steps: int, label: str, keep: bool
    ) -> None:
        terminal = sys.stdout.isatty()
        self._bar = tqdm(
            total=steps,
            desc=label,
            disable=not shown,
            file=sys.stdout,
            bar_format=_LINE,
            leave=keep,
            dynamic_ncols=terminal,
            ncols=None if terminal else _PAGE,
            mininterval=0.2,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def advance(self, steps: int) -> None:
        """Count steps that are done."""
        self._bar.update(steps)

    def report(self, **values: Any) -> None:
        """Show the latest losses behind the bar."""
        self._bar.set_postfix(values, refresh=False)
