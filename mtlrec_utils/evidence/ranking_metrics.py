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
from scipy import sparse

from mtlrec_utils.evidence import arrays
from mtlrec_utils.evidence.relevance import Relevance, relevance_matrix

_FEW = 24  # so many comparisons of a row cost less than sorting it


@dataclass(frozen=True)
class FullRanking:
    """Where each user's relevant items stand among all candidates.

    One pass over the scores makes it; every metric and every cut-off then
    costs next to nothing. The first five arrays hold one entry per relevant
    item, ordered by user; the methods return one value per counted user, in
    the order of ``users``.

    Attributes:
        user: Position 0.. of the item's user in ``users``.
        item: Number of the item, its column in the score matrix.
        above: Candidates that score strictly higher.
        tied: Candidates with the same score, the item itself included.
        gain: Relevance of the item, positive.
        users: Row numbers, in the score matrix, of the counted users, [U].
        n_skipped: Users without a relevant candidate.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    gain: NDArray[np.float64]
    users: NDArray[np.int64]
    n_skipped: int

    def among(self, items: ArrayLike) -> FullRanking:
        """The same ranking with only some items relevant.

        All candidates still compete; what is counted are the relevant items
        of a bucket, such as the rare ones. Users without any are left out.

        Args:
            items: Boolean per item of the catalogue, [items].

        Raises:
            ValueError: Not boolean, or no relevant item is among them.
        """
        chosen = np.asarray(items)
        if chosen.ndim != 1 or chosen.dtype != bool:
            raise ValueError(
                f"items has shape {chosen.shape} and type {chosen.dtype}; "
                "pass True or False per item of the catalogue."
            )
        if len(chosen) <= self.item.max():
            raise ValueError(
                f"items names {len(chosen)} items, but item "
                f"{self.item.max()} is relevant; pass one entry per item."
            )
        kept = chosen[self.item]
        if not kept.any():
            raise ValueError(
                "none of the items is relevant for anybody; choose others."
            )
        places, user = np.unique(self.user[kept], return_inverse=True)
        return FullRanking(
            user=user.reshape(-1),
            item=self.item[kept],
            above=self.above[kept],
            tied=self.tied[kept],
            gain=self.gain[kept],
            users=self.users[places],
            n_skipped=self.n_skipped + len(self.users) - len(places),
        )

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
        check_cut(k)
        inside = np.clip((k - self.above) / self.tied, 0, 1)
        n_relevant = np.bincount(self.user, minlength=len(self.users))
        return self._sum_by_user(inside) / n_relevant

    def hit_rate(self, k: int) -> NDArray[np.float64]:
        """Probability that a relevant item is among the first k."""
        check_cut(k)
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
        check_cut(k)
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


def check_cut(k: int) -> None:
    """Raise unless k is a whole number from 1 up."""
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
    hidden = sparse.csr_array(shape)
    if exclude is not None:
        hidden = relevance_matrix(exclude, shape, "exclude")
    n_relevant = np.diff(wanted.indptr)
    above = np.empty(wanted.nnz, dtype=np.int64)
    tied = np.zeros(wanted.nnz, dtype=np.int64)
    for u in np.flatnonzero(n_relevant):
        own = slice(*wanted.indptr[u : u + 2])
        left_out = hidden.indices[slice(*hidden.indptr[u : u + 2])]
        above[own], tied[own] = _places(
            score[u], wanted.indices[own], left_out
        )
    candidate = tied > 0
    if not candidate.any():
        raise ValueError(
            "no user has a relevant candidate; check that relevant and "
            "exclude do not hold the same items."
        )
    row = np.repeat(np.arange(shape[0]), n_relevant)[candidate]
    users, user = np.unique(row, return_inverse=True)
    return FullRanking(
        user=user.reshape(-1),
        item=wanted.indices[candidate].astype(np.int64),
        above=above[candidate],
        tied=tied[candidate],
        gain=wanted.data[candidate],
        users=users.astype(np.int64),
        n_skipped=shape[0] - len(users),
    )


def _places(
    scores: NDArray[np.floating],
    items: NDArray[np.integer],
    left_out: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the candidates above each item, and those tied with it.

    Both are 0 for an item that is no candidate itself.
    """
    if len(left_out):
        scores = scores.copy()
        scores[left_out] = np.nan  # NaN is neither above nor tied
    own = scores[items]
    if len(own) <= _FEW:
        above = np.array([np.count_nonzero(scores > s) for s in own])
        tied = np.array([np.count_nonzero(scores == s) for s in own])
        return above, tied
    ordered = np.sort(scores)  # NaN comes last
    ordered = ordered[: len(scores) - np.isnan(ordered).sum()]
    above = len(ordered) - np.searchsorted(ordered, own, side="right")
    tied = len(ordered) - above - np.searchsorted(ordered, own, side="left")
    return np.where(np.isnan(own), 0, above), np.where(np.isnan(own), 0, tied)


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
