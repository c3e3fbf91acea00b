"""Interest attention: which part of a history speaks for this candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.initialisation import register, seeded
from mtlrec_utils.models.layers import MLP
from mtlrec_utils.models.set_encoding import EMPTY


@register
class InterestAttention(keras.layers.Layer):
    """Weigh a history by the candidate: the activation unit of DIN.

    Reads the candidate's vector q [B, d], the history h [B, L, d] and its
    places [B, L] (1 where an item is), and returns the interest [B, d],

        u = sum over t of a(q, h_t) h_t,
        a(q, h) = MLP([q; h; q - h; q * h]), one number per item.

    The paper leaves the numbers as they are: a long history of one kind then
    counts more than a short one. ``normalised`` puts a softmax over the
    items that are there. Empty places weigh 0, a history without items is
    zeros, and the order of the history does not matter.

    Args:
        units: widths of the hidden layers of a.
        normalised: softmax over the history.
        seed: starting point of the weights.

    Raises:
        ValueError: a width below 1.

    Source: Zhou et al., "Deep Interest Network for Click-Through Rate
    Prediction", KDD 2018, equation 3. Their unit reads an outer product;
    here difference and product stand for it, and ReLU for Dice.
    """

    def __init__(
        self,
        units: Sequence[int] = (16,),
        normalised: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive_widths("units", units)
        self.normalised = bool(normalised)
        self.seed = seed
        self.hidden = MLP(
            self.units, seed=seed, dtype=self.dtype_policy, name="hidden"
        )

    def build(self, input_shape: Any) -> None:
        """Create the hidden layers, and the last one: [h, 1] and a bias."""
        width = 4 * input_shape[0][-1]
        self.hidden.build((None, None, width))
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.units[-1] if self.units else width, 1),
            initializer=seeded("glorot_uniform", self.seed, "kernel"),
        )
        self.bias = None
        if not self.normalised:  # a softmax does not see what all share
            self.bias = self.add_weight(
                name="bias", shape=(1,), initializer="zeros"
            )

    def call(self, inputs: Any) -> Any:
        """Return the interest, [B, d]."""
        _, history, _ = inputs
        weights = ops.expand_dims(self.weights_of(inputs), -1)
        return ops.sum(weights * history, axis=1)

    def weights_of(self, inputs: Any) -> Any:
        """Return the weight of every item of the history, [B, L]."""
        candidate, history, places = inputs
        places = ops.cast(places, self.compute_dtype)
        asked = ops.expand_dims(candidate, 1) + ops.zeros_like(history)
        pair = ops.concatenate(
            [asked, history, asked - history, asked * history], axis=-1
        )
        scores = ops.matmul(
            self.hidden(pair), ops.cast(self.kernel, self.compute_dtype)
        )[..., 0]
        if self.normalised:
            scores = ops.softmax(scores + (1 - places) * EMPTY, axis=-1)
        else:
            scores = scores + ops.cast(self.bias, self.compute_dtype)
        return scores * places

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, d)."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "units": list(self.units),
            "normalised": self.normalised,
            "seed": self.seed,
        }
