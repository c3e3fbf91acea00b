"""What all classic recommenders have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from mtlrec_utils.models.classic.interactions import checked

_AT_ONCE = 20_000_000  # scores held at a time by `recommend`

Scores = NDArray[np.float32]


class Recommender(ABC):
    """Fitted on interactions; scores and recommends for users by number.

    Attributes:
        seen: The interactions it was fitted on, `[n_users, n_items]`.
    """

    seen: sparse.csr_array

    def fit(self, interactions: Any) -> Self:
        """Learn from interactions, `[n_users, n_items]`; return itself.

        Args:
            interactions: A sparse or dense matrix; positive where a user and
                an item met, 0 elsewhere.

        Raises:
            ValueError: No entries, or negative or missing ones.
        """
        self.seen = checked(interactions)
        self._fit(self.seen)
        return self

    def scores(self, users: ArrayLike | None = None) -> Scores:
        """Score every item for each user: float32 `[len(users), n_items]`.

        Args:
            users: User numbers; all users by default.

        Raises:
            ValueError: Not fitted, or a user number out of range.
        """
        return self._scores(self._checked_users(users)).astype(
            np.float32, copy=False
        )

    def recommend(
        self,
        users: ArrayLike | None = None,
        k: int = 10,
        *,
        exclude_seen: bool = True,
    ) -> NDArray[np.int64]:
        """List the k best items per user, best first: `[len(users), k]`.

        Args:
            users: User numbers; all users by default.
            k: Length of the lists.
            exclude_seen: Leave out what the user met in the data it was
                fitted on.

        Returns:
            Item numbers; -1 where a user has fewer than k candidates.
        """
        chosen = self._checked_users(users)
        step = max(1, _AT_ONCE // self.seen.shape[1])
        lists = [np.empty((0, k), dtype=np.int64)]
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            seen = self.seen[part] if exclude_seen else None
            lists.append(top_items(self.scores(part), k, seen))
        return np.concatenate(lists)

    @abstractmethod
    def _fit(self, interactions: sparse.csr_array) -> None: ...

    @abstractmethod
    def _scores(self, users: NDArray[np.int64]) -> NDArray: ...

    def _checked_users(self, users: ArrayLike | None) -> NDArray[np.int64]:
        if not hasattr(self, "seen"):
            raise ValueError(
                f"this {type(self).__name__} has learned nothing yet; call "
                "fit(interactions) first."
            )
        n_users = self.seen.shape[0]
        if users is None:
            return np.arange(n_users)
        array = np.asarray(users)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ValueError(
                f"users has shape {array.shape} and type {array.dtype}; pass "
                "user numbers, [n]."
            )
        if array.size and not 0 <= array.min() <= array.max() < n_users:
            raise ValueError(
                f"users holds {array.min()} to {array.max()}, but the model "
                f"knows users 0 to {n_users - 1}."
            )
        return array.astype(np.int64)


def top_items(
    scores: ArrayLike, k: int, exclude: sparse.sparray | None = None
) -> NDArray[np.int64]:
    """The k best items of each row of scores, best first: `[users, k]`.

    Of equal scores the lower item number comes first.

    Args:
        scores: Any numbers without NaN, `[users, items]`; -inf marks an item
            that must not be listed.
        k: From 1 to the number of items.
        exclude: Sparse matrix of the same shape; its entries are left out.

    Returns:
        Item numbers; -1 where fewer than k candidates are left.

    Raises:
        ValueError: Shapes that differ, k out of range, NaN.
    """
    score = np.asarray(scores)
    if score.ndim != 2:
        raise ValueError(
            f"scores has shape {score.shape}; pass [users, items]."
        )
    if k != int(k) or not 1 <= k <= score.shape[1]:
        raise ValueError(
            f"k is {k}; ask for 1 to {score.shape[1]} of the items."
        )
    if exclude is not None and exclude.shape != score.shape:
        raise ValueError(
            f"exclude has shape {exclude.shape}, scores {score.shape}; pass "
            "the rows of the same users."
        )
    if score.dtype.kind != "f":
        score = score.astype(np.float64)
    left_out = None if exclude is None else sparse.csr_array(exclude)
    lists = np.full((len(score), k), -1, dtype=np.int64)
    for u, row in enumerate(score):
        if np.isnan(row).any():
            raise ValueError(
                f"scores holds NaN in row {u}; look for a model that "
                "diverged, and mark items to leave out with -inf."
            )
        if left_out is not None:
            row = row.copy()
            first, last = left_out.indptr[u : u + 2]
            row[left_out.indices[first:last]] = -np.inf
        chosen = np.flatnonzero(row >= _reached_by(row, k))
        chosen = chosen[row[chosen] > -np.inf]
        order = np.lexsort((chosen, -row[chosen]))[:k]
        lists[u, : len(order)] = chosen[order]
    return lists


def _reached_by(row: NDArray[np.floating], k: int) -> np.floating:
    """A value that at least k entries reach, and hardly more.

    Of many disjoint parts of the row, k have a maximum that reaches the k-th
    largest maximum; finding it takes a fraction of a sort.
    """
    width = max(1, len(row) // (8 * k))
    n_parts = len(row) // width
    maxima = row[: width * n_parts].reshape(width, n_parts).max(axis=0)
    return np.partition(maxima, n_parts - k)[n_parts - k]
