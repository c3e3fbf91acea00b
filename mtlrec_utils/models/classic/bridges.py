"""Bridges: a user's vector in the target from the vector in the source.

Every bridge here is learned from *linked* users only, those known in both
domains, and has a closed form. With X_s [n, k] and X_t [n, m] the linked
users' vectors, a linear bridge W [k, m] sends x to x W.

* identity: the vector as it is;
* orthogonal: the rotation that fits best (Procrustes; Schoenemann, A
  generalized solution of the orthogonal Procrustes problem, Psychometrika
  1966);
* ridge: least squares on the vectors, EMCDR with a linear map (Man, Shen, Jin
  and Cheng, Cross-domain recommendation: an embedding and mapping approach,
  IJCAI 2017);
* on ratings: least squares on the target's ratings, the loss of PTUPCDR (Zhu
  et al., Personalized transfer of user preferences for cross-domain
  recommendation, WSDM 2022) with one bridge for all;
* personal: the same with a bridge for each user, linear in a description of
  the user: W_u = W_0 + sum_m c_um W_m.

An infinite ridge gives vectors of 0, and so every item its mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def orthogonal_bridge(source: ArrayLike, target: ArrayLike) -> Floats:
    """Return the orthogonal W with the least |X_s W - X_t|, `[k, k]`.

    Args:
        source: X_s, `[n, k]`.
        target: X_t, `[n, k]`.

    Raises:
        ValueError: Shapes that differ, or no users.
    """
    x, y = _pairs(source, target)
    if x.shape != y.shape:
        raise ValueError(
            f"A rotation needs vectors of one length, not {x.shape[1]} and "
            f"{y.shape[1]}; take ridge_bridge."
        )
    left, _, right = np.linalg.svd(x.T @ y)
    return np.asarray(left @ right)


def ridge_bridge(source: ArrayLike, target: ArrayLike, ridge: float) -> Floats:
    """Return the W with the least |X_s W - X_t|^2 + ridge |W|^2, `[k, m]`.

    Args:
        source: X_s, `[n, k]`.
        target: X_t, `[n, m]`.
        ridge: 0 or more; at 0 with fewer than k users the shortest W.

    Raises:
        ValueError: Shapes that do not fit, no users, a negative ridge.
    """
    x, y = _pairs(source, target)
    return _ridges(x, y, [ridge])[0]


def rating_bridge(
    users: ArrayLike, items: ArrayLike, rest: ArrayLike, ridge: float
) -> Floats:
    """Return the W with the least error of ratings, `[k, m]`.

    It minimises sum_n (rest_n - x_n W y_n)^2 + ridge |W|^2 over the target's
    ratings of linked users: least squares on the products of x and y.

    Args:
        users: Source vector x of each rating's user, `[N, k]`.
        items: Target vector y of each rating's item, `[N, m]`.
        rest: Rating less the item's mean, `[N]`.
        ridge: 0 or more.

    Raises:
        ValueError: Shapes that do not fit, no ratings, a negative ridge.
    """
    return rating_bridges(users, items, rest, [ridge])[0]


def rating_bridges(
    users: ArrayLike,
    items: ArrayLike,
    rest: ArrayLike,
    ridges: Sequence[float],
) -> list[Floats]:
    """Return ``rating_bridge`` of several ridges; the products come once."""
    x, y = _pairs(users, items)
    value = np.asarray(rest, dtype=np.float64)
    if value.shape != (len(x),):
        raise ValueError(
            f"rest has shape {value.shape}; pass one per rating, ({len(x)},)."
        )
    products = (x[:, :, None] * y[:, None, :]).reshape(len(x), -1)
    shape = (x.shape[1], y.shape[1])
    return [w.reshape(shape) for w in _ridges(products, value, ridges)]


def described(vectors: ArrayLike, description: ArrayLike) -> Floats:
    """Return (1, c_u) times x_u, all products: `[n, (1 + d) k]`.

    A linear bridge of these is a personal bridge of x_u: pass them to
    ``rating_bridge`` (or ``ridge_bridge``) in place of the vectors.

    Args:
        vectors: x, `[n, k]`.
        description: c, `[n, d]`: what tells users with one bridge from users
            with another, such as the mean of the vectors of the items they
            rated in the source.
    """
    x, c = _pairs(vectors, description)
    with_one = np.column_stack([np.ones(len(c)), c])
    return np.asarray(
        (with_one[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    )


def mean_history(
    users: ArrayLike, items: ArrayLike, vectors: ArrayLike, n_users: int
) -> Floats:
    """Return the mean vector of the items each user rated, `[n_users, d]`.

    Args:
        users: User of each rating in the source, `[N]`.
        items: Item of each rating, `[N]`.
        vectors: Of the source's items, `[n_items, d]`.
        n_users: Number of users; one without ratings has a mean of 0.
    """
    table = np.asarray(vectors, dtype=np.float64)
    sums = np.zeros((n_users, table.shape[1]))
    np.add.at(sums, np.asarray(users), table[np.asarray(items)])
    size = np.bincount(np.asarray(users), minlength=n_users)
    return sums / np.maximum(size, 1)[:, None]


def _ridges(x: Floats, y: Floats, ridges: Sequence[float]) -> list[Floats]:
    left, right = x.T @ x, x.T @ y
    found = []
    for ridge in ridges:
        if not ridge >= 0:
            raise ValueError(f"ridge is {ridge}; give 0 or more.")
        if ridge == 0:
            solution = np.linalg.lstsq(x, y, rcond=None)[0]
            found.append(np.asarray(solution, dtype=np.float64))
        else:
            heavier = left + ridge * np.eye(len(left))
            solution = np.linalg.solve(heavier, right)
            found.append(np.asarray(solution, dtype=np.float64))
    return found


def _pairs(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    x = np.asarray(first, dtype=np.float64)
    y = np.asarray(second, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not len(x):
        raise ValueError(
            f"Vectors of shapes {x.shape} and {y.shape} do not pair up: "
            "pass [n, k] and [n, m] with a row per linked user (or rating)."
        )
    for name, values in (("first", x), ("second", y)):
        if not np.isfinite(values).all():
            raise ValueError(
                f"The {name} vectors hold NaN or infinite numbers. Pass "
                "linked users only: the others have no target vector."
            )
    return x, y
