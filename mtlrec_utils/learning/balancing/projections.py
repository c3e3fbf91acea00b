"""Gradients that conflict are projected: PCGrad, GradVac, UPGrad, GradDrop.

Two tasks conflict where the inner product of their gradients is negative: a
step down for one is a step up for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.arguments import (
    check_number,
    check_seed,
)
from mtlrec_utils.learning.balancing.exact_solvers import (
    check_tasks,
    dual_cone_weights,
    norms_and_cosines,
    reciprocal,
)
from mtlrec_utils.learning.balancing.method import (
    GradientBalancing,
    GramBalancing,
    State,
)


@dataclass(frozen=True)
class PCGrad(GramBalancing):
    """Project each gradient off those it conflicts with; add them up.

    Yu et al., "Gradient surgery for multi-task learning", NeurIPS 2020,
    Algorithm 1. Task i goes through the other tasks in an order drawn for
    it: where its gradient g, as changed so far, has g . g_j < 0, it becomes
    g - (g . g_j / ||g_j||^2) g_j, with g_j as it was.

    Two tasks: if d = g_1 . g_2 < 0 the weights are 1 - d / ||g_1||^2 and
    1 - d / ||g_2||^2, whatever the order, and the direction conflicts with
    neither. With three or more a conflict may remain.

    Size of the step: a sum, as long as T gradients where none conflict.

    Args:
        seed: of the orders.

    Raises:
        ValueError: the seed is not a whole number of at least 0.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return the step counter."""
        del tasks, n_tensors
        return {"step": tf.constant(0, tf.int64)}

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return the weights that make the sum of the projections, [T]."""
        del losses
        norms, cosines = norms_and_cosines(gram)
        own = tf.linalg.diag(norms)  # row i: g_i in the unit gradients
        for j, other in _orders(self.seed, state["step"], gram.shape[0]):
            inner = tf.reduce_sum(own * tf.gather(cosines, j), axis=1)
            own -= (tf.minimum(inner, 0) * other)[:, None] * _at(j, own)
        return _sum(own, norms), {**state, "step": state["step"] + 1}


@dataclass(frozen=True)
class GradVac(GramBalancing):
    """Turn each gradient until its angle with the others is as usual.

    Wang et al., "Gradient Vaccine: investigating and improving multi-task
    optimization in massively multilingual models", ICLR 2021. As PCGrad,
    with a target for each pair: where the cosine c of g, as changed so far,
    with g_j is below its target s,

        g + ||g|| (s sqrt(1 - c^2) - c sqrt(1 - s^2))
            / (||g_j|| sqrt(1 - s^2)) g_j

    has the cosine s. The target is a moving average of the cosines met,
    from 0, and moves after it has been used; so the first step is PCGrad's.
    The paper does so per layer; here the gradient is one vector.

    Size of the step: a sum; a gradient that is turned grows.

    Args:
        seed: of the orders.
        rate: share of the new cosine in the average, above 0, at most 1.

    Raises:
        ValueError: an argument outside its range.
    """

    seed: int = 0
    rate: float = 0.01

    def __post_init__(self) -> None:
        check_seed(self)
        check_number(self, "rate", 0, 1, high_too=True)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return the step counter and the target of each pair, [T, T]."""
        del n_tensors
        return {
            "step": tf.constant(0, tf.int64),
            "target": tf.zeros([len(tasks), len(tasks)], tf.float64),
        }

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return the weights that make the sum of the turned, [T]."""
        del losses
        norms, cosines = norms_and_cosines(gram)
        own, targets = tf.linalg.diag(norms), state["target"]
        for j, other in _orders(self.seed, state["step"], gram.shape[0]):
            here = _at(j, own)
            square = tf.reduce_sum(tf.matmul(own, cosines) * own, axis=1)
            length = tf.sqrt(tf.maximum(square, 0))
            inner = tf.reduce_sum(own * tf.gather(cosines, j), axis=1)
            cosine = tf.clip_by_value(inner * reciprocal(length), -1, 1)
            target = tf.reduce_sum(targets * here, axis=1)
            # Two tasks that have always agreed have the target 1, and
            # nothing but a copy of g_j has it: stop just below.
            aim = tf.minimum(target, 1 - 1e-6)
            turn = aim * tf.sqrt((1 - cosine**2) / (1 - aim**2)) - cosine
            turn = length * tf.where(cosine < aim, turn, tf.zeros_like(turn))
            # A gradient of 0 has no angle, neither to reach nor to note.
            known = other * tf.math.sign(length * tf.gather(norms, j))
            own += (turn * known)[:, None] * here
            moved = self.rate * known * (cosine - target)
            targets += moved[:, None] * here
        state = {**state, "step": state["step"] + 1, "target": targets}
        return _sum(own, norms), state


