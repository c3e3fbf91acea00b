"""Metrics of two models on resampled users.

A resample draws as many groups (users) as there are, with replacement; it is
held as the number of times each group was drawn. A metric then becomes
arithmetic on these multiplicities: sums of per-group sums, or an AUC whose rows
were sorted once and are only weighted anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence import arrays
from mtlrec_utils.evidence import probability_metrics as probability
from mtlrec_utils.evidence.metrics import auc_per_group

_CHUNK = 4_000_000  # multiplicities held at a time
Finish = Callable[[NDArray[np.float64], int], NDArray[np.float64]]


class Resampled(Protocol):
    """A metric of two models with S seeds, on resampled groups."""

    n_groups: int
    n_skipped: int
    n_effective: int
    unit: str

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
        yield np.bincount(
            drawn.reshape(-1), minlength=few * n_groups
        ).reshape(few, n_groups)


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
        return len(self.sums)

    @property
    def n_effective(self) -> int:
        return len(self.sums)

    def point(self) -> NDArray[np.float64]:
        values = self.finish(self.sums.sum(axis=0), self.n_seeds)
        return values.reshape(2, self.n_seeds)

    def differences(
        self, resamples: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
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
        ours, theirs = _paired(candidate, baseline, 1)
        n_groups = ours.shape[1]
        weight = arrays.row_weights(weights, n_groups)
        _at_least_two(n_groups, "users")
        values = np.concatenate([ours, theirs]).astype(np.float64) * weight
        return cls(
            np.concatenate([values, weight[None]]).T.copy(),
            len(ours),
            _mean,
            n_skipped=n_skipped,
        )


@dataclass(frozen=True)
class _SortedRows:
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
    ) -> _SortedRows:
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
    """AUC over all rows, resampled by group."""

    models: list[_SortedRows]  # S of the candidate, then S of the baseline
    n_groups: int
    n_effective: int
    unit: str
    n_skipped: int = 0

    def _values(self, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        values = [model.auc(drawn) for model in self.models]
        return np.array(values).reshape(2, -1)

    def point(self) -> NDArray[np.float64]:
        return self._values(np.ones(self.n_groups, dtype=np.int64))

    def differences(
        self, resamples: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
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


def _mean(sums: NDArray[np.float64], n_seeds: int) -> NDArray[np.float64]:
    return sums[..., : 2 * n_seeds] / sums[..., 2 * n_seeds, None]


def _root_mean(sums: NDArray[np.float64], n_seeds: int) -> NDArray[np.float64]:
    return np.sqrt(_mean(sums, n_seeds))


def _over_entropy(
    sums: NDArray[np.float64], n_seeds: int
) -> NDArray[np.float64]:
    rate = sums[..., 2 * n_seeds + 1] / sums[..., 2 * n_seeds]
    return _mean(sums, n_seeds) / probability.entropy(rate)[..., None]


def _explained(sums: NDArray[np.float64], n_seeds: int) -> NDArray[np.float64]:
    count, first, second = np.moveaxis(sums[..., 2 * n_seeds :], -1, 0)
    spread = second - first**2 / count
    return 1 - sums[..., : 2 * n_seeds] / spread[..., None]


def _paired(
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


def _at_least_two(n_groups: int, unit: str) -> None:
    if n_groups < 2:
        raise ValueError(
            f"resampling needs at least 2 {unit}, but there is {n_groups}; "
            "test on more."
        )


def _masked(mask: ArrayLike | None, n_rows: int) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(n_rows, dtype=bool)
    keep = arrays.column(mask, "mask")
    arrays.same_length(labels=n_rows, mask=len(keep))
    if not np.isin(keep, (0, 1)).all():
        raise ValueError("mask must hold 0 and 1; weights are not supported.")
    if not keep.any():
        raise ValueError(
            "mask leaves no row; check the sample space of the task."
        )
    return keep == 1


def _row_losses(
    metric: str, labels: NDArray, models: arrays.FloatArray
) -> tuple[NDArray[np.float64], list[NDArray], Finish]:
    """Loss of each model and row [2 S, N], extra rows to sum, and finish."""
    if metric == "multiclass_log_loss":
        checked = [probability.class_probabilities(p) for p in models]
        label = probability.class_labels(labels, models.shape[-1])
        per_row = probability.multiclass_log_loss_per_row
        return np.stack([per_row(label, p) for p in checked]), [], _mean
    if metric == "accuracy":
        right = [probability.correct_per_row(labels, p) for p in models]
        return np.stack(right).astype(np.float64), [], _mean
    if metric in ("log_loss", "normalised_entropy", "brier"):
        positive = arrays.binary_labels(labels)
        p = arrays.probabilities(models)
        if metric == "brier":
            return (p.astype(np.float64) - positive) ** 2, [], _mean
        loss = probability.log_loss_per_row(positive, p)
        if metric == "log_loss":
            return loss, [], _mean
        arrays.both_classes(positive, "normalised entropy")
        return loss, [positive.astype(np.float64)], _over_entropy
    target = arrays.finite_column(labels, "labels").astype(np.float64)
    error = models.astype(np.float64) - target
    if metric == "mae":
        return np.abs(error), [], _mean
    if metric == "rmse":
        return error**2, [], _root_mean
    if metric == "r2":
        if np.ptp(target) == 0:
            raise ValueError(
                "R2 needs labels that vary; these are constant: use RMSE."
            )
        target = target - target.mean()
        return error**2, [target, target**2], _explained
    raise ValueError(
        f"compare cannot resample the metric {metric!r}; choose from auc, "
        "gauc, log_loss, normalised_entropy, brier, rmse, mae, r2, accuracy, "
        "multiclass_log_loss, or pass values per user to compare_per_group."
    )


def resampled_metric(
    labels: ArrayLike,
    candidate: ArrayLike,
    baseline: ArrayLike,
    metric: str,
    groups: ArrayLike | None,
    mask: ArrayLike | None,
) -> Resampled:
    """Check the arrays of ``compare`` and prepare its metric."""
    target = np.asarray(labels)
    if target.ndim != 1:
        raise ValueError(
            f"labels has shape {target.shape}; pass one per row, [N]."
        )
    keep = _masked(mask, len(target))
    shapes = np.shape(candidate), np.shape(baseline)
    row_axis = -2 if metric == "multiclass_log_loss" else -1
    if metric == "accuracy" and any(
        len(s) == 3 or (len(s) == 2 and s[0] == len(target) != s[1])
        for s in shapes
    ):
        row_axis = -2
    for name, shape in zip(("candidate", "baseline"), shapes, strict=True):
        if len(shape) >= -row_axis:
            arrays.same_length(labels=len(target), **{name: shape[row_axis]})
    rows = keep if row_axis == -1 else (keep, slice(None))
    index = (Ellipsis, rows) if row_axis == -1 else (Ellipsis, *rows)
    ours, theirs = _paired(
        np.asarray(candidate)[index], np.asarray(baseline)[index], -row_axis
    )
    target = target[keep]
    unit = "rows" if groups is None else "users"
    if groups is None:
        codes, n_groups = np.arange(len(target)), len(target)
    else:
        codes, n_groups = arrays.group_codes(
            np.asarray(groups)[keep], len(target)
        )
    _at_least_two(n_groups, unit)
    models = np.concatenate([ours, theirs])
    n_seeds = len(ours)
    if metric == "auc":
        return _pooled_auc(target, models, codes, n_groups, unit)
    if metric == "gauc":
        if groups is None:
            raise ValueError("gauc needs groups: pass the user of each row.")
        return _grouped_auc(target, models, codes, n_groups)
    losses, extra, finish = _row_losses(metric, target, models)
    columns = [*losses, np.ones(len(target)), *extra]
    sums = np.stack(
        [np.bincount(codes, c, minlength=n_groups) for c in columns], axis=1
    )
    return PerGroup(sums, n_seeds, finish, unit)


def _pooled_auc(
    labels: NDArray,
    models: arrays.FloatArray,
    codes: NDArray,
    n_groups: int,
    unit: str,
) -> PooledAUC:
    positive = arrays.binary_labels(labels)
    arrays.both_classes(positive, "AUC")
    n_effective = min(
        len(np.unique(codes[positive])), len(np.unique(codes[~positive]))
    )
    prepared = [_SortedRows.of(positive, score, codes) for score in models]
    return PooledAUC(prepared, n_groups, n_effective, unit)


def _grouped_auc(
    labels: NDArray, models: arrays.FloatArray, codes: NDArray, n_groups: int
) -> PerGroup:
    positive = arrays.binary_labels(labels)
    per_model = [
        auc_per_group(positive, score, codes, n_groups) for score in models
    ]
    values = np.stack([model.auc for model in per_model])
    both = ~np.isnan(values[0])
    if both.sum() < 2:
        raise ValueError(
            f"GAUC can be resampled only over users with both classes; of "
            f"{n_groups} users {int(both.sum())} have them. Use AUC."
        )
    half = len(models) // 2
    return PerGroup.from_values(
        values[:half, both],
        values[half:, both],
        weights=per_model[0].n_rows[both],
        n_skipped=int((~both).sum()),
    )
