"""Pictures of lesson 03: what metrics promise, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR, BEST_COLOUR
from mtlrec_utils.evidence import CalibrationBins, sampled_hit_rate

_FIRST = {"color": "#17508C", "marker": "o"}
_SECOND = {"color": "#C0541E", "marker": "s"}
_NEGATIVES = (1, 3, 10, 30, 60, 100, 150, 200, 300, 450, 600, 800, 999)


def reversal_figure(
    share_at_top: float = 0.1, rank_of_b: int = 30, k: int = 10
) -> tuple[Figure, str]:
    """Draw Hit@k of two models against the number of sampled negatives.

    Of 1,000 items, model A puts the right one first for some users and at
    500 for the others; model B puts it at the same rank for everybody.

    Args:
        share_at_top: Share of the users whom A serves perfectly.
        rank_of_b: Rank that B reaches for everybody.
        k: Length of the list.

    Returns:
        The figure and its description.
    """
    ranks = np.array([1, 500, rank_of_b])
    hit = np.array([sampled_hit_rate(ranks, 1000, m, k) for m in _NEGATIVES])
    of_a = share_at_top * hit[:, 0] + (1 - share_at_top) * hit[:, 1]
    of_b = hit[:, 2]
    figure, ax = new_figure(size=(6.8, 3.5))
    ax.plot(_NEGATIVES, of_a, label="A: perfect for some", **_FIRST)
    ax.plot(_NEGATIVES, of_b, label=f"B: rank {rank_of_b} for all", **_SECOND)
    ax.set(xscale="log", ylim=(-0.03, 1.05))
    ax.set_xticks([1, 10, 100, 999], ["1", "10", "100", "999 (all)"])
    ax.minorticks_off()
    ax.set_xlabel("sampled negatives")
    ax.set_ylabel(f"expected Hit@{k}")
    m = _NEGATIVES.index(100)
    sampled, exact = ("A" if a > b else "B" for a, b in
                      ((of_a[m], of_b[m]), (of_a[-1], of_b[-1])))  # fmt: skip
    ax.set_title(f"With 100 negatives {sampled} wins, with all items {exact}")
    ax.legend()
    return figure, (
        f"Expected Hit@{k} of two models against the number of sampled "
        f"negatives: with 100, A has {of_a[m]:.2f} and B {of_b[m]:.2f}; with "
        f"all 999, A has {of_a[-1]:.2f} and B {of_b[-1]:.2f}."
    )


def promises_figure(table: pd.DataFrame) -> tuple[Figure, str]:
    """Draw what each leak promises, and what is kept of it.

    Args:
        table: Index: the leak; columns promised, kept: AUC.

    Returns:
        The figure and its description.
    """
    figure, ax = new_figure(size=(6.8, 1.4 + 0.5 * len(table)))
    for place, (_, row) in enumerate(table.iterrows()):
        ax.plot([row["kept"], row["promised"]], [place] * 2,
                color="#b0b0b0", zorder=1)  # fmt: skip
        ax.plot(row["promised"], place, **_SECOND, markersize=8,
                label=None if place else "promised")  # fmt: skip
        ax.plot(row["kept"], place, **_FIRST, markersize=8,
                label=None if place else "kept")  # fmt: skip
        ax.annotate(
            f"{row['promised'] - row['kept']:+.3f}",
            (row["promised"], place),
            xytext=(8, -3),
            textcoords="offset points",
        )
    ax.axvline(0.5, color=BASELINE_COLOUR, linestyle=":", zorder=0)
    ax.set_yticks(range(len(table)), list(table.index))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.margins(x=0.2)
    ax.set_xlabel("AUC; chance is the dotted line")
    ax.set_title("Three leaks, each better than what is true")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    values = "; ".join(
        f"{name} promised {row['promised']:.3f}, kept {row['kept']:.3f}"
        for name, row in table.iterrows()
    )
    return figure, f"Promised and kept AUC of three leaks: {values}."


def calibration_figure(
    bins: Mapping[str, CalibrationBins], finding: str
) -> tuple[Figure, str]:
    """Draw observed rates against predicted probabilities.

    Args:
        bins: Name -> bins of ``calibration_bins``; one or two names.
        finding: The title.

    Returns:
        The figure and its description.
    """
    figure, ax = new_figure(size=(5.2, 3.8))
    reach = 0.0
    looks = (_SECOND, _FIRST)
    for (name, found), look in zip(bins.items(), looks, strict=False):
        ax.plot(found.predicted, found.observed, label=name, **look)
        reach = max(reach, found.predicted.max(), found.observed.max())
    ax.plot([0, reach], [0, reach], color=BEST_COLOUR, linestyle=(0, (5, 3)),
            linewidth=1.3, label="as promised")  # fmt: skip
    ax.set(xlabel="predicted probability, mean of a tenth of the rows")
    ax.set_ylabel("share of clicks in these rows")
    ax.set_title(finding)
    ax.legend()
    return figure, (
        f"{finding}. Observed against predicted rates of "
        f"{' and '.join(bins)}, in tenths of the rows, beside the diagonal."
    )


def power_figure(
    n_users: ArrayLike, told: ArrayLike, formula: ArrayLike, needed: int
) -> tuple[Figure, str]:
    """Draw how often a difference is told from luck.

    Args:
        n_users: Numbers of users, [n].
        told: Share of samples in which the verdict was "helps", [n].
        formula: What the normal approximation says, [n].
        needed: Users for a power of 0.8.

    Returns:
        The figure and its description.
    """
    x, y = np.asarray(n_users, float), np.asarray(told, float)
    figure, ax = new_figure(size=(6.4, 3.4))
    ax.plot(x, np.asarray(formula), color=BEST_COLOUR, linestyle=(0, (5, 3)),
            linewidth=1.3, label="formula")  # fmt: skip
    ax.plot(x, y, linestyle="none", label="drawn users", **_FIRST)
    ax.axhline(0.8, color=BASELINE_COLOUR, linestyle=":")
    ax.set(xscale="log", ylim=(0, 1.05), xlabel="test users")
    ax.set_xticks(x, [f"{n:,.0f}" for n in x])
    ax.minorticks_off()
    ax.set_ylabel("share of verdicts “helps”")
    ax.set_title(f"About {needed:,} users tell this difference from luck")
    ax.legend(loc="upper left")
    pairs = ", ".join(
        f"{n:,.0f} users {v:.2f}" for n, v in zip(x, y, strict=True)
    )
    return figure, (
        f"Share of samples with the verdict helps against test users: {pairs};"
        f" the formula needs {needed:,} users for a share of 0.8."
    )
