"""MMoE with a shallow tower for what biases the answer, not the taste.

What stands on top is clicked more, whatever it is. A model that reads the
position learns it, but has none to read when it ranks; a model that does
not read it takes the luck of the place for quality. Here the logit is a
sum, main(x without position) + shallow(position, device, ...), while
training. At inference the shallow part is left out: predictions are those
of the main part and do not depend on the position.

The model reads all inputs of its schema at either time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.models.checks import dropout_rate, positive_widths
from mtlrec_utils.models.feature_parts import FeaturePart, split_features
from mtlrec_utils.models.features_and_towers import (
    activated,
    joined,
    model_inputs,
    output_width,
    task_logits,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import (
    derived_seed,
    register,
    seeded,
)
from mtlrec_utils.models.layers import MLP
from mtlrec_utils.models.mixtures import expert_layer, mixture
from mtlrec_utils.models.reading import layer_values


@register
class AddInTraining(keras.layers.Layer):
    """Add a second tensor to the first while training: -> [B, K], float32.

    Args:
        dropout: share of rows where nothing is added while training
            either, so that the first tensor learns to stand alone.
        seed: starting point of the dropout.

    Raises:
        ValueError: dropout outside [0, 1).
    """

    def __init__(
        self, dropout: float = 0.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dropout = dropout_rate("dropout", dropout)
        self.seed = seed
        if self.dropout:
            self.generator = keras.random.SeedGenerator(
                derived_seed(seed, "dropout")
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the first of [main, added], or their sum in training."""
        main, added = inputs
        if not training:
            return main
        if self.dropout:
            chance = keras.random.uniform(
                (ops.shape(added)[0], 1), dtype="float32", seed=self.generator
            )
            added = ops.where(chance >= self.dropout, added, 0.0)
        return main + added

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the first tensor."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "seed": self.seed,
        }


def mmoe_with_position_bias(
    schema: Any,
    *,
    bias_features: Sequence[str],
    bias_dimension: int = 8,
    bias_units: Sequence[int] = (8,),
    bias_dropout: float = 0.0,
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
    """Build an MMoE whose logits have a shallow part for training only.

    With the experts' part of an MMoE as "main":

        logit_t = main_t(x without position) + shallow_t(position, ...).

    "logit_<task>" is the main logit, "bias_logit_<task>" the shallow one
    and "biased_logit_<task>" what the prediction is made of.

    Args:
        schema: a fitted ``Schema``.
        bias_features: names of the features that only the shallow tower
            reads: the position, and what changes its effect.
        bias_dimension: width of their embeddings.
        bias_units: of the tasks' one shallow tower; () adds effects up.
        bias_dropout: share of rows that train without the shallow logit,
            as in the paper. It fixes the level of the main logits, for
            with 0 any constant may hide in the other part; but on such
            rows the luck of the place is taken for quality again.
        embedding_dimension: as in ``mmoe``, like all that follow.

    Raises:
        ValueError: what ``mmoe`` refuses, a bias feature that the schema
            does not have, or none left for the main part.

    Source: Zhao et al., "Recommending What Video to Watch Next: A Multitask
    Ranking System", RecSys 2019.
    """
    tasks = tasks_by_name(schema)
    inputs = model_inputs(schema)
    main, side = split_features(schema, bias_features, "bias_features")
    own = main.inputs(inputs, "main_")
    features = joined(main, own, embedding_dimension, seed)
    experts = expert_layer("experts", n_experts, expert_units, dropout, seed)(
        features
    )
    gate = (gate_temperature, gate_dropout, gate_bias, seed)
    mixed = {t: mixture(t, features, [experts], gate) for t in tasks}
    widths = {name: output_width(task) for name, task in tasks.items()}
    logits = task_logits(widths, mixed, tower_units, dropout, seed)
    shallow = _shallow_tower(side, inputs, bias_dimension, bias_units, seed)
    biased = {
        task: _biased(task, logit, shallow, bias_dropout, seed)
        for task, logit in logits.items()
    }
    outputs = activated(tasks, biased)
    return keras.Model(inputs, outputs, name="mmoe_with_position_bias")


def _shallow_tower(
    side: FeaturePart,
    inputs: Mapping[str, Any],
    bias_dimension: int,
    bias_units: Sequence[int],
    seed: int | None,
) -> Any:
    """Return what all tasks' shallow logits read, [B, h]."""
    units = positive_widths("bias_units", bias_units)
    (dimension,) = positive_widths("bias_dimension", (bias_dimension,))
    own = side.inputs(inputs, "bias_")
    features = joined(side, own, dimension, seed, "bias_")
    tower_seed = derived_seed(seed, "bias_tower")
    return MLP(units, seed=tower_seed, name="bias_tower")(features)


def _biased(
    task: str, logit: Any, shallow: Any, dropout: float, seed: int | None
) -> Any:
    """Add a task's shallow logit to its main one, in training."""
    added = keras.layers.Dense(
        logit.shape[-1],
        kernel_initializer=seeded("glorot_uniform", seed, "bias_logit", task),
        dtype="float32",
        name=f"bias_logit_{task}",
    )(shallow)
    return AddInTraining(
        dropout,
        seed=derived_seed(seed, "biased_logit", task),
        dtype="float32",
        name=f"biased_logit_{task}",
    )([logit, added])


def position_bias(
    model: keras.Model, examples: Any, batch_size: int = 8192
) -> dict[str, np.ndarray]:
    """Read what the shallow tower adds to each logit in training.

    Args:
        model: from ``mmoe_with_position_bias``.
        examples: ``Examples``, or their ``inputs`` dictionary.
        batch_size: rows at a time.

    Returns:
        {task: [N, 1], or [N, K] for a multiclass task} float32, in units
        of the logit. Only differences between rows have a meaning: the
        main part may hold any constant.

    Raises:
        ValueError: the model has no shallow tower.
    """
    names = {
        task: f"bias_logit_{task}"
        for task in model.output
        if f"bias_logit_{task}" in {layer.name for layer in model.layers}
    }
    if not names:
        raise ValueError(
            f"Model {model.name!r} has no shallow tower; build it with "
            "mmoe_with_position_bias(...)."
        )
    values = layer_values(model, names.values(), examples, batch_size)
    return {task: values[name] for task, name in names.items()}
