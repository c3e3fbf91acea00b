"""Create a virtual environment from a hashed lock file.

Standard library only, so that it runs before anything is installed:

    python3 tools/set_up.py .venv requirements.lock

The environment is complete when the file ``.ready`` stands in it; an
interrupted set-up leaves none and is done again from the start.  Packages are
installed by uv when it works (seconds) and otherwise by pip (minutes), from
the same lock with the same hashes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
ROOT = Path(__file__).resolve().parents[1]


def check_python() -> None:
    """Stop with a remedy when this Python is not one the course runs on."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    found = ".".join(map(str, sys.version_info[:2]))
    sys.exit(
        f"The course needs Python 3.11, 3.12 or 3.13; this is {found}.\n"
        "Install one of them and say which to use, for example:\n"
        "    make lab PYTHON=python3.12"
    )


def create(folder: Path) -> Path:
    """Make an empty environment in ``folder``; return its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
    except (subprocess.CalledProcessError, ImportError):
        sys.exit(
            "Python could not create a virtual environment. On Debian and "
            "Ubuntu the\npackage python3-venv is missing: "
            "sudo apt-get install python3-venv"
        )
    windows = folder / "Scripts" / "python.exe"
    return windows if windows.exists() else folder / "bin" / "python"


def lines_of(package: str, lock: Path) -> str:
    """Return the lock's entry of ``package`` with its hashes, or ''."""
    pattern = rf"^{package}==.*\n(?:[ \t]+--hash.*\n)+"
    match = re.search(pattern, lock.read_text(), re.MULTILINE)
    return match.group() if match else ""


def install_with_uv(python: Path, lock: Path) -> bool:
    """Install the lock with uv, itself installed from the same lock."""
    entry = lines_of("uv", lock)
    if not entry:
        return False
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "uv.lock"
        alone.write_text(entry)
        if not pip_install(python, alone):
            return False
    uv = python.with_name("uv" + python.suffix)
    command = [uv, "pip", "install", "--quiet", "--python", python]
    done = subprocess.run([*command, "--require-hashes", "-r", lock])
    return done.returncode == 0


def pip_install(python: Path, lock: Path) -> bool:
    """Install the lock with pip; every hash must match."""
    command = [python, "-m", "pip", "install", "--quiet"]
    command += ["--disable-pip-version-check", "--require-hashes"]
    return subprocess.run([*command, "-r", lock]).returncode == 0


def install_course(python: Path) -> None:
    """Install this repository so that edits take effect at once."""
    command = [python, "-m", "pip", "install", "--quiet"]
    command += ["--disable-pip-version-check", "--no-build-isolation"]
    subprocess.run([*command, "--no-deps", "--editable", ROOT], check=True)


def main(folder: Path, lock: Path) -> None:
    """Create ``folder`` and fill it from ``lock``."""
    check_python()
    print(f"Setting up {folder} (once; about 2 GB is fetched) ...", flush=True)
    python = create(folder)
    if not (install_with_uv(python, lock) or pip_install(python, lock)):
        sys.exit(
            "The packages could not be installed; the lines above say why. "
            "Check the\nnetwork and the free disk space (5 GB), then run the "
            "same command again."
        )
    install_course(python)
    (folder / ".ready").touch()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: set_up.py ENVIRONMENT_FOLDER LOCK_FILE")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
