"""Figures of the lesson on gradient conflict."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BEST_COLOUR,
    NEUTRAL_COLOUR,
    colour,
    marker,
)

EQUAL = "equal"
_LINES = ("-", "--", ":")
# Names of the tables of results -> classes of learning.balancing.
_CLASSES = {
    EQUAL: "plain sum",
    "random": "RandomWeights",
    "uncertainty": "UncertaintyWeights",
    "DWA": "DynamicWeightAverage",
    "GLS": "GeometricMean",
}


def _headline(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")


def cosine_figure(
    conflicts: Mapping[str, pd.DataFrame],
) -> tuple[Figure, str]:
    """Draw cosines between tasks' gradients per epoch and layer group.

    Args:
        conflicts: world -> ``History.conflicts``.
    """
    layers = {"embedding": "embedding table", "all dense": "dense layers"}
    figure, axes = new_figure(
        len(conflicts), 2, size=(6.6, 2.3 * len(conflicts) + 0.7),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    told = []
    for row, (world, table) in zip(axes, conflicts.items(), strict=True):
        for ax, (layer, words) in zip(row, layers.items(), strict=True):
            here = table[table["layer"] == layer]
            both = here["task_a"] + " and " + here["task_b"]
            pairs = here.groupby(both, sort=False)
            for (pair, line), dash in zip(pairs, _LINES, strict=False):
                first, second = line[["task_a", "task_b"]].iloc[0]
                ax.plot(
                    line["epoch"], line["cosine"], dash, color=colour(second),
                    marker=marker(first), label=str(pair),
                )  # fmt: skip
            ax.axhline(0, color=BEST_COLOUR, lw=1)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.set_title(f"{world}: {words}", fontsize=10)
            told.append(
                f"{world}, {words}: {here['cosine'].min():.2f} to "
                f"{here['cosine'].max():.2f}"
            )
        row[0].set_ylabel("cosine")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    whole = {w: t[t["layer"] == "all"] for w, t in conflicts.items()}
    shares = [f"{(t['cosine'] < 0).mean():.0%} {w}" for w, t in whole.items()]
    _headline(figure, f"Pairs in conflict: {', '.join(shares)}")
    return figure, (
        "Cosines between the gradients of three pairs of tasks, epoch by "
        "epoch, in the embedding table and the dense layers. "
        + "; ".join(told)
        + "."
    )


def methods_figure(table: pd.DataFrame) -> tuple[Figure, str]:
    """Draw every method's differences: a panel per world and model.

    Args:
        table: the table "balancing_methods".
    """
    methods = list(table["method"].unique())
    tasks = list(table["task"].unique())
    cells = list(product(table["world"].unique(), table["model"].unique()))
    figure, axes = new_figure(2, 2, size=(6.6, 8.6), sharey=True, sharex=True)
    for ax, (world, model) in zip(axes.flat, cells, strict=True):
        here = table[(table["world"] == world) & (table["model"] == model)]
        for shift, task in zip((-0.25, 0, 0.25), tasks, strict=True):
            rows = here[here["task"] == task].set_index("method").loc[methods]
            place = np.arange(len(methods)) + shift
            look = colour(task)
            ax.hlines(place, rows["low"], rows["high"], color=look, lw=1.2)
            for y, (_, row) in zip(place, rows.iterrows(), strict=True):
                clear = row["verdict"] != "cannot tell"
                ax.plot(
                    row["difference"], y, marker(task), color=look, ms=4,
                    mfc=look if clear else "white",
                )  # fmt: skip
        ax.axvline(0, color=BEST_COLOUR, lw=1)
        ax.set_yticks(range(len(methods)), methods, fontsize=8)
        ax.set_ylim(len(methods) - 0.4, -0.6)
        ax.set_title(f"{world}, {model.replace('_', ' ')}", fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel("AUC minus tuned static's")
    handles = [
        Line2D([], [], color=colour(t), marker=marker(t), label=t)
        for t in tasks
    ]
    hollow = Line2D(
        [], [], ls="none", marker="o", mfc="white", mec=NEUTRAL_COLOUR,
        label="hollow: cannot tell",
    )  # fmt: skip
    figure.legend(
        handles=[*handles, hollow], loc="outside lower center", ncols=4
    )
    words = ", ".join(
        f"{word} {n}" for word, n in table["verdict"].value_counts().items()
    )
    _headline(figure, f"Against tuned static weights: {words}")
    return figure, (
        f"Four panels of intervals, {len(methods)} methods by {len(tasks)} "
        f"tasks each, against tuned static weights: {words}."
    )


def gains_and_costs(table: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Put what each method gains over equal weights beside what it costs.

    Args:
        table: the results ``balancing_methods``.
        costs: the results ``balancing_cost``, for one number of tasks.

    Returns:
        A row per world, model and method. Columns: gain (mean AUC over the
        tasks minus that of equal weights; no interval goes with it), cost
        (time of a step over that of the plain sum), lowest and highest
        cost.
    """
    keys = ["world", "model", "method"]
    means = table.groupby(keys, sort=False)["candidate"].mean().reset_index()
    equal = means[means["method"] == EQUAL].set_index(keys[:2])["candidate"]
    means["gain"] = (
        means["candidate"]
        - equal.loc[pd.MultiIndex.from_frame(means[keys[:2]])].to_numpy()
    )
    means["class"] = [
        _CLASSES.get(m, m.replace("-", "")) for m in means["method"]
    ]
    of_class = costs.rename(
        columns={"method": "class", "relative_cost": "cost"}
    )
    columns = ["model", "class", "cost", "lowest", "highest"]
    found = means.merge(of_class[columns], how="left", on=columns[:2])
    return found.drop(columns=["candidate", "class"])


