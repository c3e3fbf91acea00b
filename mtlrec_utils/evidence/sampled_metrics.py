"""Metrics on a sample of negatives: what they are expected to say."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence.ranking_metrics import check_cut


def sampled_hit_rate(
    rank: ArrayLike, n_items: int, n_negatives: int, k: int
) -> float | NDArray[np.float64]:
    """Expected Hit@k when the item is ranked among sampled negatives.

    E[Hit@k] = sum_{j<k} C(r-1, j) C(n-r, m-j) / C(n-1, m), for m negatives
    drawn without replacement (Krichene & Rendle, On sampled metrics for item
    recommendation, KDD 2020). m = k = 1 gives the AUC (n-r)/(n-1); m = n-1
    gives the exact Hit@k.

    Args:
        rank: True rank r of the item among all n, 1 is best; any shape.
        n_items: n, the item itself included.
        n_negatives: m, from 1 to n-1.
        k: Length of the list.

    Returns:
        One value per rank: a float, or an array of rank's shape.

    Raises:
        ValueError: A rank outside 1..n, m outside 1..n-1, k below 1.
    """
    from scipy import stats  # half a second: only where it is needed

    check_cut(k)
    ranks = np.asarray(rank)
    if not 1 <= n_negatives <= n_items - 1:
        raise ValueError(
            f"n_negatives is {n_negatives}; draw 1 to {n_items - 1} of the "
            f"{n_items - 1} other items."
        )
    if (
        ranks.size == 0
        or (ranks != np.floor(ranks)).any()
        or ranks.min() < 1
        or ranks.max() > n_items
    ):
        raise ValueError(
            f"rank must hold whole numbers from 1 (best) to {n_items}."
        )
    value = stats.hypergeom.cdf(k - 1, n_items - 1, ranks - 1, n_negatives)
    return float(value) if ranks.ndim == 0 else value
