"""Check the built notebooks against the house rules.

    python -m tools.lint_notebooks [names ...]

The rules stand in :mod:`tools.lint_rules` (numbers, blocks, exceptions of
single lessons) and in the ``lint_*`` modules beside it.  Each finding is one
line; the exit status tells whether there was one.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nbformat import NotebookNode

from tools.build_notebooks import ROOT, select
from tools.lint_assertions import weak_assertions
from tools.lint_exercises import check_exercises
from tools.lint_lesson import check_lesson
from tools.lint_prose import (
    check_alternatives,
    check_headings,
    check_links,
    check_numbers,
    check_terms,
)
from tools.lint_rules import (
    COURSE_SECONDS,
    MAXIMUM_CELL_LINES,
    MAXIMUM_COLUMNS,
    Finding,
    at,
    code_lines,
    rules_of,
)
from tools.notebook_build import stored
from tools.notebook_course import BuildError, Course, Target

# nbval would skip these cells, or accept an error that never comes.
NBVAL_HOLES = re.compile(
    r"^\s*#\s*(?:NBVAL_SKIP|NBVAL_RAISES_EXCEPTION|"
    r"NBVAL_IGNORE_OUTPUT|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$",
    re.M,
)


def check_code(notebook: NotebookNode, executed: bool) -> Iterator[Finding]:
    """Apply the rules about code cells of any notebook."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        lines = code_lines(cell.source)
        if not lines:
            yield at(notebook, index, "empty-cell", "no code")
        if len(lines) > MAXIMUM_CELL_LINES:
            yield at(
                notebook,
                index,
                "cell-lines",
                f"{len(lines)} lines, at most {MAXIMUM_CELL_LINES}",
            )
        for line in lines:
            if len(line) > MAXIMUM_COLUMNS:
                yield at(
                    notebook,
                    index,
                    "columns",
                    f"{len(line)} columns, at most {MAXIMUM_COLUMNS}: {line}",
                )
        if NBVAL_HOLES.search(cell.source):
            yield at(
                notebook,
                index,
                "nbval-marker",
                "takes the cell out of the tests; catch errors in code and "
                "assert them",
            )
        for problem in weak_assertions(cell.source):
            yield at(notebook, index, "weak-assertion", problem)
        if executed and cell.execution_count is None:
            yield at(notebook, index, "not-executed", "run the builder")
        if not executed and (cell.outputs or cell.execution_count):
            yield at(
                notebook,
                index,
                "stored-output",
                "exercises are stored without outputs",
            )


def lint_target(target: Target) -> list[Finding]:
    """List what is wrong with one built notebook."""
    notebook = stored(target)
    if notebook is None or not notebook.cells:
        return [
            Finding("not-built", "run make notebooks", notebook=target.label)
        ]
    course = target.course
    found = [
        *check_headings(notebook),
        *check_numbers(notebook),
        *check_terms(notebook),
        *check_alternatives(notebook),
        *check_links(notebook, target.path, course.root, course.repository()),
        *check_code(notebook, target.is_executed),
    ]
    if target.folder == "notebooks":
        found += check_lesson(notebook, rules_of(target.name))
    if target.folder == "exercises":
        solutions = stored(target.sibling("solutions"))
        if solutions is not None:
            found += check_exercises(notebook, solutions, target.name[:2])
    return [replace(finding, notebook=target.label) for finding in found]


def lint(course: Course, names: Sequence[str] = ()) -> list[Finding]:
    """List what is wrong with the notebooks of a course."""
    found = [
        finding
        for target in select(course, names)
        for finding in lint_target(target)
    ]
    total = 0
    for target in course.targets():
        notebook = stored(target)
        if target.folder == "notebooks" and notebook is not None:
            total += notebook.metadata.mtlrec.seconds or 0
    if total > COURSE_SECONDS:
        found.append(
            Finding(
                "time",
                f"all lessons take {total} s, at most {COURSE_SECONDS}",
                notebook="notebooks",
            )
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.lint_notebooks",
        description="Check the built notebooks against the house rules.",
    )
    parser.add_argument("names", nargs="*", help="09_shared_bottom, or 09")
    options = parser.parse_args(arguments)
    try:
        found = lint(Course(ROOT), options.names)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    for finding in found:
        print(finding)
    print(f"{len(found)} findings in the notebooks")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
