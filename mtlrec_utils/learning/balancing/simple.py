"""No balancing: the sum and the mean of the tasks' gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.method import GradientBalancing, State


@dataclass(frozen=True)
class Sum(GradientBalancing):
    """The sum of the tasks' gradients: what training without balancing does.

    A balancing method must beat it, and a tuned weighted sum as well.
    """

    def combine(
        self, jacobian: Sequence[Any], losses: Any, state: State
    ) -> tuple[list[Any], State]:
        """Return 1^T J, one tensor [P_j] per shared tensor."""
        del losses
        return [tf.reduce_sum(rows, axis=0) for rows in jacobian], state


@dataclass(frozen=True)
class Mean(GradientBalancing):
    """The mean of the tasks' gradients: the sum at 1/T of its length.

    Under Adam the two train alike, as Adam divides by the length.
    """

    def combine(
        self, jacobian: Sequence[Any], losses: Any, state: State
    ) -> tuple[list[Any], State]:
        """Return 1^T J / T, one tensor [P_j] per shared tensor."""
        del losses
        return [tf.reduce_mean(rows, axis=0) for rows in jacobian], state
