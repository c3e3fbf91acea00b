"""Figures of the lesson on experts and gates, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import heat_map
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BEST_COLOUR, colour, style
from mtlrec_utils.data import label_correlation

_GREY = "#606060"


def expert_figure() -> tuple[Figure, str]:
    """Draw how two tasks weigh four experts; return figure and alt text."""
    figure, ax = new_figure(size=(6.6, 2.9))
    weights = {
        "click": [0.6, 0.25, 0.1, 0.05],
        "like": [0.05, 0.25, 0.1, 0.6],
    }

    def box(x: float, y: float, text: str, fill: str, align: str) -> None:
        look = {"boxstyle": "round,pad=0.45", "fc": fill, "ec": "none"}
        ax.text(x, y, text, ha=align, va="center", color="white", bbox=look)

    box(0, 1.5, "features", _GREY, "center")
    for expert in range(4):
        ax.plot([0, 1.7], [1.5, expert], color="#b0b0b0", lw=1, zorder=0)
        box(1.7, expert, f"expert {expert}", _GREY, "center")
    for y, task in [(0.5, "click"), (2.5, "like")]:
        for expert, weight in enumerate(weights[task]):
            line = {"color": colour(task), "lw": 9 * weight, "zorder": -1}
            ax.plot([1.7, 4], [expert, y], **line)
        box(4, y, f"mixture, tower: {task}", colour(task), "left")
    ax.set(xlim=(-0.5, 5.7), ylim=(3.5, -0.5))
    ax.set_title("Each task weighs the experts for itself")
    ax.axis("off")
    return figure, (
        "Diagram: features lead to four experts; lines from the experts to "
        "two tasks are as thick as that task's gate weighs them."
    )


def mean_gates(weights: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Average gate weights [N, E] over each group of rows: [G, E]."""
    return np.stack(
        [weights[groups == k].mean(axis=0) for k in np.unique(groups)]
    )


def share_between(weights: np.ndarray, groups: np.ndarray) -> float:
    """Return the share (0 ... 1) of a gate's variance between groups.

    Args:
        weights: gate weights, [N, E].
        groups: group of each row, [N].
    """
    _, place = np.unique(groups, return_inverse=True)
    between = mean_gates(weights, groups)[place].var(axis=0).sum()
    return float(between / weights.var(axis=0).sum())


def gate_figure(
    gates: Mapping[str, np.ndarray],
    segments: np.ndarray,
    title: str,
    temperature: float = 1.0,
) -> tuple[Figure, str]:
    """Draw the mean gate of each task and segment as a heat map.

    Args:
        gates: task -> weights, [N, E].
        segments: segment of each row's user, [N].
        title: the finding.
        temperature: > 0; divides the gates' logits once more.
    """
    values, names = [], []
    for task, weights in gates.items():
        powers = weights / weights.max(axis=1, keepdims=True)
        powers = powers.astype(float) ** (1 / temperature)
        means = mean_gates(powers / powers.sum(1, keepdims=True), segments)
        values.append(means)
        names += [f"{task}, segment {k}" for k in np.unique(segments)]
    stacked = np.concatenate(values)
    figure = heat_map(
        stacked,
        names,
        [f"expert {e}" for e in range(stacked.shape[1])],
        title=title,
        value_label="mean weight",
        limits=(0, 1),
    )
    return figure, (
        "Heat map of mean gate weights, a row per task and true segment, a "
        f"column per expert, at temperature {temperature:g}; weights go from "
        f"{stacked.min():.2f} to {stacked.max():.2f}."
    )


def random_sines_figure(draws: int = 40) -> tuple[Figure, str]:
    """Draw the label correlation against the cosine p of the tasks.

    One line per random draw of ten sines, as the PLE paper drew them (Tang et
    al., RecSys 2020), and one for the fixed sines of this course.
    """
    p = np.linspace(0, 1, 41)
    random = np.random.default_rng(0)
    figure, ax = new_figure()
    middle = []
    for draw in range(draws):
        a, b = random.standard_normal((2, 10))
        line = [label_correlation(q, amplitudes=a, phases=b) for q in p]
        middle.append(line[len(p) // 2])
        label = "sines drawn anew" if draw == 0 else None
        ax.plot(p, line, color="#a0a0a0", lw=0.8, label=label)
    fixed = [label_correlation(q) for q in p]
    ax.plot(p, fixed, color=BEST_COLOUR, lw=2.5, label="the fixed sines")
    ax.set(
        xlabel="cosine p of the two tasks' weights",
        ylabel="correlation of the two labels",
    )
    ax.set_title("With random sines, p says little about the labels")
    ax.legend()
    return figure, (
        f"Label correlation against p: {draws} thin lines for random sines, "
        f"from {min(middle):.2f} to {max(middle):.2f} in the middle, and one "
        "thick line for the fixed ones."
    )


def protocol_figure(rows: pd.DataFrame, title: str) -> tuple[Figure, str]:
    """Draw each model's error against p, one panel per protocol.

    Args:
        rows: of the table "synthetic_mmoe", for both tasks together.
        title: the finding.
    """
    keys = ["sines", "schedule", "correlation"]
    errors = pd.concat(
        rows[[*keys, f"{role}_model", role]].set_axis(
            [*keys, "model", "error"], axis=1
        )
        for role in ("candidate", "baseline")
    ).drop_duplicates([*keys, "model"])
    figure, axes = new_figure(2, 2, size=(6.6, 5.2), sharex=True, sharey="row")
    models = ("single_task", "shared_bottom", "omoe", "mmoe")
    panels = [
        (sines, schedule)
        for sines in ("random", "fixed")
        for schedule in ("constant", "falling")
    ]
    for ax, (sines, schedule) in zip(axes.flat, panels, strict=True):
        here = f"sines == {sines!r} and schedule == {schedule!r}"
        for place, model in enumerate(models):
            line = errors.query(f"{here} and model == {model!r}")
            line = line.sort_values("correlation")
            side = 0.012 * (place - 1.5)  # lest one mark covers another
            ax.plot(line["correlation"] + side, line["error"], **style(model))
        floor = rows.query(here).groupby("correlation")["floor"].mean()
        ax.plot(floor, color=BEST_COLOUR, ls="--", lw=1.2, label="noise")
        ax.set_title(f"{sines} sines, {schedule} rate", fontsize=10)
        ax.set_ylim(bottom=0)
    for ax in axes[1]:
        ax.set_xlabel("cosine p")
    for ax in axes[:, 0]:
        ax.set_ylabel("error over variance")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    ends = {
        panel: f"{found.min():.3f} to {found.max():.3f}"
        for panel, found in errors.groupby(keys[:2])["error"]
    }
    return figure, (
        "Four panels of error against p, a line per model and one for the "
        "noise: "
        + "; ".join(f"{a} sines, {b} rate: {ends[a, b]}" for a, b in panels)
        + "."
    )
