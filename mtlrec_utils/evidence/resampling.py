"""Metrics of two models on resampled users.

A resample draws as many groups (users) as there are, with replacement; it is
held as the number of times each group was drawn. A metric then becomes
arithmetic on these multiplicities: sums of per-group sums, or an AUC whose
rows were sorted once and are only weighted anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence import arrays

_CHUNK = 4_000_000  # multiplicities held at a time
Finish = Callable[[NDArray[np.float64], int], NDArray[np.float64]]


class Resampled(Protocol):
    """A metric of two models with S seeds, on resampled groups."""

    @property
    def n_groups(self) -> int:
        """Groups that count."""

    @property
    def n_skipped(self) -> int:
        """Groups left out, because they have no value of their own."""

    @property
    def n_effective(self) -> int:
        """Groups that tell how much groups vary."""

    @property
    def unit(self) -> str:
        """ "users" or "rows"."""

    def point(self) -> NDArray[np.float64]:
        """Values on all groups: candidate and baseline, [2, S]."""

    def differences(
        self, resamples: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """candidate - baseline on resampled groups, [resamples, S]."""


def multiplicities(
    n_groups: int, resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """How often each group is drawn: chunks of shape [few, n_groups]."""
    step = max(1, _CHUNK // n_groups)
    for start in range(0, resamples, step):
        few = min(step, resamples - start)
        drawn = rng.integers(0, n_groups, size=(few, n_groups))
        drawn += np.arange(few)[:, None] * n_groups
        yield np.bincount(drawn.reshape(-1), minlength=few * n_groups).reshape(
            few, n_groups
        )


def weighted_mean(
    sums: NDArray[np.float64], n_seeds: int
) -> NDArray[np.float64]:
    """The ``finish`` of a mean: 2 S weighted sums, then the weights' sum."""
    return sums[..., : 2 * n_seeds] / sums[..., 2 * n_seeds, None]


