"""Checks of lesson 14: the entire space, propensities, violations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


def _entropy(label: Floats, p: Floats) -> Floats:
    return -(label * np.log(p) + (1 - label) * np.log(1 - p))


@exercise(
    "14.1",
    hints=[
        "Who did not click did not buy: replace NaN by 0 before anything.",
        "`np.where(click == 1, purchase, 0.0)` is the label of both steps.",
        "Its chance is `p_click * p_purchase`; take `.mean()` over all rows.",
    ],
)
def entire_space_losses(answer: Callable[..., Any]) -> None:
    """Check both losses, their rows, the product and the missing labels."""
    random = np.random.default_rng(14)
    p, q = random.uniform(0.1, 0.9, size=(2, 12))
    click = np.array([1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0], dtype=float)
    known = click == 1
    purchase = np.full(12, np.nan)
    purchase[known] = [1, 0, 0, 1]
    both = np.nan_to_num(purchase)
    clicks, conversions = _pair(answer(p, q, click, purchase.copy()))
    if np.isnan([clicks, conversions]).any():
        raise NotYet(
            "A loss is NaN: `purchase` is missing where nobody clicked. Those "
            "rows have the label 0 for clicked and bought."
        )
    of_clicks = _entropy(click, p)
    if not np.isclose(clicks, of_clicks.mean()):
        if np.isclose(clicks, of_clicks.sum()):
            raise NotYet("Take the mean over the rows, not the sum.")
        raise NotYet(
            "The first loss must be the mean cross-entropy of the clicks "
            "under p_click."
        )
    of_both = _entropy(both, p * q)
    if np.isclose(conversions, of_both[known].mean()):
        raise NotYet(
            "The second loss runs over the clicked rows only. The entire "
            "space is all rows: unclicked ones have the label 0."
        )
    if np.isclose(conversions, _entropy(both, q)[known].mean()):
        raise NotYet(
            "This is the loss of a model of clicked rows. ESMM judges the "
            "product p_click * p_purchase, on all rows."
        )
    if np.isclose(conversions, _entropy(both, q).mean()):
        raise NotYet(
            "The label of both steps meets p_purchase alone. Its chance is "
            "the product p_click * p_purchase."
        )
    if not np.isclose(conversions, of_both.mean()):
        raise NotYet(
            "The second loss must be the mean cross-entropy over all rows of "
            "'clicked and bought' under the product of both chances."
        )


@exercise(
    "14.2",
    hints=[
        "Keep the clicked rows first: `clicked = click == 1`.",
        "Each counts `1 / np.maximum(propensity[clicked], floor)` times.",
        "Divide the weighted sum of purchases by `len(click)`, all rows.",
    ],
)
def rate_for_everyone(answer: Callable[..., Any]) -> None:
    """Check a hand value, equal propensities, the floor and missing labels."""
    click = np.array([1.0, 1, 0, 1, 0])
    purchase = np.array([1.0, 0, np.nan, 1, np.nan])
    propensity = np.array([0.5, 0.8, 0.2, 0.25, 0.4])
    found = _number(answer(click, purchase.copy(), propensity))
    if np.isnan(found):
        raise NotYet(
            "The rate is NaN: purchases of unclicked rows are missing. Only "
            "clicked rows enter the sum."
        )
    if np.isclose(found, 6 / 3):
        raise NotYet(
            "Divided by the number of clicked rows; the weights already make "
            "up for the others. Divide by all rows."
        )
    if np.isclose(found, 2 / 3):
        raise NotYet("This is the rate among clicked rows, without weights.")
    if np.isclose(found, (0.5 + 0.25) / 5):
        raise NotYet(
            "Multiplied by the propensity: rows that are rarely clicked must "
            "count more. Divide by it."
        )
    if not np.isclose(found, 6 / 5):
        raise NotYet(
            "Purchases at propensities 0.5 and 0.25, of 5 rows: the estimate "
            f"is (2 + 4) / 5 = 1.2, not {found:.4g}."
        )
    rare = np.array([0.5, 0.8, 0.2, 0.001, 0.4])
    floored = _number(answer(click, purchase.copy(), rare, 0.1))
    if np.isclose(floored, 1002 / 5):
        raise NotYet(
            "A propensity of 0.001 counts 1000 times: the floor is ignored. "
            "Take the larger of propensity and floor."
        )
    if not np.isclose(floored, 12 / 5):
        raise NotYet(
            "With floor 0.1 a propensity of 0.001 counts 10 times: the "
            f"estimate is (2 + 10) / 5 = 2.4, not {floored:.4g}."
        )
    if not np.isclose(_number(answer(click, purchase.copy(), rare)), 22 / 5):
        raise NotYet("Without a floor of its own the function uses 0.05.")


@exercise(
    "14.3",
    hints=[
        "Subtract each step from the next: `np.diff(steps, axis=0)`.",
        "Count where the difference is above 0; equal is no violation.",
        "The charge is `np.maximum(excess, 0).mean(axis=1)`: over all rows.",
    ],
)
def violations(answer: Callable[..., Any]) -> None:
    """Check counts and charges by hand, ties, and falling chances."""
    counts, charges = _two(answer(np.array([[0.2], [0.5]])), 1)
    if counts[0] == 0:
        raise NotYet(
            "0.2 and then 0.5 is one violation: the later step is likelier. "
            "Subtract the earlier step from the later one."
        )
    if counts[0] != 1 or not np.isclose(charges[0], 0.3):
        raise NotYet(
            "Chances 0.2, then 0.5 on one row: 1 violation and a charge of "
            f"0.3, not {counts[0]:g} and {charges[0]:.4g}."
        )
    steps = np.array([[0.2, 0.6, 0.4, 0.9], [0.5, 0.3, 0.4, 0.1]])
    counts, charges = _two(answer(steps), 1)
    if counts[0] == 2:
        raise NotYet("Equal chances are no violation; only likelier ones.")
    if np.isclose(charges[0], np.diff(steps, axis=0).mean()):
        raise NotYet(
            "Rows in order pay for those that are not: cut each difference "
            "off at 0 before the mean."
        )
    if np.isclose(charges[0], 0.3):
        raise NotYet(
            "The mean runs over the violating rows (or is a sum); divide by "
            "the number of all rows."
        )
    if counts[0] != 1 or not np.isclose(charges[0], 0.075):
        raise NotYet(
            "Of these four rows one is out of order, by 0.3: count 1 and "
            f"charge 0.075, not {counts[0]:g} and {charges[0]:.4g}."
        )
    three = np.array([[0.2, 0.6], [0.5, 0.3], [0.4, 0.4]])
    counts, charges = _two(answer(three), 2)
    if counts.tolist() != [1, 1] or not np.allclose(charges, [0.15, 0.05]):
        raise NotYet(
            "Each step is compared with the one right before it: three steps "
            f"give [1, 1] and [0.15, 0.05], not {counts} and {charges}."
        )


def _pair(value: Any) -> tuple[float, float]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise NotYet("Return two numbers: the loss of clicks, that of both.")
    first, second = (_number(part) for part in value)
    return first, second


def _number(value: Any) -> float:
    if np.ndim(value):
        raise NotYet(
            f"The result has shape {np.shape(value)}; it must be one number."
        )
    return float(value)


def _two(value: Any, length: int) -> tuple[Floats, Floats]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise NotYet("Return two arrays: the counts and the charges.")
    counts, charges = (np.asarray(part, dtype=float) for part in value)
    if counts.shape != (length,) or charges.shape != (length,):
        raise NotYet(
            f"{length + 1} steps have {length} later one(s), but the shapes "
            f"are {counts.shape} and {charges.shape}. Rows lie on axis 1."
        )
    return counts, charges
