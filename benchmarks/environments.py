"""Each peer lives in its own environment, made when it is first needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.protocol import ROOT


@dataclass(frozen=True)
class Peer:
    """A library that does not run in the course's environment.

    Attributes:
        name: for tables.
        key: of the command-line option and the environment variable.
        module: its worker.
        folder: of its environment.
        requirements: what to install there.
    """

    name: str
    key: str
    module: str
    folder: Path
    requirements: Path

    @property
    def variable(self) -> str:
        return f"BENCH_PYTHON_{self.key.upper().replace('-', '_')}"


def _peer(name: str, key: str, module: str) -> Peer:
    return Peer(
        name,
        key,
        f"benchmarks.{module}",
        ROOT / f".venv-{key}",
        ROOT / "benchmarks" / f"requirements-{key}.txt",
    )


PEERS = (
    _peer("DeepCTR", "deepctr", "worker_deepctr"),
    _peer("torch-rechub", "torch-rechub", "worker_torch_rechub"),
)
RETRIEVAL = _peer("implicit and keras-rs", "retrieval", "retrieval_trainers")


class NoEnvironmentError(RuntimeError):
    """A peer's environment is missing and could not be made."""


def python_of(peer: Peer, chosen: str | None = None) -> Path:
    """The Python of a peer's environment, which is made when missing.

    Args:
        peer: the library.
        chosen: a Python that has it already; else the environment variable
            ``peer.variable`` is looked at.

    Raises:
        NoEnvironmentError: it cannot be made; says why.
    """
    chosen = chosen or os.environ.get(peer.variable)
    if chosen:
        if shutil.which(chosen) is None:
            raise NoEnvironmentError(f"{chosen} is not a program.")
        return Path(chosen)
    python = _python_in(peer.folder)
    ready = peer.folder / ".ready"
    if ready.exists() and ready.read_text() == peer.requirements.read_text():
        return python
    print(f"Setting up {peer.folder.name} for {peer.name} ...", flush=True)
    shutil.rmtree(peer.folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", peer.folder])
    _install(python, peer.requirements)
    ready.write_text(peer.requirements.read_text())
    return python


def _python_in(folder: Path) -> Path:
    windows = os.name == "nt"
    return folder / ("Scripts/python.exe" if windows else "bin/python")


def _install(python: Path, requirements: Path) -> None:
    """Install with uv, which knows the CPU build of PyTorch, else pip."""
    uv = Path(sys.executable).with_name("uv" + python.suffix)
    if uv.exists():
        command = [uv, "pip", "install", "--quiet", "--python", python]
        try:
            _run([*command, "--torch-backend", "cpu", "-r", requirements])
            return
        except NoEnvironmentError as error:
            print(f"uv could not install it, trying pip.\n{error}")
    _run([python, "-m", "pip", "install", "--quiet", "-r", requirements])


def _run(command: list[object]) -> None:
    done = subprocess.run(
        list(map(str, command)), stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise NoEnvironmentError(done.stderr.strip()[-1000:])
