"""Figures of the lesson on experts and gates, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import heat_map
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BEST_COLOUR, colour
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
