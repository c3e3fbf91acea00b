"""What the doctor examines; standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from mtlrec_utils import __version__
from mtlrec_utils.folders import course_folder
from mtlrec_utils.machine import (
    cpu_count,
    gpu_names,
    installed_version,
    memory_gigabytes,
)

OK, FAIL, NOTE = "OK", "FAIL", "note"

PYTHON_OLDEST, PYTHON_NEWEST = (3, 11), (3, 13)
LEAST_MEMORY_GB = 3.0
LEAST_DISK_GB = 1.0
CHECKSUMS = "SHA256SUMS"

#: Reported also where the course does not require them.
REPORTED = (
    "tensorflow",
    "keras",
    "numpy",
    "pandas",
    "matplotlib",
    "ipython",
    "ipykernel",
    "ipywidgets",
    "jupyterlab",
)

REINSTALL = "Run `make lab` in a fresh clone, or install the package again."

# Multiplies two matrices; the last line it prints is read as JSON.
SMOKE_TEST = """
import json, keras, tensorflow as tf
product = tf.linalg.matmul(tf.ones((64, 64)), tf.ones((64, 64)))
print(json.dumps({
    "backend": keras.backend.backend(),
    "gpus": len(tf.config.list_physical_devices("GPU")),
    "right": bool(tf.reduce_all(product == 64.0)),
}))
"""
SMOKE_TEST_SECONDS = 180


@dataclass(frozen=True)
class Finding:
    """One examined thing: its state, its value, and what to do about it."""

    name: str
    state: str
    value: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Examine everything; nothing raises and nothing is changed."""
    examinations: tuple[Callable[[], Iterator[Finding]], ...] = (
        _system,
        _packages,
        _resources,
        _settings,
        _datasets,
        _tensorflow,
    )
    findings: list[Finding] = []
    for examination in examinations:
        try:
            findings.extend(examination())
        except Exception as error:
            name = examination.__name__.strip("_")
            findings.append(
                Finding(name, FAIL, f"{type(error).__name__}: {error}")
            )
    return findings


def _system() -> Iterator[Finding]:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    host = " (Colab)" if "COLAB_RELEASE_TAG" in os.environ else ""
    yield Finding("system", OK, system + host)
    supported = PYTHON_OLDEST <= sys.version_info[:2] <= PYTHON_NEWEST
    yield Finding(
        "Python",
        OK if supported else FAIL,
        platform.python_version(),
        "" if supported else "The course runs on Python 3.11, 3.12 and 3.13.",
    )


def _packages() -> Iterator[Finding]:
    wanted = _requirements()
    yield Finding("mtlrec-utils", OK, __version__)
    for name in [*REPORTED, *(n for n in sorted(wanted) if n not in REPORTED)]:
        found = installed_version(name)
        if name == "tensorflow" and found == "missing":
            found = installed_version("tensorflow-cpu")
        wish = wanted.get(name)
        if found == "missing":
            required = wish is not None
            yield Finding(
                name,
                FAIL if required else NOTE,
                found,
                REINSTALL if required else "",
            )
        elif wish is not None and not _fits(found, wish):
            yield Finding(
                name, FAIL, f"{found}, the course needs {wish}", REINSTALL
            )
        else:
            yield Finding(name, OK, found)


def _requirements() -> dict[str, str]:
    """Return what the package requires: name -> version range."""
    try:
        lines = requires("mtlrec-utils") or []
    except PackageNotFoundError:
        # Used from a checkout: what every lesson needs, of any version.
        return dict.fromkeys(["tensorflow", "keras", "numpy", "pandas"], "")
    wanted = {}
    for line in lines:
        if "extra ==" in line:
            continue
        match = re.match(r"([\w.-]+)\s*(.*)", line.partition(";")[0])
        if match:
            wanted[match[1].lower()] = match[2].strip(" ()")
    return wanted


