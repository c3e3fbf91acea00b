"""Layers of AITM: what one step of a funnel hands to the next."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.initialisation import register, seeded


@register
class TransferAttention(keras.layers.Layer):
    """Choose between what was handed over and what a task sees itself.

    Takes U >= 1 vectors u, each [B, k]; of each it makes a value h1(u), a
    key h2(u) and a query h3(u), linear maps without bias. A vector's
    weight is softmax over the U of <h2(u), h3(u)> / sqrt(k).

    Args:
        kernel_initializer: of the three maps; it is cloned.
        seed: starting point of the initial weights.

    Returns from a call:
        The sum of weight times value, [B, k], and the weights [B, U] in
        float32, which sum to 1.

    Raises:
        ValueError: no list of vectors of one width.

    Source: Xi et al., "Modeling the Sequential Dependence among Audience
    Multi-step Conversions with Multi-task Learning in Targeted Display
    Advertising", KDD 2021 (the AIT module).
    """

    def __init__(
        self,
        kernel_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Create the three kernels [k, k]."""
        shapes = {tuple(shape) for shape in input_shape}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise ValueError(
                "TransferAttention takes a list of vectors [B, k] of one "
                f"width, not {[tuple(shape) for shape in input_shape]}."
            )
        width = next(iter(shapes))[1]
        self.value, self.key, self.query = (
            self.add_weight(
                name=name,
                shape=(width, width),
                initializer=seeded(self.kernel_initializer, self.seed, name),
            )
            for name in ("value", "key", "query")
        )

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return the mixture [B, k] and the weights [B, U]."""
        vectors = ops.stack(inputs, axis=1)
        keys = ops.cast(ops.matmul(vectors, self.key), "float32")
        queries = ops.cast(ops.matmul(vectors, self.query), "float32")
        scores = ops.sum(keys * queries, axis=-1)
        weights = ops.softmax(scores / math.sqrt(self.key.shape[0]), axis=-1)
        values = ops.matmul(vectors, self.value)
        shares = ops.cast(ops.expand_dims(weights, -1), values.dtype)
        return ops.sum(shares * values, axis=1), weights

    def compute_output_spec(self, inputs: Any) -> tuple[Any, Any]:
        """Return the specs of the mixture and of the weights."""
        rows, width = inputs[0].shape
        return (
            keras.KerasTensor((rows, width), self.compute_dtype),
            keras.KerasTensor((rows, len(inputs)), "float32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "seed": self.seed,
        }


@register
class Calibrator(keras.layers.Layer):
    """Charge for a later step that is predicted likelier than its opener.

    Takes the logits [later, earlier], each [B, 1], and returns the first
    unchanged. While training it adds the loss
    alpha * mean(max(sigmoid(later) - sigmoid(earlier), 0)).

    It stands before the last layer, so that the graph of a loss that is
    computed from logits leads through it.

    Args:
        alpha: finite and at least 0; the paper takes 0.6.

    Raises:
        ValueError: another alpha.

    Source: Xi et al., KDD 2021 (the behavioural expectation calibrator).
    """

    def __init__(self, alpha: float = 0.6, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not 0.0 <= alpha < float("inf"):
            raise ValueError(
                f"alpha must be finite and at least 0, not {alpha!r}; 0 "
                "switches the calibrator off."
            )
        self.alpha = float(alpha)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the later step's logit, [B, 1]."""
        later, earlier = inputs
        if training and self.alpha:
            excess = ops.sigmoid(later) - ops.sigmoid(earlier)
            self.add_loss(self.alpha * ops.mean(ops.relu(excess)))
        return later

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return (B, 1)."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha}
