"""Was this row in the training data? The loss on it may tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence.arrays import (
    binary_labels,
    finite_column,
    probabilities,
    same_length,
)
from mtlrec_utils.evidence.metrics import auc

Floats = NDArray[np.float64]
SMALLEST = 1e-7  # a probability is kept so far from 0 and 1, as in losses


def row_losses(labels: ArrayLike, predicted: ArrayLike) -> Floats:
    """Cross-entropy of each row, in nats.

    Args:
        labels: 0/1, [N].
        predicted: probabilities, [N].

    Returns:
        [N], between 0 and -log(1e-7).
    """
    positive = binary_labels(labels)
    chance = np.asarray(probabilities(predicted, "predicted"), np.float64)
    same_length(labels=len(positive), predicted=len(chance))
    right = np.where(positive, chance, 1 - chance)
    return -np.log(np.clip(right, SMALLEST, 1.0))


def membership_auc(
    members: ArrayLike,
    others: ArrayLike,
    *,
    shadow_members: ArrayLike | None = None,
    shadow_others: ArrayLike | None = None,
) -> float:
    """AUC of telling training rows from others by their loss.

    The loss threshold of Yeom et al., Privacy Risk in Machine Learning, CSF
    2018, over all thresholds. With the losses of a shadow model, which was
    trained on neither, each row's own difficulty is taken off first (Watson
    et al., On the Importance of Difficulty Calibration in Membership
    Inference Attacks, ICLR 2022).

    Args:
        members: losses of rows that were trained on, [M].
        others: losses of rows that were not, [K].
        shadow_members: the shadow model's losses of the first rows, [M].
        shadow_others: and of the second, [K].

    Returns:
        0.5 if both are alike, 1 if every member's loss is smaller.

    Raises:
        ValueError: one shadow without the other, or lengths that differ.
    """
    inside = finite_column(members, "members").astype(np.float64)
    outside = finite_column(others, "others").astype(np.float64)
    if (shadow_members is None) != (shadow_others is None):
        raise ValueError(
            "shadow_members and shadow_others come together: give the "
            "shadow model's losses of both groups of rows, or of none."
        )
    if shadow_members is not None and shadow_others is not None:
        shadow_in = finite_column(shadow_members, "shadow_members")
        shadow_out = finite_column(shadow_others, "shadow_others")
        same_length(members=len(inside), shadow_members=len(shadow_in))
        same_length(others=len(outside), shadow_others=len(shadow_out))
        inside, outside = inside - shadow_in, outside - shadow_out
    member = np.repeat([1, 0], [len(inside), len(outside)])
    return auc(member, -np.concatenate([inside, outside]))


def shadow_threshold(members: ArrayLike, others: ArrayLike) -> float:
    """Find the loss that tells best, on a model whose members are known.

    An attacker trains a shadow model of their own and takes its threshold to
    the target (Shokri et al., Membership Inference Attacks Against Machine
    Learning Models, S&P 2017, with the loss in place of a classifier).

    Args:
        members: losses of the shadow model's own rows, [M].
        others: of rows it was not trained on, [K].

    Returns:
        The threshold t of the largest ``membership_accuracy``; between two
        losses it lies in the middle.
    """
    inside = finite_column(members, "members")
    outside = finite_column(others, "others")
    losses = np.unique(np.concatenate([inside, outside]).astype(np.float64))
    ends = [losses[0] - 1, losses[-1] + 1]
    candidates = np.concatenate([ends, (losses[1:] + losses[:-1]) / 2])
    caught = np.searchsorted(np.sort(inside), candidates) / len(inside)
    blamed = np.searchsorted(np.sort(outside), candidates) / len(outside)
    return float(candidates[np.argmax(caught - blamed)])


def membership_accuracy(
    members: ArrayLike, others: ArrayLike, threshold: float
) -> float:
    """Balanced accuracy of "a loss below the threshold is a member's"."""
    inside = finite_column(members, "members")
    outside = finite_column(others, "others")
    caught = float((inside < threshold).mean())
    cleared = float((outside >= threshold).mean())
    return (caught + cleared) / 2
