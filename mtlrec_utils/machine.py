"""What this machine and this environment are; standard library only.

The doctor must run where nothing else does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def installed_version(*distributions: str) -> str:
    """Return the first distribution's version, "missing" if there is none."""
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "missing"


def gpu_names() -> list[str]:
    """Return the names of the NVIDIA GPUs, without importing TensorFlow."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        answer = subprocess.run(
            [command, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line]


def cpu_count() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> str:
    """Return the device in words: the GPU's name, else the CPU cores."""
    gpus = gpu_names()
    if gpus:
        several = f"{len(gpus)} × " if len(gpus) > 1 else ""
        return f"GPU {several}{gpus[0]}"
    cores = cpu_count()
    return f"{cores}-core CPU"


def memory_gigabytes() -> float | None:
    """Return the memory this process may use in GB, None if unknown.

    In a container that is the container's limit, not the machine's memory.
    """
    known = []
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        known.append(pages)
    except (AttributeError, OSError, ValueError):  # Windows
        pass
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            known.append(int(Path("/sys/fs/cgroup", limit).read_text()))
        except (OSError, ValueError):
            continue
    return min(known) / 1e9 if known else None
