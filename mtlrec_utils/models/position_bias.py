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

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.models.checks import dropout_rate, positive_widths
from mtlrec_utils.models.feature_parts import split_features
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
from mtlrec_utils.models.layers import MLP, WeightedSum
from mtlrec_utils.models.mixtures import expert_layer, gate_layer
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
    bias_dropout: float = 0.1,
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

    "logit_<task>" is the main logit, "bias_logit_<task>" the shallow one
    and "biased_logit_<task>" what the prediction is made of.

    Args:
        schema: a fitted ``Schema``.
        bias_features: names of the features that only the shallow tower
            reads: the position, and what changes its effect.
        bias_dimension: width of their embeddings.
        bias_units: widths of the shallow tower, which all tasks share; ()
            makes their effects additive.
        bias_dropout: share of rows that train without the shallow logit;
            with 0 the main part learns the order of the items, but any
            constant may hide in the other part.
        embedding_dimension: width of one other id's embedding; this and
            all that follow are those of ``mmoe``.

    Raises:
        ValueError: what ``mmoe`` refuses, a bias feature that the schema
            does not have, or none left for the main part.

    Source: Zhao et al., "Recommending What Video to Watch Next: A Multitask
    Ranking System", RecSys 2019, section 4.3.
    """
    tasks = tasks_by_name(schema)
    bias_units = positive_widths("bias_units", bias_units)
    (bias_dimension,) = positive_widths("bias_dimension", (bias_dimension,))
    inputs = model_inputs(schema)
    main, side = split_features(schema, bias_features, "bias_features")
    features = joined(
        main, main.inputs(inputs, "main_"), embedding_dimension, seed
    )
    experts = expert_layer("experts", n_experts, expert_units, dropout, seed)(
        features
    )
    gates = (gate_temperature, gate_dropout, gate_bias, seed)
    mixtures = {}
    for task in tasks:
        gate = gate_layer(task, n_experts, *gates)(features)
        mixtures[task] = WeightedSum(name=f"mixture_{task}")([gate, experts])
    widths = {name: output_width(task) for name, task in tasks.items()}
    logits = task_logits(widths, mixtures, tower_units, dropout, seed)
    shallow = joined(
        side, side.inputs(inputs, "bias_"), bias_dimension, seed, "bias_"
    )
    shallow = MLP(
        bias_units, seed=derived_seed(seed, "bias_tower"), name="bias_tower"
    )(shallow)
    for task, logit in logits.items():
        bias = _bias_logit(task, widths[task], seed)(shallow)
        logits[task] = AddInTraining(
            bias_dropout,
            seed=derived_seed(seed, "biased_logit", task),
            dtype="float32",
            name=f"biased_logit_{task}",
        )([logit, bias])
    outputs = activated(tasks, logits)
    return keras.Model(inputs, outputs, name="mmoe_with_position_bias")


def _bias_logit(task: str, width: int, seed: int | None) -> keras.layers.Layer:
    return keras.layers.Dense(
        width,
        kernel_initializer=seeded("glorot_uniform", seed, "bias_logit", task),
        dtype="float32",
        name=f"bias_logit_{task}",
    )


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
