"""Drawn negatives, and biases as parts of vectors."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.initialisation import derived_seed, register


@register
class NegativeItems(keras.layers.Layer):
    """Draw items of the catalogue: their ids, numbers and identity.

    Every item is equally likely, with replacement. In training each step
    draws anew; at inference the draw is always the same, so that validation
    losses can be compared. The catalogue lies in the layer's weights and is
    saved with them; ``models.retrieval`` fills it.

    Args:
        n_items: I, rows of the catalogue.
        id_width: columns of the item tower's ids.
        number_width: columns of its numbers; 0 for none.
        count: n, items drawn for the whole batch, or per row; 0 returns the
            whole catalogue, each item once.
        per_row: draw ``count`` items for each row of the batch.
        seed: starting point of the draws.
    """

    def __init__(
        self,
        n_items: int,
        id_width: int,
        number_width: int,
        count: int,
        per_row: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_items, self.count = int(n_items), int(count)
        self.id_width, self.number_width = int(id_width), int(number_width)
        self.per_row = bool(per_row)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(
            derived_seed(seed, "negatives")
        )

    def build(self, input_shape: Any) -> None:
        """Create the catalogue, filled with zeros."""
        for name, width, dtype in (
            ("ids", self.id_width, "int32"),
            ("numbers", self.number_width, "float32"),
            ("identity", 1, "int32"),
        ):
            weight = self.add_weight(
                name=name,
                shape=(self.n_items, width),
                dtype=dtype,
                initializer="zeros",
                trainable=False,
                autocast=False,
            )
            setattr(self, name, weight)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return ids [n, C], numbers [n, M] and identity [n, 1].

        Args:
            inputs: anything with a row per row of the batch. With
                ``per_row`` the results have B n rows, those of the first
                row first.
            training: draw anew.
        """
        tables = [self.ids, self.numbers, self.identity]
        if not self.count:
            return [ops.convert_to_tensor(table) for table in tables]
        rows = ops.shape(inputs)[0] if self.per_row else 1
        drawn = keras.random.randint(
            (rows * self.count,),
            0,
            self.n_items,
            seed=self.generator if training else 0,
        )
        return [ops.take(table, drawn, axis=0) for table in tables]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the three shapes."""
        rows = None if self.per_row else self.count or self.n_items
        widths = (self.id_width, self.number_width, 1)
        return [(rows, width) for width in widths]

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None
    ) -> Any:
        """Return the three shapes with their types."""
        return [
            keras.KerasTensor(shape, dtype=dtype)
            for shape, dtype in zip(
                self.compute_output_shape(inputs.shape),
                ("int32", "float32", "int32"),
                strict=True,
            )
        ]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "n_items": self.n_items,
            "id_width": self.id_width,
            "number_width": self.number_width,
            "count": self.count,
            "per_row": self.per_row,
            "seed": self.seed,
        }


@register
class WithOnes(keras.layers.Layer):
    """Put columns of ones behind, or in front of the last one.

    [u, b] becomes [u, 1, b] with ``before_last``, else x becomes [x, 1]. So
    a bias is a part of a vector, and a score stays one inner product.

    Args:
        before_last: where the ones go.
    """

    def __init__(self, before_last: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.before_last = bool(before_last)

    def call(self, inputs: Any) -> Any:
        """Return [B, d + 1]."""
        one = ops.ones_like(inputs[:, :1])
        parts = [inputs, one]
        if self.before_last:
            parts = [inputs[:, :-1], one, inputs[:, -1:]]
        return ops.concatenate(parts, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, d + 1)."""
        return (input_shape[0], input_shape[1] + 1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {**super().get_config(), "before_last": self.before_last}
