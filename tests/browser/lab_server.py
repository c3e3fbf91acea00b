"""The JupyterLab server of `make lab`, on a copy of the course's notebooks.

Options come from the Makefile itself.  Only what would touch the person who
runs the tests is added: no browser window, a free port, settings of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("notebooks", "exercises", "solutions", "datasets")
START_TIMEOUT = 180

#: What a page is opened with, plugin -> settings.
SETTINGS: dict[str, dict[str, Any]] = {
    # Cells outside the window are drawn as well: a picture can show them all.
    "notebook-extension/tracker": {
        "windowingMode": "none",
        "scrollPastEnd": False,
    },
    # A course test must not ask a web site for news.
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}


def lab_command() -> list[str]:
    """Return the command that `make lab` ends with, as words.

    Raises:
        AssertionError: `make lab` no longer starts JupyterLab.
    """
    make = shutil.which("make")
    assert make, "`make` is not installed"
    # A test run by `make` must not hand its flags (-n, -j) to another make.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    recipe = subprocess.run(
        [make, "--no-print-directory", "-n", "lab"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace("\\\n", " ")
    commands = [
        shlex.split(line)
        for line in recipe.splitlines()
        if "-m jupyterlab" in line
    ]
    assert len(commands) == 1, f"`make -n lab` says:\n{recipe}"
    return commands[0]


class LabServer:
    """A running server; ``with LabServer(folder) as server``."""

    def __init__(
        self, folder: Path, extra: Mapping[str, Path] | None = None
    ) -> None:
        """Copy the course to ``folder`` / "course".

        ``extra`` adds notebooks: path in the course -> file.
        """
        self.course = folder / "course"
        self._own = folder / "jupyter"
        self._log = folder / "server.log"
        for name in FOLDERS:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name,
                    self.course / name,
                    ignore=shutil.ignore_patterns(".*"),
                )
        for place, file in (extra or {}).items():
            target = self.course / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        self.token = secrets.token_hex(16)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LabServer:
        """Start, and wait until the server answers."""
        for plugin, values in SETTINGS.items():
            file = self._own / f"settings/@jupyterlab/{plugin}"
            file = file.with_name(f"{file.name}.jupyterlab-settings")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        words = lab_command()
        command = [sys.executable, *words[1:], "--no-browser"]
        command += [
            f"--port={_free_port()}",
            f"--IdentityProvider.token={self.token}",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")  # in a container
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.course,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and, with it, its kernels."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        """What the server and its kernels wrote."""
        return self._log.read_text("utf-8", "replace")

    def stop_kernels(self) -> None:
        """Shut down every kernel: a network in memory is not small."""
        for session in self._ask("GET", "api/sessions"):
            self._ask("DELETE", f"api/sessions/{session['id']}")

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def _environment(self) -> dict[str, str]:
        """Return a learner's environment, nothing of the person's own."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("JUPYTER", "TF_", "KERAS_", "PYTEST"))
            and name not in ("MTLREC_CHECK", "MTLREC_PROGRESS")
        }
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        for name, place in folders.items():
            path = self._own / place
            path.mkdir(parents=True, exist_ok=True)
            environment[name] = str(path)
        environment["JUPYTER_PREFER_ENV_PATH"] = "1"
        environment["MTLREC_SPEED"] = "fast"
        return environment

    def _wait(self) -> None:
        """Wait for the file in which a server writes its address."""
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"The server stopped:\n{self.log}")
            for file in (self._own / "runtime").glob("jpserver-*.json"):
                try:
                    self.url = json.loads(file.read_text())["url"]
                    self._ask("GET", "api/status")
                except (ValueError, OSError):
                    continue  # half-written, or not listening yet
                return
            time.sleep(0.2)
        raise AssertionError(f"No server in {START_TIMEOUT} s:\n{self.log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
