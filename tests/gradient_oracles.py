"""Each task's gradient by a plain tape, whole tables filled: the oracle."""

import keras
import numpy as np
import tensorflow as tf

from mtlrec_utils.learning.losses import TaskLosses, masked_mean, tensors


def batch_of(model, rows):
    return tensors(rows, TaskLosses(model))


def task_gradients(model, batch):
    """task -> {path: dense gradient}; a weight it does not use has zeros."""
    losses = TaskLosses(model)
    found = {}
    for task in losses.tasks:
        with tf.GradientTape() as tape:
            rows = losses.per_row(
                batch["inputs"],
                batch["labels"],
                batch["masks"],
                training=False,
            )
            loss = masked_mean(rows[task], batch["masks"][task])
        gradients = tape.gradient(loss, model.trainable_variables)
        found[task] = {
            v.path: dense(g, v)
            for v, g in zip(model.trainable_variables, gradients, strict=True)
        }
    return found


def dense(gradient, like):
    if gradient is None:
        return np.zeros(like.shape, "float32")
    return np.asarray(tf.convert_to_tensor(gradient))


def jacobian(gradients, paths):
    """float64 [T, P]: the tasks' gradients of some weights, side by side."""
    return np.stack(
        [
            np.concatenate([g[path].ravel() for path in paths])
            for g in gradients.values()
        ]
    ).astype("float64")


def values(model):
    return {v.path: np.array(v.numpy()) for v in model.trainable_variables}


def moved(before, model, rate):
    """Return path -> the gradient that a step of plain descent took."""
    after = values(model)
    return {path: (before[path] - after[path]) / rate for path in before}


def descent(rate):
    return keras.optimizers.SGD(rate)
