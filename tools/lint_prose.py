"""Rules about the text of a notebook: headings, numbers, links, pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from nbformat import NotebookNode

from tools.lint_markdown import (
    Picture,
    anchors,
    bold_terms,
    headings,
    links,
    pictures,
    pictures_in_html,
    prose_lines,
)
from tools.lint_rules import MINIMUM_ALT_CHARACTERS, Finding, at
from tools.notebook_course import BRANCH

NUMBER = re.compile(
    r"(?<![\w.,/:-])[-+−±]?(?:\d+\.\d+(?![\w.]*\w)"
    r"|\d+(?:\.\d+)?(?:\s|&nbsp;)?(?:%|per ?cent\b))"
)
# A number after one of these names a version, a place or a licence.
NAMES_A_THING = re.compile(
    r"(?:\b(?:exercises?|sections?|chapters?|equations?|eq\.|figures?|fig\.|"
    r"tables?|version|python|tensorflow|keras|numpy|pandas|jupyterlab|"
    r"cc by|apache|arxiv:?|lessons?)(?:\s|&nbsp;)*"
    r"(?:\d[\d.]*(?:,| and| to|–)\s*)*)$",
    re.I,
)
LEVEL_OF_INTERVAL = re.compile(r"95(?:\s|&nbsp;)?%[\w\s-]*\binterval", re.I)
FIXED = re.compile(r"<!--\s*fixed:\s*\S.*?-->")
VAGUE_LINKS = {"here", "this", "link", "click here", "this link", "this page"}
NO_TERMS = {
    "all",
    "both",
    "each",
    "every",
    "must",
    "never",
    "no",
    "not",
    "one",
    "only",
    "same",
    "two",
}


def markdown_cells(
    notebook: NotebookNode,
) -> Iterator[tuple[int, NotebookNode]]:
    """Walk over the Markdown cells with their place in the notebook."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            yield index, cell


def check_headings(notebook: NotebookNode) -> Iterator[Finding]:
    """One title; no level skipped; no pictograms."""
    before = 0
    titles = 0
    for index, cell in markdown_cells(notebook):
        for heading in headings(cell.source):
            titles += heading.level == 1
            if heading.level > before + 1:
                yield at(
                    notebook,
                    index,
                    "heading-order",
                    f"“{heading.text}” has level {heading.level} after "
                    f"level {before}",
                )
            before = heading.level
            if any(unicodedata.category(c) == "So" for c in heading.text):
                yield at(
                    notebook,
                    index,
                    "heading-pictogram",
                    f"“{heading.text}”: words, no pictograms",
                )
    if titles != 1:
        yield Finding("one-title", f"{titles} headings of level 1, not one")


def check_numbers(notebook: NotebookNode) -> Iterator[Finding]:
    """Results in prose come from variables.

    A decimal or a percentage in running text is either printed by code
    (``say(f"...")``), or the source line says why it can never change::

        Chance gives an AUC of 0.5. <!-- fixed: definition of AUC -->
    """
    for index, cell in markdown_cells(notebook):
        source = cell.source.splitlines()
        for line, text in prose_lines(cell.source):
            if line < len(source) and FIXED.search(source[line]):
                continue
            spared = LEVEL_OF_INTERVAL.sub("interval", text)
            for match in NUMBER.finditer(spared):
                if NAMES_A_THING.search(spared[: match.start()]):
                    continue
                yield at(
                    notebook,
                    index,
                    "number-in-prose",
                    f"{match[0].strip()!r}: print it from its variable, or "
                    "mark the line <!-- fixed: reason -->",
                )


def check_terms(notebook: NotebookNode) -> Iterator[Finding]:
    """A new term stands in bold once, where it is defined."""
    seen: set[str] = set()
    for index, cell in markdown_cells(notebook):
        for term in bold_terms(cell.source):
            key = term.strip().lower()
            if key in NO_TERMS or key.endswith((".", ":", "?")):
                continue
            if key in seen:
                yield at(
                    notebook,
                    index,
                    "bold-once",
                    f"“{term}” is in bold a second time",
                )
            seen.add(key)


