"""The two ends that all models share: features in front, towers behind.

A model is what lies between. ``joined_features`` makes the inputs and the
layers "embedding" and "features"; ``task_outputs`` makes each task's
"tower_<task>", "logit_<task>" and the last layer, named by the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.initialisation import derived_seed, seeded
from mtlrec_utils.models.layers import MLP, FusedEmbedding, LabelUnit

_TAKEN = (
    "ids",
    "numbers",
    "embedding",
    "features",
    "bottom",
    "bottoms",
    "experts",
    "main_ids",
    "main_numbers",
    "imputation",
)
_PREFIXES = (
    "gate_",
    "mixture_",
    "tower_",
    "logit_",
    "bottom_",
    "cross_stitch_",
    "experts_",
    "level_",
    "bias_",
    "biased_logit_",
    "transferred_",
    "candidates_",
    "attention_",
    "value_",
    "calibrator_",
    "auxiliary_",
    "gated_",
)


def tasks_by_name(schema: Any, taken: Iterable[str] = ()) -> dict[str, Any]:
    """Return a schema's tasks by name.

    Args:
        schema: with tasks.
        taken: names of layers that only this model has.

    Raises:
        ValueError: it has none, or one named like a layer of the model.
    """
    tasks = {task.name: task for task in schema.tasks}
    if not tasks:
        raise ValueError(
            "The schema has no tasks; give Schema(tasks=[Task(...)]) at "
            "least one."
        )
    taken = {*_TAKEN, *taken}
    for name in tasks:
        if name in taken or name.startswith(_PREFIXES):
            raise ValueError(
                f"A task cannot be called {name!r}: the model has layers "
                "of that name. Rename it, as in "
                f"Task({'is_' + name!r}, label={name!r})."
            )
    return tasks


def chosen_tasks(schema: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return some of a schema's tasks by name.

    Raises:
        ValueError: the schema has no such task.
    """
    tasks = tasks_by_name(schema)
    for name in names:
        if name not in tasks:
            raise ValueError(
                f"Unknown task {name!r}; the schema has "
                f"{', '.join(map(repr, tasks))}."
            )
    return {name: tasks[name] for name in names}


def joined_features(
    schema: Any, embedding_dimension: int, seed: int | None
) -> tuple[dict[str, Any], Any]:
    """Make a model's inputs and join them: the front of every model.

    Returns:
        The inputs by name, and the embedded ids beside the numbers,
        [B, F * embedding_dimension + M].

    Raises:
        ValueError: the schema has no features, or the dimension is bad.
    """
    inputs = model_inputs(schema)
    return inputs, joined(schema, inputs, embedding_dimension, seed)


def model_inputs(
    schema: Any, columns: Iterable[str] | None = None
) -> dict[str, Any]:
    """Make the inputs "ids" and "numbers", those that are not empty.

    Args:
        schema: a fitted ``Schema``.
        columns: what the model reads; an input that holds none of these is
            left out, as Keras 3.13 refuses one that leads nowhere. None:
            the model reads all of them.

    Raises:
        ValueError: the schema has no features.
    """
    inputs = {}
    if schema.id_columns:
        width = max(column.stop for column in schema.id_columns)
        inputs["ids"] = keras.Input((width,), dtype="int32", name="ids")
    if schema.number_names:
        inputs["numbers"] = keras.Input(
            (len(schema.number_names),), dtype="float32", name="numbers"
        )
    if not inputs:
        raise ValueError(
            "The schema has no features; give Schema(features=[...]) at "
            "least one."
        )
    if columns is None:
        return inputs
    held = {
        "ids": {column.name for column in schema.id_columns},
        "numbers": set(schema.number_names),
    }
    wanted = set(columns)
    return {name: x for name, x in inputs.items() if held[name] & wanted}


def joined(
    schema: Any,
    inputs: Mapping[str, Any],
    embedding_dimension: int,
    seed: int | None,
    prefix: str = "",
) -> Any:
    """Embed the ids and put them beside the numbers.

    Args:
        schema: what the columns of the inputs mean.
        inputs: "ids" and "numbers", or one of them.
        embedding_dimension: width of one id's embedding.
        seed: the model's seed.
        prefix: of the layers' names.
    """
    parts = []
    if "ids" in inputs:
        (dimension,) = positive_widths(
            "embedding_dimension", (embedding_dimension,)
        )
        embedding = FusedEmbedding(
            schema.field_sizes,
            schema.id_columns,
            dimension,
            seed=derived_seed(seed, f"{prefix}embedding"),
            name=f"{prefix}embedding",
        )
        parts.append(embedding(inputs["ids"]))
    if "numbers" in inputs:
        parts.append(inputs["numbers"])
    if len(parts) == 1:
        return parts[0]
    return keras.layers.Concatenate(name=f"{prefix}features")(parts)


def task_outputs(
    tasks: Mapping[str, Any],
    hidden: Mapping[str, Any],
    tower_units: Sequence[int],
    dropout: float,
    seed: int | None,
) -> dict[str, Any]:
    """Give each task its tower, logit and output: the back of every model.

    Args:
        tasks: the schema's tasks by name.
        hidden: what each task's tower reads, [B, h].
        tower_units: widths of a tower's layers.
        dropout: share of each tower layer's outputs dropped in training.
        seed: the model's seed.

    Returns:
        {task name: [B, 1], or [B, K] for a multiclass task}, float32.
    """
    widths = {name: output_width(task) for name, task in tasks.items()}
    return activated(
        tasks, task_logits(widths, hidden, tower_units, dropout, seed)
    )


def task_logits(
    widths: Mapping[str, int],
    hidden: Mapping[str, Any],
    tower_units: Sequence[int],
    dropout: float,
    seed: int | None,
) -> dict[str, Any]:
    """Give each name a tower and a logit of some width, [B, width].

    The other arguments are those of ``task_outputs``.
    """
    logits = {}
    for name, width in widths.items():
        tower = MLP(
            positive_widths("tower_units", tower_units),
            dropout=dropout,
            seed=derived_seed(seed, "tower", name),
            name=f"tower_{name}",
        )(hidden[name])
        # Float32 to the end: bfloat16 has no value between .996 and 1.
        logits[name] = keras.layers.Dense(
            width,
            kernel_initializer=seeded("glorot_uniform", seed, "logit", name),
            dtype="float32",
            name=f"logit_{name}",
        )(tower)
    return logits


def activated(
    tasks: Mapping[str, Any], logits: Mapping[str, Any]
) -> dict[str, Any]:
    """Make each task's last layer, named by it: logits to predictions."""
    return {
        name: _last_layer(name, tasks[name])(logit)
        for name, logit in logits.items()
    }


def _last_layer(name: str, task: Any) -> keras.layers.Layer:
    if task.scale == "standard":
        return LabelUnit(task.center, task.spread, dtype="float32", name=name)
    return keras.layers.Activation(
        _ACTIVATIONS[task.kind], dtype="float32", name=name
    )


_ACTIVATIONS = {
    "binary": "sigmoid",
    "regression": "linear",
    "multiclass": "softmax",
}


def output_width(task: Any) -> int:
    """Return how many values a task predicts: 1, or its classes."""
    return int(task.classes) if task.kind == "multiclass" else 1
