"""Figures of the lesson on gradient conflict."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BEST_COLOUR,
    NEUTRAL_COLOUR,
    colour,
    marker,
)

PAIR = ("click", "like")  # the two tasks of the bowls
_SAFE = "#dfe7ef"
_ROUNDING = 1e-9
_LINES = ("-", "--", ":")


def gradients(angle: float, length: float) -> np.ndarray:
    """Return two gradients, [2, 2]: one of length 1, one turned from it.

    Args:
        angle: between them, in degrees.
        length: of the second.
    """
    turn = np.deg2rad(angle)
    second = length * np.array([np.cos(turn), np.sin(turn)])
    return np.stack([[1.0, 0.0], second])


def harmed(direction: np.ndarray, jacobian: np.ndarray) -> list[str]:
    """Name the tasks whose loss a small step against ``direction`` raises.

    Args:
        direction: [P]; the step is its negative.
        jacobian: gradients of the tasks of ``PAIR``, [2, P].
    """
    size = np.linalg.norm(direction) * np.linalg.norm(jacobian, axis=1)
    falls = jacobian @ direction
    return [
        task
        for task, fall, unit in zip(PAIR, falls, size, strict=True)
        if fall < -_ROUNDING * max(unit, 1.0)
    ]


def arrows_figure(
    directions: Mapping[str, np.ndarray], jacobian: np.ndarray
) -> tuple[Figure, str]:
    """Draw two bowls, and where each method steps between them.

    Task t's loss is half the squared distance from its optimum, which lies
    one full gradient step away from where we stand.

    Args:
        directions: method -> direction, [2]; the step is its negative.
        jacobian: the tasks' gradients, [2, 2].
    """
    columns = 5
    rows = -(-(len(directions) + 1) // columns)
    figure, axes = new_figure(rows, columns, size=(6.6, 1.55 * rows + 0.3))
    panels = list(axes.flat)
    _bowls(panels[0], jacobian)
    worse = {}
    for ax, (name, direction) in zip(
        panels[1:], directions.items(), strict=False
    ):
        worse[name] = harmed(direction, jacobian)
        _step(ax, direction, jacobian, worse[name])
        length = np.linalg.norm(direction)
        note = "both fall" if length > _ROUNDING else "no step"
        if worse[name]:
            note = f"raises {', '.join(worse[name])}"
        ax.set_title(f"{name}\n{note}, {length:.2f}", fontsize=8)
    for ax in panels[len(directions) + 1 :]:
        ax.axis("off")
    _headline(
        figure,
        f"{sum(map(bool, worse.values()))} of {len(worse)} steps raise a loss",
    )
    bad = [f"{name} raises {', '.join(t)}" for name, t in worse.items() if t]
    return figure, (
        "The step of each method beside the steps of two tasks, and their "
        "bowls. A step inside the shaded cone lowers both losses. "
        + ("; ".join(bad) if bad else "Every method lowers both")
        + "."
    )


def _headline(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _plain(ax: Axes, reach: float) -> None:
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _arrow(ax: Axes, to: np.ndarray, look: str, width: float) -> None:
    ax.annotate(
        "",
        (to[0], to[1]),
        (0, 0),
        arrowprops={
            "arrowstyle": "-|>",
            "color": look,
            "lw": width,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _bowls(ax: Axes, jacobian: np.ndarray) -> None:
    optima = -jacobian
    reach = 1.25 * max(1.0, float(np.abs(optima).max()))
    axis = np.linspace(-reach, reach, 60)
    for task, optimum in zip(PAIR, optima, strict=True):
        x, y = np.meshgrid(axis - optimum[0], axis - optimum[1])
        levels = np.hypot(*optimum) * np.array([0.35, 0.7, 1.0])
        ax.contour(
            axis, axis, np.hypot(x, y), levels, colors=colour(task),
            linewidths=0.8,
        )  # fmt: skip
        ax.plot(*optimum, marker(task), color=colour(task), ms=5)
    ax.plot(*optima.T, color=NEUTRAL_COLOUR, lw=1, ls=":")
    ax.plot(0, 0, "o", color=BEST_COLOUR, ms=4)
    ax.set_title("two bowls,\nwe stand at ●", fontsize=8)
    _plain(ax, reach)


def _step(
    ax: Axes, direction: np.ndarray, jacobian: np.ndarray, worse: list[str]
) -> None:
    turns = np.linspace(0, 2 * np.pi, 721)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    safe = circle[(circle @ -jacobian.T >= 0).all(axis=1)]
    if len(safe):
        # Start where the gap is, lest the polygon crosses the circle.
        gaps = np.linalg.norm(np.diff(safe, axis=0, append=safe[:1]), axis=1)
        safe = np.roll(safe, -int(gaps.argmax()) - 1, axis=0)
        corners = np.concatenate([[[0, 0]], 1.2 * safe])
        ax.add_patch(Polygon(corners, fc=_SAFE, ec="none", zorder=0))
    for task, row in zip(PAIR, jacobian, strict=True):
        _arrow(ax, -row / np.linalg.norm(row), colour(task), 1.0)
    length = np.linalg.norm(direction)
    if length > _ROUNDING:
        _arrow(ax, -direction / length, BEST_COLOUR, 2.2)
    else:
        ax.plot(0, 0, "x" if worse else "o", color=BEST_COLOUR)
    _plain(ax, 1.3)


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


def step_costs(table: pd.DataFrame, plain: str = "equal") -> pd.DataFrame:
    """Return each method's gain, and its seconds per step over plain's.

    Args:
        table: the table "balancing_methods".
        plain: the method whose step counts as 1.

    Returns:
        A row per world, model and method; columns gain (mean difference
        over tasks) and cost.
    """
    keys = ["world", "model", "method"]
    found = table.groupby(keys, sort=False).agg(
        gain=("difference", "mean"),
        seconds=("seconds", "first"),
        steps=("steps", "first"),
    )
    per_step = found["seconds"] / found["steps"]
    rows = found[["gain"]].assign(cost=per_step).reset_index()
    base = rows[rows["method"] == plain].set_index(keys[:2])["cost"]
    rows["cost"] /= base.loc[pd.MultiIndex.from_frame(rows[keys[:2]])].values
    return rows


def cost_figure(table: pd.DataFrame) -> tuple[Figure, str]:
    """Draw gains and costs side by side, a dot per world and model.

    Args:
        table: the table "balancing_methods".
    """
    costs = step_costs(table)
    methods = list(costs["method"].unique())
    figure, (left, right) = new_figure(1, 2, size=(6.6, 4.9), sharey=True)
    place = costs["method"].map({m: k for k, m in enumerate(methods)})
    for model, shape in (("shared_bottom", "s"), ("mmoe", "D")):
        own = costs["model"] == model
        for ax, value in ((left, "gain"), (right, "cost")):
            ax.plot(
                costs[value][own], place[own], shape, color=colour(model),
                ms=4.5, label=model.replace("_", " "),
            )  # fmt: skip
    left.axvline(0, color=BEST_COLOUR, lw=1)
    right.axvline(1, color=BEST_COLOUR, lw=1)
    left.set_yticks(range(len(methods)), methods, fontsize=8)
    left.set_ylim(len(methods) - 0.4, -0.6)
    left.set_xlabel("mean AUC minus tuned static's")
    right.set_xlabel("time of a step over equal weights'")
    right.legend()
    means = costs.groupby("method")["cost"].mean()
    _headline(
        figure,
        f"A step takes up to {means.max():.1f} times as long "
        f"({means.idxmax()})",
    )
    return figure, (
        f"Dots per method, world and model: gains from "
        f"{costs['gain'].min():+.4f} to {costs['gain'].max():+.4f}; a step "
        f"takes {means.min():.2f} times ({means.idxmin()}) to "
        f"{means.max():.2f} times ({means.idxmax()}) as long as with equal "
        "weights."
    )
