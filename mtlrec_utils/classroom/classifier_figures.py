"""Figures of the lesson on one encoder for three classifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BEST_COLOUR, NEUTRAL_COLOUR

TASKS = ("segment", "category", "relation")
_COLOURS = dict(zip(TASKS, ("#17508C", "#C08A1E", "#20917E"), strict=True))
_GREY = "#606060"


def encoder_figure() -> tuple[Figure, str]:
    """Draw three kinds of rows, one encoder and three towers."""
    figure, ax = new_figure(size=(6.6, 2.9))
    parts = ["history of a user", "words of an item", "words of another"]
    ends = {"segment": 0.0, "category": 1.0, "relation": 2.0}
    sources = {"segment": [0], "category": [1], "relation": [1, 2]}

    def box(x: float, y: float, text: str, fill: str) -> None:
        look = {"boxstyle": "round,pad=0.45", "fc": fill, "ec": "none"}
        ax.text(x, y, text, ha="center", va="center", color="w", bbox=look)

    for row, part in enumerate(parts):
        ax.plot([0, 2.2], [row, row], color="#b0b0b0", lw=1, zorder=0)
        box(0, row, part, _GREY)
    ax.add_patch(
        # One box around all three rows: the weights are the same.
        _rounded(1.75, -0.38, 0.9, 2.76)
    )
    ax.text(2.2, 1, "one\nencoder", ha="center", va="center", color="w")
    for task, y in ends.items():
        for start in sources[task]:
            ax.plot([2.6, 4.1], [start, y], color=_COLOURS[task], zorder=0)
        pair = "pair, " if task == "relation" else ""
        box(4.3, y, f"{pair}tower: {task}", _COLOURS[task])
    ax.set(xlim=(-0.95, 5.2), ylim=(2.5, -0.5))
    ax.set_title("Every part of a row goes through the same encoder")
    ax.axis("off")
    return figure, (
        "Diagram: a user's history, the words of an item and those of "
        "another go through one encoder; from there lines lead to a tower "
        "for segments, one for categories, and, from both items, one for "
        "relations."
    )


def _rounded(
    x: float, y: float, width: float, height: float
) -> FancyBboxPatch:
    return FancyBboxPatch(
        (x, y),
        width,
        height,
        boxstyle="round,pad=0.02,rounding_size=0.12",
        facecolor=_GREY,
        edgecolor="none",
    )


def affinity_figure(
    table: pd.DataFrame, labels: str, added: str
) -> tuple[Figure, str]:
    """Draw which task pays for which: rows add, columns gain.

    Args:
        table: the frame of the results table ``world_classifier``.
        labels: "few" (of the task that is judged) or "all".
        added: "to one task" or "as the third".
    """
    start = {"to one task": "with ", "as the third": "last "}[added]
    losses = table[table["metric"] == "multiclass_log_loss"]
    found = {
        (row["question"], row["task"]): row
        for row in losses[losses["labels"] == labels].to_dict("records")
    }
    figure, ax = new_figure(size=(6.6, 3.2))
    values = np.full((len(TASKS), len(TASKS)), np.nan)
    words = []
    for i, source in enumerate(TASKS):
        for j, target in enumerate(TASKS):
            if source != target:
                row = found[start + source, target]
                values[i, j] = -row["difference"]
                words.append(row["verdict"])
                text = f"{values[i, j]:+.3f}\n{words[-1]}"
                ax.text(j, i, text, ha="center", va="center", fontsize=9)
    # The same scale in every picture, so that the dial compares.
    reach = 1.6 * float(losses["difference"].abs().max())
    limits = {"vmin": -reach, "vmax": reach}
    ax.imshow(values, cmap="PuOr", aspect="auto", **limits)
    ax.set_xticks(range(len(TASKS)), TASKS)
    ax.set_yticks(range(len(TASKS)), TASKS)
    ax.set(xlabel="task that is judged", ylabel="task that is added")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    helps, hurts = words.count("helps"), words.count("hurts")
    amount = {"few": "Few labels", "all": "All labels"}[labels]
    ax.set_title(
        f"{amount}, added {added}: {helps} of 6 help, {hurts} of 6 hurt"
    )
    return figure, (
        "Matrix of gains in log loss, added task by judged task, with "
        f"{labels} labels, added {added}: {helps} times helps, {hurts} times "
        f"hurts; gains go from {np.nanmin(values):.3f} to "
        f"{np.nanmax(values):.3f}."
    )


def score_figure(
    scores: Mapping[str, Mapping[str, float]],
    best: Mapping[str, float],
    title: str,
) -> tuple[Figure, str]:
    """Draw log losses of several models, a panel per task.

    Args:
        scores: model -> task -> log loss, first model at the top.
        best: task -> best possible log loss, where it is known.
        title: the finding.
    """
    models: Sequence[str] = list(scores)
    figure, axes = new_figure(
        1, len(TASKS), size=(6.6, 1.5 + 0.3 * len(models)), sharey=True
    )
    for ax, task in zip(axes, TASKS, strict=True):
        for place, model in enumerate(models):
            if task in scores[model]:
                ax.plot(
                    scores[model][task],
                    place,
                    marker="o",
                    color=_COLOURS[task],
                    linestyle="none",
                )
        if task in best:
            ax.axvline(best[task], color=BEST_COLOUR, lw=1.3, ls=(0, (5, 3)))
        ax.set_title(task, fontsize=10, color=NEUTRAL_COLOUR)
        ax.set_xlabel("log loss")
    axes[0].set_yticks(range(len(models)), models)
    axes[0].set_ylim(len(models) - 0.5, -0.5)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure, (
        f"Test log loss of {', '.join(models)} in three panels, one per "
        "task; a dashed line marks the best possible one where it is known."
    )
