"""Build the notebooks of the course from the texts people write.

    python -m tools.build_notebooks [names ...] [options]

``source/lessons/NN_name.md`` becomes ``notebooks/NN_name.ipynb``;
``source/exercises/NN_name.md`` becomes ``solutions/NN_name.ipynb``,
``exercises/NN_name.ipynb`` and an entry per exercise in
``mtlrec_utils/classroom/solutions.json``.  A name may be shortened to its
number.

Lessons and solutions are executed when something changed that can change
their outputs: a code cell, the package, bundled data, the lock file or the
builder, seen by content hash.  A change of prose keeps the stored outputs.
Exercises are not executed (:mod:`tools.notebook_answers` says why).  A
notebook that fails is not written; the one before it stays.

The seconds in a title are measured.  Measure with ``--jobs 1`` (the
default): two notebooks at a time share the cores.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.notebook_answers import (
    clear_answers,
    extract_answers,
    mark_for_grading,
)
from tools.notebook_course import (
    ANSWERS,
    BuildError,
    Course,
    Target,
    write_atomically,
)
from tools.notebook_execution import CellError, execute
from tools.notebook_outputs import normalise, serialise
from tools.notebook_source import (
    fill_title,
    heading_above,
    notebook_metadata,
    read_source,
)

ROOT = Path(__file__).resolve().parents[1]
CELL_TIMEOUT = 300
MAXIMUM_JOBS = 2
STALE = "stale"


def stored(target: Target) -> NotebookNode | None:
    """Read the built notebook, if there is one that can be read."""
    if not target.path.exists():
        return None
    try:
        notebook = nbformat.read(target.path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None
    return notebook if "mtlrec" in notebook.metadata else None


def _measured(notebook: NotebookNode | None) -> int | None:
    """Seconds of the stored run."""
    return notebook.metadata.mtlrec.seconds if notebook else None


def _ran_with(notebook: NotebookNode | None) -> str:
    """Digest of the code behind the stored outputs."""
    return notebook.metadata.mtlrec.code_hash if notebook else STALE


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _sources(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in _code(notebook)]


def assemble(target: Target) -> NotebookNode:
    """Make the cells of a target, answers included, without outputs.

    The title still holds its placeholders.
    """
    notebook, _ = read_source(target)
    if target.folder != "notebooks":
        mark_for_grading(notebook, target)
    return notebook


def reason_to_execute(target: Target) -> str | None:
    """Say why the stored outputs cannot be kept, or None if they can."""
    before = stored(target)
    if before is None:
        return "new"
    if _sources(before) != _sources(assemble(target)):
        return "code cells changed"
    if any(cell.execution_count is None for cell in _code(before)):
        return "not executed yet"
    if _ran_with(before) != target.course.code_hash:
        return "package, data, lock file or builder changed"
    return None


def rebuild(target: Target) -> str:
    """Make the text of a notebook file without executing anything.

    Outputs and seconds come from the stored notebook (for an exercise: from
    the stored solution).  A code cell that changed has no output.
    """
    if not target.is_executed:
        return _exercise(target, stored(target.sibling("solutions")))
    notebook = assemble(target)
    before = stored(target)
    code_hash = STALE
    if before is not None:
        outputs = {cell.id: cell for cell in _code(before)}
        for cell in _code(notebook):
            kept = outputs.get(cell.id)
            if kept is not None and kept.source == cell.source:
                cell.outputs = copy.deepcopy(kept.outputs)
                cell.execution_count = kept.execution_count
        if _sources(before) == _sources(notebook):
            code_hash = _ran_with(before)
    return _finish(target, notebook, code_hash, _measured(before))


def run(target: Target, timeout: int = CELL_TIMEOUT) -> str:
    """Make the text of a notebook file by executing its cells.

    Raises:
        BuildError: naming the notebook, heading, cell and error.
    """
    notebook = assemble(target)
    title = notebook.cells[0].source
    fill_title(notebook.cells[0], target, None)
    try:
        seconds = execute(
            notebook,
            root=target.course.root,
            folder=target.path.parent,
            strict=target.folder == "solutions",
            timeout=timeout,
        )
    except CellError as failure:
        raise BuildError(_failure(target, failure)) from failure
    notebook.cells[0].source = title
    code_hash = target.course.code_hash
    return _finish(target, notebook, code_hash, math.ceil(seconds))


def _failure(target: Target, failure: CellError) -> str:
    notebook, lines = read_source(target)
    cell = notebook.cells[failure.index]
    place = target.source.relative_to(target.course.root).as_posix()
    code = "\n".join(f"    {line}" for line in cell.source.splitlines())
    return (
        f"{target.label}: a cell failed under the heading "
        f"“{heading_above(notebook, failure.index)}”\n"
        f"{place}, cell at line {lines[failure.index]}:\n\n{code}\n\n"
        f"{failure.reason}"
    )


def _finish(
    target: Target,
    notebook: NotebookNode,
    code_hash: str,
    seconds: int | None,
) -> str:
    fill_title(notebook.cells[0], target, seconds)
    notebook.metadata = notebook_metadata(target, code_hash, seconds)
    try:
        normalise(notebook, target.course.root)
        return serialise(notebook)
    except BuildError as error:
        raise BuildError(f"{target.label}: {error}") from error


def _exercise(target: Target, solution: NotebookNode | None) -> str:
    notebook = clear_answers(assemble(target), solution)
    return _finish(target, notebook, _ran_with(solution), _measured(solution))


def differences(course: Course) -> list[str]:
    """List what a rebuild without execution would change."""
    found = [
        f"{path.relative_to(course.root).as_posix()}: no source for it"
        for path in course.orphans()
    ]
    for target in course.targets():
        before = stored(target)
        if before is None:
            found.append(f"{target.label}: not built")
            continue
        text = rebuild(target)
        if text == target.path.read_text("utf-8"):
            continue
        after = nbformat.reads(text, as_version=4)
        found.append(f"{target.label}: {_first_change(before, after)}")
    answers = course.root / ANSWERS
    known = answers.read_text("utf-8") if answers.exists() else ""
    if known != extract_answers(course):
        found.append(f"{ANSWERS.as_posix()}: not what the sources say")
    return found


def _first_change(before: NotebookNode, after: NotebookNode) -> str:
    if len(before.cells) != len(after.cells):
        return f"{len(before.cells)} cells, the source: {len(after.cells)}"
    for index, (old, new) in enumerate(
        zip(before.cells, after.cells, strict=True)
    ):
        for part in ("cell_type", "source", "metadata", "id", "outputs"):
            if old.get(part) != new.get(part):
                heading = heading_above(after, index)
                return f"cell {index} (“{heading}”) differs in its {part}"
    return "metadata or layout of the file differs"


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
        write_atomically(target.path, text)
    if reason:
        seconds = _measured(nbformat.reads(text, as_version=4))
        return f"{target.label}: executed in {seconds} s ({reason})"
    return f"{target.label}: {'unchanged' if text == before else 'written'}"


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


def check(course: Course) -> list[str]:
    """List everything that ``build_notebooks`` would do."""
    return differences(course) + [
        f"{target.label}: to be executed ({reason})"
        for target in course.targets()
        if target.is_executed
        for reason in [reason_to_execute(target)]
        if reason and reason != "new"
    ]


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
    write_atomically(course.root / ANSWERS, extract_answers(course))
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
