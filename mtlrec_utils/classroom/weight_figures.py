"""Figures of the lesson on weighing losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    BEST_COLOUR,
    colour,
    style,
)
from mtlrec_utils.evidence import paired_interval

Floats = npt.NDArray[np.float64]

TASKS = ("click", "watch_minutes")
SCORES = {
    "click": "test log loss of clicks",
    "watch_minutes": "test RMSE, minutes",
}
STATIC, ALONE = "static", "single task"
# Methods have no colour of their own over the course: seven that differ for
# every reader, and the markers say the same.
_LOOKS = {
    "equal": ("#111111", "s"),
    "random": ("#707070", "v"),
    "uncertainty": ("#0072B2", "o"),
    "IMTL-L": ("#56B4E9", "D"),
    "GLS": ("#009E73", "^"),
    "FAMO": ("#B45A00", "P"),
    "DWA": ("#C08A1E", "X"),
    "GradNorm": ("#B92FC4", "*"),
}


def scores_of(
    table: pd.DataFrame, world: str
) -> dict[tuple[str, str], dict[str, Floats]]:
    """Read each seed's score of every method and setting of a world.

    Args:
        table: the results ``balancing_losses``.
        world: "competing" or "agreeing".

    Returns:
        (method, setting) -> task -> scores, [S]. The tuned static weights
        are ("static", "tuned").
    """
    found: dict[tuple[str, str], dict[str, Floats]] = {}
    for row in table[table["world"] == world].to_dict("records"):
        own = found.setdefault((row["method"], row["setting"]), {})
        own[row["task"]] = _numbers(row["scores"])
        if row["part"] == "contest":
            base = found.setdefault((STATIC, "tuned"), {})
            base[row["task"]] = _numbers(row["baseline_scores"])
    return found


def _numbers(text: str) -> Floats:
    return np.array([float(part) for part in text.split()])


def _sweep(
    scores: Mapping[tuple[str, str], Mapping[str, Floats]],
) -> tuple[Floats, dict[str, Floats]]:
    """Return the weights [W], rising, and task -> scores [W, S]."""
    found = {
        float(setting.removeprefix("weight ")): by_task
        for (method, setting), by_task in scores.items()
        if method == STATIC and setting.startswith("weight ")
    }
    weights = sorted(found)
    return np.array(weights), {
        task: np.stack([found[w][task] for w in weights]) for task in TASKS
    }


def pareto_figure(
    table: pd.DataFrame, title: str, world: str = "competing"
) -> tuple[Figure, str]:
    """Draw the sweep of static weights, and each method beside it.

    Args:
        table: the results ``balancing_losses``.
        title: the finding.
        world: which world.
    """
    scores = scores_of(table, world)
    best = table[table["world"] == world].groupby("task")["best"].first()
    weights, swept = _sweep(scores)
    figure, (whole, near) = new_figure(
        1, 2, size=(9.4, 4.2), width_ratios=(2, 3)
    )
    click, watch = (swept[task].mean(axis=1) for task in TASKS)
    for ax in (whole, near):
        ax.plot(click, watch, color=BASELINE_COLOUR, marker="o", ms=4)
        ax.set_xlabel(SCORES["click"])
    whole.set_ylabel(SCORES["watch_minutes"])
    for i, weight in enumerate(weights):
        if weight in (0.01, 0.03, 1, 10, 100):
            whole.annotate(
                f"{weight:g}",
                (click[i], watch[i]),
                xytext=(5, 5),
                textcoords="offset points",
                fontsize=9,
            )
    whole.plot(
        *(best[task] for task in TASKS),
        marker="*",
        markersize=12,
        linestyle="none",
        color=BEST_COLOUR,
        label="best possible",
    )
    alone = [scores[ALONE, "tuned"][task].mean() for task in TASKS]
    for ax in (whole, near):
        ax.plot(
            *alone,
            marker="s",
            linestyle="none",
            color=colour("single_task"),
            label="two models",
        )
    whole.set_title("Every weight of the watch loss")
    whole.legend(loc="upper right")
    _methods(near, scores)
    near.set_title("The corner, with the methods")
    near.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        f"Watch RMSE against click log loss in the {world} world. Left: the "
        "curve of static weights, from many minutes wrong to many clicks "
        "wrong, and the best possible score. Right: its corner, with a "
        "cross of intervals over seeds for each of eight methods."
    )


def _methods(
    ax: Axes, scores: Mapping[tuple[str, str], Mapping[str, Floats]]
) -> None:
    """Draw a cross per method, and look only at where they are."""
    corners = []
    for method, (tint, mark) in _LOOKS.items():
        ends = [paired_interval(scores[method, "tuned"][t]) for t in TASKS]
        (x, *x_ends), (y, *y_ends) = ends
        ax.errorbar(
            x,
            y,
            xerr=[[x - x_ends[0]], [x_ends[1] - x]],
            yerr=[[y - y_ends[0]], [y_ends[1] - y]],
            color=tint,
            marker=mark,
            markersize=7,
            elinewidth=1.1,
            linestyle="none",
            label=method,
        )
        corners += list(zip(x_ends, y_ends, strict=True))
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    room = 0.12 * (high - low)
    ax.set_xlim(low[0] - room[0], high[0] + room[0])
    ax.set_ylim(low[1] - room[1], high[1] + room[1])


def sweep_figure(
    table: pd.DataFrame, world: str, weight: float
) -> tuple[Figure, str]:
    """Draw both tasks against the weight of the watch loss; mark one.

    Args:
        table: the results ``balancing_losses``.
        world: "competing" or "agreeing".
        weight: one of the sweep.
    """
    scores = scores_of(table, world)
    best = table[table["world"] == world].groupby("task")["best"].first()
    weights, swept = _sweep(scores)
    place = int(np.flatnonzero(weights == weight)[0])
    figure, axes = new_figure(1, 2, size=(8.6, 3.3))
    words = []
    for ax, task in zip(axes, TASKS, strict=True):
        middle = swept[task].mean(axis=1)
        ax.fill_between(
            weights,
            swept[task].min(axis=1),
            swept[task].max(axis=1),
            color=colour(task),
            alpha=0.2,
            linewidth=0,
        )
        ax.plot(weights, middle, color=colour(task), marker=".")
        ax.plot(weight, middle[place], markersize=10, **style(task))
        ax.axhline(
            scores[ALONE, "tuned"][task].mean(),
            color=colour("single_task"),
            label="a model of its own",
        )
        best_line(ax, best[task])
        ax.set_xscale("log")
        ax.set_xlabel("weight of the watch loss")
        ax.set_title(f"{SCORES[task]}: {middle[place]:.3f}")
        words.append(f"{SCORES[task]} {middle[place]:.3f}")
    axes[0].legend()
    return figure, (
        f"Both scores against the weight of the watch loss in the {world} "
        f"world, below a single-task model and the best possible; at weight "
        f"{weight:g}: {', '.join(words)}."
    )


def weights_figure(history: Any, title: str) -> tuple[Figure, str]:
    """Draw each task's weight per epoch, and 1/(2L) of the same epoch.

    Args:
        history: of ``fit`` with a method that has weights.
        title: the finding.
    """
    figure, ax = new_figure(size=(7.2, 3.4))
    ratios = []
    for task, rows in history.weights.groupby("task", sort=False):
        loss = history.losses("train", task)
        ax.plot(rows["epoch"], rows["weight"], **style(str(task)))
        ax.plot(
            loss.index,
            1 / (2 * loss),
            color=colour(str(task)),
            linestyle=(0, (4, 2)),
            label="1 / (2 × its loss)",
        )
        ratios.append(2 * rows["weight"].iloc[-1] * loss.iloc[-1])
    ax.set(xlabel="epoch", ylabel="weight, mean over the epoch")
    ax.set_ylim(bottom=0)
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        "Weights of two tasks by epoch, a solid line each, and a dashed line "
        "at one over twice the task's loss; in the last epoch the ratio of "
        f"the two is {' and '.join(f'{r:.2f}' for r in ratios)}."
    )
