"""A library's process: answers commands, one JSON object per line.

    python -m benchmarks.worker benchmarks.worker_ours

The driver (``protocol.py``) writes ``{"do": name, ...arguments}`` to standard
input and reads one answer: the command's ``result``, its ``wall`` and ``cpu``
seconds and the process' ``peak_mb`` so far, or ``error``. What a library
prints goes to standard error, never between answers.

This module runs in every library's environment: standard library and NumPy
only.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import time
import traceback
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from benchmarks import data
from benchmarks.architecture import Setting


class Library(Protocol):
    """What a library's worker can do; made from a table and a setting.

    Attributes:
        packages: whose versions belong to the result.
    """

    packages: tuple[str, ...]

    def __init__(self, table: data.Table, setting: Setting) -> None: ...

    def first_step(self) -> None:
        """Build the model and make the first update."""

    def train(self, steps: int) -> None:
        """Go on with the epoch for some steps."""

    def predict(self) -> np.ndarray:
        """Probabilities of the test rows, [N, tasks]."""

    def evaluate(self) -> None:
        """Measure the test rows the way the library recommends."""


def main(module: str) -> None:
    """Answer the driver's commands until it says "quit"."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # from here on prints go to the log; some import prints
    make: type[Library] = importlib.import_module(module).LIBRARY
    library: Any = None
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        if do == "quit":
            break
        try:
            if do == "load":
                table = data.load(command["path"])
                library = make(table, Setting(**command["setting"]))
                answer = {"versions": _versions(library.packages)}
            else:
                answer = _timed(library, do, command)
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
    os._exit(0)  # a training loop may still stand in its thread


def _timed(library: Any, do: str, command: dict[str, Any]) -> dict[str, Any]:
    path = command.pop("save_to", None)
    wall, cpu = time.perf_counter(), time.process_time()
    result = getattr(library, do)(**command)
    answer = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mb": _peak_mb(),
    }
    if isinstance(result, np.ndarray):
        if path is not None:
            np.save(path, result)
    elif result is not None:
        answer["result"] = result
    return answer


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def _peak_mb() -> float | None:
    """Largest resident memory of this process so far; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main(sys.argv[1])
