"""MetaBalance: auxiliary gradients as long as the target task's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.arguments import check_number
from mtlrec_utils.learning.balancing.method import GradientBalancing, State


@dataclass(frozen=True)
class MetaBalance(GradientBalancing):
    """Bring auxiliary gradients towards the length of the target's.

    He et al., "MetaBalance: improving multi-task recommendations via
    adapting gradient magnitudes of auxiliary tasks", WWW 2022, the version
    that both shortens and lengthens. In each shared tensor by itself, the
    gradient g of an auxiliary task becomes

        g (r m_target / m + 1 - r),

    where m are moving averages of the norms in that tensor. r = 0 is the
    plain sum; with r = 1 every auxiliary gradient is as long as the
    target's (exactly so if ``averaging`` is 0). The target's gradient is
    never changed.

    A gradient of 0 (a task without labelled rows in the batch, or one that
    does not reach the tensor) leaves its average as it was. In a tensor
    the target has not reached yet there is no length to go by: auxiliary
    gradients stay as they are. The averages are exact means of the first
    steps; the paper's, which start at 0, have the same ratios whenever all
    tasks have been present alike.

    Size of the step: with r = 0 that of the plain sum, with r = 1 that of
    T gradients as long as the target's; then an auxiliary loss may be
    multiplied by any constant without effect.

    Args:
        target: name of the task that matters.
        relax: r, from 0 to 1; the paper's best are about 0.7.
        averaging: of the norms; at least 0 and below 1.

    Raises:
        ValueError: an argument outside its range; from ``initial_state``:
            no task of the target's name.
    """

    target: str
    relax: float = 0.7
    averaging: float = 0.9

    def __post_init__(self) -> None:
        check_number(self, "relax", 0, 1, low_too=True, high_too=True)
        check_number(self, "averaging", 0, 1, low_too=True)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return empty averages [n_tensors, T] and the target's row."""
        if self.target not in tasks:
            raise ValueError(
                f"MetaBalance(target={self.target!r}): the model's tasks are "
                f"{', '.join(map(repr, tasks))}. Name one of them."
            )
        empty = tf.zeros([n_tensors, len(tasks)])
        is_target = [task == self.target for task in tasks]
        return {
            "norms": empty,
            "counts": empty,
            "is_target": tf.constant(is_target),
        }

    def combine(
        self, jacobian: Sequence[Any], losses: Any, state: State
    ) -> tuple[list[Any], State]:
        """Return the sum of the scaled rows, [P_j] per shared tensor."""
        del losses
        now = tf.stack([tf.norm(rows, axis=1) for rows in jacobian])
        now = tf.cast(now, tf.float32)
        reached = now > 0
        counts = state["counts"] + tf.cast(reached, tf.float32)
        # Weights of Adam's bias correction: the first norm counts fully.
        rate = (1 - self.averaging) / (1 - self.averaging**counts)
        gap = tf.where(reached, rate * (now - state["norms"]), 0.0)
        norms = state["norms"] + gap
        is_target = state["is_target"]
        goal = tf.reduce_sum(tf.where(is_target, norms, 0.0), 1, keepdims=True)
        ratio = tf.math.divide_no_nan(goal, norms)
        ratio = tf.minimum(ratio, tf.float32.max)
        factors = self.relax * ratio + (1 - self.relax)
        kept = is_target | (goal == 0) | (norms == 0)
        factors = tf.where(kept, 1.0, factors)
        direction = [
            tf.linalg.matvec(rows, tf.cast(factors[j], rows.dtype), True)
            for j, rows in enumerate(jacobian)
        ]
        return direction, {
            "norms": norms,
            "counts": counts,
            "is_target": is_target,
        }
