"""Tests that cannot fail prove nothing: break the code, see them go red.

Each case copies the package, changes one line in the way people get it wrong,
and runs a few of the tests on the copy.  They must fail; that they pass on
the code as it is, the suite itself shows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutation_cases import MUTATIONS, MUTATIONS_SEEN

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutation", MUTATIONS + MUTATIONS_SEEN, ids=lambda m: m.name
)
def test_tests_see_the_mistake(mutation, tmp_path):
    for folder in ("mtlrec_utils", "tests"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("__pycache__", "artefacts"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "mtlrec_utils" / mutation.file
    code = path.read_text()
    assert code.count(mutation.right) == 1, "the line to break has moved"
    path.write_text(code.replace(mutation.right, mutation.wrong))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *mutation.tests],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "failed" in done.stdout
    assert " error" not in done.stdout.splitlines()[-1], done.stdout[-2000:]
