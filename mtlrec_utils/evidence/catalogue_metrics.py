"""What lists of recommendations do to the catalogue: coverage, popularity.

A list holds item numbers, best first; -1 stands for an empty place, as
recommenders return it where candidates run out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence import arrays


def coverage(lists: ArrayLike, n_items: int) -> float:
    """Share of the catalogue that stands in somebody's list, in [0, 1].

    Args:
        lists: Item numbers, [users, k]; -1 is an empty place.
        n_items: Items of the catalogue.

    Raises:
        ValueError: Lists that are not [users, k], an item number outside the
            catalogue.
    """
    listed = _checked_lists(lists, n_items)
    return len(np.unique(listed[listed >= 0])) / n_items


def exposure_gini(lists: ArrayLike, n_items: int) -> float:
    """Gini index of how often the items are listed, in [0, 1).

    0 when all items are listed equally often; (n - 1) / n when one item
    fills every place.

    Raises:
        ValueError: As ``coverage``; or no place is filled.
    """
    listed = _checked_lists(lists, n_items)
    counts = np.bincount(listed[listed >= 0], minlength=n_items)
    if not counts.any():
        raise ValueError("the lists are empty; recommend something first.")
    ranks = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(ranks @ np.sort(counts) / (n_items * counts.sum()))


def popularity_rank(popularity: ArrayLike) -> NDArray[np.float64]:
    """Popularity as a share in [0, 1]: 0 the least popular item, 1 the most.

    Items of equal popularity share the mean of their places. The mean over
    the catalogue is one half.

    Args:
        popularity: Interactions of each item in training, [items].

    Raises:
        ValueError: Not one finite number per item, or fewer than 2 items.
    """
    counts = arrays.finite_column(popularity, "popularity")
    if len(counts) < 2:
        raise ValueError("popularity needs at least 2 items to rank.")
    _, code, size = np.unique(counts, return_inverse=True, return_counts=True)
    middle = np.cumsum(size) - (size + 1) / 2
    return middle[code] / (len(counts) - 1)


def popularity_bias(
    lists: ArrayLike, popularity: ArrayLike
) -> NDArray[np.float64]:
    """Mean popularity rank of each user's list, [users].

    One half where lists are drawn from the catalogue blindly, 1 where they
    hold the most popular items; NaN for an empty list. Compare it with the
    same mean over what the users really took (average recommendation
    popularity: Yin et al., Challenging the long tail recommendation, VLDB
    2012, here with ranks, so that one blockbuster does not make the mean).

    Args:
        lists: Item numbers, [users, k]; -1 is an empty place.
        popularity: Interactions of each item in training, [items].

    Raises:
        ValueError: As ``coverage`` and ``popularity_rank``.
    """
    rank = popularity_rank(popularity)
    listed = _checked_lists(lists, len(rank))
    filled = listed >= 0
    sums = np.where(filled, rank[listed], 0.0).sum(axis=1)
    count = filled.sum(axis=1)
    value = np.full(len(listed), np.nan)
    return np.divide(sums, count, out=value, where=count > 0)


def popularity_buckets(
    popularity: ArrayLike, n_buckets: int = 3
) -> NDArray[np.int64]:
    """Bucket of each item, 0 the most popular, by equal shares of interest.

    Items in order of popularity are cut where each bucket holds about the
    same number of interactions: bucket 0 has few items that many take (the
    head), the last many that few take (the long tail).

    Args:
        popularity: Interactions of each item in training, [items], not
            negative.
        n_buckets: At least 2.

    Raises:
        ValueError: Bad counts, no interactions, or a bucket left empty.
    """
    counts = arrays.finite_column(popularity, "popularity")
    if (counts < 0).any() or not counts.any():
        raise ValueError(
            "popularity must hold counts, none negative, some positive."
        )
    if n_buckets != int(n_buckets) or n_buckets < 2:
        raise ValueError(f"n_buckets is {n_buckets}; make at least 2.")
    order = np.argsort(-counts, kind="stable")
    # The middle of an item's own share decides, so that the head is never
    # empty.
    middle = np.cumsum(counts[order]) - counts[order] / 2
    place = (middle / counts.sum() * n_buckets).astype(np.int64)
    bucket = np.empty(len(counts), dtype=np.int64)
    bucket[order] = np.minimum(place, n_buckets - 1)
    if len(np.unique(bucket)) < n_buckets:
        raise ValueError(
            f"{n_buckets} buckets leave one empty, since single items hold "
            "too large a share; make fewer."
        )
    return bucket


def _checked_lists(lists: ArrayLike, n_items: int) -> NDArray[np.int64]:
    listed = np.asarray(lists)
    if listed.ndim != 2 or listed.size == 0 or listed.dtype.kind not in "iu":
        raise ValueError(
            f"lists has shape {listed.shape} and type {listed.dtype}; pass "
            "item numbers, [users, k]."
        )
    if listed.min() < -1 or listed.max() >= n_items:
        bad = listed.min() if listed.min() < -1 else listed.max()
        raise ValueError(
            f"lists names item {bad}, but the catalogue has items 0 to "
            f"{n_items - 1} (-1 is an empty place)."
        )
    return listed.astype(np.int64)
