"""Two groups of users whose tastes turn in opposite ways.

A user's vector x ~ N(0, I / k) rates items y ~ N(0, I) by 3 + <x, y> + noise.
In the target the vector is x A for the first group and turn * x A for the
second, with A one rotation for all; at turn = -1 what one group likes more
for a reason, the other likes less for it. The average of both bridges is 0.

Who belongs to which group shows in the source only: each group rates mostly
its own half of the catalogue, and the two halves differ in one more factor,
which moves ratings there and has no part in the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True)
class OppositeGroups:
    """Ratings of all users in both domains, and the truth.

    Attributes:
        source: columns user, item, rating.
        target: the same.
        groups: 0 or 1 of each user, `[n_users]`.
        best_rmse: error of a model that knows the truth: the noise.
    """

    source: pd.DataFrame
    target: pd.DataFrame
    groups: npt.NDArray[np.int64]
    best_rmse: float


def opposite_groups(
    n_users: int = 700,
    n_items: int = 200,
    *,
    turn: float = -1.0,
    dimension: int = 4,
    density: float = 0.15,
    noise: float = 0.35,
    seed: int = 0,
) -> OppositeGroups:
    """Draw the ratings.

    Args:
        n_users: users, all in both domains.
        n_items: items of each domain.
        turn: -1 ... 1, factor on the bridge of the second group; 1: one
            bridge serves all.
        dimension: k, length of a vector.
        density: share of the pairs that are rated.
        noise: standard deviation of a rating around its mean.
        seed: same seed, same ratings.

    Raises:
        ValueError: turn, density or noise out of range.
    """
    if not -1 <= turn <= 1 or not 0 < density <= 1 or not noise >= 0:
        raise ValueError(
            f"turn is {turn} (-1 ... 1), density {density} (0 ... 1), noise "
            f"{noise} (0 or more)."
        )
    rng = np.random.default_rng(seed)
    groups = rng.integers(2, size=n_users)
    users = rng.normal(size=(n_users, dimension)) / np.sqrt(dimension)
    rotation = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
    factor = np.where(groups == 0, 1.0, turn)[:, None]
    films, books = rng.normal(size=(2, n_items, dimension))
    halves = np.arange(n_items) % 2
    mark = np.where(halves == 0, 1.5, -1.5)[:, None]
    films = np.hstack([films, mark + 0.3 * rng.normal(size=mark.shape)])
    caring = 0.5 * rng.normal(size=(n_users, 1))
    own = halves[None, :] == groups[:, None]
    chance = np.where(own, 1.8 * density, 0.2 * density)
    return OppositeGroups(
        _rated(rng, np.hstack([users, caring]), films, chance, noise),
        _rated(
            rng,
            factor * (users @ rotation),
            books,
            np.full((n_users, n_items), density),
            noise,
        ),
        groups,
        noise,
    )


def _rated(
    rng: np.random.Generator,
    users: npt.NDArray,
    items: npt.NDArray,
    chance: npt.NDArray,
    noise: float,
) -> pd.DataFrame:
    user, item = np.nonzero(rng.random(chance.shape) < chance)
    mean = 3.0 + np.einsum("nk,nk->n", users[user], items[item])
    return pd.DataFrame(
        {
            "user": user,
            "item": item,
            "rating": mean + noise * rng.normal(size=len(user)),
        }
    )
