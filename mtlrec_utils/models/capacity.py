"""How large a model is, and how wide a fair opponent must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.features_and_towers import (
    chosen_tasks,
    output_width,
    tasks_by_name,
)


def count_parameters(model: keras.Model) -> int:
    """Count the trainable parameters of a model, embedding tables too."""
    return sum(math.prod(w.shape) for w in model.trainable_weights)


def equal_capacity_units(
    model: keras.Model,
    schema: Any,
    *,
    tasks: Sequence[str] | None = None,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
) -> tuple[int, ...]:
    """Find the bottom that makes ``shared_bottom`` as large as a model.

    A mixture of experts has more parameters than a shared bottom of the
    same widths; a comparison is fair only at equal capacity. The answer
    goes to ``shared_bottom(schema, bottom_units=..., ...)`` with the same
    other arguments.

    Args:
        model: the model to match.
        schema: the fitted ``Schema`` of both.
        tasks: the opponent's tasks, for ``single_task``; None for all.
        embedding_dimension: the opponent's; give it the model's own.
        bottom_units: the proportions of the bottom, scaled together.
        tower_units: the opponent's towers.

    Returns:
        The widths whose trainable parameter count is closest to the
        model's; every width is at least 1.

    Raises:
        ValueError: no bottom to widen, or an unknown task.
    """
    proportions = positive_widths("bottom_units", bottom_units)
    if not proportions:
        raise ValueError("bottom_units is empty: there is nothing to widen.")
    names = tasks_by_name(schema) if tasks is None else tasks
    opponents = chosen_tasks(schema, names)
    widths = [output_width(task) for task in opponents.values()]
    towers = positive_widths("tower_units", tower_units)
    target = count_parameters(model)

    n_features, table = _front(schema, embedding_dimension)

    def scaled(widest: int) -> tuple[int, ...]:
        scale = widest / max(proportions)
        return tuple(max(1, round(scale * unit)) for unit in proportions)

    def size(widest: int) -> int:
        units = scaled(widest)
        return (
            table
            + _dense_parameters((n_features, *units))
            + sum(
                _dense_parameters((units[-1], *towers, width))
                for width in widths
            )
        )

    low, high = 1, 2
    while size(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if size(middle) < target:
            low = middle
        else:
            high = middle
    return scaled(min((low, high), key=lambda w: abs(size(w) - target)))


def _front(schema: Any, embedding_dimension: int) -> tuple[int, int]:
    """Return the number of joined features and of table entries."""
    embedded = sum(
        1 if column.pooled else column.stop - column.start
        for column in schema.id_columns
    )
    width = embedded * embedding_dimension + len(schema.number_names)
    table = sum(schema.field_sizes) * embedding_dimension
    return width, table if schema.id_columns else 0


def _dense_parameters(sizes: Sequence[int]) -> int:
    """Count weights and biases of dense layers of these widths."""
    return sum(a * b + b for a, b in zip(sizes, sizes[1:], strict=False))
