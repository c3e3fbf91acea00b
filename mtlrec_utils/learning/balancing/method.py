"""What a balancing method is: T tasks' losses or gradients, one update.

A method knows no model. It is a frozen description (so it can be compared,
stored and copied) with pure functions: what it remembers from step to step
is a dictionary of tensors, its *state*, that the training loop carries.
Chance comes from the method's seed and the state's step counter alone, so
a repeated run repeats its draws.

Three kinds differ in what they look at:

* ``LossBalancing`` weighs losses by their values (one backward pass);
* ``GramBalancing`` weighs gradients by their inner products: the direction
  is w^T J, with J the Jacobian [T, P] (a row per task) and w found from
  the Gram matrix J J^T [T, T], so its own cost does not grow with P;
* ``GradientBalancing`` may do anything with J.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

# Name -> tensor; shapes and types never change from step to step.
State = dict[str, Any]


@dataclass(frozen=True)
class Balancing:
    """Any balancing method."""

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return what the method remembers before the first step.

        Args:
            tasks: the T task names, in the order of losses and rows.
            n_tensors: how many shared tensors the Jacobian is split into.

        Raises:
            ValueError: an argument of the method does not fit the tasks.
        """
        del tasks, n_tensors
        return {}

    def after_epoch(self, losses: Any, state: State) -> State:
        """Take note of an epoch's mean losses, float32 [T]."""
        del losses
        return state


@dataclass(frozen=True)
class LossBalancing(Balancing, ABC):
    """A method that weighs losses: every parameter gets sum_t w_t g_t."""

    @abstractmethod
    def weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return weights float32 [T], constants to the gradient.

        Args:
            losses: this step's task losses, float32 [T].
            state: of the step before.
        """


@dataclass(frozen=True)
class GradientBalancing(Balancing, ABC):
    """A method that makes one direction from the tasks' gradients.

    It acts on what the tasks share; each task's tower keeps the task's own
    gradient.
    """

    @abstractmethod
    def combine(
        self, jacobian: Sequence[Any], losses: Any, state: State
    ) -> tuple[list[Any], State]:
        """Return the direction, one tensor [P_j] per shared tensor.

        The update subtracts it: the plain sum of the rows is "no
        balancing".

        Args:
            jacobian: per shared tensor, the tasks' gradients [T, P_j].
            losses: this step's task losses, float32 [T].
            state: of the step before.
        """


@dataclass(frozen=True)
class GramBalancing(GradientBalancing):
    """A method whose direction is w^T J, with w from the Gram matrix."""

    @abstractmethod
    def weights(
        self, gram: Any, losses: Any, state: State
    ) -> tuple[Any, State]:
        """Return weights float64 [T].

        Args:
            gram: inner products of the tasks' gradients, float64 [T, T].
            losses: this step's task losses, float32 [T].
            state: of the step before.
        """

    def combine(
        self, jacobian: Sequence[Any], losses: Any, state: State
    ) -> tuple[list[Any], State]:
        """Return w^T J, one tensor [P_j] per shared tensor."""
        weights, state = self.weights(gram_matrix(jacobian), losses, state)
        return [
            tf.linalg.matvec(rows, tf.cast(weights, rows.dtype), True)
            for rows in jacobian
        ], state


def gram_matrix(jacobian: Sequence[Any]) -> Any:
    """Return J J^T, float64 [T, T], of a Jacobian in parts [T, P_j].

    Rows are scaled by powers of two, which rounds nothing, so that neither
    tiny nor huge gradients leave float32's range.
    """
    largest = tf.reduce_max(
        tf.stack([tf.reduce_max(tf.abs(rows), axis=1) for rows in jacobian]),
        axis=0,
    )
    power = tf.floor(tf.math.log(largest) / math.log(2.0))
    scale = tf.where(largest > 0, tf.pow(2.0, power), tf.ones_like(largest))
    parts = [rows / scale[:, None] for rows in jacobian]
    gram = tf.add_n(
        [tf.cast(tf.matmul(p, p, transpose_b=True), tf.float64) for p in parts]
    )
    scale = tf.cast(scale, tf.float64)
    return gram * scale[:, None] * scale[None, :]
