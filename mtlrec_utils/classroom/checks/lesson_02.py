"""Checks of lesson 02: Jaccard, lists without seen items, buckets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtlrec_utils.classroom.checks import NotYet, exercise


@exercise(
    "02.1",
    hints=[
        "`R.T @ R` counts, for every pair of items, the users who took both.",
        "Taken by at least one of two = taken by the first + by the second "
        "- by both.",
        "Divide where the denominator is positive, then "
        "`np.fill_diagonal(similar, 0)`.",
    ],
)
def jaccard(answer: Callable[..., Any]) -> None:
    """Check by hand values, the diagonal, empty items and shrinkage."""
    taken = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1], [0, 1, 0]])
    with np.errstate(all="ignore"):
        found = np.asarray(answer(taken), dtype=float)
    if found.shape != (3, 3):
        raise NotYet(
            f"The answer has shape {found.shape}; items by items is (3, 3). "
            "Compare columns, not rows."
        )
    if np.diag(found).any():
        raise NotYet(
            "An item is its own nearest neighbour: set the diagonal to 0, or "
            "the lists hold what the user has."
        )
    if np.isclose(found[0, 1], 2 / np.sqrt(2 * 4)):
        raise NotYet("This is the cosine; Jaccard divides by the union.")
    if np.isclose(found[0, 1], 2 / 6):
        raise NotYet(
            "Users who took both are counted twice below: the union is the "
            "sum of both counts less the common users."
        )
    wanted = np.array([[0, 2 / 4, 1 / 3], [2 / 4, 0, 2 / 4], [1 / 3, 0.5, 0]])
    if not np.allclose(found, wanted):
        raise NotYet(
            "Items 0 and 1 have 2 users in common and 4 together: "
            f"{2 / 4}, not {found[0, 1]:.3f}."
        )
    with np.errstate(all="ignore"):
        empty = np.asarray(answer(np.array([[1, 0, 0], [1, 0, 0]])))
        drawn = np.asarray(answer(taken, shrinkage=4.0))
    if not np.isfinite(empty).all():
        raise NotYet(
            "An item that nobody took gives 0 / 0. Divide only where the "
            "denominator is positive; the similarity is 0."
        )
    if not np.allclose(drawn[0, 1], 2 / 8):
        raise NotYet(
            "With shrinkage 4, 2 / (4 + 4) is 0.25, not "
            f"{drawn[0, 1]:.3f}: add it to the union."
        )


@exercise(
    "02.2",
    hints=[
        "What the user has must never win: give it a score below all others.",
        "`np.where(R > 0, -np.inf, scores)`; 0 would beat a negative score.",
        '`np.argsort(-hidden, axis=1, kind="stable")[:, :k]` keeps the lower '
        "number of equal scores first.",
    ],
)
def lists(answer: Callable[..., Any]) -> None:
    """Check by hand values with negative scores, ties and seen items."""
    scores = np.array([[2.0, -1, -2, 3], [1, 1, 4, 1]])
    seen = np.array([[1, 0, 0, 1], [0, 0, 1, 0]])
    before = scores.copy()
    found = np.asarray(answer(scores, seen, 2))
    if found.shape != (2, 2):
        raise NotYet(f"The lists have shape {found.shape}; they are [2, 2].")
    if not (scores == before).all():
        raise NotYet("The scores were changed; work on a copy.")
    if found[0].tolist() == [3, 0]:
        raise NotYet("The first user's list holds what they have already.")
    if set(found[0].tolist()) & {0, 3}:
        raise NotYet(
            "A seen item is in the list of a user whose other scores are "
            "negative: a score of 0 is not low enough. Use -np.inf."
        )
    if found[0].tolist() == [2, 1]:
        raise NotYet("The list is worst first; the best comes first.")
    if sorted(found[1].tolist()) != [0, 1] or found[1].tolist() != [0, 1]:
        raise NotYet(
            "Items 0, 1 and 3 have equal scores for the second user: the "
            'lower numbers come first. `kind="stable"` on the negated scores '
            "does it; turning an ascending order round does not."
        )
    if found[0].tolist() != [1, 2]:
        raise NotYet(
            f"The first user's list is [1, 2], not {found[0].tolist()}."
        )


@exercise(
    "02.3",
    hints=[
        "Mark the listed items in a matrix [U, I]: `np.put_along_axis`.",
        "For each bucket keep `relevant * (bucket == b)`, and only the users "
        "who have any of it.",
        "Divide each user's hits by their relevant items of the bucket, then "
        "take the mean over those users.",
    ],
)
def recall_per_bucket(answer: Callable[..., Any]) -> None:
    """Check by a case where every shortcut gives another number."""
    listed = np.array([[0, 2], [0, 1], [3, 0]])
    relevant = np.array([[1, 0, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    bucket = np.array([0, 0, 1, 1])
    with np.errstate(all="ignore"):
        found = np.asarray(answer(listed, relevant, bucket), dtype=float)
    if found.shape != (2,):
        raise NotYet(
            f"The answer has shape {found.shape}; one recall per bucket is "
            "(2,)."
        )
    if np.isnan(found).any():
        raise NotYet(
            "Users without a relevant item in the bucket give 0 / 0: leave "
            "them out of its mean."
        )
    if np.isclose(found[1], 0.5 / 3):
        raise NotYet(
            "Users without a relevant item in the bucket count as 0; leave "
            "them out of its mean."
        )
    if np.isclose(found[1], 1 / 3):
        raise NotYet(
            "The hits are divided by all relevant items of the user; divide "
            "by those of the bucket."
        )
    if not np.allclose(found, [1, 0.5]):
        raise NotYet(
            "All relevant items of bucket 0 are listed (1), and one of two "
            f"of bucket 1 (0.5); you have {found.round(3).tolist()}."
        )
    second = np.array([[0, 2], [0, 1], [3, 1]])
    more = np.array([[1, 0, 1, 1], [1, 1, 0, 0], [1, 0, 0, 1]])
    again = np.asarray(answer(second, more, bucket), dtype=float)
    if np.allclose(again, [3 / 4, 2 / 3]):
        raise NotYet(
            "All hits over all relevant items is another mean, in which busy "
            "users count more: take each user's share first."
        )
    if not np.allclose(again, [2 / 3, 3 / 4]):
        raise NotYet(
            "With users of different activity the mean is off: take each "
            "user's share first, then the mean over users."
        )
