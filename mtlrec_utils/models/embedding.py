"""One embedding table for all id columns of a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from mtlrec_utils.data.vocabulary import PADDING
from mtlrec_utils.models.initialisation import register, seeded


class _Feature(NamedTuple):
    """The id columns start .. stop - 1 of one feature."""

    start: int
    stop: int
    field: int
    pooled: bool


def _feature(column: Any) -> _Feature:
    """Read a schema's column description, or its saved form."""
    if isinstance(column, Mapping):
        return _Feature(**column)
    return _Feature(
        int(column.start),
        int(column.stop),
        int(column.field),
        bool(column.pooled),
    )


def side_by_side(
    sizes: Sequence[int], fields: Sequence[int]
) -> tuple[int, Any]:
    """Put the rows of all fields into one table.

    Returns:
        Its number of rows, and where the rows of each id column's field
        begin, int32 [C].
    """
    starts = np.cumsum((0, *sizes[:-1]))
    return int(sum(sizes)), starts[list(fields)].astype("int32")


@register
class FusedEmbedding(keras.layers.Layer):
    """Embed all id columns from one table: [B, C] -> [B, F * dimension].

    Row r of field f is row ``offset[f] + r`` of the table, so the whole
    batch is one gather, and fields that share a vocabulary share rows.
    F counts each plain column once and each pooled feature once, in the
    order of ``columns``.

    A pooled feature (a sequence, a text) is the mean of its columns that
    are not PADDING; a row with none is zeros. Padding thus moves nothing
    and learns nothing.

    An id must lie within its field (``Schema.encode`` sees to that): one
    outside reads a neighbour's row, or fails past the end of the table.
    ``guard=True`` reads such an id as UNKNOWN (row 0) instead, for ids
    that reach the model by another way.

    Args:
        field_sizes: number of rows of each field.
        columns: for each feature its ``start``, ``stop``, ``field`` and
            ``pooled``, as in ``Schema.id_columns``.
        dimension: width of one embedding.
        guard: read an id outside its field as UNKNOWN.
        seed: starting point of the table.

    Raises:
        ValueError: a dimension below 1, a column of no field, columns
            with a gap or overlap, or ids with another number of columns.
    """

    def __init__(
        self,
        field_sizes: Sequence[int],
        columns: Sequence[Any],
        dimension: int,
        guard: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.field_sizes = tuple(int(size) for size in field_sizes)
        self.columns = tuple(_feature(column) for column in columns)
        self.dimension = int(dimension)
        self.guard = guard
        self.seed = seed
        self._check()
        fields = [f.field for f in self.columns for _ in range(*f[:2])]
        self._sizes = np.take(self.field_sizes, fields).astype("int32")
        self._rows, self._offsets = side_by_side(self.field_sizes, fields)

    def _check(self) -> None:
        if self.dimension < 1:
            raise ValueError(
                f"dimension must be at least 1, not {self.dimension}."
            )
        if not self.columns:
            raise ValueError("columns is empty: there is nothing to embed.")
        position = 0
        for feature in self.columns:
            if feature.start != position or feature.stop <= position:
                raise ValueError(
                    f"columns must follow each other without a gap; the "
                    f"feature at id column {position} says "
                    f"{feature.start}..{feature.stop}."
                )
            if not 0 <= feature.field < len(self.field_sizes):
                raise ValueError(
                    f"id column {position} names field {feature.field}, "
                    f"but there are {len(self.field_sizes)} fields."
                )
            position = feature.stop

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the table [sum(field_sizes), dimension]."""
        if input_shape[-1] != len(self._offsets):
            raise ValueError(
                f"ids has {input_shape[-1]} columns, but the schema "
                f"describes {len(self._offsets)}; encode the rows with the "
                "schema the model was built from."
            )
        # In half precision the rows are cast after the look-up, not the
        # whole table at every step.
        self.table = self.add_weight(
            name="table",
            shape=(self._rows, self.dimension),
            initializer=seeded("uniform", self.seed, "table"),
            autocast=False,
        )

    def call(self, ids: Any) -> Any:
        """Return the features' embeddings side by side."""
        rows = ids
        if self.guard:
            inside = ops.logical_and(ids >= 0, ids < self._sizes)
            rows = ops.where(inside, ids, 0)
        vectors = self._vectors(rows)  # [B, C, dimension]
        parts = []
        for pooled, group in groupby(self.columns, lambda f: f.pooled):
            features = list(group)
            if pooled:
                parts += [self._mean(vectors, ids, f) for f in features]
            else:
                start, stop = features[0].start, features[-1].stop
                width = (stop - start) * self.dimension
                parts.append(ops.reshape(vectors[:, start:stop], (-1, width)))
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, -1)

    def _vectors(self, rows: Any) -> Any:
        """Look up rows of the columns' fields, [B, C] -> [B, C, dimension]."""
        vectors = ops.take(self.table, rows + self._offsets, axis=0)
        return ops.cast(vectors, self.compute_dtype)

    def _mean(self, vectors: Any, ids: Any, feature: _Feature) -> Any:
        columns = slice(feature.start, feature.stop)
        present = ops.cast(ids[:, columns] != PADDING, self.compute_dtype)
        count = ops.maximum(ops.sum(present, axis=1, keepdims=True), 1)
        weights = ops.expand_dims(present / count, -1)  # [B, length, 1]
        return ops.sum(vectors[:, columns] * weights, axis=1)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return (B, F * dimension)."""
        features = sum(
            1 if f.pooled else f.stop - f.start for f in self.columns
        )
        return (input_shape[0], features * self.dimension)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "field_sizes": list(self.field_sizes),
            "columns": [feature._asdict() for feature in self.columns],
            "dimension": self.dimension,
            "guard": self.guard,
            "seed": self.seed,
        }
