"""The first line of every notebook."""

from __future__ import annotations

import os
import platform
from typing import TypeVar

import pandas as pd

import mtlrec_utils
from mtlrec_utils.classroom.figures import use_house_style
from mtlrec_utils.classroom.quiet import silence_tensorflow
from mtlrec_utils.machine import device, installed_version

Value = TypeVar("Value")

SPEEDS = ("fast", "full")


def setup() -> None:
    """Prepare the notebook and print, in one line, what it runs on.

    Silences TensorFlow's start-up messages, sets the house style of figures
    and tables, and does not import TensorFlow: a lesson that needs no network
    starts in a second.

    Raises:
        ValueError: ``MTLREC_SPEED`` is neither "fast" nor "full".
    """
    mode = speed()
    silence_tensorflow()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # Two open notebooks share one GPU: each takes what it needs, not all.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    use_house_style()
    _use_house_tables()
    parts = [
        f"mtlrec_utils {mtlrec_utils.__version__}",
        f"Python {platform.python_version()}",
        f"TensorFlow {installed_version('tensorflow', 'tensorflow-cpu')}",
        f"Keras {installed_version('keras')}",
        device(),
        f"{mode} mode",
    ]
    print(" · ".join(parts))


def speed() -> str:
    """Return the speed mode, "fast" (default) or "full".

    Raises:
        ValueError: the environment variable ``MTLREC_SPEED`` says otherwise.
    """
    mode = os.environ.get("MTLREC_SPEED", "").strip().lower() or "fast"
    if mode not in SPEEDS:
        raise ValueError(
            f"The environment variable MTLREC_SPEED is {mode!r}. Set it to "
            "'fast' (minutes on a laptop) or 'full' (longer runs, GPU)."
        )
    return mode


def at_speed(*, fast: Value, full: Value) -> Value:
    """Return ``fast`` or ``full``, whichever the speed mode asks for."""
    return fast if speed() == "fast" else full


def _use_house_tables() -> None:
    """Show few rows, all columns and four significant decimals."""
    for option, value in {
        "display.max_rows": 20,
        "display.min_rows": 10,
        "display.max_columns": 30,
        "display.precision": 4,
        "display.width": 100,
    }.items():
        pd.set_option(option, value)
