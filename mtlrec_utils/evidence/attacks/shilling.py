"""How far do fake users push an item, and what do weights of rows help?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence.arrays import (
    finite_column,
    group_codes,
    row_weights,
    same_length,
)

Floats = NDArray[np.float64]


def weight_caps(users: ArrayLike, cap: float) -> Floats:
    """Weights of rows, so that no user counts for more than ``cap`` rows.

    Args:
        users: user of each row, [N].
        cap: above 0.

    Returns:
        [N]: 1, or cap / (rows of the user) for users with more.
    """
    if not cap > 0:
        raise ValueError(f"cap={cap} must be above 0.")
    rows = np.asarray(users)
    codes, n_users = group_codes(rows, len(rows))
    count = np.bincount(codes, minlength=n_users)
    return np.minimum(1.0, cap / count)[codes]


def trust_weights(
    users: ArrayLike, items: ArrayLike, values: ArrayLike, strength: float
) -> Floats:
    """Weights of rows by how much their user agrees with everybody else.

    A user's disagreement is the mean of |value - mean of the item's other
    users|, each divided by the square root of the item's rows: the idea of
    RDMA (Chirita et al., Preventing Shilling Attacks in Online Recommender
    Systems, WIDM 2005). Against the median user:
    trust = min(1, (median / disagreement) ** strength).

    Args:
        users: user of each row, [N].
        items: item of each row, [N].
        values: rating, or 0/1, [N].
        strength: 0 trusts everybody.

    Returns:
        [N] in (0, 1].
    """
    value = finite_column(values, "values").astype(np.float64)
    user, n_users = group_codes(users, len(value))
    item, n_items = group_codes(items, len(value))
    if strength < 0:
        raise ValueError(f"strength={strength} must not be negative.")
    count = np.bincount(item, minlength=n_items)[item]
    total = np.bincount(item, value, minlength=n_items)[item]
    alone = count == 1
    rest = np.where(alone, value, (total - value) / np.maximum(count - 1, 1))
    apart = np.abs(value - rest) / np.sqrt(count)
    rows = np.bincount(user, minlength=n_users)
    disagreement = np.bincount(user, apart, minlength=n_users) / rows
    middle = float(np.median(disagreement))
    floor = max(middle, 1e-12)
    trust = (floor / np.maximum(disagreement, floor)) ** strength
    return trust[user]


def weighted_means(
    items: ArrayLike,
    values: ArrayLike,
    n_items: int,
    weights: ArrayLike | None = None,
    damping: float = 10.0,
) -> Floats:
    """Damped mean of each item over weighted rows: [n_items].

    (sum w v + damping * mean) / (sum w + damping), with the mean over all
    weighted rows.
    """
    value = finite_column(values, "values").astype(np.float64)
    item = np.asarray(items)
    same_length(items=len(item), values=len(value))
    weight = row_weights(weights, len(value))
    if not damping > 0:
        raise ValueError(f"damping={damping} must be above 0.")
    mean = float(np.average(value, weights=weight))
    total = np.bincount(item, weight * value, minlength=n_items)
    count = np.bincount(item, weight, minlength=n_items)
    return (total + damping * mean) / (count + damping)


def rank_of(scores: ArrayLike, item: int) -> float:
    """Rank of an item from the top, 1 is first; ties count half."""
    score = finite_column(scores, "scores")
    above = float((score > score[item]).sum())
    return 1 + above + (float((score == score[item]).sum()) - 1) / 2
