"""Parts that rankers share: tables, linear terms, the network, their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.cross_layers import CrossedIds, SumOfFeatures
from mtlrec_utils.models.embedding import FusedEmbedding
from mtlrec_utils.models.feature_parts import TakeColumns
from mtlrec_utils.models.features_and_towers import (
    output_width,
    task_logits,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed, seeded
from mtlrec_utils.models.layers import MLP

# Layers of linear terms, and of what is added to them.
_TAKEN = (
    "crossed_ids",
    "products",
    "terms",
    "weighed_products",
    "wide",
    "wide_crosses",
    "wide_crosses_sum",
    "wide_ids",
    "wide_numbers",
    "wide_sum",
)


def tasks_of_a_sum(schema: Any) -> dict[str, Any]:
    """Return the tasks of a model whose logits are sums of terms, by name.

    Raises:
        ValueError: there is none, or one named like a layer of the model.
    """
    own = [
        f"{layer}_{task.name}"
        for task in schema.tasks
        for layer in ("terms", "sum")
    ]
    return tasks_by_name(schema, taken=(*_TAKEN, *own))


def all_widths(tasks: Mapping[str, Any]) -> int:
    """Return how many values all tasks predict together, T."""
    return sum(output_width(task) for task in tasks.values())


def linear_term(
    schema: Any,
    tasks: Mapping[str, Any],
    inputs: Mapping[str, Any],
    seed: int | None,
) -> Any:
    """One weight per id and number and value to predict, and a bias: [B, T].

    A list has the mean of its entries' weights.
    """
    width = all_widths(tasks)
    parts = []
    if "ids" in inputs:
        weights = FusedEmbedding(
            schema.field_sizes,
            schema.id_columns,
            width,
            seed=derived_seed(seed, "wide_ids"),
            dtype="float32",
            name="wide_ids",
        )(inputs["ids"])
        total = SumOfFeatures(width, bias=True, name="wide_sum")(weights)
        parts.append(total)
    if "numbers" in inputs:
        parts.append(
            keras.layers.Dense(
                width,
                use_bias="ids" not in inputs,
                kernel_initializer=seeded(
                    "glorot_uniform", seed, "wide_numbers"
                ),
                dtype="float32",
                name="wide_numbers",
            )(inputs["numbers"])
        )
    total = parts[0]
    if len(parts) > 1:
        total = keras.layers.Add(name="wide")(parts)
    return total


def crossed_term(
    schema: Any,
    tasks: Mapping[str, Any],
    inputs: Mapping[str, Any],
    crosses: Sequence[tuple[str, str]],
    seed: int | None,
) -> Any:
    """One weight per pair of values and value to predict: [B, T].

    Raises:
        ValueError: a pair that is none, or a column that is not one id.
    """
    plain = {c.name: c for c in schema.id_columns if not c.pooled}
    pairs, sizes = [], []
    for pair in crosses:
        names = (pair,) if isinstance(pair, str) else tuple(pair)
        if len(names) != 2 or not set(names) <= set(plain):
            raise ValueError(
                f"crosses holds {pair!r}; cross two of the categorical "
                f"columns, which are {', '.join(map(repr, plain))}."
            )
        a, b = (plain[name] for name in names)
        n_a, n_b = (schema.field_sizes[c.field] for c in (a, b))
        pairs.append((a.start, b.start, n_a, n_b))
        sizes.append(n_a * n_b)
    width = all_widths(tasks)
    rows = CrossedIds(pairs, name="crossed_ids")(inputs["ids"])
    columns = [
        {"start": i, "stop": i + 1, "field": i, "pooled": False}
        for i in range(len(pairs))
    ]
    weights = FusedEmbedding(
        sizes,
        columns,
        width,
        seed=derived_seed(seed, "wide_crosses"),
        dtype="float32",
        name="wide_crosses",
    )(rows)
    return SumOfFeatures(width, name="wide_crosses_sum")(weights)


def network(
    tasks: Mapping[str, Any],
    features: Any,
    bottom_units: Sequence[int],
    tower_units: Sequence[int],
    dropout: float,
    seed: int | None,
) -> dict[str, Any]:
    """Put a bottom and each task's tower on the features: its logits."""
    hidden = bottom(bottom_units, dropout, seed)(features)
    widths = {name: output_width(task) for name, task in tasks.items()}
    return task_logits(
        widths, dict.fromkeys(tasks, hidden), tower_units, dropout, seed
    )


def bottom(
    units: Sequence[int], dropout: float, seed: int | None
) -> keras.layers.Layer:
    """Make the layer that ``single_task`` calls "bottom"."""
    return MLP(
        positive_widths("bottom_units", units),
        dropout=dropout,
        seed=derived_seed(seed, "bottom"),
        name="bottom",
    )


def added_logits(
    tasks: Mapping[str, Any],
    terms: Sequence[Any],
    logits: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Add up terms [B, T] and each task's network: {task: [B, width]}."""
    total = terms[0]
    if len(terms) > 1:
        total = keras.layers.Add(name="terms")(list(terms))
    found, start = {}, 0
    for name, task in tasks.items():
        stop = start + output_width(task)
        own = TakeColumns(range(start, stop), name=f"terms_{name}")(total)
        if logits is not None:
            own = keras.layers.Add(name=f"sum_{name}")([own, logits[name]])
        found[name] = own
        start = stop
    return found


def every_column_embedded(
    schema: Any, ids: Any, dimension: int, seed: int | None
) -> Any:
    """Embed every id column on its own: [B, C] -> [B, C * dimension]."""
    (dimension,) = positive_widths("embedding_dimension", (dimension,))
    columns = [
        {
            "start": place,
            "stop": place + 1,
            "field": column.field,
            "pooled": False,
        }
        for column in schema.id_columns
        for place in range(column.start, column.stop)
    ]
    return FusedEmbedding(
        schema.field_sizes,
        columns,
        dimension,
        seed=derived_seed(seed, "embedding"),
        name="embedding",
    )(ids)
