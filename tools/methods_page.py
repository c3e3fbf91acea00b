"""Write ``METHODS.md``: every method, its equation, code, tests, cost, gain.

    python -m tools.methods_page

Nothing on the page is written by hand. What a method does, its equation and
its source are its docstring; its tests and lessons are the files that name it;
costs and gains are the tables of ``datasets/results/``. A test keeps the page
up to date.
"""

from __future__ import annotations

from mtlrec_utils.whole_file import whole_file
from tools.method_sources import ROOT
from tools.methods_mapping import mapping
from tools.methods_markdown import results, table
from tools.methods_multitask import balancing, sharing
from tools.methods_transfer import alignment, fine_tuning, many_domains

PAGE = ROOT / "METHODS.md"


def page() -> str:
    """Return the whole page."""
    return "\n".join(
        [
            "# Methods",
            "",
            "Each method: what it does, its equation and source, its code, "
            "its exact tests, what a step costs, and what it gained here. "
            "Verdicts are read off intervals over users, seeds or simulated "
            "worlds, with Holm's correction where a section does not say "
            "otherwise; “cannot tell” is a verdict too. Written by "
            "`python -m tools.methods_page`.",
            "",
            *sharing(),
            *balancing(),
            *fine_tuning(),
            *mapping(),
            *alignment(),
            *many_domains(),
            "## Basic recommenders",
            "",
            "Full ranking of all items not met in training; every model had "
            "four trials, those with a seed ran from five ([table]"
            "(datasets/results/basics.csv)). Beside implicit and keras-rs, "
            "quality and time: [table]"
            "(datasets/results/basics_against_libraries.csv). Verdicts: "
            "against item neighbours. Bias: mean popularity rank of what is "
            "listed, 1 the most popular. Seconds: one training on one core.",
            "",
            *_basics(),
        ]
    )


def _basics() -> list[str]:
    found = results("basics")
    header = ["recommender", "recall@20", "NDCG@20"]
    header += ["coverage", "bias", "seconds"]
    lines = []
    for data, own in found.groupby("data", sort=False):
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
        lines += [f"**{data}**", "", *table(header, rows), ""]
    return lines


def main() -> None:
    """Write the page whole or not at all."""
    with whole_file(PAGE) as part:
        part.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
