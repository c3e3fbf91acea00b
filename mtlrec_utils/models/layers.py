"""Layers of the course's models, written with ``keras.ops`` only.

Every layer is registered under ``mtlrec``, has ``get_config`` and honours
the dtype policy. Shapes: B rows of a batch, E experts, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.checks import (
    dropout_rate,
    number_of_experts,
    positive_widths,
)
from mtlrec_utils.models.embedding import FusedEmbedding
from mtlrec_utils.models.gating import SoftmaxGate, WeightedSum
from mtlrec_utils.models.initialisation import (
    PerExpert,
    derived_seed,
    register,
    seeded,
)

__all__ = [
    "MLP",
    "Experts",
    "FusedEmbedding",
    "LabelUnit",
    "SoftmaxGate",
    "WeightedSum",
]


@register
class MLP(keras.layers.Layer):
    """A stack of dense layers: [B, in] -> [B, units[-1]].

    Args:
        units: widths, first layer first; () returns the input unchanged.
        activation: of every layer.
        dropout: share of each layer's outputs dropped while training.
        seed: starting point of the initial weights and the dropout.

    Raises:
        ValueError: a width below 1 or a dropout outside [0, 1).
    """

    def __init__(
        self,
        units: Sequence[int],
        activation: str = "relu",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive_widths("units", units)
        self.activation = keras.activations.get(activation)
        self.dropout = dropout_rate("dropout", dropout)
        self.seed = seed
        self.dense = [
            keras.layers.Dense(
                width,
                activation=self.activation,
                kernel_initializer=seeded("glorot_uniform", seed, "kernel", i),
                dtype=self.dtype_policy,
                name=f"dense_{i}",
            )
            for i, width in enumerate(self.units)
        ]
        self.dropouts = _dropouts(self)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernels, ``[in, units[0]]`` first."""
        shape = tuple(input_shape)
        for dense in self.dense:
            dense.build(shape)
            shape = (*shape[:-1], dense.units)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the last layer's activations, [B, units[-1]]."""
        hidden = inputs
        for i, dense in enumerate(self.dense):
            hidden = dense(hidden)
            if self.dropouts:
                hidden = self.dropouts[i](hidden, training=training)
        return hidden

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return (B, units[-1])."""
        width = self.units[-1] if self.units else input_shape[-1]
        return (*input_shape[:-1], width)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "seed": self.seed,
        }


def _dropouts(layer: Any) -> list[Any]:
    if not layer.dropout:
        return []
    return [
        keras.layers.Dropout(
            layer.dropout,
            seed=derived_seed(layer.seed, "dropout", i),
            dtype=layer.dtype_policy,
            name=f"dropout_{i}",
        )
        for i in range(len(layer.units))
    ]


@register
class Experts(keras.layers.Layer):
    """E multi-layer perceptrons side by side: [B, in] -> [B, E, out].

    The kernels of one depth are one weight [E, in, out]: two variables
    per depth to update instead of 2 E. The products stay E plain ones,
    faster on a CPU than a batched or a wide one, which copy [B, E, h].
    The result equals a loop of E ``Dense`` stacks with the same weights.

    Args:
        n_experts: E.
        units: widths of each expert, first layer first; at least one.
        activation: of every layer.
        dropout: share of each layer's outputs dropped while training.
        kernel_initializer: of each expert's kernel on its own; it is
            cloned, so experts start different from each other.
        seed: starting point of the initial weights and the dropout.
        regularizer: of each depth's kernels [E, in, out] and biases
            [E, out]: it sees all experts at once.

    Raises:
        ValueError: fewer than one expert, no width, a width below 1.

    Source: Ma et al., "Modeling Task Relationships in Multi-task Learning
    with Multi-gate Mixture-of-Experts", KDD 2018, equation 6.
    """

    def __init__(
        self,
        n_experts: int,
        units: Sequence[int],
        activation: str = "relu",
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_experts = number_of_experts(n_experts)
        self.units = positive_widths("units", units)
        if not self.units:
            raise ValueError("units is empty; an expert needs a layer.")
        self.activation = keras.activations.get(activation)
        self.dropout = dropout_rate("dropout", dropout)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.regularizer = keras.regularizers.get(regularizer)
        self.seed = seed
        self.dropouts = _dropouts(self)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernels [E, in, out] and biases [E, out] per depth."""
        self.kernels, self.biases = [], []
        width_in = input_shape[-1]
        for i, width in enumerate(self.units):
            self.kernels.append(
                self.add_weight(
                    name=f"kernel_{i}",
                    shape=(self.n_experts, width_in, width),
                    initializer=PerExpert(
                        seeded(self.kernel_initializer, self.seed, i)
                    ),
                    regularizer=self.regularizer,
                )
            )
            self.biases.append(
                self.add_weight(
                    name=f"bias_{i}",
                    shape=(self.n_experts, width),
                    initializer="zeros",
                    regularizer=self.regularizer,
                )
            )
            width_in = width

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return every expert's output, [B, E, units[-1]]."""
        # JAX cannot unstack a variable, only its value.
        kernels = [ops.unstack(ops.convert_to_tensor(w)) for w in self.kernels]
        biases = [ops.unstack(ops.convert_to_tensor(w)) for w in self.biases]
        outputs = []
        for expert in range(self.n_experts):
            hidden = inputs
            for depth in range(len(self.units)):
                hidden = ops.matmul(hidden, kernels[depth][expert])
                # ops.add lets TensorFlow fuse product, bias and ReLU.
                hidden = ops.add(hidden, biases[depth][expert])
                hidden = self.activation(hidden)
                if self.dropouts:
                    hidden = self.dropouts[depth](hidden, training=training)
            outputs.append(hidden)
        return ops.stack(outputs, axis=1)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return (B, E, units[-1])."""
        return (input_shape[0], self.n_experts, self.units[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "n_experts": self.n_experts,
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "seed": self.seed,
        }


@register
class LabelUnit(keras.layers.Layer):
    """The last layer of a standardised regression: center + spread x.

    It predicts in the label's unit, in training and when served, while its
    loss is the squared error of x: that of the label over spread^2.
    ``learning/losses.py`` says what ``kind`` and ``row_loss`` mean.

    Args:
        center, spread: mean and standard deviation of training labels.

    Raises:
        ValueError: a spread of 0 or less.
    """

    kind = "regression"

    def __init__(self, center: float, spread: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not spread > 0:
            raise ValueError(f"spread={spread!r} must be above 0.")
        self.center, self.spread = float(center), float(spread)

    def call(self, inputs: Any) -> Any:
        """Return values in the label's unit, in the shape of the inputs."""
        return self.center + self.spread * inputs

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return (x - (label - center) / spread)^2 per row, [B]."""
        standardised = (label - self.center) / self.spread
        return ops.square(ops.squeeze(ends, -1) - standardised)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "center": self.center,
            "spread": self.spread,
        }
