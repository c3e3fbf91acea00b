"""Split a schema's features in two, by name, inside a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.initialisation import register


@register
class TakeColumns(keras.layers.Layer):
    """Take some columns of a matrix: [B, C] -> [B, len(columns)].

    Args:
        columns: which, in the order to return them.
    """

    def __init__(self, columns: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.columns = [int(column) for column in columns]

    def call(self, inputs: Any) -> Any:
        """Return the columns, in their own type."""
        return ops.take(inputs, self.columns, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {**super().get_config(), "columns": self.columns}


@dataclass(frozen=True)
class FeaturePart:
    """Some of a schema's features, described as a schema does.

    Attributes:
        id_columns: the features' columns, counted within the part.
        field_sizes: rows of the fields that they use.
        number_names: names of the part's numbers.
        ids: columns of the schema's id matrix that the part takes.
        numbers: columns of its number matrix.
    """

    id_columns: tuple[Any, ...]
    field_sizes: tuple[int, ...]
    number_names: tuple[str, ...]
    ids: tuple[int, ...]
    numbers: tuple[int, ...]

    def inputs(self, inputs: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Take the part's columns from a model's inputs."""
        columns = {"ids": self.ids, "numbers": self.numbers}
        return {
            name: TakeColumns(columns[name], name=f"{prefix}{name}")(x)
            for name, x in inputs.items()
            if columns[name]
        }


def split_features(
    schema: Any, names: Iterable[str], option: str
) -> tuple[FeaturePart, FeaturePart]:
    """Split a schema into the features not named and those named.

    A field goes to the part that uses it; one that both use has a table
    in each. A number goes with its indicator of missing values.

    Args:
        schema: a fitted ``Schema``.
        names: columns of the frame, as the features are called.
        option: where the names come from, for messages.

    Returns:
        (all others, the named ones).

    Raises:
        ValueError: no name, a name that no feature has, or all features.
    """
    if isinstance(names, str):
        raise ValueError(
            f"{option} must be a sequence of names; write ({names!r},)."
        )
    chosen = set(names)
    known = [feature.column for feature in schema.features]
    for name in chosen.difference(known):
        raise ValueError(
            f"{option} names {name!r}, but the schema's features are "
            f"{', '.join(map(repr, known))}."
        )
    if not chosen:
        raise ValueError(f"{option} is empty: name at least one feature.")
    if chosen.issuperset(known):
        raise ValueError(
            f"{option} names every feature of the schema: none is left for "
            "the main part."
        )
    owners = [
        name if name in known else name.removesuffix("_missing")
        for name in schema.number_names
    ]
    others = set(known) - chosen
    return _part(schema, others, owners), _part(schema, chosen, owners)


def _part(schema: Any, names: set[str], owners: list[str]) -> FeaturePart:
    kept = [column for column in schema.id_columns if column.name in names]
    fields = sorted({column.field for column in kept})
    places: list[Any] = []
    ids: list[int] = []
    for column in kept:
        start = len(ids)
        ids += range(column.start, column.stop)
        field = fields.index(column.field)
        places.append(replace(column, start=start, stop=len(ids), field=field))
    numbers = [i for i, owner in enumerate(owners) if owner in names]
    return FeaturePart(
        tuple(places),
        tuple(schema.field_sizes[field] for field in fields),
        tuple(schema.number_names[i] for i in numbers),
        tuple(ids),
        tuple(numbers),
    )
