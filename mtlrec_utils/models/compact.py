"""Tables with fewer rows than ids, in the place of a model's own table.

Most parameters of a recommender stand in its embedding table, one row per
id. A compact table gives each field at most m rows. Row r of a field, as
``Schema.encode`` numbers it, reads

* hashed: row r mod m, which it shares with every m-th id;
* compositional: the same row, times row r // m of a second, short table.
  Two ids never share both rows, so all vectors may differ.

``with_compact_tables`` puts one into any model of the course.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.embedding import FusedEmbedding, side_by_side
from mtlrec_utils.models.initialisation import register

KINDS = ("hashed", "compositional")


@register
class CompactEmbedding(FusedEmbedding):
    """``FusedEmbedding`` with at most ``rows`` rows for each field.

    A field with no more rows than that keeps them all, one per id. The
    second table of a compositional embedding starts at 1, so that with
    ``rows`` as large as every field it begins as the plain table.

    Args:
        field_sizes, columns, dimension, guard, seed: as for
            ``FusedEmbedding``; ids are those of the full fields.
        rows: m, at least 1.
        kind: "hashed" or "compositional".

    Raises:
        ValueError: an unknown kind, rows below 1, or what
            ``FusedEmbedding`` refuses.

    Source: Shi et al., "Compositional Embeddings Using Complementary
    Partitions for Memory-Efficient Recommendation Systems", KDD 2020,
    section 2 (hashing) and algorithm 2 (quotient and remainder, with the
    product as the operation).
    """

    def __init__(
        self,
        field_sizes: Sequence[int],
        columns: Sequence[Any],
        dimension: int,
        rows: int,
        kind: str = "compositional",
        **kwargs: Any,
    ) -> None:
        super().__init__(field_sizes, columns, dimension, **kwargs)
        (self.rows,) = positive_widths("rows", (rows,))
        if kind not in KINDS:
            raise ValueError(
                f"kind={kind!r}: choose {' or '.join(map(repr, KINDS))}."
            )
        self.kind = kind
        fields = [f.field for f in self.columns for _ in range(*f[:2])]
        kept = [min(size, self.rows) for size in self.field_sizes]
        self._kept = np.take(kept, fields).astype("int32")
        self._rows, self._offsets = side_by_side(kept, fields)
        quotients = [
            -(-size // few)
            for size, few in zip(self.field_sizes, kept, strict=True)
        ]
        self._quotients, self._starts = side_by_side(quotients, fields)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the table, and the one of quotients if there is one."""
        super().build(input_shape)
        if self.kind == "compositional":
            self.quotients = self.add_weight(
                name="quotients",
                shape=(self._quotients, self.dimension),
                initializer="ones",
                autocast=False,
            )

    def _vectors(self, rows: Any) -> Any:
        vectors = super()._vectors(ops.mod(rows, self._kept))
        if self.kind == "hashed":
            return vectors
        quotients = ops.floor_divide(rows, self._kept) + self._starts
        factors = ops.take(self.quotients, quotients, axis=0)
        return vectors * ops.cast(factors, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rows": self.rows, "kind": self.kind}


def with_compact_tables(
    model: keras.Model, rows: int, kind: str = "compositional"
) -> keras.Model:
    """Build a model anew, with compact tables for its own.

    Args:
        model: one of the course's, or any with ``FusedEmbedding`` layers.
        rows: most rows that a field may have.
        kind: "hashed" or "compositional".

    Returns:
        An untrained model with the same layers otherwise. A model built
        from a seed starts from the same weights outside of the tables.

    Raises:
        ValueError: the model has no such layer, or bad options.
    """

    def compact(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        if type(layer) is not FusedEmbedding:
            return None
        return CompactEmbedding.from_config(
            {**layer.get_config(), "rows": rows, "kind": kind}
        )

    return with_layers_replaced(model, compact, "FusedEmbedding")


def with_layers_replaced(
    model: keras.Model,
    replace: Callable[[keras.layers.Layer], keras.layers.Layer | None],
    wanted: str,
) -> keras.Model:
    """Build a functional model anew from its layers' configurations.

    Args:
        model: to be rebuilt; it stays as it is.
        replace: layer -> the new layer in its place, of the same name and
            output shape, or None to build the same one again.
        wanted: what is replaced, for the message.

    Raises:
        ValueError: nothing was replaced.
    """
    found = []

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        new = replace(layer)
        if new is None:
            return type(layer).from_config(layer.get_config())
        found.append(layer.name)
        return new

    built = keras.models.clone_model(model, clone_function=clone)
    if not found:
        raise ValueError(
            f"Model {model.name!r} has no {wanted} to replace; its layers "
            f"are {', '.join(layer.name for layer in model.layers)}."
        )
    return built


def parameters_by_layer(model: keras.Model) -> dict[str, int]:
    """Count the trainable parameters of each layer that has any."""
    counts = {
        layer.name: sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
        for layer in model.layers
    }
    return {name: count for name, count in counts.items() if count}
