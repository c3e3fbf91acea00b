"""Write ``METHODS.md``: every method, its equation, code, tests, cost, gain.

    python -m tools.methods_page

Nothing on the page is written by hand. What a method does, its equation and
its source are its docstring; its tests and lessons are the files that name it;
costs and gains are the tables of ``datasets/results/``. A test keeps the page
up to date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent

import pandas as pd

from mtlrec_utils.evidence import read_results
from mtlrec_utils.whole_file import whole_file
from tools.method_sources import (
    MAPPINGS,
    ROOT,
    Method,
    balancing_methods,
    mappings,
    sharing_patterns,
    table_names,
)

PAGE = ROOT / "METHODS.md"
RESULTS = ROOT / "datasets" / "results"
# Where methods are held to exact values and properties; others use them.
TESTS = (
    "test_balanc*",
    "test_multitask",
    "test_cross_stitch",
    "test_ple",
    "test_funnel*",
    "test_aitm",
    "test_position_bias",
    "test_mapping",
    "test_network_bridges",
)
LESSONS = ("09_*.md", "1[0-5]_*.md", "17_*.md")
_SECTION = re.compile(
    r"(Args|Raises|Returns|Attributes)(:$| and | are )", re.M
)


def page() -> str:
    """Return the whole page."""
    return "\n".join(
        [
            "# Methods",
            "",
            "Each method: what it does, its equation and source, its code, "
            "its exact tests, what a step costs, and what it gained here. "
            "Verdicts are read off intervals over users and seeds, with "
            "Holm's correction; “cannot tell” is a verdict too. Written by "
            "`python -m tools.methods_page`.",
            "",
            "## Sharing patterns",
            "",
            *_sharing(),
            "## Balancing methods",
            "",
            "Cost: time of one training step over that of the plain sum, "
            "four tasks, shared bottom ([table]"
            "(datasets/results/balancing_cost.csv)). Gains: against tuned "
            "static weights, two worlds, two models, three tasks ([table]"
            "(datasets/results/balancing_methods.csv)).",
            "",
            *_caveat(),
            *_balancing(),
            "## Mapping between domains",
            "",
            "Users who are new to a target domain, from what they did in a "
            "source: against the mean of each item. Simulated worlds, by "
            "similarity of tastes and number of linked users ([table]"
            "(datasets/results/cross_domain_mapping.csv)), each interval on "
            "its own; Amazon's books and films both ways, by the share of "
            "cold users ([table](datasets/results/amazon_17.csv)), with "
            "Holm's correction.",
            "",
            *_mapping(),
            "## Basic recommenders",
            "",
            "Full ranking of all items not met in training; every model had "
            "four trials, those with a seed ran from five ([table]"
            "(datasets/results/basics.csv)). Verdicts: against item "
            "neighbours. Bias: mean popularity rank of what is listed, 1 the "
            "most popular. Seconds: one training on one core.",
            "",
            *_basics(),
        ]
    )


def _sharing() -> list[str]:
    path = RESULTS / "sharing_patterns.csv"
    gains = read_results(path).frame if path.exists() else None
    contents, sections = [], []
    for method in sharing_patterns():
        found, cost = [], ""
        own = None if gains is None else gains[gains["pattern"] == method.name]
        if own is not None and len(own):
            found = _grid(own, ["data"], "Against a tuned shared bottom")
            cost = _pattern_cost(own)
        contents.append(
            [_anchor(method), method.summary, _counts(own)],
        )
        sections += _section(method, cost, found)
    header = ["pattern", "what it is", "AUC or RMSE, verdicts"]
    return [*_table(header, contents), "", *sections]


def _pattern_cost(own: pd.DataFrame) -> str:
    ratio = (own["seconds"] / own["steps"]) / (
        own["baseline_seconds"] / own["baseline_steps"]
    )
    return (
        f"{ratio.min():.2f} to {ratio.max():.2f} times the shared bottom's "
        "([table](datasets/results/sharing_patterns.csv))"
    )


def _caveat() -> list[str]:
    """Name the settings in which equal weights beat the static ones, too."""
    gains = read_results(RESULTS / "balancing_methods.csv").frame
    easy = gains[(gains["method"] == "equal") & (gains["verdict"] == "helps")]
    if easy.empty:
        return []
    keys = ["world", "model", "task"]
    places = "; ".join(", ".join(row) for row in easy[keys].to_numpy())
    words = gains.merge(easy[keys])["verdict"]
    told = (
        f"A warning. In {places}, {(words == 'helps').sum()} of {len(words)} "
        "methods help, and equal weights are among them: the search has "
        "chosen bad static weights there. It is no merit of a method."
    )
    return [told.replace("_", " "), ""]


def _balancing() -> list[str]:
    gains = read_results(RESULTS / "balancing_methods.csv").frame
    costs = read_results(RESULTS / "balancing_cost.csv").frame
    names, contents, sections = table_names(), [], []
    for method in balancing_methods():
        name = names.get(method.name)
        own = gains[gains["method"] == name]
        cost = costs[costs["method"] == method.name].set_index("model")
        found = []
        if len(own):
            keys = ["world", "model"]
            found = _grid(own, keys, "Against static weights, one search")
        ratio = cost["relative_cost"].get("shared_bottom")
        contents.append(
            [
                _anchor(method),
                method.summary,
                "" if ratio is None else f"{ratio:.2f}",
                _counts(own),
            ]
        )
        sections += _section(method, _step_cost(costs, method.name), found)
    header = ["method", "what it is", "cost", "AUC, verdicts"]
    return [*_table(header, contents), "", *sections]


def _step_cost(costs: pd.DataFrame, name: str) -> str:
    """Write the times of a step over the plain sum's, and their range."""
    return "; ".join(
        f"{row.relative_cost:.2f} ({row.lowest:.2f} to {row.highest:.2f}) in "
        f"the {row.model.replace('_', ' ')}{where.replace(' ', ', ', 1)}"
        for where in ("", " at the representation")
        for row in costs[
            costs["method"] == name + where.replace(" the", "")
        ].itertuples()
    )


