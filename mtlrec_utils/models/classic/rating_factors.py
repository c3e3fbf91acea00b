"""Matrix factorisation of ratings, in one domain or in several at once.

A rating of item i by user u in domain d is predicted by

    b_i + <x_u, (y_i, 1)>

with b_i the item's damped mean; the last number of x_u is the user's own
level. ``RatingFactors`` has one domain. ``CollectiveFactors`` has two with
*one* x_u for both, collective matrix factorisation (CMF): Singh and Gordon,
Relational learning via collective matrix factorization, KDD 2008. It
minimises

    sum over domains d of w_d sum over ratings (r - prediction)^2
        + lambda (sum_u |x_u|^2 + sum_i |y_i|^2)

by turns over users and items; each turn is solved exactly. A user without a
rating gets x_u = 0, and so the item's mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def damped_means(
    items: ArrayLike, ratings: ArrayLike, n_items: int, damping: float = 5.0
) -> Floats:
    """Mean rating of each item, drawn towards the mean of all: `[n_items]`.

    Args:
        items: Item of each rating, `[N]`.
        ratings: `[N]`; N >= 1.
        n_items: Number of items; one without ratings gets the mean of all.
        damping: Ratings of that mean which every item starts with.
    """
    item, value = np.asarray(items), np.asarray(ratings, dtype=np.float64)
    if not len(value):
        raise ValueError("damped_means needs at least one rating.")
    size = np.bincount(item, minlength=n_items)
    sums = np.bincount(item, value, minlength=n_items)
    total = size + damping
    mean = float(value.mean())
    return np.asarray(
        np.divide(
            sums + damping * mean,
            total,
            out=np.full(n_items, mean),
            where=total > 0,
        )
    )


@dataclass
class _Domain:
    """Ratings of one domain, less the items' means, and its items."""

    weight: float
    known: sparse.csr_array  # [n_users, n_items], 1 where rated
    rest: sparse.csr_array  # [n_users, n_items], rating - b_i
    base: Floats  # [n_items]
    vectors: Floats  # [n_items, k + 1]; the last column is 1


class _Factors:
    """What one domain and two have in common."""

    user_vectors: Floats

    def __init__(
        self,
        n_factors: int = 8,
        regularisation: float = 3.0,
        n_sweeps: int = 15,
        seed: int = 0,
    ) -> None:
        for name, value in (("n_factors", n_factors), ("n_sweeps", n_sweeps)):
            if value != int(value) or value < 1:
                raise ValueError(f"{name} is {value}; give 1 or more.")
        if not regularisation > 0:
            raise ValueError(
                f"regularisation is {regularisation}; it must be positive "
                "(without it, a user with few ratings has no solution)."
            )
        self.n_factors = int(n_factors)
        self.regularisation = float(regularisation)
        self.n_sweeps = int(n_sweeps)
        self.seed = seed

    def _domain(
        self,
        ratings: pd.DataFrame,
        n_users: int,
        n_items: int,
        weight: float = 1.0,
    ) -> _Domain:
        users, items = _checked(ratings, n_users, n_items)
        value = ratings["rating"].to_numpy(dtype=np.float64)
        base = damped_means(items, value, n_items)
        shape = (n_users, n_items)
        times = sparse.csr_array((np.ones(len(users)), (users, items)), shape)
        sums = sparse.csr_array((value - base[items], (users, items)), shape)
        times.sum_duplicates()
        sums.sum_duplicates()
        known = times.copy()
        known.data[:] = 1.0
        # A pair that is there twice counts once, with its mean.
        rest = sparse.csr_array(
            (sums.data / times.data, sums.indices, sums.indptr), shape
        )
        rng = np.random.default_rng(self.seed)
        vectors = rng.normal(scale=0.1, size=(n_items, self.n_factors + 1))
        vectors[:, -1] = 1.0
        return _Domain(float(weight), known, rest, base, vectors)

    def _alternate(self, domains: list[_Domain]) -> None:
        for _ in range(self.n_sweeps):
            self.user_vectors = self._users(domains)
            for domain in domains:
                self._items(domain)
        self.user_vectors = self._users(domains)

    def _users(self, domains: list[_Domain]) -> Floats:
        left = sum(d.weight * _products(d.known, d.vectors) for d in domains)
        right = sum(d.weight * (d.rest @ d.vectors) for d in domains)
        return _solved(left, right, self.regularisation)

    def _items(self, domain: _Domain) -> None:
        own, level = self.user_vectors[:, :-1], self.user_vectors[:, -1:]
        raters = sparse.csr_array(domain.known.T)
        left = domain.weight * _products(raters, own)
        right = sparse.csr_array(domain.rest.T) @ own - raters @ (own * level)
        domain.vectors[:, :-1] = _solved(
            left, domain.weight * right, self.regularisation
        )


