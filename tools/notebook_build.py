"""One notebook file from its source: by execution, or from stored outputs."""

from __future__ import annotations

import copy
import math

import nbformat
from nbformat import NotebookNode

from tools.notebook_answers import clear_answers, mark_for_grading
from tools.notebook_cells import heading_above
from tools.notebook_course import BuildError, Target
from tools.notebook_execution import CellError, execute
from tools.notebook_outputs import normalise, serialise
from tools.notebook_source import fill_title, notebook_metadata, read_source

CELL_TIMEOUT = 300
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


def measured(notebook: NotebookNode | None) -> int | None:
    """Seconds of the stored run."""
    return notebook.metadata.mtlrec.seconds if notebook else None


def ran_with(notebook: NotebookNode | None) -> str:
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
    if ran_with(before) != target.course.code_hash:
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
            code_hash = ran_with(before)
    return _finish(target, notebook, code_hash, measured(before))


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
    return _finish(target, notebook, ran_with(solution), measured(solution))
