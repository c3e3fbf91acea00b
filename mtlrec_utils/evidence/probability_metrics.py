"""Metrics of predicted probabilities: log loss, entropy, calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence import arrays


def _labels_and_probabilities(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.bool_], arrays.FloatArray]:
    positive = arrays.binary_labels(labels)
    p = arrays.probabilities(arrays.column(probabilities, "probabilities"))
    arrays.same_length(labels=len(positive), probabilities=len(p))
    return positive, p


def clipped(p: arrays.FloatArray) -> NDArray[np.float64]:
    """Probabilities kept one machine epsilon of their type off 0 and 1."""
    epsilon = float(np.finfo(p.dtype).eps)
    return np.clip(p.astype(np.float64), epsilon, 1 - epsilon)


def log_loss_per_row(
    positive: NDArray[np.bool_], p: arrays.FloatArray
) -> NDArray[np.float64]:
    """-log of the probability given to what happened, shape [N], in nats."""
    p = clipped(p)
    return -np.log(np.where(positive, p, 1 - p))


def log_loss(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
) -> float:
    """Mean negative log likelihood in nats (binary cross-entropy).

    Probabilities of exactly 0 or 1 are moved by the machine epsilon of their
    type (float32: 1.2e-7), as scikit-learn does: one sure and wrong
    prediction then costs 16 (float32) or 36 (float64), not infinity.

    Args:
        labels: 0/1, shape [N].
        probabilities: In [0, 1], shape [N].
        weights: Non-negative, shape [N].

    Raises:
        ValueError: Values outside [0, 1] (logits?), NaN, unequal lengths.
    """
    positive, p = _labels_and_probabilities(labels, probabilities)
    weight = arrays.row_weights(weights, len(positive))
    return float(np.average(log_loss_per_row(positive, p), weights=weight))


def normalised_entropy(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
) -> float:
    """Log loss divided by that of always predicting the base rate.

    1 for the base-rate predictor, below 1 for a useful one (He et al.,
    Practical lessons from predicting clicks on ads at Facebook, ADKDD 2014).
    The base rate is that of the evaluated rows.

    Raises:
        ValueError: As ``log_loss``; or one class only (its entropy is 0).
    """
    positive, p = _labels_and_probabilities(labels, probabilities)
    weight = arrays.row_weights(weights, len(positive))
    arrays.both_classes(positive[weight > 0], "normalised entropy")
    base_rate = np.average(positive, weights=weight)
    loss = np.average(log_loss_per_row(positive, p), weights=weight)
    return float(loss / entropy(base_rate))


def entropy(rate: ArrayLike) -> NDArray[np.float64]:
    """Entropy in nats of a 0/1 variable with this rate; 0 at 0 and 1."""
    rate = np.asarray(rate, dtype=np.float64)
    inside = np.clip(rate, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
    value = -(rate * np.log(inside) + (1 - rate) * np.log1p(-inside))
    return np.maximum(value, 0.0)


def brier(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
) -> float:
    """Mean squared difference of probability and label, in [0, 1]."""
    positive, p = _labels_and_probabilities(labels, probabilities)
    weight = arrays.row_weights(weights, len(positive))
    error = (p.astype(np.float64) - positive) ** 2
    return float(np.average(error, weights=weight))


def calibration_ratio(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
) -> float:
    """Sum of probabilities / number of positives: 1 when right on average.

    Above 1 the model promises too much. Report a conversion probability over
    the clicked rows and over all rows separately: they are two questions.

    Raises:
        ValueError: As ``log_loss``; or there are no positives.
    """
    positive, p = _labels_and_probabilities(labels, probabilities)
    weight = arrays.row_weights(weights, len(positive))
    observed = weight @ positive
    if observed == 0:
        raise ValueError(
            "the calibration ratio needs positives, but all labels are 0; "
            "evaluate on more rows."
        )
    return float(weight @ p.astype(np.float64) / observed)


class CalibrationBins(NamedTuple):
    """Bins of equal count, by rising probability; arrays of shape [bins]."""

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    n_rows: NDArray[np.int64]


def calibration_bins(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 10
) -> CalibrationBins:
    """Mean probability and mean label in bins that hold equally many rows.

    Rows with the same probability share their mean label, so the order of
    the rows never matters, even where a bin's border cuts through ties.

    Args:
        labels: 0/1, shape [N].
        probabilities: In [0, 1], shape [N].
        bins: Number of bins; sizes differ by at most one row. No more bins
            than rows are made.

    Raises:
        ValueError: As ``log_loss``; or ``bins`` below 1.
    """
    positive, p = _labels_and_probabilities(labels, probabilities)
    if bins < 1:
        raise ValueError(f"bins is {bins}; ask for at least 1.")
    order = np.argsort(p)
    p, label = p[order].astype(np.float64), positive[order].astype(float)
    ties = np.flatnonzero(np.r_[True, p[1:] != p[:-1]])
    length = np.diff(np.r_[ties, len(p)])
    label = np.repeat(np.add.reduceat(label, ties) / length, length)
    edges = np.linspace(0, len(p), min(bins, len(p)) + 1).astype(np.int64)
    count = np.diff(edges)
    return CalibrationBins(
        predicted=np.add.reduceat(p, edges[:-1]) / count,
        observed=np.add.reduceat(label, edges[:-1]) / count,
        n_rows=count,
    )


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 10
) -> float:
    """Mean |probability - label| over equal-count bins, in [0, 1].

    Equal-count bins, because clicks are rare: bins of equal width would put
    nearly every row in the first. Pure noise in the labels makes it positive
    even for the true probabilities, the more the smaller the bins: compare
    models on the same rows only. Arguments as ``calibration_bins``.
    """
    table = calibration_bins(labels, probabilities, bins)
    gap = np.abs(table.predicted - table.observed)
    return float(table.n_rows @ gap / table.n_rows.sum())


def class_labels(labels: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Whole numbers 0..K-1, shape [N]."""
    array = arrays.column(labels, "labels")
    bad = (array != np.floor(array)) | (array < 0) | (array >= n_classes)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"labels must be classes 0 to {n_classes - 1}, but row {row} "
            f"holds {array[row]:g}; number the classes from 0."
        )
    return array.astype(np.int64)


