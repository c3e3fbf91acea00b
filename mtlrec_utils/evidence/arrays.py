"""Checks of the arrays that every metric takes.

Each check returns a clean NumPy array or raises a ``ValueError`` that names
the argument, the first bad place and the remedy.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating]


def float_array(values: ArrayLike, name: str) -> FloatArray:
    """``values`` as float32 or float64 (other types become float64)."""
    array = np.asarray(values)
    if array.dtype in (np.float32, np.float64):
        return array
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be read as numbers ({error}); pass numbers."
        ) from None


def _first(bad: NDArray[np.bool_]) -> str:
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"row {place[0]}" if len(place) == 1 else f"position {place}"


def without_nan(values: ArrayLike, name: str) -> FloatArray:
    """Numbers of any shape, infinities allowed. Raises on NaN or empty."""
    array = float_array(values, name)
    if array.size == 0:
        raise ValueError(f"{name} is empty; pass at least one row.")
    bad = np.isnan(array)
    if bad.any():
        raise ValueError(
            f"{name} holds {int(bad.sum())} NaN, the first at {_first(bad)}; "
            "keep only rows where the value is known (for a label: the rows "
            "of the task's sample space), and look for a model that diverged."
        )
    return array


def column(values: ArrayLike, name: str) -> FloatArray:
    """A one-dimensional array without NaN."""
    array = without_nan(values, name)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}; pass one value per row, "
            f"shape [N] (try {name}.reshape(-1))."
        )
    return array


def finite_column(values: ArrayLike, name: str) -> FloatArray:
    """A one-dimensional array of finite numbers."""
    array = column(values, name)
    bad = np.isinf(array)
    if bad.any():
        raise ValueError(
            f"{name} holds an infinite value at {_first(bad)}; pass finite "
            "numbers."
        )
    return array


def binary_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    """Labels 0/1 (any numeric or boolean type) as a boolean array [N]."""
    array = column(labels, "labels")
    positive = array == 1
    bad = ~positive & (array != 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"labels must be 0 or 1, but row {row} holds {array[row]:g}; "
            "turn the response into 0/1 first (for example rating >= 4)."
        )
    return positive


def probabilities(
    values: ArrayLike, name: str = "probabilities"
) -> FloatArray:
    """Numbers in [0, 1], any shape."""
    array = without_nan(values, name)
    bad = (array < 0) | (array > 1)
    if bad.any():
        value = array[tuple(np.argwhere(bad)[0])]
        raise ValueError(
            f"{name} must lie in [0, 1], but {_first(bad)} holds "
            f"{value:g}; apply a sigmoid to logits first."
        )
    return array


def row_weights(weights: ArrayLike | None, n_rows: int) -> FloatArray:
    """Non-negative weights [N] with a positive sum; ones when None."""
    if weights is None:
        return np.ones(n_rows)
    array = finite_column(weights, "weights").astype(np.float64)
    same_length(labels=n_rows, weights=len(array))
    if (array < 0).any():
        row = int(np.flatnonzero(array < 0)[0])
        raise ValueError(
            f"weights must not be negative, but row {row} holds "
            f"{array[row]:g}; drop the row or set its weight to 0."
        )
    if not array.any():
        raise ValueError("weights are all zero; give some row a weight.")
    return array


def same_length(**lengths: int) -> None:
    """Raise unless all named lengths agree."""
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise ValueError(
            f"lengths differ: {told}; pass arrays of the same rows in the "
            "same order."
        )


def both_classes(positive: NDArray[np.bool_], metric: str) -> None:
    """Raise unless positives and negatives are both present."""
    if positive.all() or not positive.any():
        raise ValueError(
            f"{metric} needs both classes, but all {len(positive)} labels "
            f"are {int(positive[0])}; evaluate on more rows or leave the "
            "task out."
        )


def group_codes(
    groups: ArrayLike, n_rows: int
) -> tuple[NDArray[np.int64], int]:
    """Group names [N] as codes 0..G-1 by first appearance, and G.

    Whole numbers, strings and categories are all accepted; a missing group
    is an error, because its rows would silently form one large user.
    """
    array = np.asarray(groups)
    if array.ndim != 1:
        raise ValueError(
            f"groups has shape {array.shape}; pass one group per row, [N]."
        )
    same_length(labels=n_rows, groups=len(array))
    codes, names = pd.factorize(array)
    if (codes < 0).any():
        raise ValueError(
            f"groups is missing at {_first(codes < 0)}; give every row its "
            "user, or drop the row."
        )
    return codes.astype(np.int64), len(names)
