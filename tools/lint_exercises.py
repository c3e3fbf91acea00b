"""Rules about exercises: complete, solvable, and with no answer in sight."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from tools.lint_assertions import parse
from tools.lint_markdown import headings
from tools.lint_rules import (
    EXERCISE_TAGS,
    EXERCISES_PER_LESSON,
    Finding,
    at,
    tags,
)
from tools.notebook_answers import (
    check_pattern,
    has_solution,
    solution_regions,
)
from tools.notebook_outputs import output_texts

# Lines that say too little to be an answer.
MINIMUM_LEAK_CHARACTERS = 16
TRIVIAL = re.compile(r"(?:import|from|def|class|for|while|with|#|\"\"\")")


def check_exercises(
    exercises: NotebookNode, solutions: NotebookNode, number: str
) -> Iterator[Finding]:
    """Apply every rule about the exercises of one lesson.

    Args:
        exercises: the notebook of the learner.
        solutions: the notebook with the answers.
        number: two digits of the lesson.
    """
    answers = {
        str(cell.metadata["exercise"]): cell
        for cell in solutions.cells
        if has_solution(cell)
    }
    least, most = EXERCISES_PER_LESSON
    if not least <= len(answers) <= most:
        yield Finding(
            "exercises", f"{len(answers)} exercises, not {least}–{most}"
        )
    wanted = [f"{number}.{k}" for k in range(1, len(answers) + 1)]
    if list(answers) != wanted:
        yield Finding(
            "exercises", f"numbers {list(answers)}, in order {wanted}"
        )
    for index, cell in enumerate(exercises.cells):
        for tag in tags(cell):
            if tag not in EXERCISE_TAGS:
                yield at(
                    exercises,
                    index,
                    "unknown-tag",
                    f"{tag!r}; known are {', '.join(EXERCISE_TAGS)}",
                )
    for exercise, answer in answers.items():
        yield from _check_one(exercises, exercise)
        yield from _check_leaks(exercises, exercise, answer.source)


def _check_one(notebook: NotebookNode, exercise: str) -> Iterator[Finding]:
    index = next(
        (
            i
            for i, cell in enumerate(notebook.cells)
            if str(cell.metadata.get("exercise")) == exercise
        ),
        None,
    )
    if index is None:
        yield Finding("exercise", f"no cell for exercise {exercise}")
        return
    problem = stub_problem(notebook.cells[index].source)
    if problem:
        yield at(notebook, index, "exercise-stub", f"{exercise}: {problem}")
    section = _section(notebook, index)
    code = "\n".join(c.source for c in section if c.cell_type == "code")
    titles = [
        heading.text
        for cell in section
        if cell.cell_type == "markdown"
        for heading in headings(cell.source)
    ]
    if not titles or exercise not in titles[0]:
        yield at(
            notebook,
            index,
            "exercise",
            f"the heading above exercise {exercise} does not name it",
        )
    if not check_pattern(re.escape(exercise)).search(code):
        yield at(notebook, index, "exercise", f'no check("{exercise}", …)')
    for verb in ("hint", "solution"):
        if not re.search(rf"\b{verb}\([\"']{re.escape(exercise)}[\"']", code):
            yield at(
                notebook,
                index,
                "exercise",
                f'no {verb}("{exercise}"), at least as a comment',
            )
    if not any("expected" in tags(cell) for cell in section):
        yield at(
            notebook,
            index,
            "exercise",
            f"no cell tagged 'expected' shows what {exercise} arrives at",
        )


def _section(notebook: NotebookNode, index: int) -> list[NotebookNode]:
    """Cut out the cells from the heading above to the next of its rank."""
    starts = [
        i
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
        and any(heading.level <= 2 for heading in headings(cell.source))
    ]
    first = max((i for i in starts if i <= index), default=0)
    last = min((i for i in starts if i > index), default=None)
    return notebook.cells[first:last]


def stub_problem(source: str) -> str | None:
    """Say why a stub would not work, or None.

    A stub raises inside a function, when it is called: the cell itself runs.
    """
    tree = parse(source)
    if tree is None:
        return "the stub is not Python"
    raises = [node for node in ast.walk(tree) if _is_stub(node)]
    inside = [
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if _is_stub(node)
    ]
    if not raises:
        return "no stub `raise NotImplementedError`"
    if len(set(inside)) < len(raises):
        return "the stub stands outside a function and stops the notebook"
    return None


def _is_stub(node: ast.AST) -> bool:
    if not isinstance(node, ast.Raise) or node.exc is None:
        return False
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def leaks(notebook: NotebookNode, answer: str) -> list[tuple[int, str]]:
    """Find lines of an answer that stand anywhere in a notebook.

    Returns:
        pairs of cell index and line; short lines and openings of blocks are
        not counted as answers.
    """
    secret = {
        line.strip()
        for region in solution_regions(answer)
        for line in region
        if len(line.strip()) >= MINIMUM_LEAK_CHARACTERS
        and not TRIVIAL.match(line.strip())
    }
    return [
        (index, line)
        for index, cell in enumerate(notebook.cells)
        for line in sorted(secret)
        if line in "\n".join(_texts(cell))
    ]


def _texts(cell: NotebookNode) -> list[str]:
    shown = [cell.source]
    for output in cell.get("outputs", []):
        shown += output_texts(output)
    return shown


def _check_leaks(
    notebook: NotebookNode, exercise: str, answer: str
) -> Iterator[Finding]:
    for index, line in leaks(notebook, answer):
        yield at(
            notebook,
            index,
            "answer-leak",
            f"a line of the answer to {exercise} stands here: {line}",
        )
