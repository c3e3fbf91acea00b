"""Every task moves the same, in some measure: IMTL-G, Nash-MTL, FairGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.arguments import check_number
from mtlrec_utils.learning.balancing.exact_solvers import (
    fixed_point,
    norms_and_cosines,
    reciprocal,
)
from mtlrec_utils.learning.balancing.method import GramBalancing, State


@dataclass(frozen=True)
class IMTLG(GramBalancing):
    """A direction with the same projection on every unit gradient.

    Liu et al., "Towards impartial multi-task learning", ICLR 2021, the
    gradient part (IMTL-G); the weights sum to 1. With C the cosines and n
    the norms, w is C^-1 1 / n up to a factor. Two tasks: w = (||g_2||,
    ||g_1||) / (||g_1|| + ||g_2||), the bisector, whatever the losses' size.

    With three or more tasks weights may be negative, and the common
    projection too: the direction then goes up for all. Where the weights
    sum to 0 the method has no answer; the direction is then 0. Dependent
    gradients share the weight evenly (least norm), and where unit
    gradients cancel, equal projections are 0: the direction is 0.
    A gradient of 0 gets no weight.

    Size of the step: that of a weighted mean.
    """

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return the weights, [T], which sum to 1."""
        del losses
        norms, cosines = norms_and_cosines(gram)
        values, vectors = tf.linalg.eigh(cosines)
        one = tf.cast(norms > 0, tf.float64)
        parts = tf.linalg.matvec(vectors, one, True)
        none = tf.zeros_like(parts)
        regular = values > 1e-12
        # What of 1 no combination of gradients reaches.
        lost = tf.where(regular, none, parts)
        solved = tf.where(regular, parts / tf.maximum(values, 1e-12), none)
        unreachable = tf.reduce_sum(lost**2) > 1e-12
        x = tf.linalg.matvec(vectors, tf.where(unreachable, lost, solved))
        shares = x * reciprocal(norms)
        total = tf.reduce_sum(shares)
        spread = tf.reduce_sum(tf.abs(shares))
        hopeless = tf.abs(total) <= 1e-12 * spread
        return tf.where(hopeless, tf.zeros_like(x), shares / total), state


@dataclass(frozen=True)
class FairGrad(GramBalancing):
    """Fair shares of the common progress: G w = w^(-1/alpha).

    The gain of task t is g_t . d, d = w^T J; the direction maximises the
    sum of gain^(1 - alpha) / (1 - alpha), "alpha-fairness". Ban & Ji, "Fair
    resource allocation in multi-task learning", ICML 2024. alpha = 1 is
    Nash-MTL; the larger, the more the worst-off task counts.

    By Newton's method, to rounding, for alpha between 0.2 and 5; only for
    an alpha far from 1 with norms more than 10^4 apart it may stop short,
    after 100 iterations. A gradient of 0 gets no weight. Where gradients
    cancel there is no solution; the direction then fades to 0.

    Size of the step: ||d||^2 = sum of w_t^(1 - 1/alpha). It scales with the
    gradients to the power (1 - alpha) / (1 + alpha) only.

    Args:
        alpha: above 0.

    Raises:
        ValueError: alpha is not above 0.
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        check_number(self, "alpha", 0)

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return the weights, [T]."""
        del losses
        return _fair_weights(gram, 1 / self.alpha), state


@dataclass(frozen=True)
class NashMTL(GramBalancing):
    """The bargaining solution: G w = 1 / w.

    The direction of a given length that maximises the product of the gains
    g_t . d. Navon et al., "Multi-task learning as a bargaining game", ICML
    2022. Scaling one gradient changes nothing: its weight takes it back.
    Two tasks: w_t = 1 / (||g_t|| sqrt(1 + cos)), the bisector. Exact, by
    Newton's method in every step; the paper's code approximates, and
    clips.

    A gradient of 0 gets no weight. Where gradients cancel there is no
    solution; the direction then fades to 0.

    Size of the step: ||d||^2 = T whatever the gradients (T less those that
    are 0): plain gradient descent with it never comes to rest.
    """

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return the weights, [T]."""
        del losses
        return _fair_weights(gram, 1.0), state


def _fair_weights(gram: Any, power: float) -> Any:
    """Solve G w = w^-power; w is 0 for a gradient of 0."""
    norms, cosines = norms_and_cosines(gram)
    present = tf.cast(norms > 0, tf.float64)
    length = tf.where(norms > 0, norms, tf.ones_like(norms))
    # x = w n solves C x = n^(power - 1) x^-power.
    cosines = tf.linalg.set_diag(cosines, tf.ones_like(norms))
    slack = 1e-14 * tf.eye(gram.shape[0], dtype=tf.float64)
    x = fixed_point(cosines + slack, length ** (power - 1), power) * present
    # Where gradients cancel, weights grow and grow. Let them fade before
    # they are nothing but rounding.
    square = tf.tensordot(x, tf.linalg.matvec(cosines, x), 1)
    excess = 1e-12 * tf.reduce_sum(x**2)
    fade = tf.math.divide_no_nan(excess, tf.maximum(square, 1e-3 * excess))
    return x / (1 + fade**2) / length
