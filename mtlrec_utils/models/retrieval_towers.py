"""One side of a retrieval model: from features to a vector.

A tower is applied to the batch, and again to drawn items by the same layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtlrec_utils.models.drawn_items import WithOnes
from mtlrec_utils.models.feature_parts import FeaturePart, split_features
from mtlrec_utils.models.initialisation import derived_seed, seeded
from mtlrec_utils.models.layers import MLP, FusedEmbedding


class Tower:
    """Layers that make a vector of some features, called as often as needed.

    Args:
        side: "user" or "item", the first word of the layers' names.
        part: the features it reads.
        embeddings: tables whose look-ups are put side by side.
        layers: what follows, in order.
    """

    def __init__(
        self,
        side: str,
        part: FeaturePart,
        embeddings: Sequence[Any],
        layers: Sequence[Any] = (),
    ) -> None:
        self.side, self.part = side, part
        self._embeddings, self._layers = list(embeddings), list(layers)
        self._join = keras.layers.Concatenate(name=f"{side}_features")

    @classmethod
    def of_ids(
        cls,
        schema: Any,
        side: str,
        names: Sequence[str],
        dimension: int,
        bias: bool,
        seed: int | None,
    ) -> Tower:
        """Look one vector up, [d], or [d + 1] with a bias behind."""
        _, part = split_features(schema, names, side)
        if part.number_names or len(part.ids) != 1:
            raise ValueError(
                f"{side}={names[0]!r} must be a Categorical feature: matrix "
                "factorisation has a vector per value."
            )
        widths = {"embedding": dimension} | ({"bias": 1} if bias else {})
        tables = [
            _embedding(part, width, f"{side}_{name}", seed)
            for name, width in widths.items()
        ]
        return cls(side, part, tables)

    @classmethod
    def of_features(
        cls,
        schema: Any,
        side: str,
        names: Sequence[str],
        embedding_dimension: int,
        widths: tuple[Sequence[int], int],
        dropout: float,
        normalise: bool,
        seed: int | None,
    ) -> Tower:
        """Embed the features and send them through an MLP, to [d].

        Args:
            widths: of the hidden layers, and d.
        """
        units, dimension = widths
        _, part = split_features(schema, names, f"{side}_features")
        tables = []
        if part.id_columns:
            tables = [
                _embedding(
                    part, embedding_dimension, f"{side}_embedding", seed
                )
            ]
        layers: list[Any] = [
            MLP(
                units,
                dropout=dropout,
                seed=derived_seed(seed, f"{side}_tower"),
                name=f"{side}_tower",
            ),
            keras.layers.Dense(
                dimension,
                kernel_initializer=seeded(
                    "glorot_uniform", seed, f"{side}_projection"
                ),
                dtype="float32",
                name=f"{side}_projection",
            ),
        ]
        if normalise:
            layers.append(
                keras.layers.UnitNormalization(name=f"{side}_unit_length")
            )
        return cls(side, part, tables, layers)

    def add_ones(self, before_last: bool) -> None:
        """Give the other side's bias its partner, a 1."""
        self._layers.append(WithOnes(before_last, name=f"{self.side}_ones"))

    def of_batch(self, inputs: Mapping[str, Any]) -> Any:
        """Apply the tower to a model's inputs: "<side>_vector", [B, d]."""
        own = self.part.inputs(inputs, f"{self.side}_")
        return keras.layers.Identity(name=f"{self.side}_vector")(self(own))

    def __call__(self, own: Mapping[str, Any]) -> Any:
        """Apply the tower to its own columns: "ids" [n, C] and "numbers"."""
        parts = [table(own["ids"]) for table in self._embeddings]
        if "numbers" in own:
            parts.append(own["numbers"])
        found = parts[0] if len(parts) == 1 else self._join(parts)
        for layer in self._layers:
            found = layer(found)
        return found


def _embedding(
    part: FeaturePart, dimension: int, name: str, seed: int | None
) -> FusedEmbedding:
    return FusedEmbedding(
        part.field_sizes,
        part.id_columns,
        dimension,
        seed=derived_seed(seed, name),
        name=name,
    )
