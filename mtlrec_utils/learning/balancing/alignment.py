"""Gradients brought to one length: Aligned-MTL and DB-MTL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.arguments import check_number
from mtlrec_utils.learning.balancing.exact_solvers import (
    norms_and_cosines,
    reciprocal,
)
from mtlrec_utils.learning.balancing.method import GramBalancing, State


@dataclass(frozen=True)
class AlignedMTL(GramBalancing):
    """The mean of the gradients after making them orthogonal and equal.

    Senushkin et al., "Independent component alignment for multi-task
    learning", CVPR 2023. With J = U S V^T, all singular values are replaced
    by the smallest one s: B J = s U V^T, B = s U S^-1 U^T, the nearest
    matrix of that kind. The direction is the mean of its rows. Orthogonal
    gradients of equal length stay as they are.

    Singular values of 0 (dependent gradients) stay 0, and s is the smallest
    of the others: at the rank's change the direction jumps. It may conflict
    with a task.

    Size of the step: s / sqrt(T) for independent gradients, so one weak or
    nearly dependent gradient makes it short.
    """

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return B^T 1 / T, [T]."""
        del losses
        norms, cosines = norms_and_cosines(gram)
        # J = F Q with orthonormal rows Q: F has the singular values of J,
        # and G = F F^T has lost half their digits.
        values, vectors = tf.linalg.eigh(cosines)
        sound = values > 1e-12
        roots = tf.sqrt(tf.where(sound, values, tf.zeros_like(values)))
        factor = norms[:, None] * vectors * roots
        singular, left, _ = tf.linalg.svd(factor)
        kept = tf.range(gram.shape[0]) < tf.reduce_sum(
            tf.cast(sound, tf.int32)
        )
        largest = tf.fill(tf.shape(singular), singular[0])
        smallest = tf.reduce_min(tf.where(kept, singular, largest))
        scale = tf.where(kept, smallest * reciprocal(singular), 0)
        mean = tf.reduce_mean(left, axis=0)
        return tf.linalg.matvec(left, scale * mean), state


@dataclass(frozen=True)
class DBMTL(GramBalancing):
    """Logarithms of losses, and all gradients as long as the longest.

    Lin et al., "Dual-balancing for multi-task learning", 2023 (DB-MTL). The
    gradient of log L_t is g_t / L_t, and with n_t its norm the direction is
    max(n) * sum_t g_t / (L_t n_t). So losses only decide how long the step
    is: that of the gradient with the largest relative decrease.

    The paper averages gradients over steps, with ``averaging`` as the share
    of the past, and takes the norms of the averages. Here the average is
    of the norms and the direction is made from this step's gradients: that
    needs T numbers instead of T gradients, which tables are too large for
    and representations, of other rows each step, cannot have. With
    ``averaging=0`` both are the same. The average is an exact mean at first.

    A gradient of 0 gets no weight. Losses count as at least 1e-8.

    Size of the step: at most T times the longest gradient of a log loss.

    Args:
        averaging: of the norms, at least 0 and below 1.

    Raises:
        ValueError: averaging is outside its range.
    """

    averaging: float = 0.9

    def __post_init__(self) -> None:
        check_number(self, "averaging", 0, 1, low_too=True)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return empty averages and how much they hold, [T] each."""
        del n_tensors
        none = tf.zeros([len(tasks)], tf.float64)
        return {"norms": none, "mass": none}

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return max(n) / (L_t n_t), [T]."""
        losses = tf.maximum(tf.cast(losses, tf.float64), 1e-8)
        now = norms_and_cosines(gram)[0] / losses
        seen = tf.cast(now > 0, tf.float64)
        keep = 1 - seen * (1 - self.averaging)
        total = keep * state["norms"] + (1 - keep) * now
        mass = keep * state["mass"] + (1 - keep)
        norms = tf.math.divide_no_nan(total, mass)
        weights = seen * tf.reduce_max(norms) * reciprocal(norms) / losses
        return weights, {**state, "norms": total, "mass": mass}
