"""Experts and gates of a model: how they are made, named and read.

The mixtures that feed the towers are called "mixture_<task>", their gates
"gate_<task>" ("gate_shared" where all tasks share one). In a model of
several levels those of earlier levels carry a prefix, "level_1_gate_click".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.gating import SoftmaxGate, WeightedSum
from mtlrec_utils.models.initialisation import derived_seed
from mtlrec_utils.models.layers import Experts
from mtlrec_utils.models.reading import layer_values


def expert_layer(
    name: str,
    n_experts: int,
    units: Sequence[int],
    dropout: float,
    seed: int | None,
) -> keras.layers.Layer:
    """Make a layer of experts whose start depends on seed and name."""
    return Experts(
        n_experts,
        positive_widths("expert_units", units),
        dropout=dropout,
        seed=derived_seed(seed, name),
        name=name,
    )


def gate_layer(
    path: str,
    n_experts: int,
    temperature: float,
    dropout: float,
    bias: bool,
    seed: int | None,
    level: str = "",
) -> keras.layers.Layer:
    """Make the gate of a task, or of the "shared" path.

    Args:
        path: the task's name, or "shared".
        n_experts: how many experts it weighs.
        temperature: of ``SoftmaxGate``, as the next two.
        dropout: chance of an expert to sit out a row in training.
        bias: give the gate a bias.
        seed: the model's seed.
        level: prefix of the layer's name, "" on the last level.
    """
    return SoftmaxGate(
        n_experts,
        temperature=temperature,
        dropout=dropout,
        use_bias=bias,
        seed=derived_seed(seed, f"{level}gate", path),
        name=f"{level}gate_{path}",
    )


def mixture(
    path: str,
    hidden: Any,
    pool: Sequence[Any],
    gate: tuple[float, float, bool, int | None],
    level: str = "",
) -> Any:
    """Mix experts by a gate of a path's own: -> [B, out].

    Args:
        path: the task's name, or "shared".
        hidden: what the gate reads, [B, in].
        pool: outputs of layers of experts, [B, E, out] each.
        gate: temperature, dropout, bias and seed of ``gate_layer``.
        level: prefix of the layers' names.
    """
    n_experts = sum(experts.shape[1] for experts in pool)
    weights = gate_layer(path, n_experts, *gate, level=level)(hidden)
    return WeightedSum(name=f"{level}mixture_{path}")([weights, *pool])


def gate_values(
    model: keras.Model,
    examples: Any,
    batch_size: int = 8192,
    level: int | None = None,
) -> dict[str, np.ndarray]:
    """Read how each task weighs the experts, row by row.

    Args:
        model: a model with gates, such as ``mmoe`` or ``ple`` built.
        examples: ``Examples``, or their ``inputs`` dictionary.
        batch_size: rows at a time.
        level: 1 is the lowest; None is the last, which feeds the towers.

    Returns:
        {task: [N, E]} float32; each row sums to 1. The tasks of an OMoE
        share one gate, so each name leads to the same values. Earlier
        levels of a PLE also have the gate of the "shared" path.
        ``gate_columns`` says whose expert each column weighs.

    Raises:
        ValueError: the model has no gates, or no such level.
    """
    gates = _gates(model, level)
    values = layer_values(model, set(gates.values()), examples, batch_size)
    return {task: values[gate] for task, gate in gates.items()}


def gate_columns(
    model: keras.Model, level: int | None = None
) -> dict[str, tuple[str, ...]]:
    """Tell whose expert each column of ``gate_values`` weighs.

    Args:
        model: a model with gates.
        level: as in ``gate_values``.

    Returns:
        {task: E owners}, each the name of a task or "shared"; a CGC with
        two experts of each sort has {"click": ("click", "click", "shared",
        "shared"), ...}. All experts of an MMoE are "shared".

    Raises:
        ValueError: the model has no gates, or no such level.
    """
    columns = {}
    for path, gate in _gates(model, level).items():
        mixture = model.get_layer(gate.replace("gate_", "mixture_", 1))
        columns[path] = tuple(
            owner
            for experts in mixture.input[1:]
            for owner in [_owner(experts)] * experts.shape[1]
        )
    return columns


def _owner(experts: Any) -> str:
    """Name whose experts these are: what follows "experts_" in the name."""
    layer = experts._keras_history.operation
    return layer.name.partition("experts")[2][1:] or "shared"


def _gates(model: keras.Model, level: int | None) -> dict[str, str]:
    """Name the gate each task of a model reads on one level."""
    mixtures = {
        layer.name for layer in model.layers if isinstance(layer, WeightedSum)
    }
    last = 1
    while any(name.startswith(f"level_{last}_") for name in mixtures):
        last += 1
    if level is not None and (level not in range(1, last + 1)):
        raise ValueError(
            f"level must be 1 to {last} in model {model.name!r}, not "
            f"{level!r}."
        )
    prefix = "" if level in (None, last) else f"level_{level}_"
    gates = {}
    for path in (*model.output, *(["shared"] if prefix else [])):
        own = path if f"{prefix}mixture_{path}" in mixtures else "shared"
        if f"{prefix}mixture_{own}" in mixtures:
            gates[path] = f"{prefix}gate_{own}"
    if not gates:
        raise ValueError(
            f"Model {model.name!r} has no gates; build it with mmoe(...), "
            "omoe(...), cgc(...) or ple(...)."
        )
    return gates
