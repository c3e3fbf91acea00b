"""SSCDR: a map between domains that learns from unlabelled items, too.

Kang, Hwang, Lee and Yu, "Semi-supervised learning for cross-domain
recommendation to cold-start users", CIKM 2019. One map f carries users *and*
items of the source into the target's space:

    L   = L_S + weight * L_U
    L_S = mean over linked users u of |f(x_u) - z_u|^2 / m
    L_U = mean of max(0, margin + |e(z_u) - e(f(y_i))|^2
                                - |e(z_u) - e(f(y_j))|^2)

with x_u and z_u [m] the vectors of u in the source and the target, i and j
items of the source of which u prefers i, and e(v) = v / |v|. Only the users
need a label, so that a few links teach f about all items their users met. The
weight counts in units of the mean square of z: it means the same whatever the
scale of the vectors. At weight 0 this is EMCDR's network.

A cold user is then read off the neighbourhood in the source's graph of users
and the items they prefer, hop by hop (``neighbourhood``).

What differs from the paper: there vectors come from metric learning on
implicit feedback, and j is any item without a row. Here they are factors of
ratings, as for every other bridge of the course, and j was rated lower. The
hops' weights (half for the node itself) are those of this course.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from mtlrec_utils.learning.transfer.mapping import (
    Floats,
    Mapping,
    as_function,
    falling_adam,
    linked_vectors,
    tanh_layers,
)

# [users, items]: above 0 where a user prefers an item, below 0 where not.
Preferences: TypeAlias = sparse.csr_array


def semi_supervised_bridge(
    source: ArrayLike,
    target: ArrayLike,
    items: ArrayLike,
    preferences: Preferences,
    *,
    unlabelled_weight: float = 1.0,
    margin: float = 0.5,
    n_compared: int | None = None,
    hidden: int = 16,
    weight_decay: float = 1e-2,
    learning_rate: float = 1e-2,
    epochs: int = 200,
    batch_size: int = 64,
    seed: int = 0,
) -> Mapping:
    """Train SSCDR's map, a network with one tanh layer.

    Every step takes some linked users, and for each of them a preferred and
    another item, drawn anew. A user who lacks one of them has L_S alone.

    Args:
        source: x, vectors of the linked users in the source, [n, k].
        target: z, the same users' in the target, [n, m].
        items: y, the source's items in the same space as its users,
            [n_items, k].
        preferences: of the linked users, [n, n_items]: above 0 for a
            preferred item, below 0 for another one they know.
        unlabelled_weight: of L_U, 0 or more.
        margin: of the squared distances, which lie between 0 and 4.
        n_compared: how many numbers of a target vector the distances are of,
            the first ones: a level, which moves no order, stands behind them.
            None: all.
        hidden, weight_decay, learning_rate, epochs, batch_size, seed: as in
            ``mlp_bridge``.

    Returns:
        A function: source vectors [n, k] in, target vectors [n, m] out.

    Raises:
        ValueError: shapes that do not fit, NaN, a negative weight or margin.
    """
    x, y = linked_vectors(source, target)
    points = _checked_items(items, preferences, x)
    if not (unlabelled_weight >= 0 and margin >= 0):
        raise ValueError(
            f"unlabelled_weight is {unlabelled_weight} and margin {margin}; "
            "both must be 0 or more."
        )
    pairs = PreferencePairs(preferences)
    layers = tanh_layers(hidden, y.shape[1], seed)
    network = keras.Sequential([keras.Input((3, x.shape[1])), *layers])
    steps = epochs * -(-len(x) // batch_size)
    network.compile(
        falling_adam(learning_rate, weight_decay, steps),
        _Loss(
            unlabelled_weight * float(np.mean(y**2)),
            margin,
            y.shape[1] if n_compared is None else n_compared,
        ),
    )
    rng, items_rng = (np.random.default_rng(s) for s in (seed, [seed, 1]))
    for _ in range(epochs):
        order = rng.permutation(len(x))
        closer, farther, there = pairs.drawn(items_rng)
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            given = np.stack(
                [x[rows], points[closer[rows]], points[farther[rows]]], 1
            )
            wanted = np.column_stack([y[rows], there[rows]])
            network.train_on_batch(given, wanted)
    return as_function(layers)


def ranking_loss(anchor: Any, closer: Any, farther: Any, margin: float) -> Any:
    """Return L_U of each row, [B], between unit vectors.

    Args:
        anchor: target vectors of users, [B, d].
        closer: mapped items that they prefer, [B, d].
        farther: mapped items that they do not, [B, d].
        margin: 0 or more.
    """
    user, near, far = (_unit(v) for v in (anchor, closer, farther))
    gap = ops.sum((user - near) ** 2, -1) - ops.sum((user - far) ** 2, -1)
    return ops.maximum(margin + gap, 0.0)


def _unit(vectors: Any) -> Any:
    """Divide by the norm; a vector of 0 stays 0, and its gradient finite."""
    square = ops.sum(vectors**2, -1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(square, 1e-12))


class _Loss(keras.losses.Loss):
    """L_S + weight * L_U of [B, m + 1] (target, has items) and [B, 3, m]."""

    def __init__(self, weight: float, margin: float, n_compared: int) -> None:
        super().__init__(name="sscdr")
        self.weight, self.margin = weight, margin
        self.n_compared = n_compared

    def call(self, wanted: Any, carried: Any) -> Any:
        target, there = wanted[:, :-1], wanted[:, -1]
        labelled = ops.mean((carried[:, 0] - target) ** 2, -1)
        user, near, far = (
            v[:, : self.n_compared]
            for v in (target, carried[:, 1], carried[:, 2])
        )
        ranked = there * ranking_loss(user, near, far, self.margin)
        # A mean over the rows that have items; Keras divides by all of them.
        share = ops.maximum(ops.mean(there), 1e-12)
        return labelled + self.weight * ranked / share


class PreferencePairs:
    """Draws a preferred and another item for every user.

    Args:
        preferences: [n, n_items]: above 0 preferred, below 0 not, else
            unknown.
    """

    def __init__(self, preferences: Preferences) -> None:
        self._sides = [
            sparse.csr_array(sign * preferences > 0) for sign in (1, -1)
        ]

    def drawn(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return preferred items, others (0 if none), who has both: [n]."""
        found, there = [], []
        for side in self._sides:
            size = np.diff(side.indptr)
            place = np.minimum(rng.random(len(size)) * size, size - 1)
            last = max(len(side.indices) - 1, 0)
            at = np.clip(side.indptr[:-1] + place.astype(int), 0, last)
            table = side.indices if len(side.indices) else np.zeros(1, int)
            found.append(np.where(size > 0, table[at], 0).astype(np.int64))
            there.append(size > 0)
        return found[0], found[1], there[0] & there[1]


