"""What the tests of balancing by losses and by norms share."""

import numpy as np
import tensorflow as tf

from mtlrec_utils.learning.balancing.learned_weights import (
    FAMO,
    IMTLL,
    UncertaintyWeights,
)
from mtlrec_utils.learning.balancing.loss_weights import (
    DynamicWeightAverage,
    GeometricMean,
    RandomWeights,
    StaticWeights,
)
from mtlrec_utils.learning.balancing.norms import GradNorm, NormBalancing

TASKS = ("click", "like", "buy")
METHODS = (
    StaticWeights({"like": 3.0}),
    RandomWeights(seed=4),
    DynamicWeightAverage(),
    GeometricMean(),
    UncertaintyWeights(),
    IMTLL(),
    FAMO(),
    GradNorm(),
)
OWN_SIZE = (GeometricMean, UncertaintyWeights, IMTLL, FAMO)


def name(method):
    return type(method).__name__


def vector(*values):
    return tf.constant(values, tf.float32)


def ask(method, losses, norms, state):
    """One step's weights, from whatever the method looks at."""
    if isinstance(method, NormBalancing):
        return method.weights_from_norms(losses, norms, state)
    return method.weights(losses, state)


def iterate(method, losses, steps, norms=None, tasks=TASKS, state=None):
    """Weights float32 [steps, T], and the state after steps on constants.

    Runs compiled: shapes and types of the state must not change.
    """
    losses = tf.constant(losses, tf.float32)
    norms = losses if norms is None else tf.constant(norms, tf.float32)
    tasks = tasks[: len(losses)]
    start = state or method.initial_state(tasks, 1)

    @tf.function(autograph=False)
    def run(losses, norms, state):
        def step(i, state, log):
            weights, state = ask(method, losses, norms, state)
            return i + 1, state, log.write(i, weights)

        log = tf.TensorArray(tf.float32, steps, element_shape=losses.shape)
        _, state, log = tf.while_loop(
            lambda i, *_: i < steps, step, (0, state, log)
        )
        return log.stack(), state

    weights, state = run(losses, norms, start)
    return weights.numpy(), state


def history(method, losses, tasks=TASKS, gain=None):
    """Weights of each row of losses [steps, T], an epoch every two steps.

    Norms are five times the square root of the losses. ``gain``: what is
    left of each loss after the step.
    """
    state = method.initial_state(tasks, 1)
    log = []
    for step, row in enumerate(np.asarray(losses, "float32")):
        row = tf.constant(row)
        weights, state = ask(method, row, 5 * tf.sqrt(row), state)
        log.append(weights.numpy())
        if getattr(method, "looks_twice", False):
            after = row * (0.9 if gain is None else vector(*gain))
            state = method.after_step(row, after, state)
        if step % 2:
            state = method.after_epoch(row, state)
    return np.array(log)
