"""Reading Markdown as a learner sees it: words, headings, links, pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

_PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)


@dataclass(frozen=True)
class Heading:
    """A heading of a Markdown cell."""

    level: int
    text: str


@dataclass(frozen=True)
class Link:
    """A link and the text a reader clicks."""

    target: str
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture and its alternative text (None: there is none)."""

    address: str
    alt: str | None


class _Pictures(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Picture] = []
        self.links: list[str] = []
        self.anchors: list[str] = []

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        values = dict(attrs)
        if tag == "img":
            alt = values.get("alt")
            self.found.append(Picture(values.get("src") or "", alt))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        for name in ("id", "name"):
            if values.get(name):
                self.anchors.append(values[name] or "")


def _read_html(text: str) -> _Pictures:
    reader = _Pictures()
    reader.feed(text)
    return reader


def pictures_in_html(text: str) -> list[Picture]:
    """List the pictures of a piece of HTML."""
    return _read_html(text).found


def _inline(source: str) -> Iterator[tuple[Token, Token | None, int]]:
    """Walk over inline tokens with their block's opening and their line."""
    opening: Token | None = None
    row = 0
    for token in _PARSER.parse(source):
        if token.map is not None:
            row = token.map[0]
        if token.type.endswith("_open"):
            opening = token
        if token.type != "inline":
            continue
        line = row
        for child in token.children or []:
            yield child, opening, line
            if child.type in ("softbreak", "hardbreak"):
                line += 1
            else:
                line += child.content.count("\n")


def headings(source: str) -> list[Heading]:
    """List the headings in their order."""
    tokens = _PARSER.parse(source)
    return [
        Heading(int(token.tag[1]), plain(tokens[index + 1]))
        for index, token in enumerate(tokens)
        if token.type == "heading_open"
    ]


def plain(token: Token) -> str:
    """Join the visible text of an inline token."""
    return "".join(
        child.content
        for child in token.children or []
        if child.type in ("text", "code_inline", "math_inline")
    )


def links(source: str) -> list[Link]:
    """List the links, of Markdown and of HTML."""
    found = []
    target, text = None, ""
    for child, _, _ in _inline(source):
        if child.type == "link_open":
            target, text = str(child.attrs["href"]), ""
        elif child.type == "link_close" and target is not None:
            found.append(Link(target, text))
            target = None
        elif child.type == "image":
            text += child.content
        else:
            text += child.content
    found += [Link(href, href) for href in _read_html(source).links]
    return found


def pictures(source: str) -> list[Picture]:
    """List the pictures, of Markdown and of HTML."""
    found = [
        Picture(str(child.attrs["src"]), child.content)
        for child, _, _ in _inline(source)
        if child.type == "image"
    ]
    return found + pictures_in_html(source)


def bold_terms(source: str) -> list[str]:
    """List what stands in bold outside headings."""
    found: list[str] = []
    depth = 0
    for child, opening, _ in _inline(source):
        if opening is not None and opening.type == "heading_open":
            continue
        if child.type == "strong_open":
            depth += 1
            found.append("")
        elif child.type == "strong_close":
            depth -= 1
        elif depth:
            found[-1] += child.content
    return found


def prose_lines(source: str) -> list[tuple[int, str]]:
    """List the lines of running text with their line numbers, from 0.

    Left out: headings, code, formulas, HTML, and the text of links, which
    cites what stands elsewhere.
    """
    lines: dict[int, str] = {}
    inside_link = False
    block = None
    for child, opening, line in _inline(source):
        if opening is not block and line in lines:
            lines[line] += " | "  # the next cell of a table
        block = opening
        if child.type in ("link_open", "link_close"):
            inside_link = child.type == "link_open"
        is_heading = opening is not None and opening.type == "heading_open"
        if child.type == "text" and not is_heading and not inside_link:
            lines[line] = lines.get(line, "") + child.content
        elif child.type in ("code_inline", "math_inline", "link_open"):
            lines[line] = lines.get(line, "") + "…"
    return sorted(lines.items())


def count_words(source: str) -> int:
    """Count words without the addresses of links, HTML and code blocks."""
    words = 0
    for token in _PARSER.parse(source):
        if token.type == "inline":
            text = "".join(
                " "
                if child.type in ("softbreak", "hardbreak")
                else child.content
                for child in token.children or []
                if child.type not in ("html_inline", "image")
            )
            words += len(re.findall(r"\S*\w\S*", text))
    return words


def has_formula(source: str) -> bool:
    """Whether a formula stands in the text."""
    tokens = _PARSER.parse(source)
    kinds = {token.type for token in tokens}
    for token in tokens:
        kinds |= {child.type for child in token.children or []}
    return bool(
        kinds
        & {
            "math_inline",
            "math_inline_double",
            "math_block",
            "math_block_label",
        }
    )


def count_list_items(source: str) -> int:
    """Count the items of all lists of the outermost level."""
    return sum(
        token.type == "list_item_open" and token.level == 1
        for token in _PARSER.parse(source)
    )


def anchors(source: str) -> set[str]:
    """List the names that a link can jump to.

    Jupyter replaces the spaces of a heading by hyphens; GitHub also lowers
    the case and drops punctuation.
    """
    found = set(_read_html(source).anchors)
    for heading in headings(source):
        found.add(heading.text.replace(" ", "-"))
        slug = re.sub(r"[^\w\- ]", "", heading.text.lower())
        found.add(slug.replace(" ", "-"))
    return found
