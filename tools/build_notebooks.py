"""Build the notebooks of the course from the texts people write.

    python -m tools.build_notebooks [names ...] [options]

``source/lessons/NN_name.md`` becomes ``notebooks/NN_name.ipynb``;
``source/exercises/NN_name.md`` becomes ``solutions/NN_name.ipynb``,
``exercises/NN_name.ipynb`` and an entry per exercise in
``mtlrec_utils/classroom/solutions.json``.  A name may be shortened to its
number.

Lessons and solutions are executed when something changed that can change
their outputs: a code cell, the package, bundled data, the lock file or the
way of executing, seen by content hash.  A change of prose keeps the stored
outputs.  Exercises are not executed (:mod:`tools.notebook_answers` says why).
A notebook that fails is not written; the one before it stays.

The seconds in a title are measured.  Measure with ``--jobs 1`` (the
default): two notebooks at a time share the cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

from mtlrec_utils.whole_file import whole_file
from tools.notebook_answers import extract_answers
from tools.notebook_build import (
    CELL_TIMEOUT,
    measured,
    reason_to_execute,
    rebuild,
    run,
)
from tools.notebook_course import (
    ANSWERS,
    BuildError,
    Course,
    Target,
)
from tools.notebook_drift import check

ROOT = Path(__file__).resolve().parents[1]
MAXIMUM_JOBS = 2


def build(
    target: Target, *, execute_cells: bool, force: bool, timeout: int
) -> str:
    """Build one notebook file and say in a few words what was done."""
    reason = None
    if target.is_executed and execute_cells:
        reason = "asked to" if force else reason_to_execute(target)
    text = run(target, timeout) if reason else rebuild(target)
    before = target.path.read_text("utf-8") if target.path.exists() else None
    if text != before:
        _write(target.path, text)
    if reason:
        seconds = measured(nbformat.reads(text, as_version=4))
        return f"{target.label}: executed in {seconds} s ({reason})"
    return f"{target.label}: {'unchanged' if text == before else 'written'}"


def _write(path: Path, text: str) -> None:
    with whole_file(path) as part:
        part.write_text(text, "utf-8", newline="\n")


def select(course: Course, names: Sequence[str]) -> list[Target]:
    """Find targets by name, ``09_shared_bottom``, or by number, ``09``.

    Raises:
        BuildError: if a name fits no source.
    """
    chosen = []
    for name in names:
        stem = Path(name).stem
        found = [
            target
            for target in course.targets()
            if target.name == stem or target.name.startswith(f"{stem}_")
        ]
        if not found:
            known = sorted({target.name for target in course.targets()})
            raise BuildError(f"no source for {name!r}; there are {known}")
        chosen.extend(found)
    return [t for t in course.targets() if t in chosen or not names]


def build_all(
    course: Course,
    targets: Sequence[Target],
    *,
    execute_cells: bool = True,
    force: bool = False,
    timeout: int = CELL_TIMEOUT,
    jobs: int = 1,
) -> list[str]:
    """Build several notebooks; return the errors, one text each.

    Exercises come last, and only where the solution could be built.
    """
    _write(course.root / ANSWERS, extract_answers(course))
    errors: dict[str, str] = {}

    def attempt(target: Target) -> None:
        try:
            line = build(
                target,
                execute_cells=execute_cells,
                force=force,
                timeout=timeout,
            )
        except BuildError as error:
            errors[target.label] = str(error)
        else:
            print(line, flush=True)

    course.code_hash  # noqa: B018  computed once, before threads share it
    with ThreadPoolExecutor(min(jobs, MAXIMUM_JOBS)) as pool:
        list(pool.map(attempt, [t for t in targets if t.is_executed]))
    for target in targets:
        if target.is_executed:
            continue
        if target.sibling("solutions").label not in errors:
            attempt(target)
    return list(errors.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.build_notebooks",
        description="Build the notebooks from source/.",
    )
    parser.add_argument("names", nargs="*", help="09_shared_bottom, or 09")
    parser.add_argument(
        "--no-execute", action="store_true", help="keep stored outputs"
    )
    parser.add_argument(
        "--force", action="store_true", help="execute unchanged ones too"
    )
    parser.add_argument(
        "--check", action="store_true", help="only say what is out of date"
    )
    parser.add_argument(
        "--timeout", type=int, default=CELL_TIMEOUT, help="seconds per cell"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, choices=range(1, MAXIMUM_JOBS + 1)
    )
    options = parser.parse_args(arguments)
    course = Course(ROOT)
    try:
        if options.check:
            errors = check(course)
        else:
            errors = build_all(
                course,
                select(course, options.names),
                execute_cells=not options.no_execute,
                force=options.force,
                timeout=options.timeout,
                jobs=options.jobs,
            )
    except BuildError as error:
        errors = [str(error)]
    for message in errors:
        print(message, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
