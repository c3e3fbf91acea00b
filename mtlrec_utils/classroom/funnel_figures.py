"""Figures of the lesson on clicks that end in purchases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BEST_COLOUR, colour
from mtlrec_utils.data import World
from mtlrec_utils.evidence import auc, calibration_ratio

_GREY = "#606060"

#: Where a calibration is taken: column of the table -> words, colour, marker.
SPACES = {
    "clicked": ("clicked rows, policy", "#17508C", "o"),
    "random_clicked": ("clicked rows, shown at random", "#20917E", "^"),
    "entire": ("entire space, by the truth", "#7A2A10", "D"),
}


def expected_auc(scores: np.ndarray, chances: np.ndarray) -> float:
    """Return the AUC of scores [N] for labels drawn with chances [N]."""
    labels = np.repeat([1, 0], len(chances))
    return auc(labels, np.tile(scores, 2), np.r_[chances, 1 - chances])


def calibrations(results: pd.DataFrame) -> pd.DataFrame:
    """Return each model's calibration of purchases, from the stored table.

    Args:
        results: rows of one setting of the table "conversion_funnel".

    Returns:
        Indexed by model, in order of appearance, baselines first; the
        columns that ``calibration_figure`` reads.
    """
    rows = results.query("task == 'purchase'")
    names = [s + end for s in SPACES for end in ("", "_low", "_high")]
    found = []
    for side in ("baseline", "candidate"):
        columns = [f"{side}_{name}" for name in names]
        part = rows.set_index(f"{side}_model")[columns]
        found.append(part.set_axis(names, axis=1).rename_axis("model"))
    joined = pd.concat(found)
    return joined[~joined.index.duplicated()]


def perfect_on_clicked(world: World, n_rows: int = 100_000) -> dict:
    """Return the calibration of a model that is right on all clicked rows.

    Its predictions are the true chances among rows that were clicked. On
    clicked rows they are held against purchases, elsewhere against the
    chances if all rows had been clicked.

    Returns:
        Name of ``SPACES`` -> predicted over true purchases.
    """
    found, exposures = {}, {"clicked": "policy", "random_clicked": "random"}
    for space, exposure in exposures.items():
        rows = world.log(n_rows, domain="films", exposure=exposure)
        truth, known = world.truth(rows), rows["click"] == 1
        found[space] = calibration_ratio(
            rows["purchase"][known], truth["purchase_given_click"][known]
        )
    mean = truth.mean()
    found["entire"] = mean["purchase_given_click"] / mean["purchase"]
    return found


def funnel_figure() -> tuple[Figure, str]:
    """Draw ESMM: two towers, one product; return figure and alt text."""
    figure, ax = new_figure(size=(6.6, 2.6))

    def box(x: float, y: float, text: str, fill: str) -> None:
        look = {"boxstyle": "round,pad=0.45", "fc": fill, "ec": "none"}
        ax.text(x, y, text, ha="center", va="center", color="white", bbox=look)

    def line(start: tuple[float, float], end: tuple[float, float]) -> None:
        ax.plot(
            [start[0], end[0]],
            [start[1], end[1]],
            color="#b0b0b0",
            lw=1.5,
            zorder=0,
        )

    for y in (0.0, 2.0):
        line((0, 1), (1.7, y))
        line((1.7, y), (3.6, 1))
    box(0, 1, "embedding", _GREY)
    box(1.7, 0, "tower: pCTR", colour("click"))
    box(1.7, 2, "tower: pCVR", colour("purchase"))
    box(3.6, 1, "pCTCVR = pCTR × pCVR", _GREY)
    ax.text(2.5, 0, "loss: click, all rows", va="center")
    ax.text(2.5, 2, "no loss of its own", va="center")
    ax.text(3.6, 1.55, "loss: both, all rows", ha="center", va="center")
    ax.set(xlim=(-0.7, 4.9), ylim=(2.5, -0.5))
    ax.set_title("Both losses of ESMM run over all rows")
    ax.axis("off")
    return figure, (
        "Diagram: an embedding leads to two towers, for pCTR and pCVR; their "
        "product is pCTCVR. pCTR and the product have a loss on all rows, "
        "pCVR has none."
    )


def calibration_figure(
    rows: pd.DataFrame, perfect: float, title: str
) -> tuple[Figure, str]:
    """Draw each model's calibration in three spaces, with intervals.

    Args:
        rows: one per model, indexed by its name; per space of ``SPACES`` a
            column of its name, and two that end in ``_low`` and ``_high``.
        perfect: the ratio in the entire space of a model that is right on
            all clicked rows.
        title: the finding.
    """
    figure, ax = new_figure(size=(6.6, 1.8 + 0.42 * len(rows)))
    for place, (name, (words, shade, shape)) in enumerate(SPACES.items()):
        heights = [at + 0.22 * (place - 1) for at in range(len(rows))]
        ax.hlines(
            heights,
            rows[f"{name}_low"],
            rows[f"{name}_high"],
            color=shade,
            lw=2.2,
        )
        ax.plot(rows[name], heights, shape, color=shade, label=words)
    _ratio_lines(ax, perfect)
    ax.set_yticks(
        range(len(rows)), [str(n).replace("_", " ") for n in rows.index]
    )
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="predicted purchases over true ones (1: right on average)")
    ax.set_title(title)
    figure.legend(loc="outside lower left", ncols=2)
    middle = {words: rows[name].mean() for name, (words, *_) in SPACES.items()}
    return figure, (
        f"Calibration of {len(rows)} models, with intervals. Mean ratios: "
        + ", ".join(f"{words} {value:.2f}" for words, value in middle.items())
        + f"; a perfect model of clicked rows has {perfect:.2f} in the "
        "entire space."
    )


def _ratio_lines(ax: Axes, perfect: float) -> None:
    ax.axvline(1, color=BEST_COLOUR, lw=1.3, label="best possible score")
    ax.axvline(
        perfect,
        color=BEST_COLOUR,
        lw=1.3,
        linestyle=(0, (5, 3)),
        label="perfect on clicked rows",
    )


def hidden_cause_figure(
    ratios: Mapping[str, float], confounding: float
) -> tuple[Figure, str]:
    """Draw what a perfect model of clicked rows promises in each space.

    Args:
        ratios: name of ``SPACES`` -> predicted over true purchases.
        confounding: the dial's value, for the title.
    """
    figure, ax = new_figure(size=(6.6, 2.4))
    names = list(ratios)
    ax.barh(
        range(len(names)),
        [ratios[name] for name in names],
        color=[SPACES[name][1] for name in names],
    )
    for place, name in enumerate(names):
        ax.text(ratios[name] + 0.03, place, f"{ratios[name]:.2f}", va="center")
    ax.axvline(1, color=BEST_COLOUR, lw=1.3)
    ax.set_yticks(range(len(names)), [SPACES[name][0] for name in names])
    ax.set(
        xlim=(0, 2.6),
        ylim=(len(names) - 0.5, -0.5),
        xlabel="predicted purchases over true ones",
    )
    ax.grid(axis="y", visible=False)
    ax.set_title(f"Perfect on clicked rows; confounding {confounding:g}")
    return figure, (
        "Three bars, predicted over true purchases of a perfect model of "
        f"clicked rows at a hidden cause of {confounding:g}: "
        + ", ".join(f"{SPACES[n][0]} {ratios[n]:.2f}" for n in names)
        + "."
    )
