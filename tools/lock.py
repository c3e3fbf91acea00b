"""Resolve ``requirements.lock`` and the lock of Colab's versions anew.

    make lock

Both are universal (Linux, macOS, Windows; Python 3.11 to 3.13), hashed, and
name no package index.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = [
    "--universal",
    "--generate-hashes",
    "--no-emit-index-url",
    "--python-version=3.11",
    "--custom-compile-command=make lock",
    "--upgrade",
    "--quiet",
]
LOCKS = {
    "requirements.lock": ["--extra=dev", "--fork-strategy=fewest"],
    "tests/colab-2026-08.lock": [
        "--extra=test",
        "--constraints=tests/colab-2026-08.txt",
    ],
}


def main() -> None:
    """Write every lock file."""
    uv = Path(sys.executable).with_name("uv")
    for lock, options in LOCKS.items():
        command = [uv, "pip", "compile", "pyproject.toml", *OPTIONS, *options]
        subprocess.run([*command, "-o", lock], cwd=ROOT, check=True)
        print(f"wrote {lock}")


if __name__ == "__main__":
    main()