def _fits(version: str, wish: str) -> bool:
    """Return whether ``version`` lies in the range ``wish``."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True
    return SpecifierSet(wish).contains(version, prereleases=True)


def _resources() -> Iterator[Finding]:
    gpus = gpu_names()
    cores = f"{cpu_count()}-core CPU"
    yield Finding("device", OK, " + ".join([cores, *gpus]))
    memory = memory_gigabytes()
    if memory is None:
        yield Finding("memory", NOTE, "unknown")
    else:
        enough = memory >= LEAST_MEMORY_GB
        yield Finding(
            "memory",
            OK if enough else FAIL,
            f"{memory:.1f} GB",
            ""
            if enough
            else f"Lessons need {LEAST_MEMORY_GB:.0f} GB. Close other "
            "programs, or use Colab.",
        )
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    enough = free >= LEAST_DISK_GB
    yield Finding(
        "free disk",
        OK if enough else FAIL,
        f"{free:.1f} GB",
        "" if enough else f"Make room: at least {LEAST_DISK_GB:.0f} GB.",
    )


def _settings() -> Iterator[Finding]:
    for name, allowed in {
        "MTLREC_SPEED": ("fast", "full"),
        "MTLREC_CHECK": ("strict",),
    }.items():
        value = os.environ.get(name)
        known = not value or value.lower() in allowed
        yield Finding(
            name,
            OK if known else FAIL,
            value or "not set",
            "" if known else f"Set it to {' or '.join(allowed)}, or unset it.",
        )
    folder = os.environ.get("MTLREC_DATA")
    if not folder:
        yield Finding("MTLREC_DATA", OK, "not set")
    elif Path(folder).expanduser().is_dir():
        yield Finding("MTLREC_DATA", OK, "set, the folder exists")
    else:
        yield Finding(
            "MTLREC_DATA",
            FAIL,
            "set, but there is no such folder",
            "Create the folder, or unset the variable.",
        )


def _datasets() -> Iterator[Finding]:
    try:
        folder = course_folder("datasets")
    except FileNotFoundError:
        yield Finding("datasets", FAIL, "folder not found", REINSTALL)
        return
    sums = folder / CHECKSUMS
    if not sums.is_file():
        yield Finding("datasets", NOTE, "found, without a list of checksums")
        return
    faults = checksum_faults(sums)
    if faults:
        yield Finding(
            "datasets",
            FAIL,
            "; ".join(faults),
            "Restore the files: `git checkout datasets` in a checkout, or "
            "install the package again.",
        )
    else:
        count = len(sums.read_text("utf-8").splitlines())
        yield Finding("datasets", OK, f"{count} checksums hold")


def checksum_faults(sums: Path) -> list[str]:
    """Return what is wrong with the files listed in ``sums``, [] if nothing.

    ``sums`` is written as by ``sha256sum``: digest, two spaces, a path
    relative to the folder of ``sums``.
    """
    faults = []
    for line in sums.read_text("utf-8").splitlines():
        digest, _, name = line.partition(" ")
        path = sums.parent / name.strip().lstrip("*")
        if not path.is_file():
            faults.append(f"{name.strip()} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            faults.append(f"{name.strip()} was changed")
    return faults


def _tensorflow() -> Iterator[Finding]:
    """Multiply matrices in another process, which may well crash."""
    try:
        answer = subprocess.run(
            [sys.executable, "-c", SMOKE_TEST],
            capture_output=True,
            text=True,
            timeout=SMOKE_TEST_SECONDS,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            "smoke test",
            FAIL,
            f"no answer in {SMOKE_TEST_SECONDS} s",
            "The machine may be short of memory; close other programs.",
        )
        return
    if answer.returncode:
        last = (answer.stderr.strip() or "no message").splitlines()[-1]
        yield Finding(
            "smoke test",
            FAIL,
            f"exit code {answer.returncode}: {last[:300]}",
            f"TensorFlow cannot be used here. {REINSTALL}",
        )
        return
    result = json.loads(answer.stdout.strip().splitlines()[-1])
    backend = result["backend"]
    yield Finding(
        "Keras backend",
        OK if backend == "tensorflow" else FAIL,
        backend,
        ""
        if backend == "tensorflow"
        else "Set KERAS_BACKEND=tensorflow before starting Python.",
    )
    if gpu_names() and not result["gpus"]:
        yield Finding(
            "GPU",
            NOTE,
            "present, but TensorFlow does not see it",
            "Lessons run on the CPU. To use the GPU: "
            "pip install 'mtlrec-utils[gpu]'",
        )
    yield Finding(
        "smoke test",
        OK if result["right"] else FAIL,
        "a matrix product is right"
        if result["right"]
        else "a matrix product is wrong",
        "" if result["right"] else REINSTALL,
    )
