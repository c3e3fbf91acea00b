"""A small funnel that the tests of ESMM and AITM share."""

import numpy as np
import tensorflow as tf
from models_under_test import dense, random_inputs, small_schema

from mtlrec_utils import models
from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.schema import Task
from mtlrec_utils.learning.losses import TaskLosses, masked_mean, tensors

CLICK = Task("click")
BUY = Task("buy", sample_space="click")
BOTH = Task("click_and_buy", label="buy", sample_space="click", outside=0)
SCHEMA = small_schema((CLICK, BUY, BOTH))
STEPS = ["click", "click_and_buy"]


def esmm(**options):
    return models.esmm(SCHEMA, "click", "buy", **options)


BUILDERS = {
    "esmm": lambda **options: esmm(**options),
    "escm2_ips": lambda **options: esmm(
        debiasing="ips", propensity_floor=0.2, **options
    ),
    "escm2_dr": lambda **options: esmm(debiasing="dr", **options),
    "aitm": lambda **options: models.aitm(SCHEMA, STEPS, **options),
}


def rows_of_a_funnel(n_rows=24, seed=0, click=None, buy=None):
    """Rows with every id value; a third clicked, some of those bought."""
    rng = np.random.default_rng(seed)
    if click is None:
        click = rng.random(n_rows) < 0.4
        click[:4] = [True, True, False, True]
    click = np.asarray(click, "float32")
    if buy is None:
        buy = rng.random(n_rows) < 0.5
        buy[:4] = [True, False, False, True]
    buy = np.asarray(buy, "float32") * click
    ones = np.ones(n_rows, "float32")
    return Examples(
        **random_inputs(SCHEMA, n_rows, seed),
        labels={"click": click, "buy": buy, "click_and_buy": buy},
        masks={"click": ones, "buy": click, "click_and_buy": ones},
        users=None,
        rows=np.arange(n_rows),
    )


def losses_and_gradients(model, rows, task=None):
    """One batch: mean loss of each task; gradients of one, or of the sum."""
    losses = TaskLosses(model)
    data = tensors(rows, losses)
    with tf.GradientTape() as tape:
        per_row = losses.per_row(**data, training=True)
        means = {t: masked_mean(per_row[t], data["masks"][t]) for t in per_row}
        total = sum(means.values()) if task is None else means[task]
    weights = model.trainable_variables
    found = tape.gradient(
        total,
        [w.value for w in weights],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return (
        {t: float(mean) for t, mean in means.items()},
        {w.path: dense(g) for w, g in zip(weights, found, strict=True)},
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


def logit(p):
    return np.log(p / (1 - p))


def set_bias(model, **logits):
    """Make logits constant: kernels zero, biases as told."""
    for name, value in logits.items():
        layer = model.get_layer(f"logit_{name}")
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * 0, bias * 0 + value])
