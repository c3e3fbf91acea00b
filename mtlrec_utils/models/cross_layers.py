"""Layers that multiply features: linear terms, pairs, cross layers.

Shapes: B rows of a batch, C id columns, F features of d entries each, D
entries of all features side by side, T tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.data.vocabulary import UNKNOWN
from mtlrec_utils.models.initialisation import register, seeded


@register
class CrossedIds(keras.layers.Layer):
    """Make one id of two, exactly: ids [B, C] -> [B, P] for P pairs.

    The pair (a, b) of columns with n_a and n_b rows becomes row a n_b + b of
    a field of n_a n_b rows: a cross-product transformation without hashing.
    If either id is unknown, so is the pair (row 0).

    Args:
        pairs: (column a, column b, n_a, n_b) of each pair, columns of the id
            matrix.

    Source: Cheng et al., "Wide & Deep Learning for Recommender Systems",
    DLRS 2016, equation 1.
    """

    def __init__(self, pairs: Sequence[Sequence[int]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pairs = [[int(number) for number in pair] for pair in pairs]

    def call(self, ids: Any) -> Any:
        """Return the rows of the pairs, int32."""
        a, b, sizes_a, sizes_b = np.array(self.pairs, dtype="int32").T
        left = ops.clip(ops.take(ids, a, axis=1), 0, sizes_a - 1)
        right = ops.clip(ops.take(ids, b, axis=1), 0, sizes_b - 1)
        known = ops.logical_and(left != UNKNOWN, right != UNKNOWN)
        return ops.where(known, left * sizes_b + right, UNKNOWN)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return (B, P)."""
        return (input_shape[0], len(self.pairs))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {**super().get_config(), "pairs": self.pairs}


@register
class SumOfFeatures(keras.layers.Layer):
    """Add up features of T entries each: [B, F * T] -> [B, T].

    Behind a table of width T it is the linear term of T values: each id has
    one weight for each.

    Args:
        width: T.
        bias: add a bias [T], which starts at 0.
    """

    def __init__(self, width: int, bias: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.has_bias = int(width), bool(bias)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the bias [T]."""
        self.bias = None
        if self.has_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.width,), initializer="zeros"
            )

    def call(self, inputs: Any) -> Any:
        """Return the sum over features."""
        n_features = inputs.shape[-1] // self.width
        total = ops.sum(
            ops.reshape(inputs, (-1, n_features, self.width)), axis=1
        )
        return total if self.bias is None else total + self.bias

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return (B, T)."""
        return (input_shape[0], self.width)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "width": self.width,
            "bias": self.has_bias,
        }


@register
class PairwiseProducts(keras.layers.Layer):
    """The second-order term of a factorisation machine: [B, D] -> [B, 1].

    With the F = D / d factors v_f of a row side by side,

        sum over pairs f < g of <v_f, v_g>
            = 1/2 sum over k of ((sum_f v_fk)^2 - sum_f v_fk^2),

    the right side in F d products instead of F^2 d / 2.

    Args:
        dimension: d, entries of one feature.

    Source: Rendle, "Factorization Machines", ICDM 2010, lemma 3.1.
    """

    def __init__(self, dimension: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dimension = int(dimension)

    def call(self, inputs: Any) -> Any:
        """Return the sum over pairs."""
        n_features = inputs.shape[-1] // self.dimension
        factors = ops.reshape(inputs, (-1, n_features, self.dimension))
        total = ops.square(ops.sum(factors, axis=1))
        own = ops.sum(ops.square(factors), axis=1)
        return 0.5 * ops.sum(total - own, axis=-1, keepdims=True)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return (B, 1)."""
        return (input_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {**super().get_config(), "dimension": self.dimension}


@register
class CrossLayer(keras.layers.Layer):
    """One cross of DCN-v2: x_0 [B, D] and x_l [B, D] -> x_(l+1) [B, D].

        x_(l+1) = x_0 * (x_l W + b) + x_l        (* entry by entry)

    With rank r, W is a product of [D, r] and [r, D]. Zero weights make the
    layer the identity of x_l. After l layers, an entry is a polynomial of
    degree l + 1 in the entries of x_0.

    Args:
        rank: r; None for a full W.
        seed: starting point of the weights; b starts at 0.

    Raises:
        ValueError: a rank below 1.

    Source: Wang et al., "DCN V2: Improved Deep & Cross Network and
    Practical Lessons for Web-scale Learning to Rank Systems", WWW 2021,
    equations 1 and 2.
    """

    def __init__(
        self, rank: int | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if rank is not None and (
            isinstance(rank, bool) or int(rank) != rank or rank < 1
        ):
            raise ValueError(
                f"rank={rank!r} must be a whole number of at least 1, or "
                "None for a full matrix."
            )
        self.rank = None if rank is None else int(rank)
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Create W [D, D], or its factors [D, r] and [r, D]; and b [D]."""
        width = input_shape[0][-1]
        shapes = {"kernel": (width, width)}
        if self.rank is not None:
            shapes = {"down": (width, self.rank), "up": (self.rank, width)}
        self.kernels = [
            self.add_weight(
                name=name,
                shape=shape,
                initializer=seeded("glorot_uniform", self.seed, name),
            )
            for name, shape in shapes.items()
        ]
        self.bias = self.add_weight(
            name="bias", shape=(width,), initializer="zeros"
        )

    def call(self, inputs: Any) -> Any:
        """Return x_(l+1)."""
        first, x = inputs
        crossed = x
        for kernel in self.kernels:
            crossed = ops.matmul(crossed, kernel)
        return first * (crossed + self.bias) + x

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, D)."""
        return tuple(input_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rank": self.rank, "seed": self.seed}
