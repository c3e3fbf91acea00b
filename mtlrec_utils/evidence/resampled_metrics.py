"""From the arrays of ``compare`` to a metric that can be resampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence import arrays
from mtlrec_utils.evidence import probability_metrics as probability
from mtlrec_utils.evidence.metrics import auc_per_group
from mtlrec_utils.evidence.resampling import (
    Finish,
    PerGroup,
    PooledAUC,
    Resampled,
    SortedRows,
    at_least_two,
    paired_models,
    weighted_mean,
)


def _root_mean(sums: NDArray[np.float64], n_seeds: int) -> NDArray[np.float64]:
    return np.sqrt(weighted_mean(sums, n_seeds))


def _over_entropy(
    sums: NDArray[np.float64], n_seeds: int
) -> NDArray[np.float64]:
    rate = sums[..., 2 * n_seeds + 1] / sums[..., 2 * n_seeds]
    return weighted_mean(sums, n_seeds) / probability.entropy(rate)[..., None]


def _explained(sums: NDArray[np.float64], n_seeds: int) -> NDArray[np.float64]:
    count, first, second = np.moveaxis(sums[..., 2 * n_seeds :], -1, 0)
    spread = second - first**2 / count
    return 1 - sums[..., : 2 * n_seeds] / spread[..., None]


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
        return (
            np.stack([per_row(label, p) for p in checked]),
            [],
            weighted_mean,
        )
    if metric == "accuracy":
        right = [probability.correct_per_row(labels, p) for p in models]
        return np.stack(right).astype(np.float64), [], weighted_mean
    if metric in ("log_loss", "normalised_entropy", "brier"):
        positive = arrays.binary_labels(labels)
        p = arrays.probabilities(models)
        if metric == "brier":
            return (p.astype(np.float64) - positive) ** 2, [], weighted_mean
        loss = probability.log_loss_per_row(positive, p)
        if metric == "log_loss":
            return loss, [], weighted_mean
        arrays.both_classes(positive, "normalised entropy")
        return loss, [positive.astype(np.float64)], _over_entropy
    target = arrays.finite_column(labels, "labels").astype(np.float64)
    for model in models:
        arrays.finite_column(model, "predictions")
    error = models.astype(np.float64) - target
    if metric == "mae":
        return np.abs(error), [], weighted_mean
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


def _chosen_rows(
    labels: ArrayLike,
    candidate: ArrayLike,
    baseline: ArrayLike,
    metric: str,
    mask: ArrayLike | None,
) -> tuple[NDArray, arrays.FloatArray, arrays.FloatArray, NDArray[np.bool_]]:
    """Labels [M], both models [S, M] or [S, M, K], and the mask [N].

    Rows are chosen before anything is checked: what stands in the other
    rows (NaN, usually) does not matter.
    """
    target = np.asarray(labels)
    if target.ndim != 1:
        raise ValueError(
            f"labels has shape {target.shape}; pass one per row, [N]."
        )
    keep = _masked(mask, len(target))
    shapes = np.shape(candidate), np.shape(baseline)
    several_classes = metric == "multiclass_log_loss" or (
        metric == "accuracy" and max(map(len, shapes)) == 3
    )
    row_axis = -2 if several_classes else -1
    for name, shape in zip(("candidate", "baseline"), shapes, strict=True):
        if len(shape) >= -row_axis:
            arrays.same_length(labels=len(target), **{name: shape[row_axis]})
    index = (..., keep, slice(None)) if several_classes else (..., keep)
    ours, theirs = paired_models(
        np.asarray(candidate)[index], np.asarray(baseline)[index], -row_axis
    )
    return target[keep], ours, theirs, keep


def resampled_metric(
    labels: ArrayLike,
    candidate: ArrayLike,
    baseline: ArrayLike,
    metric: str,
    groups: ArrayLike | None,
    mask: ArrayLike | None,
) -> Resampled:
    """Check the arrays of ``compare`` and prepare its metric."""
    target, ours, theirs, keep = _chosen_rows(
        labels, candidate, baseline, metric, mask
    )
    unit = "rows" if groups is None else "users"
    if groups is None:
        codes, n_groups = np.arange(len(target)), len(target)
    else:
        groups = np.asarray(groups)
        arrays.same_length(labels=len(keep), groups=len(groups))
        codes, n_groups = arrays.group_codes(groups[keep], len(target))
    at_least_two(n_groups, unit)
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
    sums: NDArray[np.float64] = np.stack(
        [np.bincount(codes, c, n_groups).astype(float) for c in columns],
        axis=1,
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
    prepared = [SortedRows.of(positive, score, codes) for score in models]
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
        weights=per_model[0].n_rows[both].astype(np.float64),
        n_skipped=int((~both).sum()),
    )
