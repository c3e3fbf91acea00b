"""Checks of lesson 15: masked attention, pairs, who pays for whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "15.1",
    hints=[
        "Scores are `queries @ keys.transpose(0, 2, 1)`, [B, L, L]: row = who "
        "looks, column = who is looked at. Divide by `np.sqrt(k)`.",
        "Give the columns of empty places the score -1e9 before the softmax: "
        "`np.where(places[:, None, :] > 0, scores, -1e9)`.",
        "Subtract each row's largest score before `np.exp`; multiply the "
        "result by `places[:, :, None]`, so that empty places return zeros.",
    ],
)
def attend(answer: Callable[..., Any]) -> None:
    """Check against loops, and against rubbish in the padding."""
    random = np.random.default_rng(15)
    q, k, v = random.normal(size=(3, 3, 4, 5))
    full = np.ones((3, 4))
    found = _array(_quiet(answer, q, k, v, full))
    if found.shape != (3, 4, 5):
        raise NotYet(
            f"Inputs [3, 4, 5] give shape {found.shape}; attention keeps it: "
            "(3, 4, 5)."
        )
    scores = q @ k.transpose(0, 2, 1)
    if np.allclose(found, _softmax(scores, -1) @ v):
        raise NotYet("The scores are not divided by the square root of k.")
    scores /= np.sqrt(5)
    if np.allclose(found, _softmax(scores, 1) @ v):
        raise NotYet(
            "The softmax runs over the queries, the wrong axis: the weights "
            "of one looking token must sum to 1, so it is the last axis."
        )
    if not np.allclose(found, _softmax(scores, -1) @ v):
        raise NotYet(
            "Without padding the result is not softmax(Q K' / sqrt(k)) V."
        )
    places = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0.0]])
    masked = np.where(places[:, None, :] > 0, scores, -np.inf)
    expected = (_softmax(masked, -1) @ v) * places[:, :, None]
    found = _array(_quiet(answer, q, k, v, places))
    there = places > 0
    if np.allclose(found[there], (_softmax(scores, -1) @ v)[there]):
        raise NotYet("The mask is ignored: padding has weights.")
    zeroed = scores * places[:, None, :]
    if np.allclose(found[there], (_softmax(zeroed, -1) @ v)[there]):
        raise NotYet(
            "A score of 0 is no mask: its exponential is 1, and padding gets "
            "a weight. Use a score far below all others, such as -1e9."
        )
    weights = _softmax(scores, -1) * places[:, None, :]
    if np.allclose(found[there], (weights @ v)[there]):
        raise NotYet(
            "The weights are cut off after the softmax, so those that are "
            "left do not sum to 1. Mask the scores, before it."
        )
    if not np.allclose(found[there], expected[there]):
        raise NotYet("With padding, tokens see something else than tokens.")
    if not (found[~there] == 0).all():
        raise NotYet("Empty places must return zeros; these do not.")
    large = _array(_quiet(answer, 100 * q, 100 * k, v, places))
    if not np.isfinite(large).all():
        raise NotYet(
            "Scores in the thousands end in NaN or infinity: subtract each "
            "row's largest score before np.exp."
        )
    nobody = _array(_quiet(answer, q, k, v, 0 * full))
    if not np.isfinite(nobody).all():
        raise NotYet(
            "A row without any token ends in NaN: a softmax over nothing but "
            "minus infinity is 0 / 0. A score of -1e9 avoids it."
        )


@exercise(
    "15.2",
    hints=[
        "Which functions of two numbers do not change when they are swapped?",
        "a + b, a * b and |a - b| do not. None of them alone is enough.",
        "Put several side by side: `np.concatenate([...], axis=1)`.",
    ],
)
def pair_features(answer: Callable[..., Any]) -> None:
    """Check symmetry, and that different pairs differ."""
    random = np.random.default_rng(15)
    a, b = random.normal(size=(2, 6, 4))
    found = _array(answer(a, b))
    if found.ndim != 2 or len(found) != 6:
        raise NotYet(
            f"6 pairs give shape {found.shape}; the features of each pair "
            "are one row, (6, n)."
        )
    if not np.allclose(found, _array(answer(b, a))):
        raise NotYet(
            "(a, b) and (b, a) differ. Side by side, [a; b], a pair has a "
            "direction; take functions that do not change by a swap."
        )
    if np.allclose(found, found[0]):
        raise NotYet("All pairs have the same features; they tell nothing.")
    alone = _array(answer(a[2:3], b[2:3]))
    if not np.allclose(alone, found[2:3]):
        raise NotYet("The features of a pair depend on the other rows.")
    shift = random.normal(size=a.shape)
    if np.allclose(_array(answer(a + shift, b - shift)), found):
        raise NotYet(
            "Pairs with the same sum have the same features: {1, 5} and "
            "{3, 3} look alike. Add a product or a distance."
        )
    if np.allclose(_array(answer(a + shift, b + shift)), found):
        raise NotYet(
            "Only the distance counts: two crime films and two romances look "
            "alike. Add the sum or the product."
        )
    scale = np.exp(shift)
    if np.allclose(_array(answer(a * scale, b / scale)), found):
        raise NotYet(
            "Pairs with the same product have the same features: {1, 6} and "
            "{2, 3} look alike. Add a sum or a distance."
        )


@exercise(
    "15.3",
    hints=[
        "Of a log loss, less is better.",
        "Adding helps where the whole interval lies below 0: `high < 0`.",
        "`sort_values('difference')` puts the largest gain, the most "
        "negative difference, first.",
    ],
)
def who_pays(answer: Callable[..., Any]) -> None:
    """Check signs, intervals and order on rows made up for it."""
    rows = pd.DataFrame(
        [
            ("a", "b", -0.05, -0.08, -0.02),
            ("a", "c", -0.04, -0.09, 0.01),
            ("b", "a", 0.06, 0.03, 0.09),
            ("b", "c", -0.10, -0.12, -0.08),
            ("c", "a", 0.01, -0.02, 0.04),
            ("c", "b", -0.02, -0.03, -0.01),
        ],
        columns=["added", "task", "difference", "low", "high"],
        index=[5, 3, 8, 1, 9, 2],
    )
    found = answer(rows)
    if not isinstance(found, list):
        raise NotYet("Return a list of pairs (added, task).")
    pairs = [tuple(pair) for pair in found]
    helps = [("b", "c"), ("a", "b"), ("c", "b")]
    if set(pairs) == {("b", "a")}:
        raise NotYet(
            "These are the pairs where adding *hurts*: of a log loss, less "
            "is better, so help lies below 0."
        )
    if set(pairs) == {*helps, ("a", "c")}:
        raise NotYet(
            "The pair (a, c) has an interval that holds 0: we cannot tell. "
            "Read `high`, not `difference`."
        )
    if set(pairs) == {(t, s) for s, t in helps}:
        raise NotYet("Added and judged task have changed places.")
    if set(pairs) != set(helps):
        raise NotYet(f"Adding helps at {helps}, not at {pairs}.")
    if pairs != helps:
        raise NotYet(
            "The pairs are right, their order is not: the largest gain comes "
            "first, which is the most negative difference."
        )
    if answer(rows.iloc[[2]]) != []:
        raise NotYet("Where nothing helps, the answer is an empty list.")


def _softmax(scores: Floats, axis: int) -> Floats:
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _quiet(answer: Callable[..., Any], *arrays: Floats) -> Any:
    with np.errstate(all="ignore"):
        return answer(*(array.copy() for array in arrays))


def _array(value: Any) -> Floats:
    if not hasattr(value, "__array__"):
        raise NotYet("The result must be an array.")
    return np.asarray(value, dtype=np.float64)
