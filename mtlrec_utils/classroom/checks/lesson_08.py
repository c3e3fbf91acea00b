"""Checks of lesson 08: id dropout, UCB1, a prior from words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "08.1",
    hints=[
        "Which rows are kept? Those whose id is known *and* not lost.",
        "`kept = (ids != 0) & ~lost` is [B]; `kept[:, None]` fits [B, d].",
        "`np.where(kept[:, None], vectors, 0.0)` makes a new array.",
    ],
)
def drop_ids(answer: Callable[..., Any]) -> None:
    """Check who gets zeros, and that the rest stays as it is."""
    vectors = np.random.default_rng(8).normal(size=(40, 3))
    ids = np.arange(40) % 5
    lost = np.arange(40) % 4 == 0
    given = vectors.copy()
    found = _array(answer(given, ids, lost))
    if not np.array_equal(given, vectors):
        raise NotYet(
            "`vectors` itself was changed: the next batch would read zeros "
            "too. Make a new array."
        )
    if found.shape != vectors.shape:
        raise NotYet(f"Shape {found.shape}; the input has {vectors.shape}.")
    kept = (ids != 0) & ~lost
    expected = np.where(kept[:, None], vectors, 0.0)
    if np.array_equal(found, vectors * ~lost[:, None]):
        raise NotYet("Unknown ids (0) still have a vector: noise of day one.")
    if np.array_equal(found, vectors * (ids != 0)[:, None]):
        raise NotYet("Lost ids still have their vectors.")
    if np.array_equal(found, vectors - expected):
        raise NotYet("Kept and dropped have changed places.")
    if found[~kept].any():
        raise NotYet("Some unknown or lost id has a vector other than zeros.")
    ratio = found[kept] / vectors[kept]
    if np.allclose(ratio, ratio[0, 0]) and not np.isclose(ratio[0, 0], 1):
        raise NotYet(
            "What is kept is scaled up, as ordinary dropout does. In use "
            "nothing is lost, so a known id must look as in training."
        )
    if not np.allclose(found, expected):
        raise NotYet("Kept vectors must come back as they are.")


@exercise(
    "08.2",
    hints=[
        "t is `shown.sum()`; the bonus is `np.sqrt(2 * np.log(t) / shown)`.",
        "An arm never shown divides by zero: give it the index `np.inf`.",
        "`np.argmax(...)` returns the first of the largest.",
    ],
)
def ucb_arm(answer: Callable[..., Any]) -> None:
    """Check the index, the logarithm's argument, and new arms."""
    cases = [([30, 6, 0], [60, 20, 4]), ([9, 2, 1], [30, 12, 9])]
    random = np.random.default_rng(8)
    for _ in range(60):
        shown = random.integers(20, 400, size=4)
        clicks = random.binomial(shown, random.uniform(0.2, 0.6, size=4))
        cases.append((clicks.tolist(), shown.tolist()))
    arms, wanted, greedy, unrooted, flat = [], [], [], [], []
    for clicks, shown in (map(np.array, case) for case in cases):
        found = answer(clicks.copy(), shown.copy())
        if not isinstance(found, int | np.integer):
            raise NotYet("Return the number of an arm, an integer.")
        rates, log = clicks / shown, 2 * np.log(shown.sum())
        arms.append(int(found))
        wanted.append(int((rates + np.sqrt(log / shown)).argmax()))
        greedy.append(int(rates.argmax()))
        unrooted.append(int((rates + log / shown).argmax()))
        flat.append(int((rates + np.sqrt(2 * np.log(shown) / shown)).argmax()))
    if arms == greedy:
        raise NotYet(
            "The arm with the best rate so far is shown; where is the bonus "
            "for what was rarely tried?"
        )
    if arms == unrooted:
        raise NotYet("The bonus lacks its square root.")
    if arms == flat:
        raise NotYet(
            "The logarithm is of the arm's own count; t counts the rounds "
            "of all arms, so that a neglected arm's bonus grows."
        )
    if arms != wanted:
        raise NotYet("For some counts another arm has the largest index.")
    with np.errstate(all="ignore"):
        new = answer(np.array([9, 0, 0]), np.array([10, 0, 0]))
        first = answer(np.array([0, 0]), np.array([0, 0]))
    if new != 1 or first != 0:
        raise NotYet(
            "An arm that was never shown comes first (of several the first); "
            "mind the division by zero, and the first round."
        )


@exercise(
    "08.3",
    hints=[
        "`worth` impressions at the rate p have had `worth * p` clicks.",
        "Add those clicks to the real clicks, and `worth` to the shown.",
        "`(clicks + worth * p) / (shown + worth)`.",
    ],
)
def estimated_rates(answer: Callable[..., Any]) -> None:
    """Check both ends, and a value in between."""
    clicks, shown = np.array([0.0, 3, 8]), np.array([0.0, 4, 10])
    p, worth = np.array([0.2, 0.5, 0.1]), 6.0
    with np.errstate(all="ignore"):
        found = _array(answer(clicks, shown, p, worth))
    if found.shape != (3,):
        raise NotYet(f"Shape {found.shape}; one rate per item is [K], (3,).")
    if not np.isfinite(found).all():
        raise NotYet("An item never shown ends in NaN: 0 clicks of 0.")
    if not np.isclose(found[0], p[0]):
        if np.isclose(found[0], p[0] / worth):
            raise NotYet(
                "The clicks of the prior are p, but `worth` impressions have "
                "had worth * p."
            )
        raise NotYet("With nothing shown the estimate must be p.")
    rates = clicks[1:] / shown[1:]
    if np.allclose(found[1:], (rates + p[1:]) / 2):
        raise NotYet(
            "A plain mean of rate and p weighs ten impressions as much as a "
            "thousand. Count impressions."
        )
    if np.allclose(found[1:], rates):
        raise NotYet("After the first impression the words are forgotten.")
    if not np.allclose(found, (clicks + worth * p) / (shown + worth)):
        raise NotYet("Between nothing and much shown the weights are off.")


def _array(value: Any) -> Floats:
    if not hasattr(value, "__array__"):
        raise NotYet("The result must be an array.")
    return np.asarray(value, dtype=np.float64)
