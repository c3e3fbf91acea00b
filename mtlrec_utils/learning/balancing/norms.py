"""Loss weights that follow from the norms of the tasks' gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.arguments import check_number
from mtlrec_utils.learning.balancing.loss_weights import log_losses
from mtlrec_utils.learning.balancing.method import LossBalancing, State


@dataclass(frozen=True)
class NormBalancing(LossBalancing):
    """A method that weighs losses by the norms of their gradients.

    The training loop measures, for each task, the norm of the gradient of
    its *unweighted* loss at the last tensors that all tasks share (for a
    shared bottom the last layer's weights; not the embedding table, which
    comes first), and calls ``weights_from_norms`` instead of ``weights``.
    """

    @abstractmethod
    def weights_from_norms(
        self, losses: Any, norms: Any, state: State
    ) -> tuple[Any, State]:
        """Return weights float32 [T], constants to the gradient.

        Args:
            losses: this step's task losses, float32 [T].
            norms: of the unweighted losses' gradients, float32 [T].
            state: of the step before.
        """

    def weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Refuse: losses alone do not tell the weights.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"{type(self).__name__} needs the norms of the tasks' gradients:"
            " call weights_from_norms(losses, norms, state)."
        )


@dataclass(frozen=True)
class GradNorm(NormBalancing):
    """GradNorm: weighted gradients of a length that fits the task's pace.

    Chen et al., "GradNorm: gradient normalization for adaptive loss
    balancing in deep multitask networks", ICML 2018. With n_t the norm of
    task t's unweighted gradient and r_t = (L_t / L_t(0)) / (mean over
    tasks of the same), its training rate relative to the others, weights
    that sum to T are driven to

        w_t n_t  proportional to  r_t^alpha:

    a task that lags behind (r_t > 1) gets a longer gradient. With alpha =
    0 all are equally long: w_t = T (1/n_t) / sum_u (1/n_u).

    The paper descends on sum_t |w_t n_t - G r_t^alpha| with G the mean of
    w n held constant, and rescales w to sum T after each step. We descend
    on half the squares of log(w_t n_t / (G r_t^alpha)) instead, by log w,
    and rescale alike: w moves by a share of the gap rather than by its
    sign times n_t, so it stays positive, norms of any size are reached
    equally fast, and there is no jitter in the end. The common factor G
    goes out with the rescaling. For alpha other than 0 and 1 the paper's
    targets do not average to G, and the terms cannot all be 0; the
    proportion above is what ours ends at.

    A task absent from the batch, or with a norm of 0, keeps its weight.
    L_t(0) is the loss of the first step in which the task was present.

    Size of the step: the weights sum to T.

    Args:
        alpha: 0 or more; how hard lagging tasks are pulled along. The
            paper uses 1.5 for tasks unlike each other, 0.12 for alike.
        learning_rate: share of the gap in log w that a step closes, above
            0 and below 1.

    Raises:
        ValueError: an argument outside its range.
    """

    alpha: float = 1.5
    learning_rate: float = 0.025

    def __post_init__(self) -> None:
        check_number(self, "alpha", 0, low_too=True)
        check_number(self, "learning_rate", 0, 1)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return equal weights; no first loss is known."""
        return {
            "log_weights": tf.zeros(len(tasks)),
            "log_first": tf.zeros(len(tasks)),
            "seen": tf.zeros(len(tasks), tf.bool),
        }

    def weights_from_norms(
        self, losses: Any, norms: Any, state: State
    ) -> tuple[Any, State]:
        """Return the weights as they stand, and the state they move to."""
        log_weights = state["log_weights"]
        present, logs = log_losses(losses)
        first = tf.where(state["seen"], state["log_first"], logs)
        moving = present & (norms > 0)
        log_norms = tf.math.log(tf.where(moving, norms, 1.0))
        # log r but for the mean over tasks, which the rescaling takes out.
        log_rate = logs - first
        target = self.alpha * log_rate - tf.stop_gradient(log_norms)
        moved = log_weights + self.learning_rate * (target - log_weights)
        # The tasks that move share what they had: the others keep theirs.
        share = _log_sum(log_weights, moving) - _log_sum(moved, moving)
        new = tf.where(moving, moved + share, log_weights)
        n_tasks = log_weights.shape[0]
        return n_tasks * tf.nn.softmax(log_weights), {
            "log_weights": new,
            "log_first": first,
            "seen": state["seen"] | present,
        }


def _log_sum(logs: Any, chosen: Any) -> Any:
    """Return log of the sum of exp over the chosen ones; 0 for none."""
    masked = tf.where(chosen, logs, -float("inf"))
    total = tf.reduce_logsumexp(masked)
    return tf.where(tf.reduce_any(chosen), total, 0.0)
