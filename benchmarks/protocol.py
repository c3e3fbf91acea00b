"""The driver's end of a library's process; ``worker.py`` is the other end."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class WorkerError(RuntimeError):
    """A library's process failed; the message holds its last lines."""


class Worker:
    """The driver's end of one library's process.

    Args:
        python: of the library's environment.
        module: to run, for example "benchmarks.worker_deepctr".
        log: file for what the library prints.
    """

    def __init__(self, python: Path | str, module: str, log: Path) -> None:
        self.log = log
        with open(log, "w") as file:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.worker", module],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                bufsize=1,
                env={
                    **os.environ,
                    "TF_CPP_MIN_LOG_LEVEL": "2",
                    "CUDA_VISIBLE_DEVICES": "-1",
                    "PYTHONUNBUFFERED": "1",
                },
            )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            WorkerError: the command failed, or the process ended.
        """
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}))
            self._process.stdin.write("\n")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"{do}: the process ended.\n{self._last()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{do}:\n{answer['error'][-2000:]}")
        return answer

    def close(self) -> None:
        """End the process."""
        try:
            self._process.stdin.write('{"do": "quit"}\n')
            self._process.stdin.close()
            self._process.wait(timeout=20)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _last(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]
