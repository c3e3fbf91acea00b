"""Figures of the lesson on serving: guesses, losses, attacks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR, BEST_COLOUR
from mtlrec_utils.evidence.attacks import guesses_left

BEFORE, AFTER = "#B45A00", "#0072B2"
# defence -> colour, marker
LOOKS = {
    "none": (BEFORE, "o"),
    "early stopping": (AFTER, "s"),
    "dropout": ("#009E73", "^"),
    "cap": (AFTER, "s"),
    "trust": ("#009E73", "^"),
}
HOUR, DAY, YEAR = 3600.0, 86_400.0, 365.25 * 86_400.0
ALPHABET = 64


def guesses_figure(
    free: int = 5, first: float = 1.0, longest: float = HOUR, rate: int = 200
) -> tuple[Figure, str]:
    """Draw how many guesses a rate limit and a lock-out leave over time.

    Args:
        free: wrong guesses before the first lock.
        first: its seconds; each later lock is twice as long.
        longest: seconds of the longest.
        rate: requests per second without a lock.
    """
    seconds = np.logspace(0, np.log10(YEAR), 200)
    locked = [guesses_left(s, free, first, longest) for s in seconds]
    figure, ax = new_figure(size=(6.6, 3.4))
    ax.loglog(seconds, rate * seconds, color=BEFORE, ls="--")
    ax.loglog(seconds, locked, color=AFTER)
    ax.text(HOUR, rate * HOUR * 3, "rate limit only", color=BEFORE, ha="right")
    ax.text(DAY, locked[-1] * 3, "growing lock-out", color=AFTER, ha="right")
    ax.set_xticks(
        [1, 60, HOUR, DAY, YEAR], ["1 s", "1 min", "1 h", "1 d", "1 y"]
    )
    ax.minorticks_off()
    ax.set(xlabel="time of guessing", ylabel="guesses")
    ax.set_title(f"A year of guessing: {locked[-1]:,} guesses are left")
    return figure, (
        "Guesses against time on logarithmic axes. With a rate limit only "
        f"they grow in proportion to time, {rate * YEAR:.1e} in a year; "
        f"with a growing lock-out {locked[-1]:,} are left."
    )


def chance_figure(length: int, lock: str) -> tuple[Figure, str]:
    """Draw the chance that a token is guessed, against time.

    Args:
        length: characters of a token, of 64 different ones.
        lock: "none" (200 guesses a second) or "growing".
    """
    seconds = np.logspace(0, np.log10(100 * YEAR), 200)
    guesses = 200.0 * seconds
    if lock == "growing":
        guesses = np.array([guesses_left(s, 5, 1.0, HOUR) for s in seconds])
    possible = float(ALPHABET) ** length
    chance = np.minimum(guesses / possible, 1.0)
    figure, ax = new_figure(size=(6.6, 3.2))
    ax.loglog(seconds, chance, color=AFTER if lock == "growing" else BEFORE)
    ax.axhline(1.0, color=BASELINE_COLOUR, lw=1)
    ax.set_ylim(float(chance.min()) / 10, 10)
    ax.set_xticks(
        [1, 60, HOUR, DAY, YEAR], ["1 s", "1 min", "1 h", "1 d", "1 y"]
    )
    ax.minorticks_off()
    ax.set(xlabel="time of guessing", ylabel="chance of a hit")
    year = float(np.interp(YEAR, seconds, chance))
    told = "certain" if year >= 1 else f"{year:.0e}"
    ax.set_title(f"{length} characters, lock-out {lock}: {told} in a year")
    return figure, (
        f"Chance of guessing a token of {length} characters against time, "
        f"lock-out {lock}: {told} within a year."
    )


def losses_figure(
    members: npt.ArrayLike, others: npt.ArrayLike, title: str
) -> tuple[Figure, str]:
    """Draw the losses of rows that were trained on, and of others.

    Args:
        members: losses, [M].
        others: losses, [K].
        title: the finding.
    """
    inside, outside = np.asarray(members), np.asarray(others)
    top = float(np.quantile(np.concatenate([inside, outside]), 0.98))
    edges = np.linspace(0, top, 40)
    figure, ax = new_figure(size=(6.6, 3.2))
    for losses, colour, name, kind in (
        (inside, BEFORE, "trained on", "stepfilled"),
        (outside, AFTER, "never seen", "step"),
    ):
        ax.hist(
            np.minimum(losses, top),
            edges,
            density=True,
            histtype=kind,
            alpha=0.5 if kind == "stepfilled" else 1.0,
            color=colour,
            lw=2,
            label=name,
        )
    ax.set(xlabel="loss of a row", ylabel="density")
    ax.set_title(title)
    ax.legend()
    return figure, (
        "Densities of the losses of rows the model was trained on and of "
        f"rows it never saw; medians {np.median(inside):.2f} and "
        f"{np.median(outside):.2f}."
    )


def attacks_figure(table: pd.DataFrame, title: str) -> tuple[Figure, str]:
    """Draw three attacks before and after their defences.

    Args:
        table: the results ``attacks_23``.
        title: the finding.
    """
    figure, axes = new_figure(1, 3, size=(10.4, 3.9))
    words = [
        _membership(axes[0], table.query("attack == 'membership'")),
        _extraction(axes[1], table.query("attack == 'extraction'")),
        _shilling(axes[2], table.query("attack == 'shilling'")),
    ]
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        "Three panels of attacks with intervals over five worlds, before and "
        f"after defences. {' '.join(words)}"
    )


def _points(ax: Axes, rows: pd.DataFrame, places: dict[str, int]) -> None:
    """Draw values with intervals, one row of the panel per setting."""
    defences = list(rows["defence"].unique())
    for k, defence in enumerate(defences):
        part = rows[rows["defence"] == defence]
        tint, mark = LOOKS[defence]
        height = [
            places[s] + 0.2 * (k - (len(defences) - 1) / 2)
            for s in part["setting"]
        ]
        ax.errorbar(
            part["value"],
            height,
            xerr=[
                part["value"] - part["value_low"],
                part["value_high"] - part["value"],
            ],
            color=tint,
            marker=mark,
            ls="none",
            capsize=3,
            label="no defence" if defence == "none" else defence,
        )
    ax.set_ylim(len(places) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)


def _membership(ax: Axes, rows: pd.DataFrame) -> str:
    names = {
        "click, loss": "click",
        "click, calibrated": "click,\nshadow",
        "like, loss": "like",
        "like, calibrated": "like,\nshadow",
    }
    shown = rows[rows["setting"].isin(names)]
    _points(ax, shown, {name: k for k, name in enumerate(names)})
    ax.set_yticks(range(len(names)), list(names.values()))
    ax.axvline(0.5, color=BEST_COLOUR, lw=1)
    ax.set_xlabel("AUC of the attacker, 0.5 is chance")
    ax.set_title("Membership")
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.4, -0.2),
        ncols=3,
        columnspacing=0.8,
        handletextpad=0.2,
    )
    first = shown[shown["setting"] == "click, loss"]
    told = [f"{r.defence} {r.value:.2f}" for r in first.itertuples()]
    return f"Membership of clicks: {', '.join(told)}."


def _extraction(ax: Axes, rows: pd.DataFrame) -> str:
    budget = rows["setting"].astype(float)
    ax.plot(budget, rows["value"], color=BEFORE, marker="o")
    ax.fill_between(
        budget,
        rows["value_low"],
        rows["value_high"],
        color=BEFORE,
        alpha=0.16,
        lw=0,
    )
    ax.axhline(0, color=BEST_COLOUR, lw=1)
    ax.set_xscale("log")
    ax.set_ylim(top=1.0)
    ax.set_xlabel("questions that the budget allows")
    ax.set_title("Extraction: R² of the copy")
    first, last = rows["value"].iloc[0], rows["value"].iloc[-1]
    return (
        f"Extraction: R² {first:.2f} after {budget.iloc[0]:,.0f} questions, "
        f"{last:.2f} after {budget.iloc[-1]:,.0f}."
    )


def _shilling(ax: Axes, rows: pd.DataFrame) -> str:
    names = {"loud": "3 loud\nusers", "quiet": "30 quiet\nusers"}
    _points(ax, rows, {name: k for k, name in enumerate(names)})
    ax.set_yticks(range(len(names)), list(names.values()))
    clean = float(rows["clean"].iloc[0])
    ax.axvline(clean, color=BEST_COLOUR, lw=1)
    ax.text(clean, -0.55, " no attack", fontsize=9, va="top", ha="right")
    ax.set_xlabel("mean rank of the pushed item")
    ax.set_title("Shilling")
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.4, -0.2),
        ncols=3,
        columnspacing=0.8,
        handletextpad=0.2,
    )
    told = [
        f"{r.setting}, {r.defence} {r.value:.0f}" for r in rows.itertuples()
    ]
    return f"Mean rank without an attack {clean:.0f}; {'; '.join(told)}."
