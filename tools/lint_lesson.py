"""Rules about the anatomy of a lesson: blocks, sizes, figures, time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbformat import NotebookNode

from tools.lint_markdown import (
    Heading,
    count_list_items,
    count_words,
    has_formula,
    headings,
    links,
)
from tools.lint_prose import figures, markdown_cells
from tools.lint_rules import (
    BLOCKS,
    IN_ORDER,
    Finding,
    LessonRules,
    at,
    code_lines,
    tagged,
    tags,
)
from tools.notebook_outputs import output_texts

VERDICT = re.compile(r"\b(helps|hurts|cannot tell)\b")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
CALLS = {
    "setup": "setup(",
    "dial": "dial(",
    "checkpoint": "assert ",
    "resolve": "resolve(",
    "quiz": "quiz(",
}


def check_lesson(
    notebook: NotebookNode, rules: LessonRules
) -> Iterator[Finding]:
    """Apply every rule about the anatomy of a lesson."""
    yield from _check_sizes(notebook, rules)
    yield from _check_blocks(notebook, rules)
    yield from _check_title(notebook, rules)
    yield from _check_idea(notebook, rules)
    yield from _check_run(notebook, rules)
    yield from _check_summary(notebook, rules)


def _check_sizes(
    notebook: NotebookNode, rules: LessonRules
) -> Iterator[Finding]:
    cells = len(notebook.cells)
    if cells > rules.maximum_cells:
        yield Finding("cells", f"{cells} cells, at most {rules.maximum_cells}")
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    lines = sum(len(code_lines(source)) for source in code)
    if lines > rules.pooled_lines * len(code):
        yield Finding(
            "pooled-lines",
            f"{lines} lines in {len(code)} code cells are "
            f"{lines / len(code):.1f} a cell, at most {rules.pooled_lines:g}",
        )
    words = sum(count_words(c.source) for _, c in markdown_cells(notebook))
    if not rules.words[0] <= words <= rules.words[1]:
        yield Finding(
            "words", f"{words} words, not {rules.words[0]}–{rules.words[1]}"
        )
    shown = len(figures(notebook))
    if not rules.figures[0] <= shown <= rules.figures[1]:
        yield Finding(
            "figures",
            f"{shown} figures, not {rules.figures[0]}–{rules.figures[1]}",
        )
    seconds = notebook.metadata.mtlrec.seconds
    if seconds is None:
        yield Finding("time", "not measured; build it with execution")
    elif seconds > rules.seconds:
        yield Finding(
            "time", f"takes {seconds} s, at most {rules.seconds} are allowed"
        )


def _check_blocks(
    notebook: NotebookNode, rules: LessonRules
) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, cell in enumerate(notebook.cells):
        for tag in tags(cell):
            first.setdefault(tag, index)
            if tag not in BLOCKS:
                yield at(
                    notebook,
                    index,
                    "unknown-tag",
                    f"{tag!r}; the blocks are {', '.join(BLOCKS)}",
                )
    for block in rules.blocks:
        if block not in first:
            yield Finding("missing-block", f"no cell is tagged {block!r}")
    order = [block for block in IN_ORDER if block in first]
    for before, after in zip(order, order[1:], strict=False):
        if first[before] > first[after]:
            yield at(
                notebook,
                first[after],
                "block-order",
                f"{after!r} comes before {before!r}",
            )
    for block, call in CALLS.items():
        cells = tagged(notebook, block)
        code = "\n".join(c.source for c in cells if c.cell_type == "code")
        if cells and call not in code:
            yield at(
                notebook,
                first[block],
                "block-content",
                f"the block {block!r} has no code with `{call.strip()}`",
            )
    code_cells = [c for c in notebook.cells if c.cell_type == "code"]
    if code_cells and "setup" not in tags(code_cells[0]):
        yield Finding("block-order", "the first code cell is not the set-up")
    if rules.shows_source:
        source = "\n".join(c.source for c in tagged(notebook, "code"))
        for wanted in ("show_source(", "assert "):
            if "code" in first and wanted not in source:
                yield at(
                    notebook,
                    first["code"],
                    "block-content",
                    f"the block 'code' has no `{wanted.strip()}`: show the "
                    "package's own version and assert that both agree",
                )


def _check_title(
    notebook: NotebookNode, rules: LessonRules
) -> Iterator[Finding]:
    title = notebook.cells[0].source
    if "colab.research.google.com" not in title:
        yield at(notebook, 0, "title", "{{links}} is missing")
    if "two CPU cores" not in title and "not measured" not in title:
        yield at(notebook, 0, "title", "{{runtime}} is missing")
    objectives = count_list_items(title)
    if objectives != rules.objectives:
        yield at(
            notebook,
            0,
            "title",
            f"{objectives} list items, the objectives are {rules.objectives}",
        )
    earlier = [
        link
        for link in links(title)
        if re.fullmatch(r"(?:\.\./notebooks/)?\d\d_\w+\.ipynb.*", link.target)
    ]
    if rules.has_prerequisites and not earlier:
        yield at(notebook, 0, "title", "no link to a prerequisite lesson")


def _check_idea(
    notebook: NotebookNode, rules: LessonRules
) -> Iterator[Finding]:
    places = [i for i, c in enumerate(notebook.cells) if "idea" in tags(c)]
    if not places:
        return
    prose = "\n\n".join(
        notebook.cells[i].source
        for i in places
        if notebook.cells[i].cell_type == "markdown"
    )
    words = count_words(prose)
    if words > rules.idea_words:
        yield at(
            notebook,
            places[0],
            "idea",
            f"{words} words, at most {rules.idea_words}",
        )
    if not has_formula(prose):
        yield at(notebook, places[0], "idea", "no formula")
    if not any(index in places for index, _ in figures(notebook)):
        yield at(notebook, places[0], "idea", "no figure")


def _check_run(
    notebook: NotebookNode, rules: LessonRules
) -> Iterator[Finding]:
    cells = [c for c in tagged(notebook, "run") if c.cell_type == "code"]
    shown = "\n".join(
        text
        for cell in cells
        for output in cell.outputs
        for text in output_texts(output)
    )
    if "run" in rules.blocks and cells and not VERDICT.search(shown):
        yield Finding(
            "verdict",
            "no output of the block 'run' says helps, hurts or cannot tell",
        )


def _check_summary(
    notebook: NotebookNode, rules: LessonRules
) -> Iterator[Finding]:
    last = len(notebook.cells) - 1
    cell = notebook.cells[last]
    if cell.cell_type != "markdown" or "summary" not in tags(cell):
        yield at(notebook, last, "summary", "the last cell is not the summary")
        return
    found = {_key(heading) for heading in headings(cell.source)}
    for wanted in rules.summary:
        if wanted.lower() not in found:
            yield at(notebook, last, "summary", f"no heading “{wanted}”")
    if "In the literature" in rules.summary:
        part = re.split(
            r"^#+\s+in the literature\s*$", cell.source, flags=re.I | re.M
        )
        if len(part) == 2 and not YEAR.search(part[1].split("\n#")[0]):
            yield at(
                notebook,
                last,
                "summary",
                "“In the literature” cites nothing with a year",
            )


def _key(heading: Heading) -> str:
    return heading.text.strip(" .:").lower()
