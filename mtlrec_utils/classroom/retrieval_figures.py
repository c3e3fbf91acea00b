"""Pictures of lesson 05: towers, popularity, the funnel, the index."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    BEST_COLOUR,
    TASK_COLOURS,
)

BUCKETS = ("head", "middle", "tail")
LOOKS = {
    "popular": {"color": BASELINE_COLOUR, "marker": "v"},
    "plain": {"color": "#C0541E", "marker": "s"},
    "logQ": {"color": TASK_COLOURS["click"], "marker": "o"},
}


def batch_figure(items: ArrayLike) -> tuple[Figure, str]:
    """Draw which cells of a batch are positives, negatives, and hits.

    Args:
        items: the item of each row of a small batch, [B].

    Returns:
        The figure and its description.
    """
    own = np.asarray(items)
    same = own[:, None] == own[None, :]
    kind = np.where(np.eye(len(own), dtype=bool), 2, np.where(same, 1, 0))
    figure, ax = new_figure(size=(5.2, 3.6))
    ax.imshow(kind, cmap="Blues", vmin=0, vmax=3)
    words = {0: "−", 1: "hidden", 2: "+"}
    for (row, column), value in np.ndenumerate(kind):
        ax.text(
            column, row, words[int(value)], ha="center", va="center",
            fontsize=9,
        )  # fmt: skip
    labels = [f"item {i}" for i in own]
    ax.set_xticks(range(len(own)), labels)
    ax.set_yticks(range(len(own)), [f"row {r}" for r in range(len(own))])
    ax.grid(visible=False)
    hidden = int((kind == 1).sum())
    ax.set_title(f"{len(own)} rows, {len(own)} candidates, {hidden} hidden")
    return figure, (
        f"A square of {len(own)} rows and the items of the same rows: the "
        f"diagonal is positive, {hidden} cells with the row's own item are "
        "hidden, all others negative."
    )


def buckets_figure(results: pd.DataFrame) -> tuple[Figure, str]:
    """Draw recall per popularity bucket, without and with the correction.

    Args:
        results: the table ``retrieval_05``.

    Returns:
        The figure and its description.
    """
    rows = results.set_index(["model", "metric"])
    metrics = [f"recall@100, {bucket}" for bucket in BUCKETS]
    logq = rows.loc["logQ"].loc[metrics]
    popular = rows.loc["popular"].loc[metrics]
    series = {
        "popular": popular["candidate"],
        "plain": logq["baseline"],
        "logQ": logq["candidate"],
    }
    figure, (left, right) = new_figure(1, 2, size=(8.8, 3.5))
    for name, values in series.items():
        left.plot(range(3), values, label=name, **LOOKS[name])
    left.set_xticks(range(3), BUCKETS)
    left.set(xlabel="popularity of the item", ylabel="recall@100")
    left.set_title("What is found")
    left.legend()
    bias = {
        "popular": rows.loc["popular"]["popularity_bias"].iloc[0],
        "plain": rows.loc["logQ"]["baseline_popularity_bias"].iloc[0],
        "logQ": rows.loc["logQ"]["popularity_bias"].iloc[0],
    }
    colours = [LOOKS[name]["color"] for name in bias]
    right.barh(list(bias), list(bias.values()), color=colours)
    right.axvline(0.5, color=BEST_COLOUR, linewidth=1, linestyle=":")
    right.set(xlim=(0, 1), xlabel="mean popularity rank of the lists")
    right.grid(axis="y", visible=False)
    right.set_title("What is listed")
    change = logq["difference"]
    figure.suptitle(
        f"logQ: head {change.iloc[0]:+.2f}, middle {change.iloc[1]:+.2f}, "
        f"tail {change.iloc[2]:+.2f}",
        x=0.01, ha="left", size=12,
    )  # fmt: skip
    values = "; ".join(
        f"{n} {', '.join(f'{v:.2f}' for v in s)}" for n, s in series.items()
    )
    return figure, (
        "Left: recall at 100 for items of the head, middle and tail: "
        f"{values}. Right: mean popularity rank of the lists."
    )


def funnel_figure(stages: pd.DataFrame, best: float) -> tuple[Figure, str]:
    """Draw time and quality of ways to make a list.

    Args:
        stages: columns way, milliseconds (per user), value (mean true
            P(click) of the final lists).
        best: value of the best possible lists.

    Returns:
        The figure and its description.
    """
    figure, ax = new_figure(size=(6.8, 3.5))
    for place, row in enumerate(stages.itertuples()):
        ax.plot(
            row.milliseconds, row.value, "osD^v"[place % 5], markersize=9,
            label=row.way, linestyle="none",
        )  # fmt: skip
    best_line(ax, best, label="best possible lists")
    ax.set(xscale="log", xlabel="milliseconds per user")
    ax.set_ylabel("true P(click) of the list")
    ax.margins(0.2)
    fastest, slowest = (
        stages["milliseconds"].min(), stages["milliseconds"].max()
    )  # fmt: skip
    ax.set_title(f"The ways differ {slowest / fastest:,.0f}-fold in time")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    points = "; ".join(
        f"{r.way} {r.milliseconds:.1f} ms and {r.value:.2f}"
        for r in stages.itertuples()
    )
    return figure, (
        f"Ways to make a list by time per user and true P(click): {points}; "
        f"the best possible lists reach {best:.2f}."
    )


def index_explorer(
    curves: dict[int, pd.DataFrame],
) -> Callable[..., tuple[Figure, str]]:
    """Return a function that draws what an index loses and saves.

    Args:
        curves: number of cells -> table of ``models.index.recall_and_time``.

    Returns:
        ``draw(cells, smallest_recall)`` for ``dial``: the fastest setting
        that keeps this recall is marked.
    """

    def draw(cells: int, smallest_recall: float) -> tuple[Figure, str]:
        table = curves[cells]
        exact, rows = table.iloc[0], table.iloc[1:]
        figure, ax = new_figure(size=(6.6, 3.5))
        ax.plot(
            rows["milliseconds"], rows["recall"], **LOOKS["logQ"],
            label="approximate",
        )  # fmt: skip
        ax.plot(
            exact["milliseconds"], 1, "s", color=BEST_COLOUR, markersize=9,
            label="exact", linestyle="none",
        )  # fmt: skip
        for row in rows.itertuples():
            ax.annotate(
                f"{row.n_probe}", (row.milliseconds, row.recall),
                xytext=(4, -11), textcoords="offset points", fontsize=8,
            )  # fmt: skip
        ax.axhline(smallest_recall, color=BASELINE_COLOUR, linestyle=":")
        good = rows[rows["recall"] >= smallest_recall]
        finding = f"No setting keeps {smallest_recall:.0%}"
        if len(good):
            first = good.sort_values("milliseconds").iloc[0]
            times = exact["milliseconds"] / first["milliseconds"]
            finding = (
                f"{first['n_probe']:.0f} of {cells} cells keep "
                f"{first['recall']:.0%}, {times:.1f} times as fast"
            )
        ax.set(xscale="log", xlabel="milliseconds per search")
        ax.set_ylabel("share of the exact list found")
        ax.set_title(finding)
        ax.legend(loc="lower right")
        return figure, (
            f"Recall of an index of {cells} cells against milliseconds, one "
            f"point for each number of cells looked into. {finding}."
        )

    return draw
