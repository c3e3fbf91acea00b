"""Metrics over whole catalogues: every item is ranked for every user.

Ties have a defined value: the expectation over all orders of the tied items.
An all-equal scorer therefore gets what chance gives, never 1, and no value
depends on a seed or on the order of the items (McSherry & Najork, Computing
information retrieval performance measures efficiently in the presence of
tied scores, ECIR 2008).

Users without a relevant item have no recall; they are skipped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence import arrays
from mtlrec_utils.evidence.relevance import Relevance, relevance_matrix

_CHUNK = 4_000_000  # entries compared at a time: bounds the memory


@dataclass(frozen=True)
class FullRanking:
    """Where each user's relevant items stand among all candidates.

    One pass over the scores makes it; every metric and every cut-off then
    costs next to nothing. The first four arrays hold one entry per relevant
    item, ordered by user; the methods return one value per counted user, in
    the order of ``users``.

    Attributes:
        user: Position 0.. of the item's user in ``users``.
        above: Candidates that score strictly higher.
        tied: Candidates with the same score, the item itself included.
        gain: Relevance of the item, positive.
        users: Row numbers, in the score matrix, of the counted users, [U].
        n_skipped: Users without a relevant candidate.
    """

    user: NDArray[np.int64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    gain: NDArray[np.float64]
    users: NDArray[np.int64]
    n_skipped: int

    def _sum_by_user(self, values: NDArray) -> NDArray[np.float64]:
        sums = np.bincount(
            self.user, weights=values, minlength=len(self.users)
        )
        return sums.astype(np.float64)

    def _best_block(self) -> tuple[NDArray, NDArray, NDArray]:
        """Per user: items above, size and relevant items of the first run
        of tied scores that holds a relevant item."""
        above = np.full(len(self.users), np.iinfo(np.int64).max)
        np.minimum.at(above, self.user, self.above)
        in_best = self.above == above[self.user]
        tied = np.zeros(len(self.users), dtype=np.int64)
        tied[self.user[in_best]] = self.tied[in_best]
        relevant = np.bincount(self.user[in_best], minlength=len(self.users))
        return above, tied, relevant

    def recall(self, k: int) -> NDArray[np.float64]:
        """Expected share of the relevant items among the first k."""
        _check_cut(k)
        inside = np.clip((k - self.above) / self.tied, 0, 1)
        n_relevant = np.bincount(self.user, minlength=len(self.users))
        return self._sum_by_user(inside) / n_relevant

    def hit_rate(self, k: int) -> NDArray[np.float64]:
        """Probability that a relevant item is among the first k."""
        _check_cut(k)
        above, tied, relevant = self._best_block()
        slots = np.clip(k - above, 0, tied)
        # None of the relevant is drawn into the slots: hypergeometric.
        missed = np.ones(len(self.users))
        for j in range(int(relevant.max())):
            factor = (tied - slots - j) / np.maximum(tied - j, 1)
            missed *= np.where(j < relevant, np.maximum(factor, 0), 1)
        return 1 - missed

    def reciprocal_rank(self) -> NDArray[np.float64]:
        """Expected 1 / rank of the first relevant item, in (0, 1]."""
        above, tied, relevant = self._best_block()
        value = 1.0 / (above + 1)
        for u in np.flatnonzero(tied > relevant):
            t, r = int(tied[u]), int(relevant[u])
            # P(the first of r relevant among t in random order is at j)
            j = np.arange(1, t - r + 1)
            later = np.cumprod((t - j - r + 1) / (t - j))
            first_at = r / t * np.concatenate([[1.0], later])
            value[u] = first_at @ (1 / (above[u] + np.arange(1, t - r + 2)))
        return value

    def ndcg(self, k: int) -> NDArray[np.float64]:
        """Expected DCG of the first k over the best possible, in [0, 1].

        Discount 1 / log2(position + 1), gain = the relevance itself.
        """
        _check_cut(k)
        longest = max(k, int((self.above + self.tied).max()))
        discount = 1 / np.log2(np.arange(2, longest + 2))
        discount[k:] = 0
        total = np.concatenate([[0.0], np.cumsum(discount)])
        mean_discount = (
            total[self.above + self.tied] - total[self.above]
        ) / self.tied
        dcg = self._sum_by_user(self.gain * mean_discount)
        order = np.lexsort((-self.gain, self.user))
        starts = np.searchsorted(self.user, np.arange(len(self.users)))
        place = np.arange(len(order)) - starts[self.user]
        ideal_discount = np.where(
            place < k, discount[np.minimum(place, longest - 1)], 0
        )
        ideal = self._sum_by_user(self.gain[order] * ideal_discount)
        return dcg / ideal


def _check_cut(k: int) -> None:
    if k != int(k) or k < 1:
        raise ValueError(f"k is {k}; cut the list at a whole number >= 1.")


def full_ranking(
    relevant: Relevance,
    scores: ArrayLike,
    exclude: Relevance | None = None,
) -> FullRanking:
    """Rank all candidates of all users once.

    Args:
        relevant: Relevance, [users, items]: a dense or SciPy sparse matrix
            (positive = relevant), or one list of item numbers per user.
        scores: Any numbers whose order matters, [users, items].
        exclude: Items that are no candidates, in the same three forms:
            usually those seen in training. An item that is both relevant
            and excluded is not a candidate, so it does not count.

    Raises:
        ValueError: NaN scores, shapes that differ, item numbers outside the
            catalogue, or no user with a relevant candidate.
    """
    score = arrays.without_nan(scores, "scores")
    if score.ndim != 2:
        raise ValueError(
            f"scores has shape {score.shape}; pass [users, items]."
        )
    shape = (score.shape[0], score.shape[1])
    wanted = relevance_matrix(relevant, shape, "relevant")
    if exclude is not None:
        score = score.copy()
        row, item = relevance_matrix(exclude, shape, "exclude").nonzero()
        score[row, item] = np.nan  # NaN is neither above nor tied
    wanted = wanted.tocoo()
    row, item = (axis.astype(np.int64) for axis in wanted.coords)
    gain = wanted.data
    candidate = ~np.isnan(score[row, item])
    row, item, gain = row[candidate], item[candidate], gain[candidate]
    if len(row) == 0:
        raise ValueError(
            "no user has a relevant candidate; check that relevant and "
            "exclude do not hold the same items."
        )
    above = np.empty(len(row), dtype=np.int64)
    tied = np.empty(len(row), dtype=np.int64)
    step = max(1, _CHUNK // shape[1])
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        own = score[row[part], item[part]][:, None]
        everyone = score[row[part]]
        above[part] = np.count_nonzero(everyone > own, axis=1)
        tied[part] = np.count_nonzero(everyone == own, axis=1)
    users, user = np.unique(row, return_inverse=True)
    return FullRanking(
        user=user.reshape(-1),
        above=above,
        tied=tied,
        gain=gain,
        users=users.astype(np.int64),
        n_skipped=shape[0] - len(users),
    )


def recall_at_k(
    relevant: Relevance,
    scores: ArrayLike,
    k: int,
    exclude: Relevance | None = None,
) -> float:
    """Mean over users of: relevant items among the first k / all relevant.

    Arguments as ``full_ranking``, whose ``n_skipped`` counts users without
    relevant items.
    """
    return float(full_ranking(relevant, scores, exclude).recall(k).mean())


def hit_rate_at_k(
    relevant: Relevance,
    scores: ArrayLike,
    k: int,
    exclude: Relevance | None = None,
) -> float:
    """Share of users with a relevant item among the first k."""
    return float(full_ranking(relevant, scores, exclude).hit_rate(k).mean())


def ndcg_at_k(
    relevant: Relevance,
    scores: ArrayLike,
    k: int,
    exclude: Relevance | None = None,
) -> float:
    """Mean normalised discounted cumulative gain of the first k."""
    return float(full_ranking(relevant, scores, exclude).ndcg(k).mean())


def mean_reciprocal_rank(
    relevant: Relevance,
    scores: ArrayLike,
    exclude: Relevance | None = None,
) -> float:
    """Mean of 1 / rank of the first relevant item."""
    ranking = full_ranking(relevant, scores, exclude)
    return float(ranking.reciprocal_rank().mean())


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

    _check_cut(k)
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
