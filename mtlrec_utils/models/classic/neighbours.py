"""Neighbours: users who took the same, items taken by the same.

With a_i the column of item i (or the row of a user) and h the shrinkage,

    cosine   s_ij = <a_i, a_j> / (|a_i| |a_j| + h)
    Jaccard  s_ij = |A_i and A_j| / (|A_i or A_j| + h)

h draws the similarity of items with few users towards 0. Item-based:
Sarwar et al., Item-based collaborative filtering recommendation algorithms,
WWW 2001. User-based: Resnick et al., GroupLens, CSCW 1994. Shrinkage in the
denominator: Ferrari Dacrema et al., Are we really making much progress?,
RecSys 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mtlrec_utils.models.classic.interactions import binary, checked
from mtlrec_utils.models.classic.recommender import Recommender

Similarity = Literal["cosine", "jaccard"]
_AT_ONCE = 20_000_000  # products held at a time


def nearest(
    rows: Any,
    n_neighbours: int = 50,
    similarity: Similarity = "cosine",
    shrinkage: float = 0.0,
) -> sparse.csr_array:
    """Similarity of every row to its nearest others, `[n, n]`.

    Args:
        rows: Positive matrix `[n, m]`; what is alike are its rows.
        n_neighbours: Kept per row; of equal ones the lower numbers.
        similarity: "cosine" of the values, or "jaccard" of the sets of
            entries.
        shrinkage: h >= 0.

    Returns:
        Entry (i, j) is the similarity of i to its neighbour j; no row is its
        own neighbour, and rows with nothing in common are none.

    Raises:
        ValueError: An unknown similarity, a number out of range, bad rows.
    """
    if similarity not in ("cosine", "jaccard"):
        raise ValueError(
            f"similarity {similarity!r} is unknown; choose 'cosine' or "
            "'jaccard'."
        )
    if n_neighbours != int(n_neighbours) or n_neighbours < 1:
        raise ValueError(f"n_neighbours is {n_neighbours}; keep at least 1.")
    if not shrinkage >= 0:
        raise ValueError(f"shrinkage is {shrinkage}; give 0 or more.")
    matrix = checked(rows)
    if similarity == "jaccard":
        matrix = binary(matrix)
    # Products of float32 are twice as fast; sums of 0 and 1 stay exact.
    matrix = matrix.astype(np.float32)
    squares = matrix.power(2).sum(axis=1).astype(np.float64)
    norms = np.sqrt(squares)
    columns, values, ends = [], [], [0]
    for i, (other, common) in enumerate(_products(matrix)):
        if similarity == "cosine":
            size = norms[i] * norms[other]
        else:
            size = squares[i] + squares[other] - common
        size += shrinkage
        near = np.divide(
            common, size, out=np.zeros(len(common)), where=common > 0
        )
        near[other == i] = 0.0
        kept = _largest(near, other, int(n_neighbours))
        columns.append(other[kept])
        values.append(near[kept])
        ends.append(ends[-1] + len(kept))
    return sparse.csr_array(
        (np.concatenate(values), np.concatenate(columns), ends),
        shape=(len(squares), len(squares)),
    )


def _products(
    matrix: sparse.csr_array,
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.floating]]]:
    """Yield, row by row, other rows and the inner products with them.

    Blocks of rows are multiplied at once. Where most pairs have something in
    common, a dense block is faster: its products cost a twentieth each, but
    there are more of them (measured, see `benchmarks/ranking_speed.py`).
    """
    n_rows = matrix.shape[0]
    turned = sparse.csr_array(matrix.T)
    work = binary(matrix) @ np.diff(turned.indptr)  # products of each row
    dense = matrix.nnz * n_rows < 20 * work.sum()
    held = np.full(n_rows, n_rows) if dense else np.minimum(work, n_rows)
    steps = np.cumsum(np.maximum(held, 1))
    cuts = np.searchsorted(steps, np.arange(_AT_ONCE, steps[-1], _AT_ONCE))
    blocks = np.unique([0, *(cuts + 1), n_rows])
    everyone = np.arange(n_rows)
    for start, end in zip(blocks, blocks[1:], strict=False):
        if dense:
            block = matrix @ matrix[start:end].T.toarray()
            for row in np.ascontiguousarray(block.T):
                yield everyone, row
            continue
        found = sparse.csr_array(matrix[start:end] @ turned)
        for first, last in zip(found.indptr, found.indptr[1:], strict=False):
            yield found.indices[first:last], found.data[first:last]


def _largest(
    near: NDArray[np.float64], other: NDArray[np.integer], n_kept: int
) -> NDArray[np.int64]:
    """Places of the n largest positive similarities."""
    if len(near) <= n_kept:
        return np.flatnonzero(near > 0)
    least = np.partition(near, len(near) - n_kept)[-n_kept]
    better = np.flatnonzero(near > least)
    if least <= 0:
        return better
    ties = np.flatnonzero(near == least)
    ties = ties[np.argsort(other[ties])][: n_kept - len(better)]
    return np.concatenate([better, ties])


class _Neighbours(Recommender):
    """What both kinds share: their settings.

    Args:
        n_neighbours: Kept per item or user.
        similarity: "cosine" or "jaccard".
        shrinkage: h >= 0; see the module.
    """

    def __init__(
        self,
        n_neighbours: int = 50,
        similarity: Similarity = "cosine",
        shrinkage: float = 0.0,
    ) -> None:
        self.n_neighbours = n_neighbours
        self.similarity = similarity
        self.shrinkage = shrinkage

    def _nearest(self, rows: sparse.csr_array) -> sparse.csr_array:
        return nearest(
            rows, self.n_neighbours, self.similarity, self.shrinkage
        )


class ItemNeighbours(_Neighbours):
    """Score of an item: how near it is to what the user has.

    score(u, i) = sum over the user's items j that have i among their nearest
    of r_uj s_ji. Arguments: n_neighbours per item, similarity ("cosine" or
    "jaccard"), shrinkage.

    Attributes:
        neighbours: Similarities, `[n_items, n_items]`, after `fit`.
    """

    neighbours: sparse.csr_array

    def _fit(self, interactions: sparse.csr_array) -> None:
        self.neighbours = self._nearest(sparse.csr_array(interactions.T))

    def _scores(self, users: NDArray[np.int64]) -> NDArray:
        return (self.seen[users] @ self.neighbours).toarray()


class UserNeighbours(_Neighbours):
    """Score of an item: how many near users have it, weighed by nearness.

    score(u, i) = sum over u's nearest users v of s_uv r_vi. Arguments:
    n_neighbours per user, similarity ("cosine" or "jaccard"), shrinkage.

    Attributes:
        neighbours: Similarities, `[n_users, n_users]`, after `fit`.
    """

    neighbours: sparse.csr_array

    def _fit(self, interactions: sparse.csr_array) -> None:
        self.neighbours = self._nearest(interactions)

    def _scores(self, users: NDArray[np.int64]) -> NDArray:
        return (self.neighbours[users] @ self.seen).toarray()
