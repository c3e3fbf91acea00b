"""Loss weights that follow from the losses, or from nothing at all.

Size of the step. T weights that sum to T make an update about as long as
the plain sum of the losses, whose weights are all 1. Static weights sum to
what the reader says; random weights and dynamic weight average always sum
to T. All other methods that weigh losses have a size of their own (their
docstrings state it), which changes the effective learning rate: compare
them with ``mean_one=True``, or tune the learning rate of each.

Losses are at least 0. A loss of exactly 0 belongs to a task that has no
labelled row in the batch (the masked mean of none) or nothing left to
learn; its gradient is 0. Such a task is *absent*: it neither counts in the
others' weights nor changes what the method remembers.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.arguments import (
    check_number,
    check_seed,
)
from mtlrec_utils.learning.balancing.method import LossBalancing, State
from mtlrec_utils.learning.losses import task_weights


def log_losses(losses: Any) -> tuple[Any, Any]:
    """Return which tasks are present, bool [T], and log L, float32 [T].

    The logarithm is 0 for an absent task and constant to the gradient.
    """
    losses = tf.stop_gradient(losses)
    present = losses > 0
    return present, tf.math.log(tf.where(present, losses, 1.0))


@dataclass(frozen=True)
class OwnSizeBalancing(LossBalancing):
    """A method whose weights have a size of their own.

    Args:
        mean_one: rescale the weights of each step by one common factor, so
            that those of the tasks present have mean 1, as in the plain
            sum; their ratios stay.
    """

    mean_one: bool = field(default=False, kw_only=True)

    @abstractmethod
    def own_weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return ``weights`` in the size the method gives them."""

    def weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return weights float32 [T], constants to the gradient."""
        weights, state = self.own_weights(losses, state)
        if not self.mean_one:
            return weights, state
        present = tf.cast(losses > 0, weights.dtype)
        total = tf.reduce_sum(present * weights)
        return tf.math.divide_no_nan(
            weights * tf.reduce_sum(present), total
        ), state


@dataclass(frozen=True)
class StaticWeights(LossBalancing):
    """One constant weight per task: what every method has to beat.

    Kurin et al., "In defense of the unitary scalarization for deep
    multi-task learning", NeurIPS 2022.

    Size of the step: that of the weights given; all 1 is the plain sum.

    Args:
        loss_weights: task -> weight of at least 0; tasks not named weigh 1.

    Raises:
        ValueError: no mapping. Then, from ``initial_state``: an unknown
            task, a weight that is negative or not finite, or all 0.
    """

    loss_weights: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.loss_weights, Mapping):
            raise ValueError(
                f"StaticWeights({self.loss_weights!r}): weights belong to "
                "tasks by name, as in StaticWeights({'click': 2.0})."
            )
        object.__setattr__(self, "loss_weights", dict(self.loss_weights))

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return the weights in the order of the tasks."""
        weights = task_weights(self.loss_weights, tuple(tasks))
        return {"weights": tf.constant(list(weights.values()), tf.float32)}

    def weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return the same weights float32 [T] at every step."""
        return state["weights"], state


@dataclass(frozen=True)
class RandomWeights(LossBalancing):
    """Random loss weighting (RLW): new weights at every step.

    w = T softmax(n) with n from N(0, 1): every weight has expectation 1,
    so the expected gradient is that of the plain sum. Lin et al.,
    "Reasonable effectiveness of random weighting: a litmus test for
    multi-task learning", TMLR 2022; their weights sum to 1, ours to T.

    The draws depend on the seed, the step and the names of the tasks, not
    on the order in which the tasks come.

    Size of the step: the weights sum to T.

    Args:
        seed: of the draws.

    Raises:
        ValueError: the seed is not a whole number of at least 0.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return the step counter and each task's place in the alphabet."""
        places = [sorted(tasks).index(task) for task in tasks]
        return {
            "step": tf.constant(0, tf.int64),
            "places": tf.constant(places, tf.int32),
        }

    def weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return this step's draw, float32 [T]."""
        normal = tf.random.stateless_normal(
            state["places"].shape,
            tf.stack([tf.constant(self.seed, tf.int64), state["step"]]),
            alg="philox",
        )
        draw = tf.nn.softmax(tf.gather(normal, state["places"]))
        n_tasks = state["places"].shape[0]
        return n_tasks * draw, {**state, "step": state["step"] + 1}


@dataclass(frozen=True)
class DynamicWeightAverage(LossBalancing):
    """Dynamic weight average (DWA): more weight to what descends slowly.

    w = T softmax(r / temperature), where r_t is the ratio of task t's mean
    losses in the two epochs before. Liu, Johns & Davison, "End-to-end
    multi-task learning with attention", CVPR 2019.

    The ratio is 1 as long as it is not known: in the first two epochs, and
    when either of the two epochs had no labelled row of the task. A loss
    multiplied by a constant has the same ratios and hence the same weight:
    DWA does nothing about losses of different size.

    Size of the step: the weights sum to T.

    Args:
        temperature: above 0; the larger, the more equal the weights
            (``math.inf`` makes them all 1).

    Raises:
        ValueError: the temperature is not above 0.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        check_number(self, "temperature", 0, math.inf, high_too=True)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return the mean losses of two epochs; 0 says not known."""
        unknown = tf.zeros(len(tasks))
        return {"epoch_before": unknown, "last_epoch": unknown}

    def after_epoch(self, losses: Any, state: State) -> State:
        """Take note of an epoch's mean losses, float32 [T]; NaN for none."""
        losses = tf.cast(losses, tf.float32)
        return {
            "epoch_before": state["last_epoch"],
            "last_epoch": tf.where(losses > 0, losses, 0.0),
        }

    def weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return weights float32 [T], the same throughout an epoch."""
        last, before = state["last_epoch"], state["epoch_before"]
        known = (last > 0) & (before > 0)
        ratio = tf.where(known, tf.math.divide_no_nan(last, before), 1.0)
        # A ratio beyond float32 would make softmax inf - inf.
        logits = tf.minimum(ratio / self.temperature, tf.float32.max)
        return last.shape[0] * tf.nn.softmax(logits), state


@dataclass(frozen=True)
class GeometricMean(OwnSizeBalancing):
    """Geometric loss strategy (GLS): minimise (L_1 ... L_T)^(1/T).

    Its gradient is sum_t w_t g_t with w_t = G / (T L_t), G the geometric
    mean: G times the mean of the gradients of log L_t. Multiplying a loss
    by a constant changes the length of that, not its direction. Chennupati
    et al., "MultiNet++: multi-stream feature aggregation and geometric
    loss strategy for multi-task learning", CVPR workshops 2019.

    G is taken over the tasks present; an absent one gets weight 0.

    Size of the step: the weights' geometric mean is 1/T.

    Args:
        mean_one: rescale the weights to mean 1 (see ``OwnSizeBalancing``).
    """

    def own_weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return G / (n L_t) for the n tasks present."""
        present, logs = log_losses(losses)
        count = tf.maximum(tf.reduce_sum(tf.cast(present, tf.float32)), 1.0)
        log_mean = tf.reduce_sum(logs) / count
        return tf.where(present, tf.exp(log_mean - logs) / count, 0.0), state
