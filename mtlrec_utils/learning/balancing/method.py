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

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
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
    """A method whose direction is w^T J, with w from the Gram matrix.

    Training asks ``weights`` alone: a table gets the sum of the tasks'
    gradients by these weights, and no task a dense gradient of its own.

    Raises:
        TypeError: a subclass has a ``combine`` of its own, which training
            would never call.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.combine is not GramBalancing.combine:
            raise TypeError(
                f"{cls.__name__} has a combine() of its own, but training "
                "asks a GramBalancing for weights() alone. Make it a "
                "GradientBalancing, or write weights()."
            )

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

    The products are taken in float64. In float32 their rounding is 1e-7 of
    the norms, and a Gram matrix squares: two gradients whose angle is below
    3e-4 would look parallel.
    """
    parts = [tf.cast(rows, tf.float64) for rows in jacobian]
    return tf.add_n([tf.matmul(p, p, transpose_b=True) for p in parts])


def direction(
    method: GradientBalancing, jacobian: Any, losses: Any = None
) -> np.ndarray:
    """Return the direction of a method's first step, [P], as an array.

    For figures and by hand; a training loop carries the state instead.

    Args:
        method: any gradient-level method.
        jacobian: the tasks' gradients, [T, P], a row per task.
        losses: the tasks' losses, [T]; 1 each where left out.

    Raises:
        ValueError: another kind of method, or other shapes.
    """
    if not isinstance(method, GradientBalancing):
        raise ValueError(
            f"{method!r} weighs losses, so it has no direction of its own: "
            "take its weights(), or a gradient-level method such as PCGrad()."
        )
    rows = np.asarray(jacobian)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(
            f"jacobian has the shape {rows.shape}; expected [T, P], one row "
            "of P partial derivatives per task."
        )
    if rows.dtype != np.float32:
        rows = rows.astype(np.float64)
    values = np.asarray(np.ones(len(rows)) if losses is None else losses)
    if values.shape != (len(rows),):
        raise ValueError(
            f"losses has the shape {values.shape}; the jacobian has "
            f"{len(rows)} rows, so expected [{len(rows)}]."
        )
    state = method.initial_state([f"task_{t}" for t in range(len(rows))], 1)
    combined, _ = method.combine(
        [tf.constant(rows)], tf.constant(values, tf.float32), state
    )
    return combined[0].numpy()
