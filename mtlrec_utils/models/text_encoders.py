"""Encoders of an item's words, trained with the model that uses them.

An encoder reads tokens [B, L, d] and their places [B, L] (1.0 where a word
stands, 0.0 where PADDING is) and returns a vector [B, m] of the text. Empty
places change nothing. A new encoder is a function of (tokens, places, seed)
and a row of ``TEXT_ENCODERS``.

All three begin with the words themselves: "convolution" and "attention" add
what a word's neighbours, or all other words, say about it. With the added
part at zero each of them is the bag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.initialisation import (
    derived_seed,
    register,
    seeded,
)
from mtlrec_utils.models.set_encoding import MaskedMean, SelfAttention

TextEncoder = Callable[[Any, Any, int | None], Any]


def depthwise_convolution(tokens: Any, kernel: Any) -> Any:
    """Slide a window over the words, each of the d columns on its own.

        y[b, l, c] = sum_k kernel[k, c] tokens[b, l + k - w // 2, c]

    Places before the first and after the last are zeros.

    Args:
        tokens: [B, L, d].
        kernel: [w, d].

    Returns:
        [B, L, d].
    """
    shifted = _shifted(tokens, kernel.shape[0])
    return sum(x * kernel[k] for k, x in enumerate(shifted))


def separable_convolution(tokens: Any, depthwise: Any, pointwise: Any) -> Any:
    """Mix words per column, then columns per word: [B, L, f].

    It is the standard convolution whose kernel [w, d, f] is the product
    ``depthwise[:, :, None] * pointwise``, with d (w + f) numbers instead
    of w d f.

    Args:
        tokens: [B, L, d].
        depthwise: [w, d].
        pointwise: [d, f].

    Source: F. Chollet, "Xception: Deep Learning with Depthwise Separable
    Convolutions", CVPR 2017, section 2.
    """
    return ops.matmul(depthwise_convolution(tokens, depthwise), pointwise)


def standard_convolution(tokens: Any, kernel: Any) -> Any:
    """Slide a full kernel [w, d, f] over the words: [B, L, d] -> [B, L, f]."""
    shifted = _shifted(tokens, kernel.shape[0])
    return sum(ops.matmul(x, kernel[k]) for k, x in enumerate(shifted))


def _shifted(tokens: Any, width: int) -> list[Any]:
    """Return the tokens as each place of a window sees them, w x [B, L, d]."""
    length, before = tokens.shape[1], width // 2
    padded = ops.pad(tokens, [[0, 0], [before, width - 1 - before], [0, 0]])
    return [padded[:, k : k + length] for k in range(width)]


@register
class WordConvolution(keras.layers.Layer):
    """Look at each word with its neighbours: [B, L, d], [B, L] -> [B, L, f].

    Returns the activation of the convolution plus a bias where a word
    stands, zeros at empty places.

    Args:
        filters: f.
        width: w, words that a window sees.
        separable: a depthwise kernel [w, d] and a pointwise one [d, f];
            False: one standard kernel [w, d, f].
        activation: of the sum.
        seed: starting point of the kernels.

    Raises:
        ValueError: filters or width below 1.
    """

    def __init__(
        self,
        filters: int,
        width: int = 3,
        separable: bool = True,
        activation: str = "relu",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("filters", filters), ("width", width)):
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise ValueError(
                    f"{name} must be a whole number of at least 1, not "
                    f"{value!r}."
                )
        self.filters, self.width = int(filters), int(width)
        self.separable = bool(separable)
        self.activation = keras.activations.get(activation)
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Create the kernels and the bias [f]."""
        d = input_shape[0][-1]
        shapes: dict[str, tuple[int, ...]]
        if self.separable:
            shapes = {
                "depthwise": (self.width, d),
                "pointwise": (d, self.filters),
            }
        else:
            shapes = {"kernel": (self.width, d, self.filters)}
        self.kernels = {
            name: self.add_weight(
                name=name,
                shape=shape,
                initializer=seeded("glorot_uniform", self.seed, name),
            )
            for name, shape in shapes.items()
        }
        self.bias = self.add_weight(
            name="bias", shape=(self.filters,), initializer="zeros"
        )

    def call(self, inputs: Any) -> Any:
        """Return what each word's window shows."""
        tokens, places = inputs
        there = ops.expand_dims(ops.cast(places, self.compute_dtype), -1)
        tokens = tokens * there  # an empty place must not reach a neighbour
        kernels = {
            name: ops.cast(kernel, self.compute_dtype)
            for name, kernel in self.kernels.items()
        }
        if self.separable:
            seen = separable_convolution(tokens, **kernels)
        else:
            seen = standard_convolution(tokens, **kernels)
        bias = ops.cast(self.bias, self.compute_dtype)
        return self.activation(seen + bias) * there

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, L, f)."""
        return (*input_shape[0][:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "width": self.width,
            "separable": self.separable,
            "activation": keras.activations.serialize(self.activation),
            "seed": self.seed,
        }


def bag_of_words(tokens: Any, places: Any, seed: int | None) -> Any:
    """Average the words: [B, d]. Their order does not matter."""
    return MaskedMean(name="text_vector")([tokens, places])


def word_windows(tokens: Any, places: Any, seed: int | None) -> Any:
    """Add to each word what its window of three shows, average: [B, d]."""
    windows = WordConvolution(
        tokens.shape[-1],
        seed=derived_seed(seed, "word_windows"),
        name="word_windows",
    )([tokens, places])
    return _mean_of_both(tokens, windows, places)


def attending_words(tokens: Any, places: Any, seed: int | None) -> Any:
    """Add to each word what it sees in the others, average: [B, d].

    The order of the words does not matter: the attention knows no places.
    """
    seen = SelfAttention(
        seed=derived_seed(seed, "word_attention"), name="word_attention"
    )([tokens, places])
    return _mean_of_both(tokens, seen, places)


def _mean_of_both(tokens: Any, added: Any, places: Any) -> Any:
    both = keras.layers.Add(name="words_and_context")([tokens, added])
    return MaskedMean(name="text_vector")([both, places])


TEXT_ENCODERS: Mapping[str, TextEncoder] = {
    "bag": bag_of_words,
    "convolution": word_windows,
    "attention": attending_words,
}


def text_encoder(name: str) -> TextEncoder:
    """Return an encoder by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in TEXT_ENCODERS:
        raise ValueError(
            f"encoder={name!r} is unknown; use one of "
            f"{', '.join(map(repr, TEXT_ENCODERS))}."
        )
    return TEXT_ENCODERS[name]
