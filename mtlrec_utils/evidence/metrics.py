"""Metrics of shown items: AUC within and across users, errors of values.

Everything takes arrays of shape [N], one entry per row. A bad input raises
``ValueError`` with the remedy. Probabilities are judged in
``probability_metrics``, whole catalogues in ``ranking_metrics``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence import arrays

HIGHER_IS_BETTER: dict[str, bool] = {
    "auc": True,
    "gauc": True,
    "accuracy": True,
    "r2": True,
    "recall": True,
    "ndcg": True,
    "mrr": True,
    "hit_rate": True,
    "log_loss": False,
    "multiclass_log_loss": False,
    "normalised_entropy": False,
    "brier": False,
    "expected_calibration_error": False,
    "rmse": False,
    "mae": False,
}


def higher_is_better(metric: str) -> bool:
    """Direction of a metric, ``"ndcg@10"`` read as ``"ndcg"``.

    Raises:
        ValueError: The metric is unknown.
    """
    name = metric.partition("@")[0]
    if name not in HIGHER_IS_BETTER:
        known = ", ".join(HIGHER_IS_BETTER)
        raise ValueError(f"metric {metric!r} is unknown; choose from {known}.")
    return HIGHER_IS_BETTER[name]


def auc(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Area under the ROC curve: P(a positive scores above a negative).

    A tied pair counts one half, so a constant score has exactly 0.5.

    Args:
        labels: 0/1, shape [N].
        scores: Any numbers whose order matters, shape [N]; infinities allowed.
        weights: Non-negative weight of each row, shape [N].

    Raises:
        ValueError: NaN, unequal lengths, labels not 0/1, one class only,
            negative weights, no rows.
    """
    positive = arrays.binary_labels(labels)
    score = arrays.column(scores, "scores")
    arrays.same_length(labels=len(positive), scores=len(score))
    weight = arrays.row_weights(weights, len(positive))
    arrays.both_classes(positive[weight > 0], "AUC")
    order = np.argsort(score)
    score = score[order]
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
    weight_up = np.where(positive, weight, 0.0)[order]
    weight_down = np.where(positive, 0.0, weight)[order]
    up = np.add.reduceat(weight_up, starts)
    down = np.add.reduceat(weight_down, starts)
    below = np.cumsum(down) - down
    pairs = up.sum() * down.sum()
    return float(up @ (below + down / 2) / pairs)


class GroupedAUC(NamedTuple):
    """GAUC and what it rests on.

    Attributes:
        value: Impression-weighted mean of the groups' AUC.
        n_groups: Groups with both classes: those that count.
        n_skipped: Groups with one class only, for which AUC has no value.
        n_rows: Rows in the groups that count.
        n_rows_skipped: Rows in the skipped groups.
    """

    value: float
    n_groups: int
    n_skipped: int
    n_rows: int
    n_rows_skipped: int


class AUCPerGroup(NamedTuple):
    """AUC of every group; arrays of shape [G], NaN where one class only."""

    auc: NDArray[np.float64]
    n_rows: NDArray[np.int64]


def _by_group_then_score(codes: NDArray, score: NDArray) -> NDArray[np.int64]:
    """The order of ``np.lexsort((score, codes))``, up to ties.

    Rows are sorted by score, then by group and place packed into one whole
    number; two plain sorts take a quarter of lexsort's time.
    """
    by_score = np.argsort(score)
    packed = codes[by_score] * len(codes) + np.arange(len(codes))
    packed.sort()
    return by_score[packed % len(codes)]


