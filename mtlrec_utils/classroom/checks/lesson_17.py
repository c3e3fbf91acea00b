"""Checks of lesson 17: a mean without a leak, a bridge, a masked history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "17.1",
    hints=[
        "First choose the rows: `~np.isin(users, cold)`.",
        "np.bincount counts rows per item, and with the ratings as weights "
        "it adds them up; both take `minlength`.",
        "Where the count is 0, put the mean of all chosen ratings.",
    ],
)
def item_means(answer: Callable[..., Any]) -> None:
    """Check that cold rows are unread, and what fills the gaps."""
    users = np.array([0, 0, 1, 2, 2, 3])
    items = np.array([0, 1, 0, 0, 3, 1])
    ratings = np.array([1.0, 5.0, 2.0, 5.0, 5.0, 3.0])
    cold = np.array([2])

    def found(values: Floats) -> Floats:
        means = np.asarray(
            answer(users.copy(), items.copy(), values, cold.copy(), 5),
            dtype=float,
        )
        if means.shape != (5,):
            raise NotYet(
                f"There are 5 items, so 5 means; the shape is {means.shape}."
            )
        return means

    wanted = np.array([1.5, 4.0, 2.75, 2.75, 2.75])
    means = found(ratings.copy())
    if np.isclose(means[0], 8 / 3):
        raise NotYet(
            "Item 0 was rated 1 and 2 by users who are left, and 5 by a cold "
            "one. The cold user's rating has leaked into the mean."
        )
    if np.isnan(means).any() or np.isclose(means[4], 0):
        raise NotYet(
            f"Item 4 has no row; its mean is that of all rows left, 2.75, "
            f"not {means[4]:g}."
        )
    if np.isclose(means[4], ratings.mean()):
        raise NotYet(
            "The mean that fills gaps has seen the cold user: take it over "
            "the rows that are left, too."
        )
    if not np.allclose(means, wanted):
        raise NotYet(f"Expected {wanted}, got {means.round(3)}.")
    poisoned = found(np.where(users == 2, np.nan, ratings))
    if not np.allclose(poisoned, wanted):
        raise NotYet(
            "With the cold user's ratings replaced by NaN the means change: "
            "those rows are still read somewhere."
        )


@exercise(
    "17.2",
    hints=[
        "Only `source[linked]` and `target[linked]` may teach the bridge.",
        "np.linalg.solve(left, right) with left = x.T @ x + ridge * I.",
        "The bridge is [k, m]; send all users over it: source @ bridge.",
    ],
)
def carried(answer: Callable[..., Any]) -> None:
    """Check that unlinked rows are unread, the ridge, and all users."""
    rng = np.random.default_rng(0)
    source, truth = rng.normal(size=(12, 3)), rng.normal(size=(3, 2))
    linked = np.array([1, 4, 5, 8, 9])
    target = np.full((12, 2), np.nan)
    target[linked] = source[linked] @ truth + 0.1 * rng.normal(size=(5, 2))

    def found(ridge: float) -> Floats:
        value = np.asarray(
            answer(source.copy(), target.copy(), linked.copy(), ridge)
        )
        if value.shape == (5, 2):
            raise NotYet(
                "These are the linked users only; send all 12 over the "
                "bridge: the others are the ones who need it."
            )
        if value.shape != (12, 2):
            raise NotYet(
                f"12 users with target vectors of 2: [12, 2], not "
                f"{value.shape}."
            )
        if np.isnan(value).any():
            raise NotYet(
                "There is NaN in the answer: the target's rows of users who "
                "are not linked were read."
            )
        return value

    plain = (
        source @ np.linalg.lstsq(source[linked], target[linked], rcond=None)[0]
    )
    if not np.allclose(found(0.0), plain):
        raise NotYet("At ridge 0 it is least squares on the linked users.")
    if not np.allclose(found(1e12), 0, atol=1e-6):
        raise NotYet(
            "At a huge ridge every vector must be 0, so that a user gets the "
            "items' means."
        )
    x, y = source[linked], target[linked]
    if np.allclose(
        found(2.0),
        source @ np.linalg.solve(x.T @ x / 5 + 2 * np.eye(3), x.T @ y / 5),
    ):
        raise NotYet("The formula has sums over users, not means.")
    wanted = source @ np.linalg.solve(x.T @ x + 2 * np.eye(3), x.T @ y)
    if not np.allclose(found(2.0), wanted):
        raise NotYet(
            f"At ridge 2 the first user goes to {wanted[0].round(3)}, not "
            f"{found(2.0)[0].round(3)}."
        )


@exercise(
    "17.3",
    hints=[
        "Set the score of padding to -inf before the softmax.",
        "Subtract the largest score of a row before np.exp; a row of "
        "padding has none.",
        "Divide by the sum, or by something above 0 where the sum is 0.",
    ],
)
def described(answer: Callable[..., Any]) -> None:
    """Check padding, empty histories, large scores and the mean itself."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 4, 2))
    scores = rng.normal(size=(3, 4))
    there = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]])

    def found(values: Floats, mask: npt.NDArray) -> Floats:
        with np.errstate(all="ignore"):
            value = np.asarray(
                answer(values.copy(), vectors.copy(), mask.copy())
            )
        if value.shape != (3, 2):
            raise NotYet(
                f"Three users with vectors of 2: [3, 2], not {value.shape}."
            )
        return value

    value = found(scores, there)
    whole = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    unmasked = (whole[..., None] * vectors).sum(axis=1)
    if not np.allclose(value[0], unmasked[0]):
        raise NotYet(
            "Without padding it is the softmax-weighted mean, "
            f"{unmasked[0].round(3)}, not {value[0].round(3)}."
        )
    if np.allclose(value[1], unmasked[1]):
        raise NotYet("Padding has weight: `there` is not used.")
    half = ((whole * there)[..., None] * vectors).sum(axis=1)
    if np.allclose(value[1], half[1]):
        raise NotYet(
            "Padding was taken out after the softmax, so the weights of the "
            "rest no longer sum to 1."
        )
    zero = np.exp(np.where(there > 0, scores, 0.0))
    zero = zero / zero.sum(axis=1, keepdims=True)
    if np.allclose(value[1], (zero[..., None] * vectors).sum(axis=1)[1]):
        raise NotYet(
            "A score of 0 is a score like others: exp(0) is 1. Padding needs "
            "a score of minus infinity."
        )
    if np.isnan(value[2]).any():
        raise NotYet(
            "A history of padding alone gives NaN; it must give zeros."
        )
    if not np.allclose(value[2], 0):
        raise NotYet(
            "A history of padding alone must give zeros, not "
            f"{value[2].round(3)}."
        )
    if not np.isfinite(found(scores + 1000, there)).all():
        raise NotYet(
            "Scores of 1,000 overflow: subtract the largest one before exp."
        )
    moved = found(np.where(there > 0, scores, 1e4), there)
    if not np.allclose(moved, value):
        raise NotYet("The scores of padding change the answer.")
    right = np.exp(scores[1, ::2])
    wanted = (right / right.sum()) @ vectors[1, ::2]
    if not np.allclose(value[1], wanted):
        raise NotYet(f"Expected {wanted.round(3)}, got {value[1].round(3)}.")
