"""Layers whose weights depend on the domain of the row.

Shapes: B rows of a batch, D domains. Which domain a row belongs to is said
by ``domain weights`` [B, D]: 1 for its own, 0 for the others. A row of a
domain that was not there in training has 1 / D everywhere, so that it is
served by the mean of all domains' weights.

All rows go through all domains' weights and the right result is picked: no
loop over rows, and a domain's weights get a gradient of exactly 0 from
every other domain's rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.data.vocabulary import FIRST_KNOWN
from mtlrec_utils.models.checks import dropout_rate, positive_widths
from mtlrec_utils.models.initialisation import (
    PerExpert,
    derived_seed,
    register,
    seeded,
)


@register
class DomainWeights(keras.layers.Layer):
    """Say whose row it is: ids [B, 1] -> [B, D], float32; rows sum to 1.

    Args:
        n_domains: D; ids 2 ... D + 1 are the domains, as a schema
            numbers them, and 0 and 1 are unknown.

    Raises:
        ValueError: no domain.
    """

    def __init__(self, n_domains: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        (self.n_domains,) = positive_widths("n_domains", (n_domains,))

    def call(self, ids: Any) -> Any:
        """Return 1 at the row's domain; 1 / D everywhere if unknown."""
        own = ops.one_hot(
            ids[:, 0] - FIRST_KNOWN, self.n_domains, dtype="float32"
        )
        known = ops.sum(own, axis=1, keepdims=True)
        return own + (1.0 - known) / self.n_domains

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, D)."""
        return (input_shape[0], self.n_domains)

    def compute_output_spec(self, ids: Any) -> Any:
        """Return the weights' shape and type, float32 in any policy."""
        shape = self.compute_output_shape(ids.shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "n_domains": self.n_domains}


@register
class SelectVectors(keras.layers.Layer):
    """Pick each embedding's part of a domain: [B, F D k] -> [B, F k].

    It reads [vectors, domain weights]. Each of F embeddings holds D parts
    of width k, one after the other.

    Args:
        width: k.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        (self.width,) = positive_widths("width", (width,))

    def call(self, inputs: Any) -> Any:
        """Return the selected parts side by side."""
        vectors, weights = inputs
        n_domains, width = weights.shape[1], self.width
        features = vectors.shape[1] // (n_domains * width)
        parts = ops.reshape(vectors, (-1, features, n_domains, width))
        own = ops.reshape(weights, (-1, 1, n_domains, 1))
        picked = ops.sum(parts * ops.cast(own, parts.dtype), axis=2)
        return ops.reshape(picked, (-1, features * width))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, F k)."""
        (rows, width), (_, n_domains) = input_shape
        return (rows, width // n_domains)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "width": self.width}


@register
class DomainDense(keras.layers.Layer):
    """A dense layer with weights per domain: [B, in] -> [B, units].

    It reads [x, domain weights]. For a row of domain d:

        plain:  activation(x W_d + b_d)
        star:   activation(x (W * W_d) + (b + b_d)),

    with * element by element. A star's W starts as a plain layer's, its
    W_d at 1 and its b_d at 0: the product of two random draws would start
    with a fraction of the spread that either has.

    Args:
        units: width of the output.
        activation: of the output.
        star: add weights that all domains share.
        seed: starting point of the weights.

    Raises:
        ValueError: a width below 1.

    Source of the star: Sheng et al., "One Model to Serve All: Star Topology
    Adaptive Recommender for Multi-Domain CTR Prediction", CIKM 2021.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        star: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        (self.units,) = positive_widths("units", (units,))
        self.activation = keras.activations.get(activation)
        self.star = star
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Create kernels [D, in, units], biases [D, units], shared ones."""
        (_, width), (_, n_domains) = input_shape
        drawn = seeded("glorot_uniform", self.seed, "kernel")
        self.kernel = self.add_weight(
            name="domain_kernel" if self.star else "kernel",
            shape=(n_domains, width, self.units),
            initializer="ones" if self.star else PerExpert(drawn),
        )
        self.bias = self.add_weight(
            name="domain_bias" if self.star else "bias",
            shape=(n_domains, self.units),
            initializer="zeros",
        )
        if self.star:
            self.shared_kernel = self.add_weight(
                name="kernel", shape=(width, self.units), initializer=drawn
            )
            self.shared_bias = self.add_weight(
                name="bias", shape=(self.units,), initializer="zeros"
            )

    def call(self, inputs: Any) -> Any:
        """Return each row's output under the weights of its domain."""
        x, weights = inputs
        weights = ops.cast(weights, self.compute_dtype)
        # JAX cannot unstack a variable, only its value.
        kernels = ops.unstack(ops.convert_to_tensor(self.kernel))
        biases = ops.unstack(ops.convert_to_tensor(self.bias))
        parts = []
        for d, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            if self.star:
                kernel = kernel * self.shared_kernel
                bias = bias + self.shared_bias
            parts.append(
                weights[:, d : d + 1] * (ops.matmul(x, kernel) + bias)
            )
        return self.activation(functools.reduce(ops.add, parts))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, units)."""
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "star": self.star,
            "seed": self.seed,
        }


@register
class DomainMLP(keras.layers.Layer):
    """A stack of ``DomainDense``: [x, domain weights] -> [B, units[-1]].

    Args:
        units: widths, first layer first; () returns x.
        star: as in ``DomainDense``.
        activation: of every layer.
        dropout: share of each layer's outputs dropped while training.
        seed: starting point of the weights and the dropout.

    Raises:
        ValueError: a width below 1 or a dropout outside [0, 1).
    """

    def __init__(
        self,
        units: Sequence[int],
        star: bool = False,
        activation: str = "relu",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive_widths("units", units)
        self.star = star
        self.activation = keras.activations.get(activation)
        self.dropout = dropout_rate("dropout", dropout)
        self.seed = seed
        self.dense = [
            DomainDense(
                width,
                self.activation,
                star,
                derived_seed(seed, i),
                dtype=self.dtype_policy,
                name=f"dense_{i}",
            )
            for i, width in enumerate(self.units)
        ]
        self.dropouts = [
            keras.layers.Dropout(
                self.dropout,
                seed=derived_seed(seed, "dropout", i),
                dtype=self.dtype_policy,
                name=f"dropout_{i}",
            )
            for i in range(len(self.units) if dropout else 0)
        ]

    def build(self, input_shape: Any) -> None:
        """Create the kernels, those of the first layer first."""
        shape, domains = (tuple(part) for part in input_shape)
        for dense in self.dense:
            dense.build((shape, domains))
            shape = (shape[0], dense.units)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the last layer's activations, [B, units[-1]]."""
        hidden, weights = inputs
        for i, dense in enumerate(self.dense):
            hidden = dense([hidden, weights])
            if self.dropouts:
                hidden = self.dropouts[i](hidden, training=training)
        return hidden

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, units[-1])."""
        rows, width = input_shape[0]
        return (rows, self.units[-1] if self.units else width)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "units": list(self.units),
            "star": self.star,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "seed": self.seed,
        }