def cost_figure(
    table: pd.DataFrame, costs: pd.DataFrame
) -> tuple[Figure, str]:
    """Draw mean gains over equal weights, and the cost of a step beside them.

    Args:
        table: the results ``balancing_methods``.
        costs: the results ``balancing_cost``, for one number of tasks.
    """
    found = gains_and_costs(table, costs)
    methods = list(found["method"].unique())
    place = dict(zip(methods, range(len(methods)), strict=True))
    fills = dict(zip(found["world"].unique(), ("full", "none"), strict=True))
    shifts = dict(zip(found["model"].unique(), (-0.15, 0.15), strict=True))
    figure, (left, right) = new_figure(1, 2, size=(6.6, 5.2), sharey=True)
    for key, own in found.groupby(["world", "model"], sort=False):
        world, model = map(str, key)
        look = {"color": colour(model), "marker": marker(model), "ls": "none"}
        y = own["method"].map(place) + shifts[model]
        name = model.replace("_", " ")
        left.plot(
            own["gain"], y, ms=4.5, fillstyle=fills[world],
            label=f"{name}, {world}", **look,
        )  # fmt: skip
        right.hlines(y, own["lowest"], own["highest"], color=colour(model))
        right.plot(own["cost"], y, ms=4.5, **look)
    left.axvline(0, color=BEST_COLOUR, lw=1)
    right.axvline(1, color=BEST_COLOUR, lw=1)
    left.set_yticks(range(len(methods)), methods, fontsize=8)
    left.set_ylim(len(methods) - 0.4, -0.6)
    left.set_xlabel("mean AUC minus equal weights'")
    right.set_xlabel("time of a step over the plain sum's")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    middle = found[found["model"] == found["model"].iloc[0]]
    cost = middle.drop_duplicates("method").set_index("method")["cost"]
    _headline(
        figure,
        f"Up to {cost.max():.1f} times the time of a step; where is the gain?",
    )
    return figure, (
        "Per method, world and model the mean gain over equal weights, "
        f"{found['gain'].min():+.3f} to {found['gain'].max():+.3f}, and the "
        "time of a step over the plain sum's; in the shared bottom from "
        f"{cost.min():.2f} ({cost.idxmin()}) to {cost.max():.2f} "
        f"({cost.idxmax()})."
    )
