"""What most people take: the baseline to beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from mtlrec_utils.models.classic.recommender import Recommender


class Popularity(Recommender):
    """Score an item by the sum of its interactions.

    The same list for everybody, or for every member of a segment. With
    `decay_weights` in the matrix it counts what is popular *now*.

    Args:
        segments: Segment of every user, `[n_users]` (numbers or names), known
            before the interactions; None for one segment.
        prior: How many interactions the popularity over all users weighs in
            a segment: the score is (count in the segment + prior x share over
            all) / (sum in the segment + prior). 0 takes segments as they
            are; it matters for small ones.

    Raises:
        ValueError: A negative prior, or a missing segment.
    """

    def __init__(
        self, segments: ArrayLike | None = None, prior: float = 0.0
    ) -> None:
        if not prior >= 0:
            raise ValueError(f"prior is {prior}; give 0 or more.")
        self.prior = prior
        self._codes: NDArray[np.int64] | None = None
        if segments is not None:
            codes, _ = pd.factorize(np.asarray(segments))
            if (codes < 0).any():
                raise ValueError(
                    f"segments is missing for user {int(np.argmin(codes))}; "
                    "give every user a segment."
                )
            self._codes = codes.astype(np.int64)

    def _fit(self, interactions: sparse.csr_array) -> None:
        n_users = interactions.shape[0]
        codes = self._codes
        if codes is None:
            codes = np.zeros(n_users, dtype=np.int64)
        if len(codes) != n_users:
            raise ValueError(
                f"segments names {len(codes)} users, interactions has "
                f"{n_users}; pass one segment per row."
            )
        member = sparse.csr_array(
            (np.ones(n_users), (codes, np.arange(n_users)))
        )
        counts = (member @ interactions).toarray()
        share = counts.sum(axis=0) / counts.sum()
        if self.prior:
            total = counts.sum(axis=1, keepdims=True) + self.prior
            counts = (counts + self.prior * share) / total
        self._of_segment = counts  # [segments, items]
        self._segment_of = codes

    def _scores(self, users: NDArray[np.int64]) -> NDArray:
        return self._of_segment[self._segment_of[users]]