def neighbourhood(
    users: ArrayLike, items: ArrayLike, preferences: Preferences, n_hops: int
) -> tuple[Floats, Floats]:
    """Average the vectors of users and items with those of neighbours.

    At each hop a user becomes the middle of their own vector and the mean of
    the items they prefer, an item that of its own and the mean of those who
    prefer it; both at once. Who has no neighbour stays.

    Args:
        users: [n, d].
        items: [n_items, d].
        preferences: [n, n_items]; above 0 where the user prefers the item.
        n_hops: 0 or more; 0 changes nothing.

    Returns:
        The vectors of users and of items.

    Raises:
        ValueError: shapes that do not fit, a negative number of hops.
    """
    own = np.array(users, dtype=np.float64)
    theirs = np.array(items, dtype=np.float64)
    if n_hops < 0 or n_hops != int(n_hops):
        raise ValueError(f"n_hops is {n_hops}; give 0, 1, 2 ...")
    if preferences.shape != (len(own), len(theirs)):
        raise ValueError(
            f"preferences have shape {preferences.shape}; with {len(own)} "
            f"users and {len(theirs)} items it is ({len(own)}, {len(theirs)})."
        )
    liked = sparse.csr_array(preferences > 0).astype(np.float64)
    for _ in range(int(n_hops)):
        own, theirs = _hop(own, theirs, liked), _hop(theirs, own, liked.T)
    return own, theirs


def _hop(own: Floats, others: Floats, edges: Any) -> Floats:
    size = np.asarray(edges.sum(axis=1)).reshape(-1, 1)
    mean = (edges @ others) / np.maximum(size, 1)
    return np.asarray(np.where(size > 0, (own + mean) / 2, own))


def _checked_items(
    items: ArrayLike, preferences: Preferences, users: NDArray
) -> NDArray[np.float32]:
    points = np.asarray(items, dtype="float32")
    if points.ndim != 2 or points.shape[1] != users.shape[1]:
        raise ValueError(
            f"items have shape {points.shape}; they need as many numbers as "
            f"users have, [n_items, {users.shape[1]}]."
        )
    if not np.isfinite(points).all():
        raise ValueError("items hold NaN or infinite numbers.")
    if preferences.shape != (len(users), len(points)):
        raise ValueError(
            f"preferences have shape {preferences.shape}; give a row per "
            f"linked user and a column per item, ({len(users)}, "
            f"{len(points)})."
        )
    return points
