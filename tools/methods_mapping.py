"""The section of ``METHODS.md`` on mapping between domains."""

from __future__ import annotations

from tools.method_sources import MAPPINGS, mappings
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
    tests=("test_mapping", "test_network_bridges"), lessons=("17_*",)
)


def mapping() -> list[str]:
    """Write the section of mapping between domains."""
    worlds, amazon = (
        results(name).query("against == 'item mean'")
        for name in ("cross_domain_mapping", "amazon_17")
    )
    worlds = worlds[worlds["part"] == "networks"]
    contents, sections = [], []
    for method in mappings():
        name, found, told = MAPPINGS[method.name], [], []
        for frame, keys, title in (
            (worlds, ["dial", "linked"], "Similarity, linked users"),
            (amazon, ["target", "cold"], "Amazon: target, cold share"),
        ):
            own = frame[frame["method"] == name]
            found += grid(own.rename(columns={"metric": "task"}), keys, title)
            told += [
                counts(own[own["metric"] == metric])
                for metric in ("rmse", "gauc")
            ]
        contents.append([anchor(method), name, method.summary, *told])
        sections += section(method, PLACES, found)
    header = ["code", "method", "what it is"]
    header += [
        f"{metric}, {place}"
        for place in ("worlds", "Amazon")
        for metric in ("RMSE", "GAUC")
    ]
    return [
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
        *table(header, contents),
        "",
        *sections,
    ]
