"""Checks of lesson 06: an interest without the future, pairs, a cross."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "06.1",
    hints=[
        "A running sum per user counts clicks up to and with the row: "
        '`rows.groupby("user")["click"].cumsum()`. Take the row\'s own off.',
        "The same by user and genre is the numerator.",
        "Where a user has no earlier click, both are 0: divide by at least 1.",
    ],
)
def genre_share(answer: Callable[..., Any]) -> None:
    """Check the past, the row itself, the users and the empty past."""
    users = np.array([0, 0, 1, 0, 1, 0, 0])
    genres = np.array(["a", "a", "a", "b", "b", "a", "a"])
    clicks = np.array([1, 1, 1, 1, 1, 0, 1])
    wanted = np.array([0, 1, 0, 0, 0, 2 / 3, 2 / 3])

    def found(clicks: npt.NDArray) -> Floats:
        with np.errstate(all="ignore"):
            value = answer(users.copy(), genres.copy(), clicks.copy())
        value = np.asarray(value, dtype=float)
        if value.shape != (7,):
            raise NotYet(
                f"There are 7 rows, so 7 shares; the shape is {value.shape}."
            )
        return value

    value = found(clicks)
    for row in reversed(range(7)):
        turned = clicks.copy()
        turned[row] = 1 - turned[row]
        changed = ~np.isclose(found(turned), value, equal_nan=True)
        if changed[:row].any():
            raise NotYet(
                f"When the click of row {row} changes, so does the share of "
                f"row {int(np.argmax(changed))}, which is earlier: it has "
                "seen the future."
            )
        if changed[row]:
            raise NotYet(
                f"When the click of row {row} changes, so does its own "
                "share: the label is in the feature."
            )
    if np.isnan(value).any():
        raise NotYet(
            "The first row of a user gives NaN; without an earlier click the "
            "share is 0."
        )
    if not np.allclose(value[[0, 2]], 0):
        raise NotYet(
            "Rows 0 and 2 are the first of their users, so their shares are "
            f"0, not {value[0]:g} and {value[2]:g}. Are other users' clicks "
            "in it?"
        )
    if np.isclose(value[6], 3 / 4):
        raise NotYet(
            "Row 5 was shown and not clicked: it is no click of the past. "
            "Count clicks, not rows."
        )
    if np.isclose(value[6], 0.5):
        raise NotYet(
            "The share is of the user's clicks, 2 of 3, not of the rows they "
            "were shown, 2 of 4."
        )
    if not np.allclose(value, wanted):
        raise NotYet(f"Expected {wanted.round(2)}, got {value.round(2)}.")


@exercise(
    "06.2",
    hints=[
        "Add up over features first, axis 1: [B, d].",
        "Square of the sum minus sum of the squares, entry by entry.",
        "Then add up over the d entries and halve.",
    ],
)
def all_pairs(answer: Callable[..., Any]) -> None:
    """Check against two loops, one feature alone, and a single pair."""
    factors = np.random.default_rng(0).normal(size=(5, 4, 3))

    def found(factors: Floats) -> Floats:
        value = np.asarray(answer(factors.copy()))
        if value.shape != (len(factors),):
            raise NotYet(
                f"{len(factors)} rows give {len(factors)} numbers, not the "
                f"shape {value.shape}. Add up over features and entries."
            )
        return value

    wanted = sum(
        (factors[:, f] * factors[:, g]).sum(axis=1)
        for f, g in itertools.combinations(range(4), 2)
    )
    own = (factors**2).sum(axis=(1, 2))
    value = found(factors)
    if np.allclose(value, 2 * wanted):
        raise NotYet("Every pair is counted twice: halve it.")
    if np.allclose(value, wanted + own / 2) or np.allclose(
        value, 2 * wanted + own
    ):
        raise NotYet(
            "Each feature is also paired with itself: take the sum of the "
            "squares off."
        )
    mixed = 0.5 * (factors.sum(axis=(1, 2)) ** 2 - own)
    if np.allclose(value, mixed):
        raise NotYet(
            "Entries k of one feature met entries l of another: square per "
            "entry, and add up over entries last."
        )
    alone = found(factors[:, :1])
    if not np.allclose(alone, 0):
        raise NotYet(
            f"One feature has no partner, so the sum is 0, not {alone[0]:g}."
        )
    if not np.allclose(value, wanted):
        raise NotYet(
            f"Two loops give {np.round(wanted, 3)}, the answer is "
            f"{value.round(3)}."
        )


@exercise(
    "06.3",
    hints=[
        "x @ down is [B, r], and that times up is [B, D].",
        "The bias goes inside the parenthesis: x_0 multiplies it too.",
        "Add x_l at the end: with weights of 0 the layer changes nothing.",
    ],
)
def cross(answer: Callable[..., Any]) -> None:
    """Check zero weights, what multiplies, the bias, and the values."""
    rng = np.random.default_rng(0)
    first, x = rng.normal(size=(2, 4, 5))
    down, up = rng.normal(size=(5, 2)), rng.normal(size=(2, 5))
    bias = rng.normal(size=5)

    def found(down: Floats, up: Floats, bias: Floats) -> Floats:
        copies = (a.copy() for a in (first, x, down, up, bias))
        value = np.asarray(answer(*copies))
        if value.shape != (4, 5):
            raise NotYet(
                f"Four rows of 5 go in and come out: [4, 5], not "
                f"{value.shape}."
            )
        return value

    nothing = found(0 * down, 0 * up, 0 * bias)
    if np.allclose(nothing, 0):
        raise NotYet(
            "With weights of 0 the answer is 0; it must be x_l: add it at "
            "the end."
        )
    if np.allclose(nothing, first):
        raise NotYet(
            "With weights of 0 the answer is x_0; the layer must hand x_l "
            "on, or all layers before it are lost."
        )
    if not np.allclose(nothing, x):
        raise NotYet("With weights of 0 the answer must be x_l as it is.")
    only_bias = found(0 * down, 0 * up, bias)
    if np.allclose(only_bias, x + bias):
        raise NotYet(
            "The bias stands outside the product; x_0 must multiply it."
        )
    value = found(down, up, bias)
    inner = x @ down @ up + bias
    if np.allclose(value, x * inner + x):
        raise NotYet(
            "x_l multiplies here. It must be x_0, so that each layer raises "
            "the degree by one."
        )
    wanted = first * inner + x
    if not np.allclose(value, wanted):
        raise NotYet(
            f"The first row should be {wanted[0].round(3)}, it is "
            f"{value[0].round(3)}."
        )
