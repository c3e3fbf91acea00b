"""Figures of the lesson on content transfer: words, and no ids."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR

# Methods have no colour over the whole course; markers say the same.
LOOKS: Mapping[str, tuple[str, str]] = {
    "item mean": ("#707070", "v"),
    "ids and words": ("#C08A1E", "s"),
    "from scratch": ("#0072B2", "o"),
    "fine-tuned": ("#B92FC4", "D"),
}
PASTS: Mapping[str, tuple[str, str]] = {
    "films": ("#4B3B8F", "o"),
    "books": ("#B5691E", "s"),
}
DIALS = {"similarity": "similarity of tastes", "signal": "text signal"}
METRICS = {"gauc": "test GAUC in books", "auc": "test AUC in books"}


def towers_figure() -> tuple[Figure, str]:
    """Draw both towers: words in, one encoder, one number out."""
    figure, ax = new_figure(size=(8.2, 2.9))
    boxes = {
        "past": (0.0, 1.0, "words of six\nclicked films", "#4B3B8F"),
        "book": (0.0, 0.0, "words of\na book", "#B5691E"),
        "top": (1.15, 1.0, "encoder", "#404040"),
        "bottom": (1.15, 0.0, "encoder", "#404040"),
        "mean": (2.05, 1.0, "mean", "#404040"),
        "match": (3.1, 0.5, "match", "#404040"),
        "click": (4.0, 0.5, "click?", "#17508C"),
    }
    for x, y, label, fill in boxes.values():
        look = {"boxstyle": "round,pad=0.4", "fc": fill, "ec": "none"}
        ax.text(x, y, label, ha="center", va="center", color="w", bbox=look)
    for start, end in (
        ("past", "top"),
        ("book", "bottom"),
        ("top", "mean"),
        ("mean", "match"),
        ("bottom", "match"),
        ("match", "click"),
    ):
        (x, y), (to_x, to_y) = boxes[start][:2], boxes[end][:2]
        ax.plot([x, to_x], [y, to_y], color="#b0b0b0", zorder=0)
    ax.plot([1.15, 1.15], [0, 1], color="#b0b0b0", ls=":", zorder=0)
    ax.text(1.22, 0.5, "the same weights", va="center", fontsize=9)
    ax.set(xlim=(-0.6, 4.4), ylim=(-0.45, 1.45))
    ax.set_title("No id goes in, so none can be missing")
    ax.axis("off")
    return figure, (
        "Diagram: the words of six clicked films go through an encoder and "
        "are averaged, the words of a book go through the same encoder; both "
        "meet in a match that says whether the user clicks."
    )


def rows_figure(
    table: pd.DataFrame, title: str, metric: str = "gauc"
) -> tuple[Figure, str]:
    """Draw what models of books make of their rows, beside zero-shot.

    Args:
        table: the results ``content_transfer``.
        title: the finding.
        metric: "gauc" or "auc".
    """
    here = table.query("part == 'rows' and metric == @metric")
    figure, ax = new_figure(size=(7.8, 3.9))
    words = []
    for name, (tint, mark) in LOOKS.items():
        line = here[here["method"] == name].sort_values("rows")
        ax.errorbar(
            line["rows"],
            line["value"],
            yerr=[
                line["value"] - line["value_low"],
                line["value_high"] - line["value"],
            ],
            color=tint,
            marker=mark,
            elinewidth=1.0,
            label=name,
        )
        first, last = line["value"].iloc[0], line["value"].iloc[-1]
        words.append(f"{name} {first:.3f} to {last:.3f}")
    zero = here.loc[here["method"] == "zero-shot", "value"].mean()
    ax.axhline(zero, color="#009E73", lw=2.2, label="zero-shot, no row")
    ax.axhline(0.5, color=BASELINE_COLOUR, lw=1, ls=":", label="random")
    best_line(ax, here["best"].mean())
    ax.set_xscale("log")
    rows = sorted(here["rows"].unique())
    ax.set_xticks(rows, [f"{n:,}" for n in rows])
    ax.minorticks_off()
    ax.set(xlabel="rows of books", ylabel=METRICS[metric])
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        f"{METRICS[metric]} against the rows of books, from {rows[0]:,} to "
        f"{rows[-1]:,}: {'; '.join(words)}. Zero-shot, without a row, stands "
        f"at {zero:.3f}, the best possible score at "
        f"{here['best'].mean():.3f}."
    )


def dial_figure(
    table: pd.DataFrame, dial: str, metric: str
) -> tuple[Figure, str]:
    """Draw the zero-shot score in books against a dial of the world.

    Args:
        table: the results ``content_transfer``.
        dial: "similarity" or "signal".
        metric: "gauc" or "auc".
    """
    fixed = {"similarity": ("signal", 0.7), "signal": ("similarity", 0.9)}
    column, value = fixed[dial]
    here = table.query(
        "part == 'shop' and domain == 'books' and metric == @metric"
    )
    here = here[here[column] == value]
    figure, ax = new_figure(size=(7.2, 3.4))
    words = []
    for past, (tint, mark) in PASTS.items():
        line = here[here["past"] == past].sort_values(dial)
        ax.errorbar(
            line[dial],
            line["value"],
            yerr=[
                line["value"] - line["value_low"],
                line["value_high"] - line["value"],
            ],
            color=tint,
            marker=mark,
            capsize=3,
            label=f"past in {past}",
        )
        told = [
            f"{getattr(row, dial):g}: {row.value:.3f}, {row.verdict}"
            for row in line.itertuples()
        ]
        words.append(f"past in {past} at {'; '.join(told)}")
    ax.axhline(0.5, color=BASELINE_COLOUR, lw=1.5, ls=":", label="random")
    ax.set_xticks(sorted(here[dial].unique()))
    ax.set(xlabel=DIALS[dial], ylabel=METRICS[metric])
    ends = here[here["past"] == "films"].sort_values(dial)["verdict"]
    ax.set_title(f"Past in films, from left to right: {', '.join(ends)}")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        f"Zero-shot {METRICS[metric]} against the {DIALS[dial]}: "
        f"{'. '.join(words)}."
    )


def verdicts_by_rows(
    table: pd.DataFrame, method: str, metric: str = "gauc"
) -> str:
    """Say in words what a method does against zero-shot, by rows."""
    here = table.query(
        "part == 'rows' and metric == @metric and method == @method"
    ).sort_values("rows")
    return ", ".join(
        f"{row.verdict} at {row.rows:,}" for row in here.itertuples()
    )