def _mapping() -> list[str]:
    worlds, amazon = (
        read_results(RESULTS / f"{name}.csv").frame.query(
            "against == 'item mean'"
        )
        for name in ("cross_domain_mapping", "amazon_17")
    )
    worlds = worlds[worlds["part"] == "networks"]
    contents, sections = [], []
    for method in mappings():
        name, found, counts = MAPPINGS[method.name], [], []
        for table, keys, title in (
            (worlds, ["dial", "linked"], "Similarity, linked users"),
            (amazon, ["target", "cold"], "Amazon: target, cold share"),
        ):
            own = table[table["method"] == name]
            found += _grid(own.rename(columns={"metric": "task"}), keys, title)
            counts += [
                _counts(own[own["metric"] == metric])
                for metric in ("rmse", "gauc")
            ]
        contents.append([_anchor(method), name, method.summary, *counts])
        sections += _section(method, "", found)
    header = ["code", "method", "what it is"]
    header += [
        f"{metric}, {place}"
        for place in ("worlds", "Amazon")
        for metric in ("RMSE", "GAUC")
    ]
    return [*_table(header, contents), "", *sections]


def _section(method: Method, cost: str, gains: Sequence[str]) -> list[str]:
    code = method.path.relative_to(ROOT).as_posix()
    tests = [
        f"[{path.stem}]({path.relative_to(ROOT).as_posix()})"
        for path in _naming(method, [f"tests/{stem}.py" for stem in TESTS])
    ]
    lessons = [
        f"[{path.stem}](notebooks/{path.stem}.ipynb)"
        for path in _naming(method, [f"source/lessons/{n}" for n in LESSONS])
        if (ROOT / "notebooks" / f"{path.stem}.ipynb").exists()
    ]
    unit = "line" if method.lines == 1 else "lines"
    return [
        f"### {method.name}",
        "",
        *_prose(method.text),
        f"* Code: [{method.path.name}]({code}), {method.lines} {unit}",
        f"* Tests: {', '.join(tests)}",
        *([f"* Cost of a step: {cost}"] if cost else []),
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


def _basics() -> list[str]:
    table = read_results(RESULTS / "basics.csv").frame
    header = ["recommender", "recall@20", "NDCG@20"]
    header += ["coverage", "bias", "seconds"]
    lines = []
    for data, own in table.groupby("data", sort=False):
        rows = []
        for model in own["model"].drop_duplicates().sort_values():
            # The baseline's own values stand beside "popular", say.
            here = own[own["model"] == model].set_index(["against", "metric"])
            cells = [model]
            for metric in ("recall@20", "ndcg@20"):
                score = here.xs(metric, level="metric")["candidate"].iloc[0]
                word = here["verdict"].get(("item neighbours", metric))
                cells.append(f"{score:.3f}" + (f" ({word})" if word else ""))
            facts = here.iloc[0]
            cells += [
                f"{facts['coverage']:.2f}",
                f"{facts['popularity_bias']:.2f}",
                f"{facts['seconds']:.2f}",
            ]
            rows.append(cells)
        lines += [f"**{data}**", "", *_table(header, rows), ""]
    return lines


def _grid(own: pd.DataFrame, keys: list[str], title: str) -> list[str]:
    """Write a row per setting, with every task's verdict and difference."""
    rows = []
    for setting, group in own.groupby(keys, sort=False):
        told = "; ".join(
            f"{row.task} {row.verdict} ({row.difference:+.4f})"
            for row in group.itertuples()
        )
        rows.append([", ".join(map(str, setting)).replace("_", " "), told])
    return [*_table([title, "verdict (difference)"], rows), ""]


def _counts(own: pd.DataFrame | None) -> str:
    if own is None or own.empty:
        return ""
    counts = own["verdict"].value_counts()
    words = ("helps", "hurts", "cannot tell")
    return ", ".join(f"{w} {counts[w]}" for w in words if w in counts)


def _anchor(method: Method) -> str:
    return f"[{method.name}](#{method.name.lower()})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [header, ["---"] * len(header), *rows]
    return [
        "| " + " | ".join(c.replace("|", r"\|") for c in row) + " |"
        for row in cells
    ]


def main() -> None:
    """Write the page whole or not at all."""
    with whole_file(PAGE) as part:
        part.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
