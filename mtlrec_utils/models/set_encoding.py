"""Reading a set of tokens whose places may be empty.

A *part* of a row is a set of tokens: the words of a text, the items of a
history. Its places that hold PADDING are empty, and which places these are
must not matter. Shapes: B rows of a batch, L places, d width of a token, H
heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.data.vocabulary import PADDING
from mtlrec_utils.models.initialisation import register, seeded

# Added to the score of an empty place; its exponential is 0 in float32 and
# in both half precisions, where a larger number would be infinite.
EMPTY = -3e4


@register
class Tokens(keras.layers.Layer):
    """Take a part's tokens out of a row: [B, L, d] and their places [B, L].

    Reads ``ids`` [B, C] and all columns embedded side by side [B, C * d],
    as ``FusedEmbedding`` returns them. A place is 1.0 where a token is and
    0.0 where PADDING is; the token there is all zeros.

    Args:
        spans: (start, stop) of the id columns of each feature of the part.

    Raises:
        ValueError: no span, or an empty one.
    """

    def __init__(self, spans: Sequence[Sequence[int]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spans = [(int(start), int(stop)) for start, stop in spans]
        if not self.spans or any(a < 0 or b <= a for a, b in self.spans):
            raise ValueError(
                f"spans={self.spans} must hold (start, stop) pairs of id "
                "columns, start below stop."
            )

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return tokens and places."""
        ids, embedded = inputs
        width = embedded.shape[-1] // ids.shape[-1]
        chosen = [ids[:, a:b] for a, b in self.spans]
        vectors = [embedded[:, a * width : b * width] for a, b in self.spans]
        ids = chosen[0] if len(chosen) == 1 else ops.concatenate(chosen, 1)
        if len(vectors) > 1:
            vectors = [ops.concatenate(vectors, 1)]
        places = ops.cast(ids != PADDING, self.compute_dtype)
        tokens = ops.reshape(vectors[0], (-1, ids.shape[-1], width))
        return tokens * ops.expand_dims(places, -1), places

    def compute_output_shape(
        self, input_shape: Any
    ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """Return (B, L, d) and (B, L)."""
        ids, embedded = input_shape
        length = sum(b - a for a, b in self.spans)
        width = embedded[-1] // ids[-1]
        return (ids[0], length, width), (ids[0], length)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "spans": self.spans}


@register
class MaskedMean(keras.layers.Layer):
    """Average the tokens that are there: [B, L, d], [B, L] -> [B, d].

    A set without tokens is zeros.
    """

    def call(self, inputs: Any) -> Any:
        """Return sum(places * tokens) / sum(places)."""
        tokens, places = inputs
        places = ops.cast(places, self.compute_dtype)
        count = ops.maximum(ops.sum(places, axis=1, keepdims=True), 1)
        weights = ops.expand_dims(places / count, -1)
        return ops.sum(tokens * weights, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, d)."""
        tokens, _ = input_shape
        return (tokens[0], tokens[-1])


@register
class SelfAttention(keras.layers.Layer):
    """Let each token look at the others: [B, L, d], [B, L] -> [B, L, d].

    Per head, with W_Q, W_K, W_V of shape [d, k] and the tokens X:

        softmax(X W_Q (X W_K)^T / sqrt(k)) X W_V,

    the heads side by side times W_O [H k, d]. Empty places get no weight
    and return zeros, so that padding changes nothing. Tokens in another
    order return in that order, unchanged otherwise, unless ``positions``.

    Args:
        n_heads: H.
        head_dimension: k.
        positions: learn a vector for each of the L places and add it to
            the token there; then order counts.
        seed: starting point of the initial weights.

    Raises:
        ValueError: a number below 1.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017,
    section 3.2 (without the residual connection and what follows it).
    """

    def __init__(
        self,
        n_heads: int = 2,
        head_dimension: int = 8,
        positions: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_heads = _at_least_one("n_heads", n_heads)
        self.head_dimension = _at_least_one("head_dimension", head_dimension)
        self.positions = bool(positions)
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Create W_Q, W_K, W_V [d, H k], W_O [H k, d] and the positions."""
        length, width = input_shape[0][1:]
        inner = self.n_heads * self.head_dimension
        self.kernels = {
            name: self.add_weight(
                name=name,
                shape=(inner, width) if name == "output" else (width, inner),
                initializer=seeded("glorot_uniform", self.seed, name),
            )
            for name in ("query", "key", "value", "output")
        }
        if self.positions:
            self.place = self.add_weight(
                name="positions",
                shape=(length, width),
                initializer=seeded("uniform", self.seed, "positions"),
            )

    def call(self, inputs: Any) -> Any:
        """Return what each token saw; zeros at empty places."""
        tokens, places = self._placed(inputs)
        weights = self._weights(tokens, places)  # [B, H, L, L]
        seen = ops.matmul(weights, self._heads(tokens, "value"))
        length = tokens.shape[1]
        inner = self.n_heads * self.head_dimension
        seen = ops.reshape(
            ops.transpose(seen, (0, 2, 1, 3)), (-1, length, inner)
        )
        seen = ops.matmul(seen, self._kernel("output"))
        return seen * ops.expand_dims(places, -1)

    def weights_of(self, inputs: Any) -> Any:
        """Return how token l weighs the others, [B, H, L, L].

        Rows of tokens that are there sum to 1; columns of empty places
        are 0.
        """
        return self._weights(*self._placed(inputs))

    def _placed(self, inputs: Any) -> tuple[Any, Any]:
        tokens, places = inputs
        places = ops.cast(places, self.compute_dtype)
        if self.positions:
            # A shorter part uses the first places of the longest one.
            place = ops.cast(self.place, self.compute_dtype)
            tokens = tokens + place[: tokens.shape[1]]
        return tokens, places

    def _weights(self, tokens: Any, places: Any) -> Any:
        empty = (1 - places)[:, None, None, :] * EMPTY
        return ops.softmax(self._scores(tokens) + empty, axis=-1)

    def _scores(self, tokens: Any) -> Any:
        """Return how well queries and keys agree, [B, H, L, L]."""
        query = self._heads(tokens, "query") / math.sqrt(self.head_dimension)
        keys = ops.transpose(self._heads(tokens, "key"), (0, 1, 3, 2))
        return ops.matmul(query, keys)

    def _heads(self, tokens: Any, name: str) -> Any:
        """Project tokens and split them into heads: [B, H, L, k]."""
        found = ops.matmul(tokens, self._kernel(name))
        shape = (-1, tokens.shape[1], self.n_heads, self.head_dimension)
        return ops.transpose(ops.reshape(found, shape), (0, 2, 1, 3))

    def _kernel(self, name: str) -> Any:
        return ops.cast(self.kernels[name], self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, L, d)."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "n_heads": self.n_heads,
            "head_dimension": self.head_dimension,
            "positions": self.positions,
            "seed": self.seed,
        }


@register
class PairFeatures(keras.layers.Layer):
    """Compare two vectors without direction: [B, h] twice -> [B, 3 h].

    Sum, product and distance, side by side: [a + b; a b; |a - b|]. They
    are the same for (b, a), and for h = 1 they tell {a, b} from any other
    pair.
    """

    def call(self, inputs: Any) -> Any:
        """Return [a + b; a b; |a - b|]."""
        a, b = inputs
        return ops.concatenate([a + b, a * b, ops.absolute(a - b)], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, 3 h)."""
        first, _ = input_shape
        return (first[0], 3 * first[-1])


def _at_least_one(name: str, value: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(
            f"{name} must be a whole number of at least 1, not {value!r}."
        )
    return int(value)
