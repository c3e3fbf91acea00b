"""Checks of lesson 07: a causal mask, shifted targets, transitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "07.1",
    hints=[
        "`np.tril(np.ones((L, L)))` marks what lies behind a place; times "
        "`places` it marks what may be seen.",
        "Scores that may not be seen become `-np.inf`, and `np.exp(-np.inf)` "
        "is 0.",
        "Subtract each row's largest *visible* score before `np.exp`, and "
        "divide only where the sum is positive.",
    ],
)
def causal_weights(answer: Callable[..., Any]) -> None:
    """Check the mask, the axis, padding, empty lists and large scores."""
    odds = [[1.0, 7, 7, 7], [1.0, 3, 7, 7], [1.0, 2, 1, 7], [5.0, 1, 3, 1]]
    scores = np.log(np.array(odds))
    full = _weights(answer, scores, np.ones(4))
    if full[0, 1:].any() and np.allclose(full.sum(axis=1), 1):
        raise NotYet(
            "Place 0 sees what comes after it. Row t may see the columns 0 "
            "to t only: a lower triangle."
        )
    if not np.allclose(full.sum(axis=1), 1):
        raise NotYet(
            "Rows must sum to 1, one row per place that looks; here they "
            f"sum to {full.sum(axis=1).round(3)}. Is the softmax along "
            "axis 1, and taken after the mask?"
        )
    if not np.allclose(full[1:3, :3], [[0.25, 0.75, 0], [0.25, 0.5, 0.25]]):
        raise NotYet(
            "exp(scores) of place 1 are 1 and 3, so its weights are 0.25 and "
            f"0.75, not {full[1, :2].round(3)}."
        )
    padded = _weights(answer, scores, np.array([1.0, 1, 0, 0]))
    if padded[2:, 2:].any() or not np.allclose(padded[3, :2], [5 / 6, 1 / 6]):
        raise NotYet(
            "Empty places are weighed. Whatever the row, a column whose "
            "place is 0 gets weight 0, and the others share the 1."
        )
    with np.errstate(all="ignore"):
        empty = _weights(answer, scores, np.zeros(4))
        large = _weights(answer, 1000 * scores + 5000, np.ones(4))
    if not np.isfinite(empty).all() or empty.any():
        raise NotYet(
            "A list without items must give zeros. 0 / 0 is NaN: divide by "
            "the sum only where it is positive."
        )
    if not np.isfinite(large).all() or not np.allclose(large.sum(axis=1), 1):
        raise NotYet(
            "Scores of some thousands give NaN: np.exp overflows. Subtract "
            "the row's largest visible score first."
        )


def _weights(
    answer: Callable[..., Any], scores: Floats, places: Floats
) -> Floats:
    with np.errstate(all="ignore"):
        found = np.asarray(answer(scores.copy(), places), dtype=float)
    if found.shape != scores.shape:
        raise NotYet(
            f"The weights have shape {found.shape}; one row and one column "
            f"per place is {scores.shape}."
        )
    return found


@exercise(
    "07.2",
    hints=[
        "Shift by one: the target of place t is `items[:, t + 1]`.",
        "The last item of a row stands at `(items >= 0).sum(axis=1) - 1`, "
        "not in the last column.",
        "Put the label there with `found[rows, last[rows]] = label[rows]`, "
        "for the rows that have an item.",
    ],
)
def targets(answer: Callable[..., Any]) -> None:
    """Check the shift, the place of the label, the mask, empty rows."""
    items = np.array(
        [[5, 8, 2, 9], [4, 3, -1, -1], [-1, -1, -1, -1], [6, -1, -1, -1]]
    )
    label = np.array([7, 1, 3, 0])
    before = items.copy()
    pair = answer(items, label)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise NotYet("Return two arrays: `return found, mask`.")
    if (items != before).any():
        raise NotYet("The items were changed; work on a copy.")
    found, mask = np.asarray(pair[0]), np.asarray(pair[1]).astype(int)
    if found.shape != items.shape or mask.shape != items.shape:
        raise NotYet(
            f"Targets {found.shape} and mask {mask.shape} must both have the "
            f"shape of the items, {items.shape}."
        )
    if (mask[2] != 0).any():
        raise NotYet("The empty row asks nothing: its mask is all 0.")
    wanted = (items >= 0).astype(int)
    shorter = np.zeros_like(wanted)
    shorter[:, :-1] = wanted[:, 1:]
    if (mask == shorter).all():
        raise NotYet(
            "The last item of each row is left out of the mask, but the "
            "label is what it predicts."
        )
    if (mask != wanted).any():
        raise NotYet(
            "The mask must be 1 exactly where an item stands, and 0 on "
            f"padding; in row 1 it is {mask[1].tolist()}."
        )
    if (found[0] == items[0]).all() or found[0, 0] == 5:
        raise NotYet(
            "Each place is asked for the item that it holds. Shift by one: "
            "place t is asked for the item at t + 1."
        )
    if found[1, 1] == -1 or found[1, -1] == 1:
        raise NotYet(
            "In a padded row the label belongs to the last *item*, here "
            "place 1, not to the last column."
        )
    if (found[mask == 1] != [8, 2, 9, 7, 3, 1, 0]).any():
        raise NotYet(
            "Where the mask is 1, row by row, the targets are 8 2 9 7, 3 1 "
            f"and 0; you have {found[mask == 1].tolist()}."
        )


@exercise(
    "07.3",
    hints=[
        "Sort by visit with a *stable* sort: `np.argsort(visits, "
        'kind="stable")` keeps the order of time within a visit.',
        "Two neighbours in that order are a step if their visits are equal; "
        "`np.add.at(counts, (before, after), 1)` counts repeated pairs.",
        "The prior adds `prior * share` to every row and `prior` to its sum.",
    ],
)
def transitions(answer: Callable[..., Any]) -> None:
    """Check mixed visits, direction, repeated pairs and the prior."""
    visits = np.array([9, 2, 9, 2, 9, 9, 5, 2])
    items = np.array([0, 3, 1, 0, 0, 1, 2, 1])
    with np.errstate(all="ignore"):
        found = np.asarray(answer(visits, items, 4, 2.0), dtype=float)
    if found.shape != (4, 4):
        raise NotYet(f"The shares have shape {found.shape}; they are (4, 4).")
    counts = np.zeros((4, 4))
    for i, j in [(0, 1), (1, 0), (0, 1), (3, 0), (0, 1)]:
        counts[i, j] += 1
    share = np.array([3, 3, 1, 1]) / 8
    wanted = _smoothed(counts, share, 2.0)
    if not np.isfinite(found).all():
        raise NotYet(
            "Item 2 is followed by nothing: 0 / 0. With the prior in the "
            "numerator and below, its row is the popularity."
        )
    if np.allclose(found, _smoothed(counts.T, share, 2.0)):
        raise NotYet("The table is turned round: entry (i, j) is j *after* i.")
    once = np.minimum(counts, 1)
    if np.allclose(found, _smoothed(once, share, 2.0)):
        raise NotYet(
            "A pair that occurs three times counts once. `counts[i, j] += 1` "
            "with arrays forgets repeats; `np.add.at` does not."
        )
    mixed = np.zeros((4, 4))
    np.add.at(mixed, (items[:-1], items[1:]), 1)
    if np.allclose(found, _smoothed(mixed, share, 2.0)):
        raise NotYet(
            "Neighbouring rows of the log are counted, but visits are mixed "
            "there. Sort by visit first, and keep the order of time."
        )
    ordered = items[np.argsort(visits, kind="stable")]
    across = np.zeros((4, 4))
    np.add.at(across, (ordered[:-1], ordered[1:]), 1)
    if np.allclose(found, _smoothed(across, share, 2.0)):
        raise NotYet(
            "A step leads from the end of one visit to the beginning of the "
            "next. Count a pair only if both have the same visit."
        )
    if not np.allclose(found.sum(axis=1), 1):
        raise NotYet(
            "Every row must sum to 1; they sum to "
            f"{found.sum(axis=1).round(3)}. Add the prior below as well."
        )
    if not np.allclose(found, wanted):
        raise NotYet(
            "After item 0 came item 1, three times. With prior 2 and share "
            f"3/8 that is (3 + 2 x 3/8) / (3 + 2) = {wanted[0, 1]:.3f}, not "
            f"{found[0, 1]:.3f}."
        )


def _smoothed(counts: Floats, share: Floats, prior: float) -> Floats:
    total = counts.sum(axis=1, keepdims=True)
    return np.asarray((counts + prior * share) / (total + prior))