def auc_per_group(
    positive: NDArray[np.bool_], score: NDArray, codes: NDArray, n_groups: int
) -> AUCPerGroup:
    """AUC within each group of checked arrays; codes are 0..G-1, all used.

    Sorted by group and score; counts of each run of tied scores by
    ``reduceat``; the pairs won are summed per group.
    """
    order = _by_group_then_score(codes, score)
    score, codes, positive = score[order], codes[order], positive[order]
    new_group = np.r_[True, codes[1:] != codes[:-1]]
    new_tie = new_group | np.r_[True, score[1:] != score[:-1]]
    tie_starts = np.flatnonzero(new_tie)
    group_starts = np.flatnonzero(new_group)
    n_rows = np.diff(np.r_[group_starts, len(codes)])
    up_rows = np.add.reduceat(positive, group_starts, dtype=np.int64)
    down_rows = n_rows - up_rows

    up = np.add.reduceat(positive, tie_starts, dtype=np.int64)
    down = np.diff(np.r_[tie_starts, len(codes)]) - up
    first_tie = np.flatnonzero(new_group[tie_starts])
    below_all = np.cumsum(down) - down
    # Negatives of earlier groups do not count.
    earlier = np.repeat(
        below_all[first_tie], np.diff(np.r_[first_tie, len(tie_starts)])
    )
    twice_won = np.add.reduceat(
        up * (2 * (below_all - earlier) + down), first_tie
    )
    pairs = up_rows * down_rows
    value = np.full(n_groups, np.nan)
    np.divide(twice_won, 2.0 * pairs, out=value, where=pairs > 0)
    return AUCPerGroup(value, n_rows)


def gauc_with_counts(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike
) -> GroupedAUC:
    """GAUC together with how many groups and rows it rests on.

    sum_u n_u AUC_u / sum_u n_u over the groups (users) that have both
    classes, weighted by their impressions n_u (Zhou et al., Deep Interest
    Network, KDD 2018). Adding any number per user to the scores leaves it
    unchanged, and a score that is constant within users has exactly 0.5.

    Args:
        labels: 0/1, shape [N].
        scores: Any numbers whose order matters, shape [N].
        groups: User of each row, numbers or strings, shape [N].

    Raises:
        ValueError: As for ``auc``; or no group has both classes.
    """
    positive = arrays.binary_labels(labels)
    score = arrays.column(scores, "scores")
    arrays.same_length(labels=len(positive), scores=len(score))
    codes, n_groups = arrays.group_codes(groups, len(positive))
    per_group = auc_per_group(positive, score, codes, n_groups)
    counts = ~np.isnan(per_group.auc)
    if not counts.any():
        raise ValueError(
            f"GAUC needs a group with both classes, but none of the "
            f"{n_groups} groups has them; use groups with more rows, or AUC."
        )
    n_rows = per_group.n_rows[counts]
    return GroupedAUC(
        value=float(per_group.auc[counts] @ n_rows / n_rows.sum()),
        n_groups=int(counts.sum()),
        n_skipped=int((~counts).sum()),
        n_rows=int(n_rows.sum()),
        n_rows_skipped=int(per_group.n_rows[~counts].sum()),
    )


def gauc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> float:
    """AUC within users, weighted by impressions; see gauc_with_counts."""
    return gauc_with_counts(labels, scores, groups).value


def _values(
    labels: ArrayLike, predictions: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    target = arrays.finite_column(labels, "labels").astype(np.float64)
    value = arrays.finite_column(predictions, "predictions")
    arrays.same_length(labels=len(target), predictions=len(value))
    return target, value.astype(np.float64)


def rmse(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Root of the mean squared error, in the unit of the label."""
    target, value = _values(labels, predictions)
    weight = arrays.row_weights(weights, len(target))
    return float(np.sqrt(np.average((target - value) ** 2, weights=weight)))


def mae(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Mean absolute error, in the unit of the label."""
    target, value = _values(labels, predictions)
    weight = arrays.row_weights(weights, len(target))
    return float(np.average(np.abs(target - value), weights=weight))


def r2(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Share of the label's variance explained; the mean predictor has 0.

    Raises:
        ValueError: The labels are constant, so there is nothing to explain.
    """
    target, value = _values(labels, predictions)
    weight = arrays.row_weights(weights, len(target))
    spread = weight @ (target - np.average(target, weights=weight)) ** 2
    if np.ptp(target[weight > 0]) == 0:
        raise ValueError(
            f"R2 needs labels that vary, but all are {target[0]:g}; use RMSE."
        )
    return float(1 - weight @ (target - value) ** 2 / spread)
