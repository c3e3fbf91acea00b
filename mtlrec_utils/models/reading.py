"""Read what a model's layers compute, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def layer_values(
    model: keras.Model,
    layers: Iterable[str],
    examples: Any,
    batch_size: int = 8192,
) -> dict[str, np.ndarray]:
    """Return what some layers of a model compute at inference.

    Args:
        model: a functional model.
        layers: names of its layers, each with one output.
        examples: ``Examples``, or their ``inputs`` dictionary.
        batch_size: rows at a time.

    Returns:
        {layer name: [N, ...]} float32.
    """
    inputs = getattr(examples, "inputs", examples)
    inputs = {x.name: np.asarray(inputs[x.name]) for x in model.inputs}
    n_rows = len(next(iter(inputs.values())))
    reader = keras.Model(
        {x.name: x for x in model.inputs},
        {name: model.get_layer(name).output for name in layers},
    )
    values = {
        name: np.empty((n_rows, *output.shape[1:]), "float32")
        for name, output in reader.output.items()
    }
    for start in range(0, n_rows, batch_size):
        rows = slice(start, start + batch_size)
        batch = {name: x[rows] for name, x in inputs.items()}
        for name, found in reader(batch, training=False).items():
            values[name][rows] = keras.ops.convert_to_numpy(found)
    return values


def interest_weights(
    model: keras.Model, examples: Any, batch_size: int = 8192
) -> np.ndarray:
    """Return the weight that ``din`` gives each item of each history.

    Args:
        model: with a layer "interest".
        examples: ``Examples``, or their ``inputs`` dictionary.
        batch_size: rows at a time.

    Returns:
        [N, L] float32, 0 where a history has no item.

    Raises:
        ValueError: the model has no such layer.
    """
    layer = model.get_layer("interest")
    inputs = getattr(examples, "inputs", examples)
    reader = keras.Model({x.name: x for x in model.inputs}, layer.input)
    n_rows = len(next(iter(inputs.values())))
    found = []
    for start in range(0, n_rows, batch_size):
        rows = slice(start, start + batch_size)
        batch = {x.name: inputs[x.name][rows] for x in model.inputs}
        read = reader(batch, training=False)
        found.append(keras.ops.convert_to_numpy(layer.weights_of(read)))
    return np.concatenate(found)
