"""The few chart forms that lessons share.

Each returns a figure; ``show(figure, alt)`` displays it.  The title is the
finding, so the caller writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BEST_COLOUR,
    COLOURS,
    MARKERS,
    NEUTRAL_COLOUR,
    style,
)


def best_line(
    ax: Axes,
    value: float,
    *,
    label: str = "best possible score",
    horizontal: bool = True,
) -> None:
    """Draw the score that a model knowing the truth would reach."""
    line = ax.axhline if horizontal else ax.axvline
    line(
        float(value),
        color=BEST_COLOUR,
        linestyle=(0, (5, 3)),
        linewidth=1.3,
        label=label,
        zorder=1,
    )


def intervals_plot(
    table: pd.DataFrame,
    *,
    title: str,
    x_label: str,
    label: str | Sequence[str] = "task",
    colour_by: str | None = None,
) -> Figure:
    """Draw one difference with its interval per row, and the zero line.

    Args:
        table: one row per comparison, in the order from top to bottom, with
            the columns ``difference``, ``low`` and ``high``, and optionally
            ``verdict``, whose words are written at the right.
        title: the finding, as a sentence.
        x_label: what the difference is, with its unit.
        label: the column (or columns) that names a row.
        colour_by: the column whose value picks the colour; by default the
            first label column.

    Raises:
        ValueError: a column is missing, the table is empty, or a ``low`` lies
            above its ``high``.
    """
    labels = [label] if isinstance(label, str) else list(label)
    colour_by = colour_by or labels[0]
    _require_rows(
        table, ["difference", "low", "high", *labels, colour_by], "intervals"
    )
    if (table["low"] > table["high"]).any():
        raise ValueError(
            "In the table of differences a value of 'low' lies above 'high'."
        )
    figure, ax = new_figure(size=(6.6, 1.3 + 0.36 * len(table)))
    names = []
    for place, (_, row) in enumerate(table.iterrows()):
        key = str(row[colour_by])
        ax.plot(
            [row["low"], row["high"]],
            [place, place],
            color=COLOURS.get(key, NEUTRAL_COLOUR),
            linewidth=2.4,
            solid_capstyle="butt",
        )
        ax.plot(
            row["difference"],
            place,
            marker=MARKERS.get(key, "o"),
            color=COLOURS.get(key, NEUTRAL_COLOUR),
            markersize=7,
            linestyle="none",
        )
        names.append(" · ".join(_words(row[name]) for name in labels))
    ax.axvline(0, color=BEST_COLOUR, linewidth=1.2, zorder=1)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_title(title)
    ax.set_xlabel(x_label)
    if "verdict" in table:
        right = ax.secondary_yaxis("right")
        right.set_yticks(range(len(names)), list(table["verdict"]))
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)
    return figure


def learning_curves(
    table: pd.DataFrame,
    *,
    x: str,
    title: str,
    x_label: str,
    y_label: str,
    y: str = "value",
    series: str = "model",
    log_x: bool = False,
    best: float | None = None,
) -> Figure:
    """Draw ``y`` against ``x``, one line per value of ``series``.

    Args:
        table: one row per point; the columns ``low`` and ``high``, where
            present, are drawn as the interval of each point.
        title: the finding, as a sentence.
        log_x: use a logarithmic x axis.
        best: the best possible score, drawn as a line.

    Raises:
        ValueError: a column is missing or the table is empty.
    """
    _require_rows(table, [x, y, series], "learning curves")
    banded = {"low", "high"} <= set(table.columns)
    figure, ax = new_figure()
    for name, points in table.groupby(series, sort=False):
        key = str(name)
        points = points.sort_values(x)
        look: dict[str, Any] = (
            style(key) if key in COLOURS else {"label": _words(name)}
        )
        (line,) = ax.plot(points[x], points[y], **look)
        if banded:
            ax.fill_between(
                points[x],
                points["low"],
                points["high"],
                color=line.get_color(),
                alpha=0.16,
                linewidth=0,
            )
    if best is not None:
        best_line(ax, best)
    if log_x:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_title(title)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.legend()
    return figure


def heat_map(
    values: Any,
    rows: Sequence[Any],
    columns: Sequence[Any],
    *,
    title: str,
    x_label: str = "",
    y_label: str = "",
    value_label: str = "",
    limits: tuple[float, float] | None = None,
    decimals: int = 2,
) -> Figure:
    """Draw a matrix [rows, columns] with each value written in its cell.

    ``limits`` fixes the ends of the colour scale; by default they are the
    smallest and the largest value.

    Raises:
        ValueError: the shape of ``values`` does not fit the names.
    """
    matrix = np.asarray(values, dtype=float)
    if matrix.shape != (len(rows), len(columns)):
        raise ValueError(
            f"heat_map got values of shape {matrix.shape} for {len(rows)} "
            f"row names and {len(columns)} column names."
        )
    low, high = limits or (float(matrix.min()), float(matrix.max()))
    size = (1.9 + 0.62 * len(columns), 1.4 + 0.36 * len(rows))
    figure, ax = new_figure(size=(max(size[0], 4.6), max(size[1], 2.4)))
    image = ax.imshow(
        matrix, cmap="cividis", vmin=low, vmax=high, aspect="auto"
    )
    for (row, column), value in np.ndenumerate(matrix):
        share = (value - low) / (high - low) if high > low else 0.0
        ax.text(
            column,
            row,
            f"{value:.{decimals}f}",
            ha="center",
            va="center",
            fontsize=9,
            color="black" if share > 0.55 else "white",
        )
    ax.set_xticks(range(len(columns)), [_words(name) for name in columns])
    ax.set_yticks(range(len(rows)), [_words(name) for name in rows])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    figure.colorbar(image, ax=ax, label=value_label)
    return figure


def _words(name: Any) -> str:
    return str(name).replace("_", " ")


def _require_rows(
    table: pd.DataFrame, columns: Sequence[str], what: str
) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(
            f"The table of {what} has no column {missing[0]!r}; it has "
            f"{', '.join(map(str, table.columns)) or 'none'}."
        )
    if table.empty:
        raise ValueError(f"The table of {what} has no rows.")
