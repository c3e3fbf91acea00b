"""Figures of the lesson on many domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR

# Methods have no colour over the whole course; markers say the same.
LOOKS: Mapping[str, tuple[str, str]] = {
    "separate": ("#111111", "o"),
    "pooled": ("#B92FC4", "v"),
    "pooled + id": ("#C08A1E", "X"),
    "shared bottom": ("#0072B2", "s"),
    "MMoE": ("#5B3A8C", "P"),
    "STAR": ("#B45A00", "*"),
    "EPNet": ("#009E73", "D"),
    "PEPNet": ("#17A2B8", "^"),
}
METRICS = {"auc": "test AUC", "log_loss": "test log loss"}
DOMAINS = ("average", "feed", "search", "shop")


def shares_figure(rows: Mapping[str, int]) -> tuple[Figure, str]:
    """Draw what an average over all rows is made of.

    Args:
        rows: domain -> training rows.
    """
    total = sum(rows.values())
    figure, ax = new_figure(size=(6.6, 2.2))
    tints = ("#0072B2", "#C08A1E", "#B92FC4")
    left, words = 0.0, []
    for (name, n), tint in zip(rows.items(), tints, strict=True):
        share = 100 * n / total
        ax.barh(0, share, left=left, color=tint, label=f"{name} {share:.1f} %")
        left += share
        words.append(f"{name} {share:.1f} %")
    ax.set(yticks=[], xlabel="share of the average, %", xlim=(0, 100))
    ax.grid(axis="y", visible=False)
    ax.set_title("What the average is made of")
    figure.legend(loc="outside lower center", ncols=len(rows))
    return figure, (
        "One bar divided by the domains' shares of all rows: "
        f"{', '.join(words)}."
    )


def grid_figure(
    table: pd.DataFrame,
    metric: str,
    title: str,
    methods: Sequence[str] = tuple(LOOKS),
) -> tuple[Figure, str]:
    """Draw every method against the similarity, a panel per domain.

    Args:
        table: the results ``many_domains``.
        metric: "auc" or "log_loss".
        title: the finding.
        methods: which of them.
    """
    grid = table.query("metric == @metric")
    figure, axes = new_figure(1, 4, size=(9.8, 3.7), sharey=True)
    words = []
    for ax, domain in zip(axes, DOMAINS, strict=True):
        here = grid[grid["domain"] == domain]
        for i, method in enumerate(methods):
            line = here[here["method"] == method].sort_values("similarity")
            x = line["similarity"] + 0.012 * (i - len(methods) / 2)
            draw_values(ax, method, LOOKS[method], x, line)
        draw_references(ax, here)
        ax.set(xlabel="similarity", title=domain, xticks=[0, 0.5, 1])
        at_0 = here[here["similarity"] == 0].set_index("method")["value"]
        named = ", ".join(f"{m} {at_0[m]:.3f}" for m in methods)
        words.append(f"{domain}: {named}")
    axes[0].set_ylabel(METRICS[metric])
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        f"{METRICS[metric]} against the similarity of the domains' tastes in "
        f"four panels. At similarity 0, {'; '.join(words)}."
    )


def draw_values(
    ax: Axes, name: str, look: tuple[str, str], x: Any, rows: pd.DataFrame
) -> None:
    """Draw values with their intervals."""
    tint, mark = look
    value = rows["value"].to_numpy()
    ax.errorbar(
        x,
        value,
        yerr=[
            value - rows["value_low"].to_numpy(),
            rows["value_high"].to_numpy() - value,
        ],
        color=tint,
        marker=mark,
        elinewidth=0.9,
        lw=1.4,
        label=name,
    )


def draw_references(ax: Axes, here: pd.DataFrame) -> None:
    """Draw the base rate and the best possible score, as means."""
    base = here.loc[here["method"] == "base rate", "value"].mean()
    ax.axhline(base, color=BASELINE_COLOUR, ls=(0, (1, 2)), label="base rate")
    best_line(ax, here["best"].mean())


def cell_figure(
    table: pd.DataFrame, similarity: float, domain: str, metric: str
) -> tuple[Figure, str]:
    """Draw every method minus separate in one domain, with its verdict.

    Args:
        table: the results ``many_domains``.
        similarity: 0, 0.5 or 1.
        domain: "feed", "search", "shop" or "average".
        metric: "auc" or "log_loss".
    """
    here = table.query(
        "metric == @metric and domain == @domain and "
        "similarity == @similarity and method != 'separate'"
    ).set_index("method")
    names = [method for method in LOOKS if method in here.index]
    figure, ax = new_figure(size=(7.4, 3.6))
    words = []
    for place, name in enumerate(names):
        row = here.loc[name]
        tint, mark = LOOKS[name]
        ax.plot([row["low"], row["high"]], [place, place], color=tint, lw=2.4)
        ax.plot(row["difference"], place, color=tint, marker=mark, ms=7)
        words.append(f"{name} {row['difference']:+.3f} ({row['verdict']})")
    ax.axvline(0, color=LOOKS["separate"][0], lw=1.2, zorder=1)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{METRICS[metric]} minus that of separate models")
    better = "right" if metric == "auc" else "left"
    ax.set_title(f"{domain}, similarity {similarity:g}: {better} is better")
    right = ax.secondary_yaxis("right")
    right.set_yticks(
        range(len(names)), [here.loc[n, "verdict"] for n in names]
    )
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    return figure, (
        f"{METRICS[metric]} of {domain} minus that of separate models at "
        f"similarity {similarity:g}: {', '.join(words)}."
    )
