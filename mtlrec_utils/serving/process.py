"""A server as a process of its own, for notebooks and tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from mtlrec_utils.serving.client import Client
from mtlrec_utils.serving.tokens import TokenStore


class RunningServer:
    """A server that runs; ends when it is stopped or its parent ends.

    Use it as a context manager, or call ``stop``.

    Attributes:
        address: "https://127.0.0.1:PORT".
        authority: path of the certificate to trust.
        tokens: the store that the server reads.
    """

    def __init__(
        self, process: subprocess.Popen[str], told: dict[str, str], state: Path
    ) -> None:
        self._process = process
        self.address = told["address"]
        self.authority = Path(told["authority"])
        self.tokens = TokenStore(state / "tokens.json")
        self._log: deque[str] = deque(maxlen=10_000)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"RunningServer({self.address!r}, {state})"

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def log(self) -> list[str]:
        """The last lines of the log."""
        return list(self._log)

    def client(self, token: str, timeout: float = 10.0) -> Client:
        """Return a client that trusts this server."""
        return Client(self.address, token, self.authority, timeout)

    def stop(self, seconds: float = 15.0) -> int:
        """End it: running requests are answered first. Returns its status.

        A server that does not end in time is killed.
        """
        if self.running:
            self._process.terminate()
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._tidy()
        return status

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._process.kill()
        self._process.wait()
        self._tidy()

    def _tidy(self) -> None:
        self._reader.join(5)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._log.append(line.rstrip("\n"))


def start_server(
    model: str | os.PathLike[str],
    state: str | os.PathLike[str],
    *,
    port: int = 0,
    seconds: float = 120.0,
    **options: Any,
) -> RunningServer:
    """Start ``python -m mtlrec_utils.serving`` and wait until it is ready.

    Args:
        model: folder of all versions.
        state: folder of tokens and certificates.
        port: 0 takes a free one.
        seconds: to wait; loading TensorFlow takes most of it.
        options: of the command, such as ``backend="saved_model"`` or
            ``batch_rows=1``; see ``python -m mtlrec_utils.serving --help``.

    Raises:
        RuntimeError: it ended, or was not ready in time; its last words are
            in the message.
    """
    command = [sys.executable, "-m", "mtlrec_utils.serving"]
    command += ["--model", os.fspath(model), "--state", os.fspath(state)]
    command += ["--port", str(port), "--end-with-input"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return start_command(command, state, seconds)


def start_command(
    command: list[str], state: str | os.PathLike[str], seconds: float
) -> RunningServer:
    """Start any command that calls ``server.serve``; see ``start_server``.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    said: deque[str] = deque(maxlen=20)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            told = _ready(line)
            if told is not None:
                return RunningServer(process, told, Path(state))
            said.append(line.rstrip("\n"))
    finally:
        watchdog.cancel()
    process.wait()
    last = "\n".join(said)
    raise RuntimeError(f"The server did not start. Its last words:\n{last}")


def _ready(line: str) -> dict[str, str] | None:
    if not line.startswith('{"address"'):
        return None
    told: dict[str, str] = json.loads(line)
    return told
