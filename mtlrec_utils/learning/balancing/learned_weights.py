"""Loss weights that are learned beside the model.

What is learned is a handful of numbers whose gradient is known in closed
form. They live in the method's state, not in the model's optimizer, and
each class documents its own update.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow as tf

from mtlrec_utils.learning.balancing.arguments import check_number
from mtlrec_utils.learning.balancing.loss_weights import (
    OwnSizeBalancing,
    log_losses,
)
from mtlrec_utils.learning.balancing.method import State


def follow_loss(log_scale: Any, losses: Any, rate: float) -> Any:
    """Return s after one step of min over s of L/(2 e^s) + s/2, each task.

    The gradient is g = (1 - L/e^s)/2. Plain descent on s does not survive
    a large loss: one step from s = 0 with L = 10,000 and rate 0.01 leads
    to s = 50, and back from there it goes by rate/2 per step. We take the
    step on e^s instead, along the natural gradient, 2 e^s g = e^s - L:

        e^s <- e^s - rate (e^s - L),    that is,    s <- s + log(1 - 2 rate g)

    To first order in the rate this is descent with rate 2 rate; it closes
    the share ``rate`` of the gap to e^s = L at every step, from any start,
    and e^s ends at the mean of losses that vary.

    Args:
        log_scale: s, float32 [T].
        losses: float32 [T]; s of an absent task (loss 0) stays.
        rate: above 0 and below 1.
    """
    present, logs = log_losses(losses)
    terms = [log_scale + math.log1p(-rate), logs + math.log(rate)]
    moved = tf.reduce_logsumexp(tf.stack(terms), axis=0)
    return tf.where(present, moved, log_scale)


@dataclass(frozen=True)
class UncertaintyWeights(OwnSizeBalancing):
    """Uncertainty weighting (UW): minimise sum_t L_t/(2 e^s_t) + s_t/2.

    Kendall, Gal & Cipolla, "Multi-task learning using uncertainty to weigh
    losses for scene geometry and semantics", CVPR 2018, with s the log of
    the task's noise variance. For a loss that stays at L the best s is
    log L. The weight 1/(2 e^s) then is 1/(2L), the objective is
    (1 + log L)/2, and the model follows half the gradient of sum log L_t:
    in equilibrium uncertainty weighting minimises the product of the
    losses. s may be negative: a task whose loss is small needs that, so
    nothing is clamped at 0.

    Other conventions for the constants, with s free: L/(2 sigma^2) + log
    sigma, Kendall's for regression, is this one with s = log sigma^2;
    theirs for classification, L/sigma^2 + log sigma, ends at s = log 2L
    but at the same weight 1/(2L); 2L/e^s + s also ends at s = log 2L, and
    at weight 1/L.

    ``follow_loss`` says how s is learned.

    Size of the step: the weights start at 1/2 and end at 1/(2L).

    Args:
        learning_rate: share of the gap between e^s and L that a step
            closes, above 0 and below 1; 0.01 averages over 100 steps.
        mean_one: rescale the weights to mean 1 (see ``OwnSizeBalancing``).

    Raises:
        ValueError: a learning rate outside its range.
    """

    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "learning_rate", 0, 1)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return s = 0 for each task."""
        return {"log_scale": tf.zeros(len(tasks))}

    def own_weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return 1/(2 e^s), s of before this step."""
        s = state["log_scale"]
        moved = follow_loss(s, losses, self.learning_rate)
        return tf.exp(-s) / 2, {"log_scale": moved}


@dataclass(frozen=True)
class IMTLL(OwnSizeBalancing):
    """Impartial multi-task learning, loss form: minimise e^s L - s.

    Liu et al., "Towards impartial multi-task learning", ICLR 2021, IMTL-L.
    For a loss that stays at L the best e^s is 1/L: each task contributes
    the gradient of log L, and every scaled loss is 1.

    With -s for s this is twice the objective of ``UncertaintyWeights``.
    Both learn by ``follow_loss`` here, so IMTL-L's weights are exactly
    twice those: the two methods differ in their derivation.

    Size of the step: the weights start at 1 and end at 1/L.

    Args:
        learning_rate: share of the gap between e^-s and L that a step
            closes, above 0 and below 1; 0.01 averages over 100 steps.
        mean_one: rescale the weights to mean 1 (see ``OwnSizeBalancing``).

    Raises:
        ValueError: a learning rate outside its range.
    """

    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "learning_rate", 0, 1)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return s = 0 for each task."""
        return {"log_weight": tf.zeros(len(tasks))}

    def own_weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return e^s, s of before this step."""
        s = state["log_weight"]
        moved = -follow_loss(-s, losses, self.learning_rate)
        return tf.exp(s), {"log_weight": moved}


@dataclass(frozen=True)
class FAMO(OwnSizeBalancing):
    """Fast adaptive multitask optimisation: all log losses fall alike.

    Liu, Feng, Stone & Liu, "FAMO: fast adaptive multitask optimization",
    NeurIPS 2023, algorithm 1. With z = softmax(x) over learned logits x,
    task t weighs c z_t / L_t, where c makes the weights sum to 1. After
    the step, delta_t = log L_t(before) - log L_t(after) on the same batch
    says how fast each task improved, and x descends along

        z_t (delta_t - sum_u z_u delta_u) + decay x_t,

    so that a task which improved more than the average loses weight. x
    starts at 0: weights proportional to 1/L. Multiplying a loss by a
    constant changes neither delta nor the direction of the update. Once
    the model stands still, delta is 0 and only the decay moves x: in the
    long run FAMO minimises the product of the losses, like ``IMTLL``, and
    without decay it stays where the gradients first cancelled.

    The loop must look twice (``looks_twice``): it computes the losses of
    the batch, asks ``weights``, updates the model, computes the losses of
    the *same* batch again (no gradient, same dropout), and calls
    ``after_step(before, after, state)``. A task absent before or after
    keeps its logit, and counts in no average; its weight is 0.

    x is moved by Adam (beta 0.9, 0.999), whose step does not depend on the
    size of delta, which falls with the model's learning rate. The paper's
    lower bound of a loss, subtracted before the logarithm, is 0 here.

    Size of the step: the weights sum to 1.

    Args:
        learning_rate: Adam's, of the logits; above 0.
        decay: pulls the logits to 0, and the weights towards 1/L; at
            least 0.
        mean_one: rescale the weights to mean 1 (see ``OwnSizeBalancing``).

    Raises:
        ValueError: an argument outside its range.
    """

    looks_twice: ClassVar[bool] = True

    learning_rate: float = 0.025
    decay: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "learning_rate", 0)
        check_number(self, "decay", 0, low_too=True)

    def initial_state(self, tasks: Sequence[str], n_tensors: int) -> State:
        """Return logits of 0 and Adam's moments."""
        zeros = tf.zeros(len(tasks))
        return {
            "logits": zeros,
            "momentum": zeros,
            "velocity": zeros,
            "steps": zeros,
        }

    def own_weights(self, losses: Any, state: State) -> tuple[Any, State]:
        """Return z_t / L_t over its sum: softmax(x - log L)."""
        present, logs = log_losses(losses)
        return _softmax(state["logits"] - logs, present), state

    def after_step(self, before: Any, after: Any, state: State) -> State:
        """Learn from what the step did to the losses of its own batch.

        Args:
            before: the losses ``weights`` was given, float32 [T].
            after: losses of the same rows after the update, float32 [T].
            state: as ``weights`` returned it.
        """
        present, logs = log_losses(before)
        present_after, logs_after = log_losses(after)
        both = present & present_after
        delta = logs - logs_after
        x, m, v = state["logits"], state["momentum"], state["velocity"]
        z = _softmax(x, both)
        gradient = z * (delta - tf.reduce_sum(z * delta)) + self.decay * x
        steps = state["steps"] + 1
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * tf.square(gradient)
        size = tf.sqrt(v / (1 - 0.999**steps)) + 1e-8
        moved = m / (1 - 0.9**steps) / size
        new = {
            "logits": x - self.learning_rate * moved,
            "momentum": m,
            "velocity": v,
            "steps": steps,
        }
        return {name: tf.where(both, new[name], state[name]) for name in new}


def _softmax(logits: Any, present: Any) -> Any:
    """Return softmax over the tasks present; 0 for the others."""
    shares = tf.nn.softmax(tf.where(present, logits, -math.inf))
    return tf.where(present, shares, 0.0)