def _products(known: sparse.csr_array, vectors: Floats) -> Floats:
    """Sum v v' over the columns known in each row: `[rows, k, k]`."""
    k = vectors.shape[1]
    outer = (vectors[:, :, None] * vectors[:, None, :]).reshape(-1, k * k)
    return np.asarray(known @ outer).reshape(-1, k, k)


def _solved(left: Any, right: Any, regularisation: float) -> Floats:
    ridge = regularisation * np.eye(left.shape[-1])
    return np.asarray(np.linalg.solve(left + ridge, right[..., None])[..., 0])


def _checked(
    ratings: pd.DataFrame, n_users: int, n_items: int
) -> tuple[Ints, Ints]:
    absent = [c for c in ("user", "item", "rating") if c not in ratings]
    if absent:
        raise ValueError(f"ratings have no column {', '.join(absent)}.")
    if not len(ratings):
        raise ValueError("There are no ratings to learn from.")
    found = []
    for column, size in (("user", n_users), ("item", n_items)):
        number = ratings[column].to_numpy()
        if number.dtype.kind not in "iu" or (
            number.min() < 0 or number.max() >= size
        ):
            raise ValueError(
                f"{column}: numbers from 0 to {size - 1} are needed; encode "
                "ids first."
            )
        found.append(number.astype(np.int64))
    if not np.isfinite(ratings["rating"]).all():
        raise ValueError(
            "A rating is missing or infinite; leave such rows out."
        )
    return found[0], found[1]


class RatingFactors(_Factors):
    """Vectors of users and items of one domain.

    Args:
        n_factors: Length k of an item's own vector.
        regularisation: lambda, positive.
        n_sweeps: Each solves all users, then all items.
        seed: Of the first item vectors.

    Attributes:
        item_mean: b, `[n_items]`.
        item_vectors: (y_i, 1), `[n_items, k + 1]`.
        user_vectors: x_u, `[n_users, k + 1]`; 0 for a user without ratings.

    Raises:
        ValueError: A setting out of range.
    """

    item_mean: Floats
    item_vectors: Floats

    def fit(self, ratings: pd.DataFrame, n_users: int, n_items: int) -> Self:
        """Learn from ratings; return itself.

        Args:
            ratings: Columns user and item (numbers), rating.
            n_users: Number of users, with ratings or not.
            n_items: The same of items.

        Raises:
            ValueError: A column is missing, a number or rating is bad.
        """
        domain = self._domain(ratings, n_users, n_items)
        self._alternate([domain])
        self.item_mean, self.item_vectors = domain.base, domain.vectors
        return self

    def predict(
        self,
        users: ArrayLike,
        items: ArrayLike,
        vectors: Floats | None = None,
    ) -> Floats:
        """Predict the rating of each pair, `[N]`.

        Args:
            users: User numbers, `[N]`.
            items: Item numbers, `[N]`.
            vectors: Vectors to use for users, `[n_users, k + 1]`, such as a
                bridge makes; None: the users' own.
        """
        found = self.user_vectors if vectors is None else vectors
        item = np.asarray(items)
        return self.item_mean[item] + np.einsum(
            "nk,nk->n", found[np.asarray(users)], self.item_vectors[item]
        )


class CollectiveFactors(_Factors):
    """CMF: one vector per user for the source and the target.

    Args:
        source_weight: w of the source's ratings, 0 or more; the target's is
            1.
        n_factors, regularisation, n_sweeps, seed: As in ``RatingFactors``.

    Attributes:
        user_vectors: `[n_users, k + 1]`, for both domains.
        domains: "source" and "target" -> (item means, item vectors).
    """

    domains: Mapping[str, tuple[Floats, Floats]]

    def __init__(self, source_weight: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        if not source_weight >= 0:
            raise ValueError(
                f"source_weight is {source_weight}; give 0 or more."
            )
        self.source_weight = float(source_weight)

    def fit(
        self,
        source: pd.DataFrame,
        target: pd.DataFrame,
        n_users: int,
        n_items: tuple[int, int],
    ) -> Self:
        """Learn from both; return itself.

        Args:
            source: Columns user, item, rating; one numbering of users for
                both domains, a numbering of items for each.
            target: The same.
            n_users: Users of both domains together.
            n_items: Items of the source and of the target.
        """
        rich = self._domain(source, n_users, n_items[0], self.source_weight)
        poor = self._domain(target, n_users, n_items[1])
        self._alternate([rich, poor])
        self.domains = {
            "source": (rich.base, rich.vectors),
            "target": (poor.base, poor.vectors),
        }
        return self

    def predict(self, users: ArrayLike, items: ArrayLike) -> Floats:
        """Predict the target's rating of each pair, `[N]`."""
        base, vectors = self.domains["target"]
        item = np.asarray(items)
        return base[item] + np.einsum(
            "nk,nk->n", self.user_vectors[np.asarray(users)], vectors[item]
        )
