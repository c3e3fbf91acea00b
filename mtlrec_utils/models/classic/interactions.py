"""From rows of a log to a sparse matrix of interactions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse


def interaction_matrix(
    users: ArrayLike,
    items: ArrayLike,
    shape: tuple[int, int],
    weights: ArrayLike | None = None,
) -> sparse.csr_array:
    """Collect interactions in a matrix, float64 `[n_users, n_items]`.

    Args:
        users: User number of each interaction, 0 ... n_users - 1, `[N]`.
        items: Item number of each interaction, 0 ... n_items - 1, `[N]`.
        shape: (n_users, n_items).
        weights: Positive weight of each interaction, `[N]`: stars, minutes,
            or `decay_weights`. Repeated pairs add up. None: an entry is 1
            however often the pair occurs.

    Raises:
        ValueError: A number outside the shape, unequal lengths, a weight
            that is not positive and finite.
    """
    user = _numbers(users, shape[0], "users")
    item = _numbers(items, shape[1], "items")
    if len(user) != len(item):
        raise ValueError(
            f"users has {len(user)} entries, items {len(item)}; pass one of "
            "each per interaction."
        )
    value = np.ones(len(user))
    if weights is not None:
        value = np.asarray(weights, dtype=np.float64)
        if value.shape != user.shape:
            raise ValueError(
                f"weights has shape {value.shape}; pass one weight per "
                f"interaction, ({len(user)},)."
            )
        if not (np.isfinite(value) & (value > 0)).all():
            raise ValueError(
                "weights must be positive and finite; leave out rows that "
                "are no interactions."
            )
    matrix = sparse.csr_array(
        sparse.coo_array((value, (user, item)), shape=shape)
    )
    matrix.sum_duplicates()
    return binary(matrix) if weights is None else matrix


def decay_weights(
    times: ArrayLike, half_life: float, now: float | None = None
) -> NDArray[np.float64]:
    """Weigh interactions by age: 1 now, 1/2 after a half-life, `[N]`.

    Args:
        times: Time of each interaction, in any unit, `[N]`.
        half_life: In the unit of `times`, positive.
        now: The moment to weigh from; the latest time by default.

    Raises:
        ValueError: A half-life that is not positive, a time that is not
            finite, or one after `now`: it would be a look into the future.
    """
    time = np.asarray(times, dtype=np.float64)
    if not half_life > 0:
        raise ValueError(f"half_life is {half_life}; give a positive time.")
    if time.ndim != 1 or not np.isfinite(time).all():
        raise ValueError("times must hold one finite number per interaction.")
    end = time.max(initial=-np.inf) if now is None else now
    if (time > end).any():
        raise ValueError(
            f"{int((time > end).sum())} times lie after now ({end:g}); "
            "weigh past interactions only."
        )
    return np.exp2(-(end - time) / half_life)


def checked(interactions: Any) -> sparse.csr_array:
    """Interactions as sparse rows in canonical form, or a ValueError."""
    if not sparse.issparse(interactions):
        array = np.asarray(interactions)
        if array.ndim != 2 or array.dtype.kind not in "biuf":
            raise ValueError(
                f"interactions has shape {array.shape} and type "
                f"{array.dtype}; pass a matrix [users, items], for example "
                "interaction_matrix(users, items, shape)."
            )
        interactions = array
    matrix = sparse.csr_array(interactions).astype(np.float64)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not (np.isfinite(matrix.data) & (matrix.data > 0)).all():
        raise ValueError(
            "interactions must be positive and finite: 0 (or no entry) means "
            "that nothing was observed, not that an item was disliked."
        )
    if matrix.nnz == 0:
        raise ValueError("interactions holds no entry; there is no data.")
    return matrix


def binary(matrix: sparse.csr_array) -> sparse.csr_array:
    """The same entries, each 1."""
    ones = np.ones(matrix.nnz)
    return sparse.csr_array(
        (ones, matrix.indices, matrix.indptr), shape=matrix.shape
    )


def _numbers(values: ArrayLike, n: int, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} has shape {array.shape} and type {array.dtype}; pass "
            "one whole number per interaction (pandas.factorize makes them "
            "from ids)."
        )
    if len(array) and (array.min() < 0 or array.max() >= n):
        bad = array.min() if array.min() < 0 else array.max()
        raise ValueError(
            f"{name} holds {bad}, but the matrix has numbers 0 to {n - 1}; "
            "number them from 0, or enlarge shape."
        )
    return array.astype(np.int64)
