"""Methods of ``METHODS.md`` that stored tables compare with a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from tools.method_sources import Listed, Method
from tools.methods_markdown import (
    Places,
    anchor,
    counts,
    grid,
    results,
    section,
    table,
)

METRICS = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "rmse": "RMSE",
}
TOGETHER = ("average", "all")  # what a table calls all domains as one


class Stored(NamedTuple):
    """A stored table, and what is read off it."""

    name: str
    place: str  # heads its column
    against: str  # the method that the others are compared with
    keys: list[str]  # a line per setting
    title: str  # of the settings
    only: str | None = None  # the rows that count
    called: Mapping[str, str] = {}  # its names -> those of the page

    @property
    def rows(self) -> pd.DataFrame:
        """Its rows, in the words of the page."""
        found = results(self.name)
        if self.only:
            found = found.query(self.only)
        return found.assign(method=found["method"].replace(dict(self.called)))


def compared(
    methods: Sequence[Method],
    listed: Listed,
    tables: Sequence[Stored],
    places: Places,
    facts: Mapping[str, Sequence[str]] | None = None,
    cells: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Write a line per method and name of it, then a section per method.

    ``facts`` and ``cells`` are of a method, by its code: more points of its
    section's list, and what stands in its line in place of verdicts.
    """
    contents, sections = [], []
    stored = [(each, each.rows) for each in tables]
    for method in methods:
        names, gains = listed[method.name], []
        own = (cells or {}).get(method.name)
        for name in names or ("",):
            told = own or [_cell(name, *each) for each in stored]
            contents.append([anchor(method), name, method.summary, *told])
            for each, rows in stored:
                title = each.title
                if len(names) > 1:
                    title = f"{name}: {title}"
                gains += _settings(each, rows[rows["method"] == name], title)
        told = [*_weights(names, stored), *(facts or {}).get(method.name, ())]
        sections += section(method, places, gains, told)
    header = ["code", "method", "what it is"]
    header += [each.place for each in tables]
    return [*table(header, contents), "", *sections]


def _cell(name: str, stored: Stored, rows: pd.DataFrame) -> str:
    """Count a method's verdicts in one table, by metric."""
    if name == stored.against:
        return "baseline"
    own = rows[rows["method"] == name]
    if "domain" in own:
        own = own[~own["domain"].isin(TOGETHER)]
    if own.empty:
        return "no table"
    return "; ".join(
        f"{METRICS[metric]}: {counts(group)}"
        for metric, group in own.groupby("metric", sort=False)
    )


def _settings(stored: Stored, own: pd.DataFrame, title: str) -> list[str]:
    """Write the verdicts of a method in one table, a line per setting."""
    if own.empty or (own["method"] == stored.against).all():
        return []
    said = own["metric"].map(METRICS)
    if "task" in own:
        said = own["task"] + " " + said
    title = title[0].upper() + title[1:]
    return grid(own.assign(task=said), stored.keys, title)


def _weights(
    names: Sequence[str], stored: Sequence[tuple[Stored, pd.DataFrame]]
) -> list[str]:
    """Say how many weights learn, by the first table that counts them."""
    told: dict[str, list[str]] = {}
    left = list(names)
    for each, rows in stored:
        here = set(rows["method"]) if "parameters" in rows else set()
        found = [name for name in left if name in here]
        left = [name for name in left if name not in here]
        if found:
            sizes = rows.groupby("method")["parameters"].max()
            told[each.name] = [
                f"{name} {sizes[name]:.0f}"
                for name in dict.fromkeys((*found, each.against))
            ]
    texts = [f"{', '.join(own)} ({link(name)})" for name, own in told.items()]
    return [f"Weights that learn: {'; '.join(texts)}"] if texts else []


def link(name: str) -> str:
    """Link to a stored table."""
    return f"[table](datasets/results/{name}.csv)"
