"""Gates and mixtures: who listens to which expert."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.models.checks import dropout_rate, number_of_experts
from mtlrec_utils.models.initialisation import (
    derived_seed,
    register,
    seeded,
)

# A logit no softmax gives any weight to, yet finite: inf - inf is NaN.
_NEVER = -1e9


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
        self.n_experts = number_of_experts(n_experts)
        if not 0.0 < temperature < float("inf"):
            raise ValueError(
                f"temperature must be above 0 and finite, not {temperature!r};"
                " 1 leaves the gate as it is."
            )
        self.temperature = float(temperature)
        self.dropout = dropout_rate("dropout", dropout)
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
    """Mix experts by a gate: ([B, E], [B, E, out]) -> [B, out].

    The experts may come in several parts, [gate, experts, more experts,
    ...]: the gate's columns are then those of the parts, one after the
    other.
    """

    def build(self, input_shape: Any) -> None:
        """Check that the gate has one weight per expert."""
        gate, *parts = (tuple(shape) for shape in input_shape)
        if (
            len(gate) != 2
            or any(len(part) != 3 for part in parts)
            or gate[1] != sum(part[1] for part in parts)
            or len({part[2] for part in parts}) != 1
        ):
            raise ValueError(
                "WeightedSum takes [gate, experts] of shapes [B, E] and "
                f"[B, E, out], not {' and '.join(map(str, (gate, *parts)))}."
            )

    def call(self, inputs: Any) -> Any:
        """Return the sum over experts of weight times output."""
        gate, *parts = inputs
        if len(parts) == 1:
            return _mixed(gate, parts[0])
        ends = np.cumsum([experts.shape[1] for experts in parts])
        gates = ops.split(gate, ends[:-1].tolist(), axis=1)
        mixed = [_mixed(g, e) for g, e in zip(gates, parts, strict=True)]
        return functools.reduce(ops.add, mixed)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return (B, out)."""
        return (input_shape[1][0], input_shape[1][2])


def _mixed(gate: Any, experts: Any) -> Any:
    return ops.sum(ops.expand_dims(gate, -1) * experts, axis=1)
