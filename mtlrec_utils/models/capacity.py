"""How large a model is, and how wide a fair opponent must be."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
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

    return scaled(_closest(size, target))


def units_of_equal_capacity(
    build: Callable[[tuple[int, ...]], keras.Model],
    target: keras.Model | int,
    *,
    proportions: Sequence[int] = (32,),
) -> tuple[int, ...]:
    """Find the widths that make any model as large as another.

    Every pattern of sharing has a width to turn: the ``bottom_units`` of a
    shared bottom, the ``expert_units`` of a mixture. Models are built to
    be counted, about ten of them.

    >>> units = units_of_equal_capacity(
    ...     lambda units: ple(schema, expert_units=units, n_levels=2),
    ...     mmoe(schema),
    ... )                                               # doctest: +SKIP

    Args:
        build: widths -> model; it may have more parameters, never fewer,
            when the widths grow.
        target: the model to match, or its number of parameters.
        proportions: of the widths, scaled together.

    Returns:
        The widths whose trainable parameter count is closest to the
        target's; every width is at least 1.

    Raises:
        ValueError: no widths, or models whose size does not follow them.
    """
    shape = positive_widths("proportions", proportions)
    if not shape:
        raise ValueError("proportions is empty: there is nothing to widen.")

    def scaled(widest: int) -> tuple[int, ...]:
        scale = widest / max(shape)
        return tuple(max(1, round(scale * unit)) for unit in shape)

    @functools.cache
    def size(widest: int) -> int:
        return count_parameters(build(scaled(widest)))

    count = target if isinstance(target, int) else count_parameters(target)
    if size(1) == size(16 * max(shape)):
        raise ValueError(
            "build(units) makes models of one size, whatever the units; "
            "pass them on, as in lambda units: ple(schema, "
            "expert_units=units)."
        )
    return scaled(_closest(size, count))


def _closest(size: Callable[[int], int], target: int) -> int:
    """Return the width from 1 up whose size is closest to a target."""
    low, high = 1, 4
    while size(high) < target:
        low, high = high, 4 * high
    while high - low > 1:
        # Sizes grow almost in a line, so guess along it.
        share = (target - size(low)) / max(1, size(high) - size(low))
        middle = low + round(share * (high - low))
        middle = min(max(middle, low + 1), high - 1)
        if size(middle) < target:
            low = middle
        else:
            high = middle
    return min((low, high), key=lambda width: abs(size(width) - target))


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
