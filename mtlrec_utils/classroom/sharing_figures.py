"""Pictures of lesson 09: the model, and what sharing gains."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    BEST_COLOUR,
    colour,
    style,
)

#: Far from 0 on either side, the taste behind clicks says much about likes.
_LOOKS: dict[float, dict[str, Any]] = {
    0.9: {"color": "#17508C", "marker": "o"},
    0.5: {"color": "#20917E", "marker": "^"},
    0.0: {"color": "#707070", "marker": "D"},
    -0.9: {"color": "#C0541E", "marker": "s"},
}


def shared_bottom_figure() -> tuple[Figure, str]:
    """Draw the shared-bottom model of click and like; return its alt too."""
    figure, ax = new_figure(size=(6.6, 2.3))
    boxes = {
        "ids": (0, 1, BASELINE_COLOUR),
        "embedding": (1.5, 1, BASELINE_COLOUR),
        "bottom": (3, 1, colour("shared_bottom")),
        "tower click": (4.5, 1.7, colour("click")),
        "tower like": (4.5, 0.3, colour("like")),
        "P(click)": (6, 1.7, colour("click")),
        "P(like | click)": (6, 0.3, colour("like")),
    }
    lines = [
        ("ids", "embedding"),
        ("embedding", "bottom"),
        ("bottom", "tower click"),
        ("bottom", "tower like"),
        ("tower click", "P(click)"),
        ("tower like", "P(like | click)"),
    ]
    for start, end in lines:
        xs, ys, _ = zip(boxes[start], boxes[end], strict=True)
        ax.plot(xs, ys, color="#909090", zorder=0)
    for text, (x, y, fill) in boxes.items():
        ax.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            color="white",
            weight="bold",
            fontsize=9,
            bbox={"boxstyle": "round,pad=0.5", "fc": fill, "ec": fill},
        )
    ax.set(xlim=(-0.4, 6.8), ylim=(-0.1, 2.1))
    ax.set_title("One bottom, two towers")
    ax.axis("off")
    return figure, (
        "Diagram: ids lead to one embedding and one bottom; from there one "
        "tower leads to the click, another to the like."
    )


def cell_figure(
    table: pd.DataFrame, task_correlation: float, likes: str
) -> tuple[Figure, str]:
    """Draw one cell of the grid: both tasks, both models, the best score.

    Args:
        table: the results ``gain_of_sharing``.
        task_correlation: which cell.
        likes: which cell: "300", ..., "all".

    Returns:
        The figure and its description.
    """
    chosen = (table["task_correlation"] == task_correlation) & (
        table["likes"] == likes
    )
    rows = table[chosen].set_index("task")
    figure, ax = new_figure(size=(7.2, 2.5))
    words = []
    for place, task in enumerate(("click", "like")):
        row = rows.loc[task]
        for model in ("single_task", "shared_bottom"):
            look = style(model)
            if place:
                look.pop("label")
            ax.plot(row[model], place, linestyle="none", **look)
        ax.plot(
            [row["best"]] * 2,
            [place - 0.25, place + 0.25],
            color=BEST_COLOUR,
            linestyle=(0, (5, 3)),
            linewidth=1.3,
            label=None if place else "best possible",
        )
        change = f"{row['difference']:+.3f}".replace("-", "−")
        words.append(f"{task}s {change}, {row['verdict']}")
        ax.text(0.505, place, words[-1], va="center")
    ax.set(xlim=(0.5, 0.9), ylim=(1.6, -0.6), yticks=[], xlabel="test AUC")
    where = f"correlation {_signed(task_correlation)}, {likes} likes"
    ax.set_title(f"Sharing at {where}")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        f"Test AUC of the single-task and the shared model at {where}, beside "
        f"the best possible: {'; '.join(words)}."
    )


def gain_figure(
    table: pd.DataFrame,
    *,
    task: str = "like",
    shown: float = 0.9,
) -> tuple[Figure, str]:
    """Draw scores at one correlation, and gains at all of them.

    Args:
        table: the results ``gain_of_sharing``.
        task: whose scores and gains.
        shown: the task correlation of the left panel.

    Returns:
        The figure and its description.
    """
    rows = table[table["task"] == task]
    figure, (left, right) = new_figure(1, 2, size=(9.4, 3.9))
    chosen = rows[rows["task_correlation"] == shown]
    for model in ("single_task", "shared_bottom"):
        left.plot(chosen["n_likes"], chosen[model], **style(model))
    best_line(left, chosen["best"].mean())
    left.set_title(f"Scores at task correlation {_signed(shown)}")
    left.set_ylabel(f"test AUC of {task}, mean of worlds")
    left.legend(loc="upper left", bbox_to_anchor=(0, 0.9))
    right.axhline(0, color=BEST_COLOUR, linewidth=1.2, zorder=1)
    for place, (correlation, look) in enumerate(_LOOKS.items()):
        line = rows[rows["task_correlation"] == correlation]
        # Beside one another, so that no interval hides another.
        x = line["n_likes"] * 1.045 ** (place - 1.5)
        reach = [
            line["difference"] - line["low"],
            line["high"] - line["difference"],
        ]
        right.errorbar(
            x,
            line["difference"],
            yerr=reach,
            label=_signed(correlation),
            capsize=2.5,
            elinewidth=1.2,
            **look,
        )
    right.set_title("Gain of the shared model")
    right.set_ylabel(f"difference of {task} AUC, 95 % interval")
    right.legend(title="task correlation", ncols=2, loc="upper right")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlabel("likes known in training")
        ax.set_xticks(chosen["n_likes"], _counts(chosen))
        ax.minorticks_off()
    finding = _finding(rows, task)
    figure.suptitle(finding, x=0.01, ha="left", size=12)
    return figure, (
        f"{finding}. Left: {task} AUC of both models against the number of "
        "likes, below the best possible score. Right: the gain of sharing "
        "with intervals, one line per task correlation."
    )


def _finding(rows: pd.DataFrame, task: str) -> str:
    """Say what the verdicts of all cells add up to."""
    found = rows["verdict"].value_counts()
    counts = ", ".join(
        f"{word} in {found[word]}"
        for word in ("helps", "hurts", "cannot tell")
        if word in found
    )
    worlds = rows["worlds"].min()
    return (
        f"Sharing a bottom with clicks, {task}s: {counts} of {len(rows)} "
        f"settings ({worlds} worlds each)"
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−") if value else "0"


def _counts(rows: pd.DataFrame) -> list[str]:
    return [
        f"all ({n:,})" if likes == "all" else f"{n:,}"
        for likes, n in zip(rows["likes"], rows["n_likes"], strict=True)
    ]
