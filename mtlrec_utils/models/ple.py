"""Experts of each task beside shared ones: CGC and PLE.

Between the ends that all models share (see ``multitask``) lie levels. On
each, every task has a path with experts of its own, and one more path has
the experts that all tasks share. A task's gate weighs [its own; the
shared] experts, so no other task can disturb its own ones; that is CGC.
PLE stacks such levels. On all but the last, a gate of the shared path
weighs the experts of everybody, and through it tasks reach each other.

With the last level's "experts_<task>", "experts_shared", "gate_<task>"
and "mixture_<task>" go "level_1_experts_<task>" and so on of earlier ones.

Source: Tang et al., "Progressive Layered Extraction (PLE): A Novel
Multi-Task Learning (MTL) Model for Personalized Recommendations", RecSys
2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtlrec_utils.models.features_and_towers import (
    joined_features,
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.mixtures import expert_layer, mixture

SHARED = "shared"


def cgc(
    schema: Any,
    *,
    embedding_dimension: int = 16,
    n_task_experts: int = 2,
    n_shared_experts: int = 2,
    expert_units: Sequence[int] = (32,),
    gate_temperature: float = 1.0,
    gate_dropout: float = 0.0,
    gate_bias: bool = False,
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a customized gate control model: PLE of one level.

    With task t's own experts and the shared ones, m + s in all:

        logit_t = h_t(sum_e g_te f_e(x)),  g_t = softmax(W_t x).

    With d features, experts of one layer of h units, T tasks, m own and s
    shared experts, the level has (T m + s) (d h + h) + T d (m + s)
    parameters.

    Args and Raises are those of ``ple``.

    Source: Tang et al., RecSys 2020.
    """
    single_level = ple(
        schema,
        n_levels=1,
        embedding_dimension=embedding_dimension,
        n_task_experts=n_task_experts,
        n_shared_experts=n_shared_experts,
        expert_units=expert_units,
        gate_temperature=gate_temperature,
        gate_dropout=gate_dropout,
        gate_bias=gate_bias,
        tower_units=tower_units,
        dropout=dropout,
        seed=seed,
    )
    inputs = {x.name: x for x in single_level.inputs}
    return keras.Model(inputs, single_level.output, name="cgc")


def ple(
    schema: Any,
    *,
    n_levels: int = 2,
    embedding_dimension: int = 16,
    n_task_experts: int = 2,
    n_shared_experts: int = 2,
    expert_units: Sequence[int] = (32,),
    gate_temperature: float = 1.0,
    gate_dropout: float = 0.0,
    gate_bias: bool = False,
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a model of progressive layered extraction.

    On level j the path of task t takes its own experts and the shared ones,
    m + s in all, and the last level's paths go to the towers:

        a_t,j = sum_e g_te f_e(its path),  g_t = softmax(W_t a_t,j-1).

    Own experts read a_t,j-1, shared ones the shared path, which weighs all
    experts of a level likewise.

    Args:
        schema: a fitted ``Schema``.
        n_levels: at least 1, which is CGC.
        embedding_dimension: width of one id's embedding.
        n_task_experts: each task's own on a level; 0 on one level is an MMoE.
        n_shared_experts: of each level; 0 separates the tasks.
        expert_units: widths of each expert's layers.
        gate_temperature: as in ``mmoe``, like all that follow.
        gate_dropout: chance of an expert to sit out a row in training.
        gate_bias: give gates a bias.
        tower_units: widths of each task's tower; () for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: of the initial weights.

    Raises:
        ValueError: what ``mmoe`` refuses, a bad number of levels or
            experts, no expert at all, a task called "shared".

    Source: Tang et al., RecSys 2020.
    """
    tasks = _tasks(schema)
    numbers = _numbers_of_experts(tasks, n_task_experts, n_shared_experts)
    n_levels = _whole_number("n_levels", n_levels, 1)
    inputs, features = joined_features(schema, embedding_dimension, seed)
    paths = dict.fromkeys(numbers, features)
    gate = (gate_temperature, gate_dropout, gate_bias, seed)
    for level in range(1, n_levels + 1):
        last = level == n_levels
        name = "" if last else f"level_{level}_"
        experts = {
            path: expert_layer(
                f"{name}experts_{path}", number, expert_units, dropout, seed
            )(paths[path])
            for path, number in numbers.items()
            if number
        }
        paths = {
            path: mixture(path, hidden, _pool(path, experts), gate, name)
            for path, hidden in paths.items()
            if not (last and path == SHARED)
        }
    outputs = task_outputs(tasks, paths, tower_units, dropout, seed)
    return keras.Model(inputs, outputs, name="ple")


def _pool(path: str, experts: Mapping[str, Any]) -> list[Any]:
    """Choose [own; shared] experts, or all of them on the shared path."""
    return [
        outputs
        for owner, outputs in experts.items()
        if path == SHARED or owner in (path, SHARED)
    ]


def _tasks(schema: Any) -> dict[str, Any]:
    tasks = tasks_by_name(schema)
    if SHARED in tasks:
        raise ValueError(
            "A task cannot be called 'shared': the shared experts are. "
            "Rename it, as in Task('is_shared', label='shared')."
        )
    return tasks


def _numbers_of_experts(
    tasks: Mapping[str, Any], n_task_experts: int, n_shared_experts: int
) -> dict[str, int]:
    """Return how many experts each path has: the tasks', then the shared.

    In alphabetical order, so that the shared path's gate, whose columns
    follow it, starts the same however the tasks are listed.
    """
    own = _whole_number("n_task_experts", n_task_experts, 0)
    shared = _whole_number("n_shared_experts", n_shared_experts, 0)
    if own + shared == 0:
        raise ValueError(
            "n_task_experts and n_shared_experts are both 0: there is "
            "nothing to mix. Give at least one of them."
        )
    numbers = dict.fromkeys(sorted(tasks), own)
    return {**numbers, SHARED: shared} if shared else numbers


def _whole_number(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}, not "
            f"{value!r}."
        )
    return int(value)
