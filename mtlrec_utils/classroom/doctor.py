"""The doctor in a notebook; see ``mtlrec_utils.doctor``."""

from __future__ import annotations

from mtlrec_utils.doctor import report
from mtlrec_utils.examinations import examine


def doctor() -> None:
    """Print what works here, as a block to paste into an issue.

    Takes some seconds: TensorFlow is tried in another process.
    """
    print(report(examine()))
