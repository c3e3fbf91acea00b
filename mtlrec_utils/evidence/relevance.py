"""Which items are relevant (or excluded) for which user, in any form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from mtlrec_utils.evidence import arrays

Relevance: TypeAlias = (
    "ArrayLike | sparse.sparray | sparse.spmatrix | Sequence[ArrayLike]"
)


def relevance_matrix(
    items: Relevance, shape: tuple[int, int], name: str
) -> sparse.csr_array:
    """An array, a sparse matrix or lists of item numbers, as sparse rows.

    A Python list (or an object array) holds item numbers; anything else is a
    matrix [users, items].

    Raises:
        ValueError: Another shape than ``shape``; a negative or missing
            relevance; an item number that is no column or listed twice.
    """
    if isinstance(items, (list, tuple)):
        return _from_lists(items, shape, name)
    if not sparse.issparse(items):
        array = np.asarray(items)
        if array.dtype == object and array.ndim == 1:
            return _from_lists(list(array), shape, name)
        items = arrays.without_nan(array, name)
        _check_shape(items.shape, shape, name)
    matrix = sparse.csr_array(items).astype(np.float64)
    _check_shape(matrix.shape, shape, name)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not np.all(matrix.data > 0):
        raise ValueError(
            f"{name} holds a negative value or NaN; use 0 for not relevant "
            "and a positive number for relevant."
        )
    return matrix


def _check_shape(
    shape: tuple[int, ...], wanted: tuple[int, int], name: str
) -> None:
    if shape != wanted:
        raise ValueError(
            f"{name} has shape {shape}, scores {wanted}; pass one row per "
            "user and one column per item in both."
        )


def _from_lists(
    items: Sequence[ArrayLike], shape: tuple[int, int], name: str
) -> sparse.csr_array:
    if len(items) != shape[0]:
        raise ValueError(
            f"{name} has {len(items)} lists, scores {shape[0]} rows; pass "
            "one list of item numbers per user."
        )
    lists = [_item_numbers(row, shape[1], name) for row in items]
    columns = np.concatenate([*lists, np.empty(0, dtype=np.int64)])
    starts = np.concatenate([[0], np.cumsum([len(row) for row in lists])])
    return sparse.csr_array(
        (np.ones(len(columns)), columns, starts), shape=shape
    )


def _item_numbers(
    row: ArrayLike, n_items: int, name: str
) -> NDArray[np.int64]:
    array = np.atleast_1d(np.asarray(row))
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    numbers = np.unique(array)
    if array.dtype.kind not in "iu" or len(numbers) < array.size:
        raise ValueError(
            f"{name} is a list, so each entry lists the item numbers of one "
            "user, whole and each once; pass a matrix as a NumPy array."
        )
    if numbers[0] < 0 or numbers[-1] >= n_items:
        bad = numbers[0] if numbers[0] < 0 else numbers[-1]
        raise ValueError(
            f"{name} names item {bad}, but scores has columns 0 to "
            f"{n_items - 1}; number items by their column."
        )
    return numbers.astype(np.int64)
