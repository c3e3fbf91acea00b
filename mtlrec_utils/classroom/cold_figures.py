"""Figures of the lesson on new users, new items and exploration."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR, BEST_COLOUR

Floats = npt.NDArray[np.float64]

KINDS = ("new item", "new user")
_LOOKS = {
    "item mean": (BASELINE_COLOUR, "v"),
    "ids": ("#1D4F91", "o"),
    "content": ("#C06A14", "s"),
    "both": ("#20917E", "^"),
    "both, id dropout": ("#A32CAE", "D"),
}
_POLICIES = ("#1D4F91", "#C06A14", "#20917E", "#A32CAE", BASELINE_COLOUR)
_LINES = ("-", "--", "-.", ":", (0, (1, 1)))


def tuned_settings(
    table: pd.DataFrame, model: str, text_signal: float = 0.7
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return what the search chose for a model: to build it, and to fit it.

    Args:
        table: the frame of the results table ``cold_start``.
        model: a name of the table, "ids" for one.
        text_signal: the world's dial: a value of the table.

    Raises:
        ValueError: a model that the table does not have.
    """
    here = table[table["text_signal"] == text_signal]
    for side in ("candidate", "baseline"):
        own = here[here[f"{side}_model"] == model]
        if len(own):
            row = own.iloc[0]
            return (
                {"tower_units": literal_eval(row[f"{side}_hidden"])},
                {"learning_rate": float(row[f"{side}_learning_rate"])},
            )
    raise ValueError(f"The table has no model {model!r}.")


def tower_figure() -> tuple[Figure, str]:
    """Draw one tower on day one and later."""
    figure, (left, right) = new_figure(1, 2, size=(6.6, 2.4))
    for ax, title, text, fill in (
        (left, "in use, later", "its embedding", "#1D4F91"),
        (right, "day one, and half of training", "zeros", "#8A8A8A"),
    ):
        for x, y, label, colour in (
            (0.0, 1.0, text, fill),
            (0.0, 0.0, "its words", "#C06A14"),
            (1.0, 0.5, "tower", "#404040"),
            (1.9, 0.5, "vector", "#404040"),
        ):
            look = {"boxstyle": "round,pad=0.4", "fc": colour, "ec": "none"}
            ax.text(
                x, y, label, ha="center", va="center", color="w", bbox=look
            )
        for start, end in (((0, 1), (1, 0.5)), ((0, 0), (1, 0.5))):
            ax.plot(*zip(start, end, strict=True), color="#b0b0b0", zorder=0)
        ax.plot([1, 1.9], [0.5, 0.5], color="#b0b0b0", zorder=0)
        ax.set(xlim=(-0.65, 2.3), ylim=(-0.4, 1.4))
        ax.set_title(title, fontsize=10)
        ax.axis("off")
    return figure, (
        "Diagram, twice: an item's id and its words go into a tower, which "
        "makes a vector. Later the id has an embedding; on day one, and in "
        "half of the training rows, zeros stand in its place."
    )


def known_figure(
    table: pd.DataFrame,
    text_signal: float,
    metric: str = "log_loss",
    models: Sequence[str] = tuple(_LOOKS),
) -> tuple[Figure, str]:
    """Draw the models' distance from the best against the known rows.

    Args:
        table: the frame of the results table ``cold_start``.
        text_signal: the world's dial: a value of the table.
        metric: "log_loss" or "auc".
        models: those to draw; "ids" and "both" among them.
    """
    here = table[
        (table["text_signal"] == text_signal) & (table["metric"] == metric)
    ]
    sign = 1 if metric == "log_loss" else -1
    figure, axes = new_figure(1, 2, size=(8.4, 3.5), sharey=True)
    cold: dict[str, float] = {}
    for ax, kind in zip(axes, KINDS, strict=True):
        rows = here[here["kind"] == kind]
        order = list(dict.fromkeys(rows["known"]))
        for name in models:
            colour, marker = _LOOKS[name]
            gap = _gaps(rows, name, sign).reindex(order)
            ax.plot(
                range(len(order)),
                gap,
                color=colour,
                marker=marker,
                label=name,
            )
            if kind == "new item":
                cold[name] = float(gap.iloc[0])
        ax.axhline(0, color=BEST_COLOUR, lw=1.3, ls=(0, (5, 3)))
        ax.set_xticks(range(len(order)), order)
        ax.set_xlabel(f"known rows of the {kind.removeprefix('new ')}")
        ax.set_title(f"{kind}s", fontsize=10)
    shown = metric.replace("_", " ").replace("auc", "AUC")
    axes[0].set_ylabel(f"{shown}, distance from the best")
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(
        f"Text signal {text_signal:g}: on new items ids are "
        f"{cold['ids']:.3f} from the best, both {cold['both']:.3f}",
        x=0.01,
        ha="left",
        fontsize=11,
        fontweight="bold",
    )
    told = ", ".join(f"{name} {gap:.3f}" for name, gap in cold.items())
    return figure, (
        f"Distance of test {shown} from the best possible against the number "
        f"of known rows, text signal {text_signal:g}, a panel for items and "
        f"one for users. Items never seen: {told}."
    )


def _gaps(rows: pd.DataFrame, name: str, sign: int) -> pd.Series:
    """Return a model's distance from the best per number of known rows."""
    for side in ("candidate", "baseline"):
        own = rows[rows[f"{side}_model"] == name]
        if len(own):
            own = own.drop_duplicates("known").set_index("known")
            return sign * (own[side] - own["best"])
    raise ValueError(f"The table has no model {name!r}.")


def regret_figure(
    regrets: Mapping[str, Floats], title: str
) -> tuple[Figure, str]:
    """Draw the clicks lost so far by each policy, with a 95 % band.

    Args:
        regrets: policy -> [R, T], from ``exploration.regret``.
        title: the finding.
    """
    figure, ax = new_figure(size=(6.6, 3.5))
    ends = []
    for place, (name, values) in enumerate(regrets.items()):
        mean = values.mean(axis=0)
        reach = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
        rounds = np.arange(1, len(mean) + 1)
        look = {"color": _POLICIES[place % len(_POLICIES)]}
        line = _LINES[place % len(_LINES)]
        ax.plot(rounds, mean, ls=line, label=name, **look)
        ax.fill_between(
            rounds, mean - reach, mean + reach, alpha=0.15, lw=0, **look
        )
        ends.append(f"{name} {mean[-1]:.1f}")
    ax.set(xlabel="visitors so far", ylabel="clicks lost so far (regret)")
    ax.set_title(title)
    ax.legend()
    return figure, (
        "Regret against the number of visitors, with 95 % bands over runs. "
        f"At the end: {', '.join(ends)} clicks lost."
    )
