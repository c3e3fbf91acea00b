"""Pieces of ``METHODS.md``: a method's section, tables, verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pandas as pd

from mtlrec_utils.evidence import read_results
from tools.method_sources import ROOT, Method

RESULTS = ROOT / "datasets" / "results"


class Places(NamedTuple):
    """Where a section's methods are tested and taught: stems, as globs."""

    tests: Sequence[str]  # that hold them to exact values and properties
    lessons: Sequence[str]


def results(name: str) -> pd.DataFrame:
    """Read a stored table."""
    return read_results(RESULTS / f"{name}.csv").frame


def section(
    method: Method,
    places: Places,
    gains: Sequence[str],
    facts: Sequence[str] = (),
) -> list[str]:
    """Write a method's section.

    Args:
        method: as its code tells it.
        places: where to look for tests and lessons that name it.
        gains: lines of its tables.
        facts: more points of the list, such as its cost.
    """
    code = method.path.relative_to(ROOT).as_posix()
    tests = [
        f"[{path.stem}]({path.relative_to(ROOT).as_posix()})"
        for path in _naming(
            method, [f"tests/{stem}.py" for stem in places.tests]
        )
    ]
    lessons = [
        f"[{path.stem}](notebooks/{path.stem}.ipynb)"
        for path in _naming(
            method, [f"source/lessons/{stem}.md" for stem in places.lessons]
        )
        if (ROOT / "notebooks" / f"{path.stem}.ipynb").exists()
    ]
    unit = "line" if method.lines == 1 else "lines"
    return [
        f"### {method.name}",
        "",
        *_prose(method.text),
        f"* Code: [{method.path.name}]({code}), {method.lines} {unit}",
        f"* Tests: {', '.join(tests)}",
        *(f"* {fact}" for fact in facts),
        *([f"* Lessons: {', '.join(lessons)}"] if lessons else []),
        "",
        *gains,
    ]


def _naming(method: Method, patterns: Sequence[str]) -> list[Path]:
    """Return the files that name a method."""
    word = re.compile(rf"\b{re.escape(method.name)}\b")
    paths = sorted(path for each in patterns for path in ROOT.glob(each))
    return [path for path in paths if word.search(path.read_text("utf-8"))]


def _prose(text: str) -> Iterator[str]:
    """Write a docstring as Markdown: a line per paragraph, code in fences."""
    for paragraph in text.replace("``", "`").split("\n\n"):
        if paragraph.startswith("    "):
            yield from ("```", *dedent(paragraph).splitlines(), "```", "")
        else:
            yield from (" ".join(paragraph.split()).replace("<", r"\<"), "")


def grid(own: pd.DataFrame, keys: list[str], title: str) -> list[str]:
    """Write a row per setting, with every task's verdict and difference."""
    rows = []
    for setting, group in own.groupby(keys, sort=False):
        told = "; ".join(
            f"{row.task} {row.verdict} ({row.difference:+.4f})"
            for row in group.itertuples()
        )
        rows.append([", ".join(map(str, setting)).replace("_", " "), told])
    return [*table([title, "verdict (difference)"], rows), ""]


def counts(own: pd.DataFrame | None) -> str:
    """Count the verdicts of some rows of a table."""
    if own is None or own.empty:
        return ""
    found = own["verdict"].value_counts()
    words = ("helps", "hurts", "cannot tell")
    return ", ".join(f"{w} {found[w]}" for w in words if w in found)


def anchor(method: Method) -> str:
    """Link to a method's section."""
    return f"[{method.name}](#{method.name.lower()})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table."""
    cells = [header, ["---"] * len(header), *rows]
    return [
        "| " + " | ".join(c.replace("|", r"\|") for c in row) + " |"
        for row in cells
    ]
