"""What separates the committed notebooks from what their sources say."""

from __future__ import annotations

import nbformat
from nbformat import NotebookNode

from tools.notebook_answers import extract_answers
from tools.notebook_build import reason_to_execute, rebuild, stored
from tools.notebook_cells import heading_above
from tools.notebook_course import ANSWERS, Course


def check(course: Course) -> list[str]:
    """List everything that ``build_notebooks`` would do."""
    return differences(course) + [
        f"{target.label}: to be executed ({reason})"
        for target in course.targets()
        if target.is_executed
        for reason in [reason_to_execute(target)]
        if reason and reason != "new"
    ]


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
    known = answers.read_text("utf-8") if answers.exists() else "{}\n"
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
