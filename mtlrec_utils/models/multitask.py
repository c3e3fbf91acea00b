"""Multi-task models: single-task, shared-bottom, OMoE and MMoE.

Each function reads a fitted ``Schema`` and returns a functional Keras
model. All have the same ends. In front, "embedding" and the numbers are
joined into "features". At the back, each task has a tower
("tower_<task>"), its logit ("logit_<task>", the value itself for a
regression), and a last layer named by the task. They differ only in what
lies between.

Inputs are "ids" [B, C] int32 and "numbers" [B, M] float32, each left out
when it would be empty. Outputs are a dictionary of task name to
probability [B, 1] (binary), value [B, 1] (regression) or probabilities
[B, K] (multiclass), in float32 under every dtype policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.features_and_towers import (
    chosen_tasks,
    joined_features,
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed
from mtlrec_utils.models.layers import MLP, WeightedSum
from mtlrec_utils.models.mixtures import expert_layer, gate_layer


def single_task(
    schema: Any,
    task: str | None = None,
    *,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a model of one task: the baseline of every comparison.

    It is ``shared_bottom`` with nobody to share with: with one seed, both
    start from the same embedding, bottom and tower of that task.

    Args:
        schema: a fitted ``Schema``.
        task: which of its tasks; may be left out if there is only one.
        embedding_dimension: width of one id's embedding.
        bottom_units: widths of the bottom's layers.
        tower_units: widths of the tower's layers; () for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, an unknown task, a bad width.
    """
    if task is None:
        task, *others = tasks_by_name(schema)
        if others:
            raise ValueError(
                "Say which task: the schema has "
                f"{', '.join(map(repr, [task, *others]))}."
            )
    tasks = chosen_tasks(schema, [task])
    inputs, features = joined_features(schema, embedding_dimension, seed)
    bottom = _bottom(bottom_units, dropout, seed)(features)
    outputs = task_outputs(tasks, {task: bottom}, tower_units, dropout, seed)
    return keras.Model(inputs, outputs, name="single_task")


def shared_bottom(
    schema: Any,
    *,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a shared-bottom model: one bottom, one tower per task.

    With the features x, the bottom f and the tower h_t of task t:

        logit_t = h_t(f(x)).

    Args and Raises are those of ``single_task``.

    Source: Caruana, "Multitask Learning", Machine Learning 28, 1997.
    """
    tasks = tasks_by_name(schema)
    inputs, features = joined_features(schema, embedding_dimension, seed)
    bottom = _bottom(bottom_units, dropout, seed)(features)
    outputs = task_outputs(
        tasks, dict.fromkeys(tasks, bottom), tower_units, dropout, seed
    )
    return keras.Model(inputs, outputs, name="shared_bottom")


def omoe(
    schema: Any,
    *,
    embedding_dimension: int = 16,
    n_experts: int = 4,
    expert_units: Sequence[int] = (32,),
    gate_temperature: float = 1.0,
    gate_dropout: float = 0.0,
    gate_bias: bool = False,
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a one-gate mixture of experts: all tasks share "gate_shared".

    With the features x and experts f_1, ..., f_E:

        logit_t = h_t(sum_e g_e f_e(x)),  g = softmax(W x).

    Args and Raises are those of ``mmoe``.

    Source: the OMoE baseline of Ma et al., KDD 2018, section 4.
    """
    tasks = tasks_by_name(schema)
    inputs, features = joined_features(schema, embedding_dimension, seed)
    experts = expert_layer("experts", n_experts, expert_units, dropout, seed)(
        features
    )
    gate = gate_layer(
        "shared", n_experts, gate_temperature, gate_dropout, gate_bias, seed
    )(features)
    mixture = WeightedSum(name="mixture_shared")([gate, experts])
    outputs = task_outputs(
        tasks, dict.fromkeys(tasks, mixture), tower_units, dropout, seed
    )
    return keras.Model(inputs, outputs, name="omoe")


def mmoe(
    schema: Any,
    *,
    embedding_dimension: int = 16,
    n_experts: int = 4,
    expert_units: Sequence[int] = (32,),
    gate_temperature: float = 1.0,
    gate_dropout: float = 0.0,
    gate_bias: bool = False,
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a multi-gate mixture of experts: each task weighs for itself.

    With the features x and experts f_1, ..., f_E:

        logit_t = h_t(sum_e g_te f_e(x)),  g_t = softmax(W_t x).

    With d features, E experts of one layer of h units and T tasks, the
    mixture has E (d h + h) + T d E parameters.

    Args:
        schema: a fitted ``Schema``.
        embedding_dimension: width of one id's embedding.
        n_experts: E, at least 1.
        expert_units: widths of each expert's layers.
        gate_temperature: > 0; below 1 sharpens the gates, above 1 evens
            them out.
        gate_dropout: chance of an expert to sit out a row in training.
        gate_bias: give gates a bias; the paper's have none.
        tower_units: widths of each task's tower; () for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, a bad width, no expert, a
            temperature of 0 or less.

    Source: Ma et al., "Modeling Task Relationships in Multi-task Learning
    with Multi-gate Mixture-of-Experts", KDD 2018, equations 5 to 7.
    """
    tasks = tasks_by_name(schema)
    inputs, features = joined_features(schema, embedding_dimension, seed)
    experts = expert_layer("experts", n_experts, expert_units, dropout, seed)(
        features
    )
    mixtures = {}
    for task in tasks:
        gate = gate_layer(
            task, n_experts, gate_temperature, gate_dropout, gate_bias, seed
        )(features)
        mixtures[task] = WeightedSum(name=f"mixture_{task}")([gate, experts])
    outputs = task_outputs(tasks, mixtures, tower_units, dropout, seed)
    return keras.Model(inputs, outputs, name="mmoe")


def _bottom(
    units: Sequence[int], dropout: float, seed: int | None
) -> keras.layers.Layer:
    return MLP(
        positive_widths("bottom_units", units),
        dropout=dropout,
        seed=derived_seed(seed, "bottom"),
        name="bottom",
    )
