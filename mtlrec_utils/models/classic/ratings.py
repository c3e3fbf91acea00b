"""Baselines for ratings: who rates high, what is rated high.

Here an entry of the matrix is the number of stars, and no entry means that
the rating is unknown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from mtlrec_utils.models.classic.interactions import binary
from mtlrec_utils.models.classic.recommender import Recommender


class _Rater(Recommender):
    """A recommender whose scores are stars."""

    def predict(
        self, users: ArrayLike, items: ArrayLike
    ) -> NDArray[np.float64]:
        """Predicted rating of each pair, `[n]`.

        Raises:
            ValueError: Unequal lengths, or numbers out of range.
        """
        user = self._checked_users(users)
        item = np.asarray(items)
        n_items = self.seen.shape[1]
        if item.shape != user.shape or item.dtype.kind not in "iu":
            raise ValueError(
                f"items has shape {item.shape} and type {item.dtype}; pass "
                f"one item number per user, {user.shape}."
            )
        if item.size and not 0 <= item.min() <= item.max() < n_items:
            raise ValueError(
                f"items holds {item.min()} to {item.max()}, but the model "
                f"knows items 0 to {n_items - 1}."
            )
        distinct, row = np.unique(user, return_inverse=True)
        return self._scores(distinct)[row, item].astype(np.float64)


class RatingBiases(_Rater):
    """mean + b_u + b_i: generous users, well-liked items, nothing personal.

    b_i = sum of (r - mean) over the item's ratings / (item_shrinkage + n_i),
    b_u = sum of (r - mean - b_i) over the user's / (user_shrinkage + n_u)
    (Koren, Factor in the neighbors, ACM TKDD 4(1), 2010).

    Args:
        item_shrinkage: Draws items with few ratings towards the mean.
        user_shrinkage: The same for users.

    Attributes:
        mean: Over all ratings, in stars.
        item_bias: `[n_items]`, in stars.
        user_bias: `[n_users]`, in stars.

    Raises:
        ValueError: A negative shrinkage.
    """

    mean: float
    item_bias: NDArray[np.float64]
    user_bias: NDArray[np.float64]

    def __init__(
        self, item_shrinkage: float = 25.0, user_shrinkage: float = 10.0
    ) -> None:
        if not (item_shrinkage >= 0 and user_shrinkage >= 0):
            raise ValueError(
                f"shrinkages are {item_shrinkage} and {user_shrinkage}; give "
                "0 or more."
            )
        self.item_shrinkage = item_shrinkage
        self.user_shrinkage = user_shrinkage

    def _fit(self, interactions: sparse.csr_array) -> None:
        n_users, n_items = interactions.shape
        item = interactions.indices
        user = np.repeat(np.arange(n_users), np.diff(interactions.indptr))
        self.mean = float(interactions.data.mean())
        rest = interactions.data - self.mean
        self.item_bias = _shrunk_means(
            rest, item, n_items, self.item_shrinkage
        )
        rest = rest - self.item_bias[item]
        self.user_bias = _shrunk_means(
            rest, user, n_users, self.user_shrinkage
        )

    def _scores(self, users: NDArray[np.int64]) -> NDArray:
        return self.mean + self.user_bias[users][:, None] + self.item_bias


def _shrunk_means(
    values: NDArray, code: NDArray, n: int, shrinkage: float
) -> NDArray[np.float64]:
    """Sum of the values of each code / (shrinkage + their count)."""
    size = shrinkage + np.bincount(code, minlength=n)
    sums = np.bincount(code, values, minlength=n)
    return np.divide(sums, size, out=np.zeros(n), where=size > 0)


class SlopeOne(_Rater):
    """An item's rating is the user's other ratings plus a mean difference.

    dev_ji = mean of r_vj - r_vi over the users v who rated both, c_ji their
    number; the prediction for item j is the c_ji-weighted mean over the
    user's other items i of r_ui + dev_ji (weighted Slope One: Lemire and
    Maclachlan, SIAM Data Mining, 2005). Where no other item of the user was
    rated together with j, it is the user's mean rating, or the mean over all
    for a user without ratings. A known rating does not predict itself.
    """

    def _fit(self, interactions: sparse.csr_array) -> None:
        known = binary(interactions)
        both = (known.T @ known).toarray()  # c [items, items]
        stars = (interactions.T @ known).toarray()  # sum of r_j, i known too
        np.fill_diagonal(both, 0)
        np.fill_diagonal(stars, 0)
        self._counts = both
        self._differences = stars - stars.T  # sum of r_j - r_i
        self._known = known
        number = np.diff(interactions.indptr)
        mean = interactions.data.mean()
        sums = interactions.sum(axis=1)
        self._fallback = np.where(
            number > 0, sums / np.maximum(number, 1), mean
        )

    def _scores(self, users: NDArray[np.int64]) -> NDArray:
        known, stars = self._known[users], self.seen[users]
        weight = known @ self._counts
        total = stars @ self._counts + known @ self._differences.T
        fallback = np.broadcast_to(self._fallback[users][:, None], total.shape)
        return np.divide(total, weight, out=fallback.copy(), where=weight > 0)
