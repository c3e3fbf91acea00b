"""Layers of the course's models, written with ``keras.ops`` only.

Every layer is registered under ``mtlrec``, has ``get_config`` and honours
the dtype policy. Shapes: B rows of a batch, E experts, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.embedding import FusedEmbedding
from mtlrec_utils.models.initialisation import (
    PerExpert,
    derived_seed,
    register,
    seeded,
)

__all__ = ["MLP", "Experts", "FusedEmbedding", "SoftmaxGate", "WeightedSum"]

# A logit no softmax gives any weight to, yet finite: inf - inf is NaN.
_NEVER = -1e9


def positive_widths(name: str, units: Sequence[int]) -> tuple[int, ...]:
    """Return layer widths as a tuple, or say which one is wrong."""
    if isinstance(units, (int, float, str)):
        raise ValueError(
            f"{name} must be a sequence of widths such as (64, 32), not "
            f"{units!r}; write ({units!r},) for one layer."
        )
    widths = tuple(units)
    for width in widths:
        if isinstance(width, bool) or int(width) != width or width < 1:
            raise ValueError(
                f"{name} holds {width!r}; every width must be a whole "
                "number of at least 1."
            )
    return tuple(int(width) for width in widths)


def _rate(name: str, value: float) -> float:
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be in [0, 1), not {value!r}.")
    return float(value)


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
        self.dropout = _rate("dropout", dropout)
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_experts = _number_of_experts(n_experts)
        self.units = positive_widths("units", units)
        if not self.units:
            raise ValueError("units is empty; an expert needs a layer.")
        self.activation = keras.activations.get(activation)
        self.dropout = _rate("dropout", dropout)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
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
                )
            )
            self.biases.append(
                self.add_weight(
                    name=f"bias_{i}",
                    shape=(self.n_experts, width),
                    initializer="zeros",
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
            "seed": self.seed,
        }


def _number_of_experts(n_experts: int) -> int:
    if isinstance(n_experts, bool) or int(n_experts) != n_experts:
        raise ValueError(
            f"n_experts must be a whole number, not {n_experts!r}."
        )
    if n_experts < 1:
        raise ValueError(f"n_experts must be at least 1, not {n_experts}.")
    return int(n_experts)


@register
class SoftmaxGate(keras.layers.Layer):
    """Weights over experts for each row: [B, in] -> [B, E], float32.

    softmax(W x / temperature): a linear map of the input, no hidden
    layer. Low temperatures choose one expert, high ones average them all.

    Dropout removes whole experts from a row while training and shares
    their weight among the others, so weights still sum to 1; a row whose
    experts would all go keeps them all.

    Args:
        n_experts: E.
        temperature: > 0; 1 is the paper's gate.
        dropout: chance of an expert to be left out of a row's mixture.
        use_bias: add a bias to the logits; the paper has none.
        kernel_initializer: of W; it is cloned.
        seed: starting point of the initial weights and the dropout.

    Raises:
        ValueError: temperature not above 0, dropout outside [0, 1), fewer
            than one expert.

    Source: Ma et al., KDD 2018, equation 7.
    """

    def __init__(
        self,
        n_experts: int,
        temperature: float = 1.0,
        dropout: float = 0.0,
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_experts = _number_of_experts(n_experts)
        if not 0.0 < temperature < float("inf"):
            raise ValueError(
                f"temperature must be above 0 and finite, not {temperature!r};"
                " 1 leaves the gate as it is."
            )
        self.temperature = float(temperature)
        self.dropout = _rate("dropout", dropout)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed
        if self.dropout:
            self.generator = keras.random.SeedGenerator(
                derived_seed(seed, "dropout")
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel [in, E] and, if asked for, the bias [E]."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.n_experts),
            initializer=seeded(self.kernel_initializer, self.seed, "kernel"),
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.n_experts,), initializer="zeros"
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return weights in [0, 1] that sum to 1 over experts, [B, E]."""
        logits = ops.matmul(inputs, self.kernel)
        if self.use_bias:
            logits = logits + self.bias
        # Half precision cannot hold weights that sum to 1.
        logits = ops.cast(logits, "float32") / self.temperature
        if training and self.dropout:
            logits = self._drop_experts(logits)
        # Written out, because ops.softmax of one expert is 1 - 6e-8 on
        # some CPUs, and then its gradient is not 0.
        highest = ops.max(logits, axis=-1, keepdims=True)
        powers = ops.exp(logits - ops.stop_gradient(highest))
        return powers / ops.sum(powers, axis=-1, keepdims=True)

    def _drop_experts(self, logits: Any) -> Any:
        # softmax over the kept logits is the renormalised softmax.
        chance = keras.random.uniform(
            ops.shape(logits), dtype="float32", seed=self.generator
        )
        keep = chance >= self.dropout
        keep = ops.logical_or(
            keep, ops.logical_not(ops.any(keep, axis=-1, keepdims=True))
        )
        return ops.where(keep, logits, _NEVER)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "n_experts": self.n_experts,
            "temperature": self.temperature,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "seed": self.seed,
        }


@register
class WeightedSum(keras.layers.Layer):
    """Mix experts by a gate: ([B, E], [B, E, out]) -> [B, out]."""

    def build(self, input_shape: Any) -> None:
        """Check that the gate has one weight per expert."""
        gate, experts = input_shape
        if len(gate) != 2 or len(experts) != 3 or gate[1] != experts[1]:
            raise ValueError(
                "WeightedSum takes [gate, experts] of shapes [B, E] and "
                f"[B, E, out], not {tuple(gate)} and {tuple(experts)}."
            )

    def call(self, inputs: Any) -> Any:
        """Return the sum over experts of weight times output."""
        gate, experts = inputs
        return ops.sum(ops.expand_dims(gate, -1) * experts, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return (B, out)."""
        _, experts = input_shape
        return (experts[0], experts[2])
