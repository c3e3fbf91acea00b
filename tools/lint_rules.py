"""The house rules of notebooks in one table, and what a finding is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nbformat import NotebookNode

from tools.notebook_cells import heading_above

# The blocks of a lesson are the tags of its cells, in this order.
BLOCKS = (
    "setup",
    "prediction",
    "data",
    "baseline",
    "idea",
    "code",
    "run",
    "dial",
    "break",
    "real-data",
    "checkpoint",
    "resolve",
    "quiz",
    "summary",
)
# Between the others a lesson may go back and forth.
IN_ORDER = (
    "setup",
    "prediction",
    "run",
    "checkpoint",
    "resolve",
    "quiz",
    "summary",
)
EXERCISE_TAGS = ("setup", "expected", "answer")
SUMMARY = (
    "What we saw",
    "What this does not show",
    "When not to use it",
    "In the literature",
    "Next",
)

MAXIMUM_COLUMNS = 79
MAXIMUM_CELL_LINES = 25
MINIMUM_ALT_CHARACTERS = 40
EXERCISES_PER_LESSON = (2, 3)
COURSE_SECONDS = 25 * 60


@dataclass(frozen=True)
class LessonRules:
    """What the linter asks of one lesson."""

    blocks: tuple[str, ...] = BLOCKS
    summary: tuple[str, ...] = SUMMARY
    maximum_cells: int = 35
    pooled_lines: float = 8.0  # non-blank lines of code per code cell
    words: tuple[int, int] = (900, 1600)
    figures: tuple[int, int] = (3, 5)
    idea_words: int = 150
    seconds: int = 90
    objectives: int = 3
    has_prerequisites: bool = True
    shows_source: bool = True


LESSON = LessonRules()
# A lesson that differs says here in what, and only here.
EXCEPTIONS = {
    "00_start_here": replace(
        LESSON,
        blocks=IN_ORDER,
        summary=("What we saw", "What this does not show", "Next"),
        words=(500, 1600),
        figures=(1, 5),
        has_prerequisites=False,
        shows_source=False,
    ),
}


def rules_of(name: str) -> LessonRules:
    """Look up the rules of a lesson by its name."""
    return EXCEPTIONS.get(name, LESSON)


@dataclass(frozen=True)
class Finding:
    """One broken rule at one place."""

    rule: str
    message: str
    cell: int | None = None
    heading: str = ""
    notebook: str = ""

    def __str__(self) -> str:
        """Write it as one line, as compilers do."""
        place = self.notebook
        if self.cell is not None:
            place += f": cell {self.cell} (“{self.heading}”)"
        return f"{place}: [{self.rule}] {self.message}"


def at(notebook: NotebookNode, index: int, rule: str, message: str) -> Finding:
    """Make a finding about one cell."""
    return Finding(rule, message, index, heading_above(notebook, index))


def tags(cell: NotebookNode) -> list[str]:
    """Read the tags of a cell."""
    return cell.metadata.get("tags", [])


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    """Select the cells that carry a tag."""
    return [cell for cell in notebook.cells if tag in tags(cell)]


def code_lines(source: str) -> list[str]:
    """Select the lines of code that are not blank."""
    return [line for line in source.splitlines() if line.strip()]