@dataclass(frozen=True)
class UPGrad(GramBalancing):
    """The mean of all gradients, each made to conflict with no task.

    Quinton & Rey, "Jacobian descent for multi-objective optimization",
    2024 (UPGrad). Each g_i is replaced by the nearest vector of the cone
    {d: d . g_j >= 0 for all j}; the mean of these conflicts with no task,
    and is 0 only where no direction is good for all. Exact, by looking at
    all sets of tasks that could hold g_i back. Two tasks: half of PCGrad.

    Size of the step: a mean.

    Raises:
        ValueError: from ``initial_state``: more than 10 tasks.
    """

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return nothing to remember."""
        del n_tensors
        check_tasks("UPGrad", tasks)
        return {}

    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return the mean of the projections' coefficients, [T]."""
        del losses
        return tf.reduce_mean(dual_cone_weights(gram), axis=0), state


@dataclass(frozen=True)
class GradDrop(GradientBalancing):
    """Where tasks disagree on a sign, keep one sign by chance.

    Chen et al., "Just pick a sign: optimizing deep multitask models with
    gradient sign dropout", NeurIPS 2020. For each single parameter,
    P = (1 + sum_t g_t / sum_t |g_t|) / 2, and with this probability the
    positive gradients are added up, else the negative ones. In expectation
    the signs stay the sum's. No Gram matrix tells signs: the cost grows
    with P. The paper applies it to a representation's gradients added up
    over the batch; here each column of the Jacobian has a draw of its own.

    Size of the step: a sum of a part of the gradients.

    Args:
        seed: of the draws.

    Raises:
        ValueError: the seed is not a whole number of at least 0.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return the step counter."""
        del tasks, n_tensors
        return {"step": tf.constant(0, tf.int64)}

    def combine(
        self, jacobian: Sequence[Any], losses: Any, state: State
    ) -> tuple[list[Any], State]:
        """Return the sum of the kept entries, [P_j] per shared tensor."""
        del losses
        found = []
        for k, rows in enumerate(jacobian):
            up = tf.reduce_sum(tf.maximum(rows, 0), axis=0)
            down = tf.reduce_sum(tf.minimum(rows, 0), axis=0)
            seed = [self.seed + (k << 32), state["step"]]
            draw = tf.random.stateless_uniform(
                tf.shape(up), seed, dtype=rows.dtype, alg="philox"
            )
            # P > draw, without the division.
            found.append(tf.where(up > draw * (up - down), up, down))
        return found, {**state, "step": state["step"] + 1}


def _orders(seed: int, step: Any, n_tasks: int) -> Any:
    """Yield T times (j [T], 1.0 where j_i is not i): an order for each i."""
    draw = tf.random.stateless_uniform(
        [n_tasks, n_tasks], [seed, step], alg="philox"
    )
    order = tf.argsort(draw, axis=1)
    for k in range(n_tasks):
        j = order[:, k]
        yield j, tf.cast(j != tf.range(n_tasks), tf.float64)


def _at(j: Any, like: Any) -> Any:
    return tf.one_hot(j, like.shape[1], dtype=like.dtype)


def _sum(own: Any, norms: Any) -> Any:
    """Return weights of the gradients from parts of the unit gradients."""
    # A row of 0 keeps the weight 1 that it has in a sum.
    weights = tf.reduce_sum(own, axis=0) * reciprocal(norms)
    return tf.where(norms > 0, weights, tf.ones_like(weights))
