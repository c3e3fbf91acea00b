"""Grade a class: ``python -m mtlrec_utils.capstone FOLDER``.

Every ``*.py`` in the folder holds one function ``recommender``, as written by
``hand_in``. Each runs in a process of its own, with a time limit; one that
fails gets no points and its reason, and the others go on. The results are
``scores.csv`` and a page to print for each. **This runs the code of others**:
do it on a machine that holds nothing of value.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

from mtlrec_utils.capstone.brief import Brief
from mtlrec_utils.capstone.handing_in import (
    FUNCTION,
    completion_page,
)
from mtlrec_utils.whole_file import whole_file

PARTS = ("works", "offline", "calibrated", "online", "total")


def main(arguments: list[str] | None = None) -> int:
    """Grade all files of a folder, or one file for the process above."""
    parser = argparse.ArgumentParser(
        prog="python -m mtlrec_utils.capstone", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="holds the files")
    parser.add_argument(
        "--seed", type=int, default=Brief().seed, help="of the world"
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="for each file"
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(_graded(options.folder, Brief(options.seed))))
        return 0
    files = sorted(options.folder.glob("*.py"))
    if not files:
        print(f"{options.folder} holds no .py file: nothing to grade.")
        return 1
    rows = []
    for file in files:
        rows.append(_in_own_process(file, options.seed, options.minutes))
        line = rows[-1]["reason"] or f"{rows[-1]['total']:.0f} points"
        print(f"{file.stem}: {line}", flush=True)
    with whole_file(options.folder / "scores.csv") as part:
        part.write_text(_as_csv(rows), "utf-8")
    return 0


def _graded(file: Path, brief: Brief) -> dict[str, Any]:
    names = runpy.run_path(str(file))
    if FUNCTION not in names:
        raise ValueError(f"{file.name} defines no function {FUNCTION!r}.")
    from mtlrec_utils.capstone.grading import grade

    found = grade(names[FUNCTION], brief, given=_given(brief))
    return {"points": found.points, "truth": found.truth.to_dict()}


def _given(brief: Brief) -> Any:
    from mtlrec_utils.capstone.policies import given_policies

    return given_policies(brief)


def _in_own_process(file: Path, seed: int, minutes: float) -> dict[str, Any]:
    """Grade one file; return its row of the table."""
    command = [sys.executable, "-m", "mtlrec_utils.capstone", str(file)]
    command += ["--one", "--seed", str(seed)]
    nothing = {"name": file.stem, **dict.fromkeys(PARTS, 0.0)}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60 * minutes,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return nothing | {"reason": f"took longer than {minutes:g} minutes"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        return nothing | {"reason": last[0]}
    return _written(file, json.loads(done.stdout.strip().splitlines()[-1]))


def _written(file: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Write the page of a graded file; return its row of the table."""
    page = completion_page(file.stem, found["points"], found["truth"])
    with whole_file(file.with_suffix(".html")) as part:
        part.write_text(page, "utf-8")
    return {"name": file.stem, **found["points"], "reason": ""}


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["name", *PARTS, "reason"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