@dataclass(frozen=True)
class PerGroup:
    """A metric that is a function of sums over groups.

    Attributes:
        sums: Per group: S sums of the candidate, S of the baseline, and
            then whatever ``finish`` needs, [G, 2 S + extra].
        n_seeds: S.
        finish: (sums over groups [..., 2 S + extra], S) -> values
            [..., 2 S].
    """

    sums: NDArray[np.float64]
    n_seeds: int
    finish: Finish
    unit: str = "users"
    n_skipped: int = 0

    @property
    def n_groups(self) -> int:
        """Groups that count."""
        return len(self.sums)

    @property
    def n_effective(self) -> int:
        """All of them: each has a sum of its own."""
        return len(self.sums)

    def point(self) -> NDArray[np.float64]:
        """Values on all groups, [2, S]."""
        values = self.finish(self.sums.sum(axis=0), self.n_seeds)
        return values.reshape(2, self.n_seeds)

    def differences(
        self, resamples: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """candidate - baseline on resampled groups, [resamples, S]."""
        chunks = []
        for drawn in multiplicities(self.n_groups, resamples, rng):
            with np.errstate(divide="ignore", invalid="ignore"):
                values = self.finish(drawn @ self.sums, self.n_seeds)
            chunks.append(
                values[:, : self.n_seeds] - values[:, self.n_seeds :]
            )
        return _with_a_value(np.concatenate(chunks))

    @classmethod
    def from_values(
        cls,
        candidate: ArrayLike,
        baseline: ArrayLike,
        weights: ArrayLike | None = None,
        n_skipped: int = 0,
    ) -> PerGroup:
        """The weighted mean of values that exist per group, [S, G]."""
        ours, theirs = paired_models(candidate, baseline, 1)
        n_groups = ours.shape[1]
        weight = arrays.row_weights(weights, n_groups)
        at_least_two(n_groups, "users")
        values = np.concatenate([ours, theirs]).astype(np.float64) * weight
        return cls(
            np.concatenate([values, weight[None]]).T.copy(),
            len(ours),
            weighted_mean,
            n_skipped=n_skipped,
        )


@dataclass(frozen=True)
class SortedRows:
    """One model's rows, sorted for AUC under any multiplicities.

    The classes are exchanged where positives are the more common one, so that
    the long array is only summed along, never gathered from twice.
    """

    common: NDArray[np.int64]  # groups of the common class, by score
    rare: NDArray[np.int64]  # groups of the rare class
    below: NDArray[np.int64]  # common rows below each rare row
    not_above: NDArray[np.int64]  # common rows below it or tied with it
    exchanged: bool

    @classmethod
    def of(
        cls, positive: NDArray[np.bool_], score: NDArray, codes: NDArray
    ) -> SortedRows:
        """Sort the rows of one model, each with the code of its group."""
        exchanged = 2 * int(positive.sum()) > len(positive)
        is_rare = ~positive if exchanged else positive
        rare_score, common_score = score[is_rare], score[~is_rare]
        rare_order = np.argsort(rare_score)
        common_order = np.argsort(common_score)
        rare_score = rare_score[rare_order]
        common_score = common_score[common_order]
        return cls(
            common=codes[~is_rare][common_order],
            rare=codes[is_rare][rare_order],
            below=np.searchsorted(common_score, rare_score, "left"),
            not_above=np.searchsorted(common_score, rare_score, "right"),
            exchanged=exchanged,
        )

    def auc(self, drawn: NDArray[np.int64]) -> float:
        """AUC with each group's rows counted as often as it was drawn."""
        total = np.zeros(len(self.common) + 1, dtype=np.int64)
        np.cumsum(drawn[self.common], out=total[1:])
        times = drawn[self.rare]
        twice_won = times @ (total[self.below] + total[self.not_above])
        pairs = int(times.sum()) * int(total[-1])
        if pairs == 0:
            return np.nan
        value = float(twice_won) / (2.0 * pairs)
        return 1 - value if self.exchanged else value


@dataclass(frozen=True)
class PooledAUC:
    """AUC over all rows, resampled by group.

    ``n_effective`` is the smaller of the numbers of groups with positives
    and with negatives: a hundred thousand users tell little about the spread
    of an AUC that rests on the ten who bought something.
    """

    models: list[SortedRows]  # S of the candidate, then S of the baseline
    n_groups: int
    n_effective: int
    unit: str
    n_skipped: int = 0

    def _values(self, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        values = [model.auc(drawn) for model in self.models]
        return np.array(values).reshape(2, -1)

    def point(self) -> NDArray[np.float64]:
        """Values on all groups, [2, S]."""
        return self._values(np.ones(self.n_groups, dtype=np.int64))

    def differences(
        self, resamples: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """candidate - baseline on resampled groups, [resamples, S]."""
        values = np.array(
            [
                self._values(drawn)
                for chunk in multiplicities(self.n_groups, resamples, rng)
                for drawn in chunk
            ]
        )
        return _with_a_value(values[:, 0] - values[:, 1])


def _with_a_value(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop the few resamples that have no value; refuse many."""
    defined = np.isfinite(differences).all(axis=1)
    if defined.mean() < 0.95:
        raise ValueError(
            f"the metric has no value on {1 - defined.mean():.0%} of the "
            "resamples, because some class is nearly absent; evaluate on "
            "more users, or leave this task out."
        )
    return differences[defined]


def paired_models(
    candidate: ArrayLike, baseline: ArrayLike, row_dimensions: int
) -> tuple[arrays.FloatArray, arrays.FloatArray]:
    """Both models as [S, N] (or [S, N, K]), one seed repeated if need be."""
    ours = arrays.without_nan(candidate, "candidate")
    theirs = arrays.without_nan(baseline, "baseline")
    for name, array in (("candidate", ours), ("baseline", theirs)):
        if array.ndim not in (row_dimensions, row_dimensions + 1):
            raise ValueError(
                f"{name} has shape {array.shape}; pass one row of values "
                "per seed, [S, N], or a single one, [N]."
            )
    ours = ours[None] if ours.ndim == row_dimensions else ours
    theirs = theirs[None] if theirs.ndim == row_dimensions else theirs
    if ours.shape[1:] != theirs.shape[1:]:
        raise ValueError(
            f"candidate has rows of shape {ours.shape[1:]}, baseline "
            f"{theirs.shape[1:]}; predict the same rows with both."
        )
    n_seeds = max(len(ours), len(theirs))
    if len(ours) not in (1, n_seeds) or len(theirs) not in (1, n_seeds):
        raise ValueError(
            f"candidate has {len(ours)} seeds, baseline {len(theirs)}; train "
            "both with the same seeds."
        )
    shape = (n_seeds, *ours.shape[1:])
    return np.broadcast_to(ours, shape), np.broadcast_to(theirs, shape)


def at_least_two(n_groups: int, unit: str) -> None:
    """Raise where there is nothing to resample."""
    if n_groups < 2:
        raise ValueError(
            f"resampling needs at least 2 {unit}, but there is {n_groups}; "
            "test on more."
        )