def figures(notebook: NotebookNode) -> list[tuple[int, Picture]]:
    """List the figures of a notebook, in text and in outputs."""
    found = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            found += [(index, p) for p in pictures(cell.source)]
            continue
        for output in cell.get("outputs", []):
            found += [(index, p) for p in _output_pictures(output)]
    return found


def _output_pictures(output: NotebookNode) -> list[Picture]:
    data = output.get("data", {})
    shown = pictures_in_html(data.get("text/html", ""))
    shown += pictures(data.get("text/markdown", ""))
    if not shown and {"image/png", "image/jpeg", "image/svg+xml"} & set(data):
        shown.append(Picture("", output.metadata.get("alt")))
    return shown


def check_alternatives(notebook: NotebookNode) -> Iterator[Finding]:
    """Every figure says in words what it shows."""
    for index, picture in figures(notebook):
        alt = (picture.alt or "").strip()
        if "shields.io" in picture.address or "badge" in picture.address:
            yield at(notebook, index, "badge", "no badges")
        elif not alt:
            yield at(
                notebook,
                index,
                "alternative-text",
                "a figure without alternative text; use plots.show(fig, alt)",
            )
        elif len(alt) < MINIMUM_ALT_CHARACTERS:
            yield at(
                notebook,
                index,
                "alternative-text",
                f"{alt!r} is too short to stand in for the figure",
            )


def check_links(
    notebook: NotebookNode, path: Path, root: Path, repository: str
) -> Iterator[Finding]:
    """Every link has a text that says where it goes, and goes there."""
    for index, cell in markdown_cells(notebook):
        for link in links(cell.source):
            if link.text.strip(" .").lower() in VAGUE_LINKS | {""}:
                yield at(
                    notebook,
                    index,
                    "link-text",
                    f"“{link.text}” does not say where {link.target} goes",
                )
            problem = _dead(link.target, notebook, path, root, repository)
            if problem:
                yield at(notebook, index, "link-target", problem)
        for picture in pictures(cell.source):
            if picture.address.startswith("data:"):
                continue
            problem = _dead(picture.address, notebook, path, root, repository)
            if problem:
                yield at(notebook, index, "link-target", problem)


def _dead(
    target: str,
    notebook: NotebookNode,
    path: Path,
    root: Path,
    repository: str,
) -> str | None:
    """Say what is wrong with a target, or None."""
    parts = urlsplit(target)
    if parts.scheme in ("http", "https"):
        return _dead_in_repository(parts.path, root, repository)
    if parts.scheme == "mailto":
        return None
    if parts.scheme:
        return f"{target}: unknown kind of address"
    if target.startswith("/"):
        return f"{target}: write it relative to the notebook"
    file = path
    if parts.path:
        file = (path.parent / unquote(parts.path)).resolve()
    if not file.exists():
        return f"{target}: no such file"
    if not file.is_relative_to(root.resolve()):
        return f"{target}: outside the course"
    known = anchors_of(notebook if not parts.path else file)
    if parts.fragment and unquote(parts.fragment) not in known:
        return f"{target}: no such heading"
    return None


def _dead_in_repository(
    address: str, root: Path, repository: str
) -> str | None:
    """Check addresses of the course's own repository on disk."""
    pattern = rf"{re.escape(repository)}/(?:(?:blob|raw|tree)/)?{BRANCH}/(.+)$"
    match = re.search(pattern, address)
    if match and not (root / unquote(match[1])).exists():
        return f"{address}: no such file in the repository"
    return None


def anchors_of(place: NotebookNode | Path) -> set[str]:
    """List the anchors of a notebook or Markdown file."""
    if isinstance(place, NotebookNode):
        notebook = place
    elif place.suffix == ".ipynb":
        notebook = nbformat.read(place, as_version=4)
    else:
        return anchors(place.read_text("utf-8"))
    return set().union(
        *(anchors(cell.source) for _, cell in markdown_cells(notebook))
    )
