"""Figures of the capstone: arms of a test, their truth, and a reversal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR

LOOKS: Mapping[str, tuple[str, str]] = {
    "popular": (BASELINE_COLOUR, "o"),
    "neighbours": ("#C08A1E", "v"),
    "one model per task": ("#0072B2", "s"),
    "one per task, larger": ("#4B9CD3", "P"),
    "shared": ("#009E73", "D"),
    "shared, place": ("#B92FC4", "X"),
}


def looked_at_figure(chances: np.ndarray) -> tuple[Figure, str]:
    """Draw the chance that a place of the list is looked at.

    Args:
        chances: by place, the top first, [k].
    """
    figure, ax = new_figure(size=(5.6, 3.0))
    places = np.arange(1, len(chances) + 1)
    ax.bar(places, chances, color="#4B3B8F", width=0.6)
    ax.set_xticks(places)
    ax.set(xlabel="place in the list", ylabel="chance to be looked at")
    ax.set_ylim(0, 1.05)
    ax.set_title("Who stands below is seen less often")
    return figure, (
        "Chance that each place of the list is looked at: "
        + ", ".join(
            f"{p}: {c:.2f}" for p, c in zip(places, chances, strict=True)
        )
        + "."
    )


def arms_figure(
    online: pd.DataFrame, title: str, truth: Mapping[str, float] | None = None
) -> tuple[Figure, str]:
    """Draw every arm minus the control, with intervals and, if given, truth.

    Args:
        online: as from ``capstone.ab_test``.
        title: the finding.
        truth: arm -> true points per user minus those of the control.
    """
    arms = online[online["verdict"] != "control"]
    control = online.loc[online["verdict"] == "control", "arm"].iloc[0]
    figure, ax = new_figure(size=(7.0, 1.6 + 0.45 * len(arms)))
    names: list[str] = []
    words: list[str] = []
    for place, row in enumerate(arms.to_dict("records")):
        arm, word = str(row["arm"]), str(row["verdict"])
        middle, low, high = (
            float(row[name]) for name in ("difference", "low", "high")
        )
        tint, mark = LOOKS[arm]
        ax.errorbar(
            middle,
            place,
            xerr=[[middle - low], [high - middle]],
            color=tint,
            marker=mark,
            capsize=3,
        )
        if truth is not None:
            ax.plot(
                truth[arm],
                place + 0.25,
                color="#111111",
                marker="^",
                ls="none",
                label="the truth" if place == 0 else None,
            )
        names.append(f"{arm}: {word}")
        words.append(f"{arm} {middle:+.1f}, {word}")
    ax.axvline(0, color=BASELINE_COLOUR, lw=2.5)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(f"points per user minus those of “{control}”")
    ax.set_title(title)
    if truth is not None:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure, (
        f"Points per user minus those of {control}, with intervals: "
        f"{'; '.join(words)}."
    )


def tests_figure(
    tests: Mapping[int, pd.DataFrame],
    truth: Mapping[int, Mapping[str, float]],
    visits: int,
) -> tuple[Figure, str]:
    """Draw the test of one length; see ``arms_figure``.

    Args:
        tests: number of visits -> arms of a test of that length.
        truth: number of visits -> arm -> true difference per user.
        visits: which test.
    """
    online = tests[visits]
    told = int((~online["verdict"].isin(["control", "cannot tell"])).sum())
    return arms_figure(
        online,
        f"{visits:,} visits: {told} of {len(online) - 1} arms told apart",
        truth[visits],
    )


def reversal_figure(table: pd.DataFrame, title: str) -> tuple[Figure, str]:
    """Draw true points against the AUC of clicks, one mark per policy.

    Args:
        table: the results ``capstone``.
        title: the finding.
    """
    auc = _with_control(table, "metric == 'auc' and task == 'click'")
    points = _with_control(table, "metric == 'points' and shop == 'both'")
    figure, ax = new_figure(size=(7.0, 3.8))
    words = []
    for policy, (tint, mark) in LOOKS.items():
        ax.plot(
            auc[policy],
            points[policy],
            color=tint,
            marker=mark,
            ms=9,
            ls="none",
            label=policy,
        )
        words.append(f"{policy} AUC {auc[policy]:.3f}, {points[policy]:.2f}")
    best_line(ax, points["oracle"], label="best possible")
    ax.set(
        xlabel="AUC of clicks, future rows",
        ylabel="true points per visit",
    )
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        f"True points per visit against the AUC of clicks: {'; '.join(words)}"
        f"; the best possible is {points['oracle']:.2f} points."
    )


def _with_control(table: pd.DataFrame, rows: str) -> dict[str, float]:
    """Mean value of every policy; the control's stands beside each."""
    chosen = table.query(rows)
    means = chosen.groupby("policy")["value"].mean()
    found = {str(policy): float(value) for policy, value in means.items()}
    return found | {"popular": float(chosen["baseline"].mean())}
