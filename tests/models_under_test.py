"""Small schemas, rows and gradients that the tests of models share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils import models
from mtlrec_utils.data.schema import (
    Categorical,
    Number,
    Schema,
    Sequence,
    Task,
    Text,
)

TASKS = (Task("click"), Task("click_long"), Task("minutes", "regression"))
# Patterns of sharing. Rankers promise the same, but want ids and histories:
# ``test_ranking.py`` holds them to it.
BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "single_task": lambda schema, **options: models.single_task(
        schema, schema.tasks[0].name, **options
    ),
    "shared_bottom": models.shared_bottom,
    "omoe": models.omoe,
    "mmoe": models.mmoe,
    "cross_stitch": models.cross_stitch,
    "l2_constrained": models.l2_constrained,
    "cgc": models.cgc,
    "ple": models.ple,
    "mmoe_with_position_bias": lambda schema, **options: (
        models.mmoe_with_position_bias(
            schema, **(age_is_bias(schema) | options)
        )
    ),
}

# Models of many domains want one: ``test_multidomain.py`` holds them to it.
DOMAIN_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    name: partial(getattr(models, name), domain="user")
    for name in (
        "pooled_domains",
        "separate_domains",
        "shared_bottom_over_domains",
        "mmoe_over_domains",
        "star",
        "epnet",
        "ppnet",
        "pepnet",
    )
}


def age_is_bias(schema: Any) -> dict[str, Any]:
    """Name the last feature of a small schema as the one that biases."""
    features = getattr(schema, "features", ())
    return {"bias_features": [f.column for f in features[-1:]]}


def small_schema(
    tasks: Any = TASKS, ids: bool = True, numbers: bool = True
) -> Schema:
    """Four id features of every kind, two numbers, and the tasks."""
    n = 12
    frame = pd.DataFrame(
        {
            "user": np.arange(n) % 5,
            "item": np.arange(n) % 7,
            "seen": [[i % 7, (i + 1) % 7] for i in range(n)],
            "words": ["red sea", "blue sky"] * (n // 2),
            "price": np.linspace(1, 9, n),
            "age": np.linspace(20, 60, n) ** 2,
        }
    )
    for task in tasks:
        labels = np.arange(n) % (task.classes or 2)
        frame[task.name] = labels.astype("float32")
    id_features = [
        Categorical("user"),
        Sequence("seen", length=3, vocabulary_of="item"),
        Categorical("item"),
        Text("words", buckets=11, length=4),
    ]
    features = (id_features if ids else []) + (
        [Number("price"), Number("age")] if numbers else []
    )
    return Schema(features=features, tasks=list(tasks)).fit(frame)


def random_inputs(
    schema: Schema, n_rows: int = 24, seed: int = 0
) -> dict[str, np.ndarray]:
    """Rows with every id value, right-padded where a feature is pooled."""
    rng = np.random.default_rng(seed)
    inputs = {}
    if schema.id_columns:
        blocks = []
        for column in schema.id_columns:
            size, length = (
                schema.field_sizes[column.field],
                column.stop - column.start,
            )
            block = rng.integers(2, size, (n_rows, length))
            block[0] = 0
            if column.pooled:
                kept = rng.integers(0, length + 1, (n_rows, 1))
                block[np.arange(length) >= kept] = 1
            blocks.append(block)
        inputs["ids"] = np.concatenate(blocks, axis=1).astype("int32")
    if schema.number_names:
        shape = (n_rows, len(schema.number_names))
        inputs["numbers"] = rng.normal(size=shape).astype("float32")
    return inputs


def random_labels(
    schema: Schema, n_rows: int = 24, seed: int = 1
) -> dict[str, np.ndarray]:
    """Labels of each task's kind, [N, 1] (int [N] for multiclass)."""
    rng = np.random.default_rng(seed)
    labels = {}
    for task in schema.tasks:
        if task.kind == "multiclass":
            labels[task.name] = rng.integers(0, task.classes, n_rows)
        elif task.kind == "binary":
            drawn = rng.integers(0, 2, (n_rows, 1))
            labels[task.name] = drawn.astype("float32")
        else:
            drawn = rng.normal(size=(n_rows, 1))
            labels[task.name] = drawn.astype("float32")
    return labels


def losses_of(schema: Schema) -> dict[str, keras.losses.Loss]:
    """Each task's loss: a mean over the rows of its own mask."""
    kinds = {
        "binary": keras.losses.BinaryCrossentropy,
        "regression": keras.losses.MeanSquaredError,
        "multiclass": keras.losses.SparseCategoricalCrossentropy,
    }
    return {
        task.name: kinds[task.kind](reduction="mean_with_sample_weight")
        for task in schema.tasks
    }


def dense(gradient: Any) -> np.ndarray:
    """Return a gradient as an array, repeated rows summed."""
    return np.asarray(tf.convert_to_tensor(gradient))


def gradients(
    model: keras.Model,
    inputs: dict[str, np.ndarray],
    loss: Callable[[dict[str, Any]], Any],
) -> dict[str, np.ndarray | None]:
    """Differentiate a loss of the outputs by each weight, by its path."""
    with tf.GradientTape() as tape:
        value = loss(model(inputs, training=True))
    weights = model.trainable_weights
    found = tape.gradient(value, weights)
    return {
        weight.path: None if gradient is None else dense(gradient)
        for weight, gradient in zip(weights, found, strict=True)
    }


def predict(
    model: keras.Model, inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Outputs at inference, as arrays."""
    outputs = model(inputs, training=False)
    return {name: np.asarray(value) for name, value in outputs.items()}


def assert_same_outputs(
    ours: dict[str, np.ndarray],
    theirs: dict[str, np.ndarray],
    tolerance: float = 1e-5,
) -> None:
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        np.testing.assert_allclose(
            value, theirs[name], rtol=tolerance, atol=tolerance
        )


def shift_every_weight(model: keras.Model, seed: int = 5) -> None:
    """Add noise to all weights: biases and gates no longer at zero."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(np.asarray(weight) + rng.normal(0, 0.3, weight.shape))