def class_probabilities(values: ArrayLike) -> arrays.FloatArray:
    """Rows of probabilities that sum to 1, shape [N, K]."""
    p = arrays.probabilities(values)
    if p.ndim != 2:
        raise ValueError(
            f"probabilities has shape {p.shape}; pass one row of K class "
            "probabilities per example, [N, K]."
        )
    total = p.sum(axis=1, dtype=np.float64)
    bad = np.abs(total - 1) > 1e-3
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"probabilities of row {row} sum to {total[row]:g}, not 1; "
            "apply a softmax over the classes first."
        )
    return p


def multiclass_log_loss_per_row(
    labels: NDArray[np.int64], p: arrays.FloatArray
) -> NDArray[np.float64]:
    """-log of the probability of the class that happened, shape [N]."""
    return -np.log(clipped(p[np.arange(len(labels)), labels]))


def multiclass_log_loss(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
) -> float:
    """Mean negative log likelihood in nats of K classes.

    Args:
        labels: Classes 0..K-1, shape [N].
        probabilities: Rows summing to 1 (within 0.001), shape [N, K].
        weights: Non-negative, shape [N].
    """
    p = class_probabilities(probabilities)
    label = class_labels(labels, p.shape[1])
    arrays.same_length(labels=len(label), probabilities=len(p))
    weight = arrays.row_weights(weights, len(label))
    return float(
        np.average(multiclass_log_loss_per_row(label, p), weights=weight)
    )


def correct_per_row(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.bool_]:
    """Whether each row is classified rightly, shape [N]; see accuracy."""
    score = arrays.without_nan(scores, "scores")
    if score.ndim == 2:
        label = class_labels(labels, score.shape[1])
        arrays.same_length(labels=len(label), scores=len(score))
        return score.argmax(axis=1) == label
    positive = arrays.binary_labels(labels)
    p = arrays.probabilities(arrays.column(score, "scores"), "scores")
    arrays.same_length(labels=len(positive), scores=len(p))
    return (p >= 0.5) == positive


def accuracy(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Share of rows classified rightly.

    Args:
        labels: 0/1, or classes 0..K-1; shape [N].
        scores: Probability of class 1, shape [N], with 0.5 read as class 1;
            or one score per class, shape [N, K], the first largest wins.
        weights: Non-negative, shape [N].
    """
    correct = correct_per_row(labels, scores)
    weight = arrays.row_weights(weights, len(correct))
    return float(np.average(correct, weights=weight))
