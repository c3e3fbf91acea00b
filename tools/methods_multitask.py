"""Sections of ``METHODS.md``: sharing patterns and balancing methods."""

from __future__ import annotations

import pandas as pd

from tools.method_sources import (
    balancing_methods,
    sharing_patterns,
    table_names,
)
from tools.methods_markdown import (
    Places,
    anchor,
    counts,
    grid,
    results,
    section,
    table,
)

PLACES = Places(
    tests=(
        "test_balanc*",
        "test_multitask",
        "test_cross_stitch",
        "test_ple",
        "test_funnel*",
        "test_aitm",
        "test_position_bias",
    ),
    lessons=("09_*", "1[0-5]_*"),
)


def sharing() -> list[str]:
    """Write the section of sharing patterns."""
    gains = results("sharing_patterns")
    contents, sections = [], []
    for method in sharing_patterns():
        found, cost = [], []
        own = gains[gains["pattern"] == method.name]
        if len(own):
            found = grid(own, ["data"], "Against a tuned shared bottom")
            cost = [f"Cost of a step: {_pattern_cost(own)}"]
        contents.append(
            [anchor(method), method.summary, counts(own)],
        )
        sections += section(method, PLACES, found, cost)
    header = ["pattern", "what it is", "AUC or RMSE, verdicts"]
    return [
        "## Sharing patterns",
        "",
        *table(header, contents),
        "",
        *sections,
    ]


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
    gains = results("balancing_methods")
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


def balancing() -> list[str]:
    """Write the section of balancing methods."""
    gains = results("balancing_methods")
    costs = results("balancing_cost")
    names, contents, sections = table_names(), [], []
    for method in balancing_methods():
        name = names.get(method.name)
        own = gains[gains["method"] == name]
        cost = costs[costs["method"] == method.name].set_index("model")
        found = []
        if len(own):
            keys = ["world", "model"]
            found = grid(own, keys, "Against static weights, one search")
        ratio = cost["relative_cost"].get("shared_bottom")
        contents.append(
            [
                anchor(method),
                method.summary,
                "" if ratio is None else f"{ratio:.2f}",
                counts(own),
            ]
        )
        told = _step_cost(costs, method.name)
        facts = [f"Cost of a step: {told}"] if told else []
        sections += section(method, PLACES, found, facts)
    header = ["method", "what it is", "cost", "AUC, verdicts"]
    return [
        "## Balancing methods",
        "",
        "Cost: time of one training step over that of the plain sum, "
        "four tasks, shared bottom ([table]"
        "(datasets/results/balancing_cost.csv); two and eight tasks: [table]"
        "(datasets/results/balancing_cost_by_tasks.csv)). Gains: against "
        "tuned static weights, two worlds, two models, three tasks ([table]"
        "(datasets/results/balancing_methods.csv)).",
        "",
        *_caveat(),
        *table(header, contents),
        "",
        *sections,
    ]


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
