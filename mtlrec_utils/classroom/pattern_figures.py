"""Pictures of lesson 11: who reads whose experts, and the seesaw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    BEST_COLOUR,
    colour,
    style,
)
from mtlrec_utils.evidence import paired_interval, verdict

Floats = npt.NDArray[np.float64]
TASKS = ("click", "watch_minutes")
ALONE, SWEPT = "single_task", "shared_bottom"

#: Patterns that have no colour of the course's own.
_LOOKS: dict[str, dict[str, Any]] = {
    "cross_stitch": {"color": "#2A9C80", "marker": "v"},
    "many_experts": {"color": "#6F6BD1", "marker": "^"},
    "cgc": {"color": "#C2577B", "marker": "X"},
    "apart": {"color": "#6B6A12", "marker": "*"},
}
_LEFT = "change of click log loss"
_BELOW = "change of minutes RMSE"


def look(model: str) -> dict[str, Any]:
    """Return colour, marker and label of a pattern of sharing."""
    name = model.replace("_", " ")
    return (
        {**_LOOKS[model], "label": name} if model in _LOOKS else style(model)
    )


def pattern_figure() -> tuple[Figure, str]:
    """Draw which experts each task reads under MMoE, CGC and PLE."""
    figure, axes = new_figure(1, 3, size=(9.4, 3.2), width_ratios=(4, 4, 7))
    everything = {"click": (0, 1, 2, 3), "watch_minutes": (0, 1, 2, 3)}
    own = {"click": (0, 1, 2), "watch_minutes": (1, 2, 3)}
    _level(axes[0], 0, ["shared"] * 4, everything)
    _towers(axes[0], 1.2)
    owners = ["click", "shared", "shared", "watch_minutes"]
    _level(axes[1], 0, owners, own)
    _towers(axes[1], 1.2)
    _level(axes[2], 0, owners, {**own, "shared": (0, 1, 2, 3)})
    _level(axes[2], 1.9, owners, own)
    for start, ends in {"click": (0,), "shared": (1, 2)}.items():
        for end in ends:
            _line(axes[2], (1.2, _PLACE[start]), (1.9, end), start)
    _line(axes[2], (1.2, _PLACE["watch_minutes"]), (1.9, 3), "watch_minutes")
    _towers(axes[2], 3.1)
    titles = (
        "MMoE: all read all",
        "CGC: an expert of one's own",
        "PLE: CGC upon CGC",
    )
    for ax, title, right in zip(axes, titles, (1.9, 1.9, 3.8), strict=True):
        ax.set(xlim=(-0.35, right), ylim=(3.5, -0.5), title=title)
        ax.axis("off")
    return figure, (
        "Three diagrams of four experts and two tasks. MMoE: both tasks read "
        "all four. CGC: each task reads one expert of its own and two shared "
        "ones. PLE: two such levels, and on the first one a third, shared "
        "gate that reads all four experts."
    )


_PLACE = {"click": 0.5, "shared": 1.5, "watch_minutes": 2.5}


def _tint(owner: str) -> str:
    return BASELINE_COLOUR if owner == "shared" else colour(owner)


def _line(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], owner: str
) -> None:
    xs, ys = zip(start, end, strict=True)
    ax.plot(xs, ys, color=_tint(owner), lw=1.2, alpha=0.7, zorder=0)


def _level(
    ax: Axes, x: float, owners: Sequence[str], reads: dict[str, Any]
) -> None:
    """Draw a column of experts, and the mixtures that read them."""
    for place, owner in enumerate(owners):
        ax.plot(x, place, marker="s", ms=17, color=_tint(owner))
    for path, experts in reads.items():
        for expert in experts:
            _line(ax, (x, expert), (x + 1.2, _PLACE[path]), path)
        ax.plot(x + 1.2, _PLACE[path], marker="o", ms=12, color=_tint(path))


def _towers(ax: Axes, x: float) -> None:
    for task in TASKS:
        name = {"click": "click", "watch_minutes": "minutes"}[task]
        ax.text(x + 0.14, _PLACE[task], name, va="center", color=colour(task))


def scores(table: pd.DataFrame, correlation: float) -> dict[Any, Floats]:
    """Return (model, weight) -> scores of both tasks, [2, worlds].

    Args:
        table: the results ``seesaw``.
        correlation: one of its task correlations.
    """
    found: dict[Any, dict[str, Floats]] = {}
    here = table[table["task_correlation"] == correlation]
    for row in here.to_dict("records"):
        key = row["model"], row["weight"]
        numbers = np.array([float(part) for part in row["scores"].split()])
        found.setdefault(key, {})[row["task"]] = numbers
    return {
        key: np.stack([by_task[task] for task in TASKS])
        for key, by_task in found.items()
    }


def against(
    table: pd.DataFrame,
    correlation: float,
    candidate: str,
    baseline: str,
    weight: float = 1.0,
) -> pd.DataFrame:
    """Compare two models over the worlds of one task correlation.

    Args:
        table: the results ``seesaw``.
        correlation: one of its task correlations.
        candidate: a model, its losses weighted 1.
        baseline: another model.
        weight: of the baseline's watch loss.

    Returns:
        A row per task: candidate, baseline, difference, low, high, verdict.
        Lower scores are better.
    """
    of = scores(table, correlation)
    mine, theirs = of[candidate, 1.0], of[baseline, weight]
    rows = []
    for task, a, b in zip(TASKS, mine, theirs, strict=True):
        middle, low, high = paired_interval(a - b)
        rows.append(
            {
                "task": task,
                "candidate": a.mean(),
                "baseline": b.mean(),
                "difference": middle,
                "low": low,
                "high": high,
                "verdict": verdict(low, high, False),
            }
        )
    return pd.DataFrame(rows).set_index("task")


def beside_the_sweep(
    table: pd.DataFrame, candidate: str, correlation: float = 0.0
) -> dict[str, list[float]]:
    """Hold a model against the shared bottom under each static weight.

    One side beats the other if it helps a task and hurts none.

    Args:
        table: the results ``seesaw``.
        candidate: a model, its losses weighted 1.
        correlation: one whose weights were swept.

    Returns:
        {"beats": weights it beats, "beaten by": weights that beat it}.
    """
    found: dict[str, list[float]] = {"beats": [], "beaten by": []}
    swept = sorted(w for m, w in scores(table, correlation) if m == SWEPT)
    for weight in swept:
        words = against(table, correlation, candidate, SWEPT, weight)
        kinds = set(words["verdict"]) - {"cannot tell"}
        if kinds == {"helps"}:
            found["beats"].append(weight)
        elif kinds == {"hurts"}:
            found["beaten by"].append(weight)
    return found


def seesaw_figure(
    table: pd.DataFrame, task_correlation: float
) -> tuple[Figure, str]:
    """Draw each model in each world, relative to two single-task models.

    Args:
        table: the results ``seesaw``.
        task_correlation: one of its task correlations.
    """
    of = scores(table, task_correlation)
    alone = of[ALONE, 1.0]
    figure, ax = new_figure(size=(7.6, 4.4))
    ax.axhline(0, color=BEST_COLOUR, lw=1)
    ax.axvline(0, color=BEST_COLOUR, lw=1)
    one_up = total = 0
    for (model, weight), both in of.items():
        change = both - alone
        if weight == 1 and model != ALONE:
            points = look(model)
            ax.plot(*change, linestyle="none", ms=6.5, alpha=0.85, **points)
            one_up += int(((change > 0).sum(axis=0) == 1).sum())
            total += change.shape[1]
    swept = sorted((w, v) for (m, w), v in of.items() if m == SWEPT)
    if len(swept) > 1:
        curve = np.array([(v - alone).mean(axis=1) for _, v in swept])
        ax.plot(
            *curve.T, color=colour(SWEPT), lw=1.4, label="weights of minutes"
        )
        for (weight, _), at in zip(swept, curve, strict=True):
            ax.annotate(f"{weight:g}", at, fontsize=8, color="#404040")
    ax.set(xlabel=_LEFT, ylabel=_BELOW)
    ax.set_title(f"One task up, one down: {one_up} of {total} trainings")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        f"Change of both errors against single-task models at task "
        f"correlation {task_correlation:g}, a dot for each model and world; "
        f"lower left is better for both tasks. {one_up} of {total} dots help "
        "one task and hurt the other."
    )


def own_figure(table: pd.DataFrame, title: str) -> tuple[Figure, str]:
    """Draw what tasks keep to themselves against the task correlation.

    Args:
        table: the results ``seesaw``.
        title: the finding.
    """
    figure, axes = new_figure(1, 2, size=(9.0, 3.4), sharex=True)
    words = []
    panels = {
        "cgc": ("CGC: weight of the own expert", 1 / 3, "an equal gate"),
        "cross_stitch": ("Cross-stitch: own share", 0.9, "at the start"),
    }
    for ax, (model, (name, start, what)) in zip(
        axes, panels.items(), strict=True
    ):
        for task in TASKS:
            rows = table[(table["model"] == model) & (table["task"] == task)]
            x = rows["task_correlation"]
            owns = [[float(v) for v in text.split()] for text in rows["owns"]]
            line = style(task)
            ax.plot(x, rows["own"], **line)
            for place, values in zip(x, owns, strict=True):
                dots = {"color": line["color"], "alpha": 0.4, "ls": "none"}
                ax.plot([place] * len(values), values, marker=".", **dots)
            ends = " to ".join(f"{v:.2f}" for v in rows["own"].iloc[[0, -1]])
            words.append(f"{model.replace('_', '-')}, {task}: {ends}")
        ax.axhline(start, color=BASELINE_COLOUR, ls=(0, (4, 2)), label=what)
        ax.set_title(name)
        ax.set_xlabel("task correlation")
    axes[0].set_ylim(0, 1)
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes[0].legend()
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        "What a task keeps to itself against the task correlation, one panel "
        f"for CGC and one for cross-stitch: {'; '.join(words)}."
    )
