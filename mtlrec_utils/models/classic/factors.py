"""Matrix factorisation of implicit feedback by alternating least squares.

Hu, Koren and Volinsky, Collaborative filtering for implicit feedback
datasets, ICDM 2008. With preference p_ui = 1 where r_ui > 0, else 0, and
confidence c_ui = 1 + alpha r_ui, it minimises

    sum over all u, i of c_ui (p_ui - <x_u, y_i>)^2
        + lambda (sum_u |x_u|^2 + sum_i |y_i|^2)

Given the items' vectors Y, each user's are the solution of one small system,

    (Y'Y + Y'(C_u - I)Y + lambda I) x_u = Y' C_u p_u

in which the second term runs over the user's own items only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mtlrec_utils.models.classic.interactions import checked
from mtlrec_utils.models.classic.recommender import Recommender

Floats = NDArray[np.float64]
_AT_ONCE = 8_000_000  # numbers gathered at a time


class ImplicitALS(Recommender):
    """Vectors of users and items from what was taken, and how often.

    Args:
        n_factors: Length of a vector.
        alpha: How much an interaction adds to the confidence.
        regularisation: lambda, positive.
        n_sweeps: Each solves all users, then all items.
        seed: Of the first item vectors.

    Attributes:
        user_vectors: `[n_users, n_factors]`, after `fit`.
        item_vectors: `[n_items, n_factors]`, after `fit`.

    Raises:
        ValueError: A setting out of range.
    """

    user_vectors: Floats
    item_vectors: Floats

    def __init__(
        self,
        n_factors: int = 32,
        alpha: float = 10.0,
        regularisation: float = 1.0,
        n_sweeps: int = 10,
        seed: int = 0,
    ) -> None:
        for name, value, least in (
            ("n_factors", n_factors, 1),
            ("n_sweeps", n_sweeps, 1),
        ):
            if value != int(value) or value < least:
                raise ValueError(f"{name} is {value}; give {least} or more.")
        if not (alpha > 0 and regularisation > 0):
            raise ValueError(
                f"alpha is {alpha}, regularisation {regularisation}; both "
                "must be positive (without the second, a user without data "
                "has no solution)."
            )
        self.n_factors = int(n_factors)
        self.alpha = alpha
        self.regularisation = regularisation
        self.n_sweeps = int(n_sweeps)
        self.seed = seed

    def _fit(self, interactions: sparse.csr_array) -> None:
        by_item = sparse.csr_array(interactions.T)
        rng = np.random.default_rng(self.seed)
        size = (interactions.shape[1], self.n_factors)
        self.item_vectors = rng.normal(scale=0.1, size=size)
        for _ in range(self.n_sweeps):
            self.user_vectors = self._solved(interactions, self.item_vectors)
            self.item_vectors = self._solved(by_item, self.user_vectors)

    def _solved(self, rows: sparse.csr_array, fixed: Floats) -> Floats:
        return solve_rows(rows, fixed, self.alpha, self.regularisation)

    def vectors_of(self, interactions: Any) -> Floats:
        """Vectors of users that were not there in `fit`: `[n, n_factors]`.

        Args:
            interactions: Of the new users with the known items,
                `[n, n_items]`.
        """
        return self._solved(checked(interactions), self.item_vectors)

    def _scores(self, users: NDArray[np.int64]) -> NDArray:
        vectors = self.user_vectors[users].astype(np.float32)
        return vectors @ self.item_vectors.T.astype(np.float32)

    def objective(self) -> float:
        """What the fit minimises, over all pairs of users and items."""
        x, y, r = self.user_vectors, self.item_vectors, self.seen
        row = np.repeat(np.arange(r.shape[0]), np.diff(r.indptr))
        predicted = np.einsum("nk,nk->n", x[row], y[r.indices])
        confidence = 1 + self.alpha * r.data
        # All pairs as if nothing were taken, then the difference at entries.
        everything = np.sum((x.T @ x) * (y.T @ y))
        taken = confidence * (1 - predicted) ** 2 - predicted**2
        lengths = np.sum(x**2) + np.sum(y**2)
        return float(everything + taken.sum() + self.regularisation * lengths)


def solve_rows(
    rows: sparse.csr_array,
    fixed: Floats,
    alpha: float,
    regularisation: float,
) -> Floats:
    """Solve the small system of every row: `[n_rows, n_factors]`.

    Rows of similar length are solved together, padded to the longest, so that
    the work is a few large products instead of many small ones.

    Args:
        rows: Interactions r, `[n_rows, n_columns]`.
        fixed: Vectors of the columns, `[n_columns, n_factors]`.
        alpha: Of the confidence.
        regularisation: lambda.
    """
    n_factors = fixed.shape[1]
    common = fixed.T @ fixed + regularisation * np.eye(n_factors)
    # One more column, of zeros: padding points at it.
    padded = np.vstack([fixed, np.zeros(n_factors)])
    lengths = np.diff(rows.indptr)
    order = np.argsort(lengths, kind="stable")
    solved = np.zeros((rows.shape[0], n_factors))
    start = int(np.searchsorted(lengths[order], 0, side="right"))
    while start < len(order):
        # As many rows as fit, and none more than twice as long as another.
        shortest = int(lengths[order[start]])
        room = max(1, _AT_ONCE // (2 * shortest * n_factors + n_factors**2))
        end = min(len(order), start + room)
        end = int(
            np.searchsorted(lengths[order[:end]], 2 * shortest, side="right")
        )
        chosen = order[start:end]
        longest = int(lengths[order[end - 1]])
        place = rows.indptr[chosen][:, None] + np.arange(longest)
        inside = np.arange(longest) < lengths[chosen][:, None]
        place = np.where(inside, place, 0)
        column = np.where(inside, rows.indices[place], len(fixed))
        weight = alpha * rows.data[place]  # c - 1; padding has vector 0
        vectors = padded[column]  # [rows, longest, factors]
        weighed = vectors * weight[..., None]
        left = common + weighed.transpose(0, 2, 1) @ vectors
        right = (weighed + vectors).sum(axis=1)
        solved[chosen] = np.linalg.solve(left, right[..., None])[..., 0]
        start = end
    return solved
