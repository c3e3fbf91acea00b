"""Exercises from their solutions: answers out, gradable metadata in.

In ``source/exercises`` the cell of an answer carries the number of its
exercise, and marks what the learner has to write::

    ```{code-cell} ipython3
    :exercise: "09.1"
    def masked_mean(losses, mask):
        ### BEGIN SOLUTION
        return (losses * mask).sum() / mask.sum()
        ### END SOLUTION
    ```

nbgrader's own preprocessor replaces the marked lines by
``raise NotImplementedError``, so that an instructor can hand the same files
to nbgrader: cells of answers are its "solution" cells, cells that call
``check("09.1", ...)`` its locked, graded test cells of one point.

Exercise notebooks are stored **without outputs**: a learner starts from a
clean page, and no output can give an answer away.  What the learner should
arrive at still stands there: a code cell tagged ``expected`` runs in the
solution, and the exercise shows its result as a picture, table or text
instead of the code.  Cells tagged ``answer`` (a remark on the answer) are
left out of the exercise.
"""

from __future__ import annotations

import html
import json
import re

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearSolutions
from traitlets.config import Config

from tools.notebook_course import BuildError, Course, Target
from tools.notebook_source import read_source

STUB = "raise NotImplementedError"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
EXPECTED_TITLE = "*What the answer arrives at:*"


def check_pattern(exercise: str = r"\d\d\.\d+") -> re.Pattern[str]:
    """Match a call of ``check`` at the start of a line."""
    return re.compile(rf"^check\(\s*[\"']({exercise})[\"']", re.M)


def has_solution(cell: NotebookNode) -> bool:
    """Whether a cell holds an answer."""
    return cell.cell_type == "code" and "exercise" in cell.metadata


def mark_for_grading(notebook: NotebookNode, target: Target) -> None:
    """Give answers and their checks the metadata of nbgrader, in place.

    Raises:
        BuildError: if an answer is not marked, a number is wrong or double,
            or a marked answer belongs to no exercise.
    """
    seen: set[str] = set()
    checked: dict[str, int] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        is_marked = BEGIN in cell.source or END in cell.source
        if not has_solution(cell):
            if is_marked:
                raise BuildError(
                    f"{target.label}: an answer without its number; add "
                    f'`:exercise: "{target.name[:2]}.1"` to the cell\n'
                    + cell.source
                )
            for exercise in check_pattern().findall(cell.source):
                checked[exercise] = checked.get(exercise, 0) + 1
                name = f"check-{exercise.replace('.', '-')}"
                if checked[exercise] > 1:
                    name += f"-{checked[exercise]}"
                cell.metadata["nbgrader"] = _grading(name, graded=True)
            continue
        exercise = str(cell.metadata["exercise"])
        if not re.fullmatch(rf"{target.name[:2]}\.\d+", exercise):
            raise BuildError(
                f"{target.label}: exercise {exercise!r} must be written "
                f'"{target.name[:2]}.1" (with quotes), ".2" and so on'
            )
        if exercise in seen:
            raise BuildError(f"{target.label}: exercise {exercise} is double")
        if not is_marked:
            raise BuildError(
                f"{target.label}: exercise {exercise} marks no answer with "
                f"{BEGIN} and {END}"
            )
        seen.add(exercise)
        name = f"exercise-{exercise.replace('.', '-')}"
        cell.metadata["nbgrader"] = _grading(name, graded=False)


def _grading(grade_id: str, *, graded: bool) -> dict[str, object]:
    grading: dict[str, object] = {
        "grade": graded,
        "grade_id": grade_id,
        "locked": graded,
        "schema_version": 3,
        "solution": not graded,
        "task": False,
    }
    if graded:
        grading["points"] = 1
    return grading


def clear_answers(
    notebook: NotebookNode, solution: NotebookNode | None
) -> NotebookNode:
    """Make the learner's notebook from the cells of a solution.

    Args:
        notebook: the cells with answers, marked for grading, not executed.
        solution: the executed solution, whose outputs stand in for the cells
            tagged ``expected``; without it the place stays empty.

    Raises:
        BuildError: if a marked region is nested or not closed.
    """
    outputs = {
        cell.id: cell.outputs
        for cell in (solution.cells if solution else [])
        if cell.cell_type == "code"
    }
    settings = Config()
    settings.ClearSolutions.code_stub = {"python": STUB}
    settings.ClearSolutions.begin_solution_delimeter = BEGIN
    settings.ClearSolutions.end_solution_delimeter = END
    settings.ClearSolutions.enforce_metadata = False
    try:
        cleared, _ = ClearSolutions(config=settings).preprocess(notebook, {})
    except RuntimeError as error:
        raise BuildError(f"{BEGIN} ... {END}: {error}") from error
    cells = []
    for cell in cleared.cells:
        tags = cell.metadata.get("tags", [])
        if "answer" in tags:
            continue
        if cell.cell_type == "code" and "expected" in tags:
            text = "\n\n".join(
                [EXPECTED_TITLE, *map(_as_markdown, outputs.get(cell.id, []))]
            )
            cell = nbformat.v4.new_markdown_cell(
                text, id=cell.id, metadata={"tags": tags}
            )
        cells.append(cell)
    cleared.cells = cells
    return cleared


def _as_markdown(output: NotebookNode) -> str:
    """Show a stored output inside a Markdown cell."""
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```"
    data = output.data
    if "text/html" in data:
        # A blank line would end the block of HTML.
        return re.sub(r"\n\s*\n", "\n", data["text/html"]).strip()
    if "text/markdown" in data:
        return data["text/markdown"].strip()
    if "image/png" in data:
        alt = html.escape(output.metadata.get("alt", ""), quote=True)
        code = data["image/png"].replace("\n", "")
        return f'<img alt="{alt}" src="data:image/png;base64,{code}">'
    return f"```text\n{data['text/plain'].rstrip()}\n```"


def solution_regions(source: str) -> list[list[str]]:
    """Cut out the lines between the marks, one list per region."""
    regions: list[list[str]] = []
    inside = False
    for line in source.splitlines():
        if BEGIN in line:
            inside = True
            regions.append([])
        elif END in line:
            inside = False
        elif inside:
            regions[-1].append(line)
    return regions


def answer(source: str) -> str:
    """Write the whole cell of an answer without the marks."""
    lines = source.splitlines()
    return "\n".join(
        line for line in lines if BEGIN not in line and END not in line
    )


def extract_answers(course: Course) -> str:
    """Collect the answers of all exercises: JSON of number to code.

    ``mtlrec_utils.classroom.solution`` reads this file wherever the package
    is installed, also where the sources are not.
    """
    answers = {
        str(cell.metadata["exercise"]): answer(cell.source)
        for target in course.targets()
        if target.folder == "solutions"
        for cell in read_source(target)[0].cells
        if has_solution(cell)
    }
    return json.dumps(answers, indent=1, sort_keys=True) + "\n"
