"""Methods that look for the worst-off task: MGDA and CAGrad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.arguments import check_number
from mtlrec_utils.learning.balancing.exact_solvers import (
    check_tasks,
    minimum_norm_weights,
    norms_and_cosines,
    reciprocal,
    supports,
    sweep,
)
from mtlrec_utils.learning.balancing.method import GramBalancing, State


@dataclass(frozen=True)
class MGDA(GramBalancing):
    """The shortest vector in the convex hull of the gradients.

    min ||w^T J|| over w >= 0, sum w = 1. Désidéri, "Multiple-gradient
    descent algorithm (MGDA) for multiobjective optimization", Comptes
    Rendus Mathématique 2012; for networks Sener & Koltun, "Multi-task
    learning as multi-objective optimization", NeurIPS 2018. Exact, by
    looking at all sets of tasks with a weight.

    The direction d has d . g_t >= ||d||^2 for every task, with equality
    where w_t > 0: it is good for all, and 0 if no direction is. Two tasks:
    w_1 = clip((||g_2||^2 - g_1 . g_2) / ||g_1 - g_2||^2, 0, 1). Short
    gradients win: a task that is nearly learnt slows all others down.

    Size of the step: at most the shortest gradient.

    Raises:
        ValueError: from ``initial_state``: more than 10 tasks.
    """

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return nothing to remember."""
        del n_tensors
        check_tasks("MGDA", tasks)
        return {}

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return the weights on the simplex, [T]."""
        del losses
        return minimum_norm_weights(gram), state


@dataclass(frozen=True)
class CAGrad(GramBalancing):
    """The best step for the worst-off task near the mean gradient.

    max_d min_t d . g_t subject to ||d - g_0|| <= c ||g_0||, g_0 the mean of
    the gradients. Liu et al., "Conflict-averse gradient descent for
    multi-task learning", NeurIPS 2021. c = 0 is the mean, c >= 1 conflicts
    with no task, and with c to infinity the direction turns to MGDA's.

    Exact: d = g_0 + x^T J with x >= 0 and ||x^T J|| = c ||g_0||, and d . g_t
    is one number mu for the tasks with a weight x. For each set of tasks
    that gives mu by a quadratic equation; the set whose other tasks fare no
    worse than mu is the right one. Where 0 is in the convex hull of the
    gradients and no step helps all, many d may be as good (mu = 0): then
    the one nearest to g_0.

    Size of the step: a mean; at most (1 + c) ||g_0||. Some codes divide by
    1 + c^2 afterwards, or by 1 + c; this one does not.

    Args:
        c: at least 0.

    Raises:
        ValueError: c below 0; from ``initial_state``: more than 10 tasks.
    """

    c: float = 0.5

    def __post_init__(self) -> None:
        check_number(self, "c", 0, low_too=True)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return nothing to remember."""
        del n_tensors
        check_tasks("CAGrad", tasks)
        return {}

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return 1 / T + x, [T]."""
        del losses
        norms, cosines = norms_and_cosines(gram)
        n_tasks = gram.shape[0]
        inverse = reciprocal(norms)
        along = tf.linalg.matvec(cosines, norms) / n_tasks  # u_t . g_0
        square = tf.tensordot(along, norms, 1) / n_tasks
        length = tf.sqrt(tf.maximum(square, 0))
        radius = self.c * length
        columns = tf.stack([inverse, along], axis=1)
        swept, regular = sweep(cosines, columns)
        inside = supports(n_tasks)
        of_one, of_mean = swept[:, :, -2] * inside, swept[:, :, -1] * inside
        a = tf.linalg.matvec(of_one, inverse)
        b = tf.linalg.matvec(of_mean, inverse)
        rest = radius**2 - tf.linalg.matvec(of_mean, along)
        root = b**2 + a * rest
        mu = (b + tf.sqrt(tf.maximum(root, 0))) * reciprocal(a)
        # x in the unit gradients: on the sphere around g_0, or with mu = 0.
        x = tf.concat([mu[:, None] * of_one - of_mean, -of_mean], axis=0)
        mu = tf.concat([mu, tf.zeros_like(mu)], axis=0)
        sphere = (root >= 0) & (a > 0) & (radius > 0)
        allowed = tf.concat([sphere, rest >= 0], axis=0)
        allowed &= tf.tile(regular, [2]) & tf.reduce_all(x >= 0, axis=1)
        fare = along + tf.matmul(x, cosines) - mu[:, None] * inverse
        zero = (norms == 0) & (mu[:, None] > 0)
        fare = tf.where(zero, -tf.ones_like(fare) * length, fare)
        worst = tf.reduce_min(fare, axis=1) * reciprocal(length + radius)
        # A d on the sphere, if there is one, is better than mu = 0.
        inner = tf.repeat(tf.constant([0.0, 1e-8], tf.float64), 2**n_tasks)
        score = tf.minimum(worst, 0) - inner
        best = tf.argmax(tf.where(allowed, score, tf.float64.min))
        return 1 / n_tasks + x[best] * inverse, state
