"""Refuse examples that a model cannot be trained on, before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.losses import TaskLosses
from mtlrec_utils.models.feature_parts import TakeColumns


def check_examples(losses: TaskLosses, examples: Examples, name: str) -> None:
    """Check rows, inputs and the labels of every task of a model.

    Args:
        losses: of the model.
        examples: to train on, or to judge by.
        name: of the argument, for the message.

    Raises:
        ValueError: a task without labels, a NaN or infinity in inputs or
            known labels, a label or id outside its range, another number
            of columns, no rows.
    """
    if not len(examples):
        raise ValueError(f"{name} has no rows.")
    _check_inputs(losses.model, examples, name)
    for task in losses.tasks:
        if task not in examples.labels:
            have = ", ".join(map(repr, examples.labels)) or "none"
            raise ValueError(
                f"The model predicts task {task!r}, but {name} has no "
                f"labels of it; it has {have}. Encode {name} with that "
                "task, or build a model without it."
            )
        width = losses.model.output[task].shape[-1]
        _check_labels(examples, name, task, losses.kinds[task], width)


def _check_inputs(model: Any, examples: Examples, name: str) -> None:
    inputs = examples.inputs
    for x in model.inputs:
        if inputs[x.name].shape[1] != x.shape[1]:
            raise ValueError(
                f"{name} has {inputs[x.name].shape[1]} columns of {x.name}, "
                f"but the model reads {x.shape[1]}. Encode the rows with "
                "the schema the model was built from."
            )
    numbers = examples.numbers
    if not np.isfinite(numbers).all():
        row, column = np.argwhere(~np.isfinite(numbers))[0]
        raise ValueError(
            f"{name}.numbers holds {numbers[row, column]} in row {row}, "
            f"column {column}. Fill or drop missing values before training; "
            "Schema.encode does."
        )
    for layer in model.layers:
        if hasattr(layer, "field_sizes") and not layer.guard:
            _check_ids(layer, examples.ids, name)


def _check_ids(layer: Any, ids: np.ndarray, name: str) -> None:
    # On a CPU such an id stops the step with an error that names neither
    # row nor column; on a GPU it silently reads zeros.
    low, high = ids.min(axis=0), ids.max(axis=0)
    read = _columns_read(layer, ids.shape[1])
    for feature in layer.columns:
        size = layer.field_sizes[feature.field]
        for column in read[feature.start : feature.stop]:
            if low[column] < 0 or high[column] >= size:
                raise ValueError(
                    f"{name}.ids column {column} holds {low[column]} to "
                    f"{high[column]}, but its field has rows 0 to "
                    f"{size - 1}. Encode the rows with the schema the model "
                    "was built from."
                )


def _columns_read(layer: Any, n_columns: int) -> Sequence[int]:
    """Return the id columns that a layer of embeddings reads.

    None where it reads what another layer made of them, such as crosses.
    """
    # The first use decides: a tower may read drawn items by the same layer.
    first = layer._inbound_nodes[0].input_tensors[0]
    source = first._keras_history.operation
    if isinstance(source, TakeColumns):
        return source.columns
    if isinstance(source, keras.layers.InputLayer):
        return range(n_columns)
    return ()


def _check_labels(
    examples: Examples, name: str, task: str, kind: str, width: int
) -> None:
    known = examples.labels[task][examples.masks[task] > 0]
    if not len(known):
        return
    low, high = known.min(), known.max()
    if not np.isfinite([low, high]).all():
        raise ValueError(
            f"{name}.labels[{task!r}] holds an infinite value on a row whose "
            "mask is 1. Mask such rows or drop them."
        )
    top = width - 1 if kind == "multiclass" else 1
    if kind != "regression" and not 0 <= low <= high <= top:
        raise ValueError(
            f"{name}.labels[{task!r}] holds {low:g} to {high:g}, but the "
            f"model's output {task!r} is {kind}: labels go from 0 to {top}. "
            "Build the model from the schema that encoded the rows."
        )
