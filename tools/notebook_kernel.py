"""The environment variables of every kernel that runs a notebook here."""

from __future__ import annotations

import os
from pathlib import Path


def kernel_environment(
    root: Path, *, strict: bool, profile: str
) -> dict[str, str]:
    """Environment variables of a kernel.

    Args:
        root: checkout whose package the kernel imports.
        strict: whether a failed ``check`` raises, as in solutions.
        profile: folder for IPython's settings, so that those of the person
            who builds change nothing.
    """
    environment = dict(os.environ)
    before = environment.get("PYTHONPATH")
    environment.update(
        IPYTHONDIR=profile,
        MTLREC_PROGRESS="0",
        MTLREC_SPEED="fast",
        PYTHONPATH=os.pathsep.join([str(root), *([before] if before else [])]),
        PYTHONHASHSEED="0",
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    environment.pop("MTLREC_CHECK", None)
    if strict:
        environment["MTLREC_CHECK"] = "strict"
    return environment
