"""Figures of the lesson on sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR

Floats = npt.NDArray[np.float64]

BEST, POPULAR, SHUFFLED = "best", "popular", ", shuffled"
# Networks differ in colour and marker; a control is the same, hollow.
_LOOKS = {
    "gru4rec": ("#0072B2", "s"),
    "sasrec": ("#B4500A", "o"),
    "item neighbours": ("#20705F", "^"),
    "last click's neighbours": ("#8A4FA3", "D"),
    POPULAR: (BASELINE_COLOUR, "v"),
}
NAMES = {"recall": "recall@20", "ndcg": "NDCG@20"}


def looking_back_figure() -> tuple[Figure, str]:
    """Draw who knows what: a recurrent chain beside a causal mask."""
    figure, (chain, mask) = new_figure(1, 2, size=(8.4, 3.2))
    _draw_chain(chain)
    size = 5
    seen = np.tril(np.ones((size, size)))
    mask.imshow(1 - seen, cmap="gray", vmin=-0.6, vmax=1.0)
    for row in range(size):
        for column in range(row + 1):
            mask.text(
                column, row, "sees", ha="center", va="center", color="white"
            )
    ticks = [f"click {i + 1}" for i in range(size)]
    mask.set_xticks(range(size), ticks)
    mask.set_yticks(range(size), ticks)
    mask.grid(visible=False)
    mask.set_title("Self-attentive: each place looks back")
    return figure, (
        "Left: five clicks, each updating one state that is handed on from "
        "left to right, with a prediction above every state. Right: a five "
        "by five grid; in the row of each click the cells of itself and of "
        "earlier clicks say 'sees', those of later clicks are empty."
    )


def _draw_chain(ax: Axes) -> None:
    for place in range(5):
        for height, text in (
            (0, f"click {place + 1}"),
            (1, "state"),
            (2, f"click {place + 2}?"),
        ):
            ax.text(
                place,
                height,
                text,
                ha="center",
                va="center",
                fontsize=9,
                bbox={
                    "boxstyle": "round,pad=0.3",
                    "facecolor": "#dfe8f2" if height == 1 else "white",
                    "edgecolor": "#606060",
                },
            )
        for low, high in ((0.2, 0.8), (1.2, 1.8)):
            _arrow(ax, (place, low), (place, high))
        if place:
            _arrow(ax, (place - 0.7, 1), (place - 0.3, 1))
    ax.set_xlim(-0.5, 4.5)
    ax.set_ylim(-0.4, 2.4)
    ax.set_axis_off()
    ax.set_title("Recurrent: one state is handed on")


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float]
) -> None:
    ax.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "->", "color": "#404040"},
    )


def scores_of(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Read every model's score of every seed from the results.

    Args:
        table: the results ``session_order``.
        measure: "recall" or "ndcg".

    Returns:
        Columns session_memory, model (networks on shuffled lists are called
        "..., shuffled"), mean, low and high (the worst and best seed).
    """
    rows = table[(table["part"] == POPULAR) & (table["measure"] == measure)]
    found = []
    for row in rows.to_dict("records"):
        scores = np.array([float(x) for x in str(row["scores"]).split()])
        ending = SHUFFLED if row["order"] == "shuffled" else ""
        found.append(
            (row["session_memory"], row["model"] + ending, *_ends(scores))
        )
    popular = rows.groupby("session_memory")["baseline"].first()
    found += [
        (m, POPULAR, value, value, value) for m, value in popular.items()
    ]
    return pd.DataFrame(
        found, columns=["session_memory", "model", "mean", "low", "high"]
    )


def _ends(scores: Floats) -> tuple[float, float, float]:
    return float(scores.mean()), float(scores.min()), float(scores.max())


def _look(name: str) -> dict[str, Any]:
    tint, mark = _LOOKS[name.removesuffix(SHUFFLED)]
    look: dict[str, Any] = {"color": tint, "marker": mark}
    if name.endswith(SHUFFLED):
        look |= {"linestyle": ":", "markerfacecolor": "white"}
    return look


def shop_figure(
    table: pd.DataFrame, session_memory: float, measure: str
) -> tuple[Figure, str]:
    """Draw all models at one strength of the memory, best model on top.

    Args:
        table: the results ``session_order``.
        session_memory: one of the table's.
        measure: "recall@20" or "NDCG@20".
    """
    key = next(key for key, name in NAMES.items() if name == measure)
    scores = scores_of(table, key)
    here = scores[scores["session_memory"] == session_memory]
    best = float(here.loc[here["model"] == BEST, "mean"].iloc[0])
    models = here[here["model"] != BEST].sort_values("mean")
    figure, ax = new_figure(size=(7.6, 3.6))
    values = models[["mean", "low", "high"]].to_numpy(float)
    for place, (name, (mean, low, high)) in enumerate(
        zip(models["model"], values, strict=True)
    ):
        look = _look(str(name)) | {"linestyle": "none"}
        ax.errorbar(
            mean,
            place,
            xerr=[[mean - low], [high - mean]],
            markersize=8,
            **look,
        )
    ax.set_yticks(range(len(models)), list(models["model"]))
    ax.set_xlim(
        0, 1.1 * float(scores.loc[scores["model"] == BEST, "mean"].max())
    )
    best_line(ax, best, horizontal=False)
    ax.set_xlabel(f"{measure}, mean and range of seeds")
    winner = models.iloc[-1]
    ax.set_title(
        f"Memory {session_memory:g}: {winner['model']} has the highest mean"
    )
    ax.legend(loc="upper left")
    return figure, (
        f"{measure} of seven models at session memory {session_memory:g}; "
        f"{winner['model']} leads with {winner['mean']:.3f}, the best "
        f"possible score is {best:.3f}."
    )


def attention_figure(
    weights: dict[str, Floats], title: str
) -> tuple[Figure, str]:
    """Draw how the last place weighs the clicks before it.

    Args:
        weights: name -> mean attention by age, [L], the last click first.
        title: the finding.
    """
    figure, ax = new_figure(size=(6.8, 3.2))
    looks = [("#B4500A", "o"), ("#404040", "s")]
    for (name, values), (tint, mark) in zip(
        weights.items(), looks, strict=False
    ):
        ages = np.arange(len(values))
        ax.plot(ages, values, color=tint, marker=mark, label=name)
    even = 1 / len(values)
    ax.axhline(even, color=BASELINE_COLOUR, linestyle=":", label="even")
    ax.set(xlabel="clicks ago (0 is the last one)", ylabel="mean attention")
    ax.set_ylim(bottom=0)
    ax.set_title(title)
    ax.legend()
    first = ", ".join(f"{n} {v[0]:.2f}" for n, v in weights.items())
    return figure, (
        "Mean attention of the last place by the age of a click, a line "
        f"each; on the last click itself: {first}; even would be {even:.2f}."
    )
