"""Features: how one column of a frame becomes columns of a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mtlrec_utils.data.columns import SchemaError

TRANSFORMS = ("standard", "log", "none")


def _check_column(column: Any) -> None:
    if not isinstance(column, str) or not column:
        raise SchemaError(
            f"A feature's column must be a non-empty string, got {column!r}."
            " Rename the frame's columns to strings: "
            "frame.rename(columns=str)."
        )


def _check_positive(column: str, **options: Any) -> None:
    for option, value in options.items():
        whole = isinstance(value, int | np.integer)
        if not whole or isinstance(value, bool) or value < 1:
            raise SchemaError(
                f"Column {column!r}: {option} must be a whole number of at "
                f"least 1, got {value!r}."
            )


@dataclass(frozen=True)
class Categorical:
    """One id or category per row: one id column.

    A missing value is the unknown row, 0.

    Attributes:
        column: name of the frame's column.
        min_count: values rarer than this in the training rows are unknown.
        vocabulary_of: another column whose vocabulary (and so whose
            embedding table) is used.
    """

    column: str
    min_count: int = 1
    vocabulary_of: str | None = None

    def __post_init__(self) -> None:
        _check_column(self.column)
        _check_positive(self.column, min_count=self.min_count)

    @property
    def width(self) -> int:
        """Number of id columns."""
        return 1


@dataclass(frozen=True)
class Sequence:
    """A list of ids per row, oldest first: `length` id columns.

    The most recent `length` entries (the last ones) are kept in their order
    and padded on the right with `PADDING`. A missing or empty cell is all
    padding; a missing or unknown entry is the unknown row, 0.

    Attributes:
        column: name of the frame's column of lists or arrays.
        length: number of entries kept.
        vocabulary_of: another column whose vocabulary (and so whose
            embedding table) is used; None learns one from the kept entries.
        min_count: entries rarer than this in the training rows are
            unknown (own vocabulary only).
    """

    column: str
    length: int
    vocabulary_of: str | None = None
    min_count: int = 1

    def __post_init__(self) -> None:
        _check_column(self.column)
        _check_positive(
            self.column, length=self.length, min_count=self.min_count
        )

    @property
    def width(self) -> int:
        """Number of id columns."""
        return self.length


@dataclass(frozen=True)
class Text:
    """Words hashed into a fixed number of rows: `length` id columns.

    Lower-cased runs of letters and digits are the tokens; token w goes to
    row 2 + crc32(w) mod `buckets`. Nothing is learned, so unseen words work
    and every process agrees. The first `length` tokens are kept and padded
    on the right; a missing text is all padding.

    Attributes:
        column: name of the frame's text column.
        buckets: rows that words share (collisions are accepted).
        length: number of tokens kept.
    """

    column: str
    buckets: int = 1000
    length: int = 8

    def __post_init__(self) -> None:
        _check_column(self.column)
        _check_positive(self.column, buckets=self.buckets, length=self.length)

    @property
    def width(self) -> int:
        """Number of id columns."""
        return self.length


@dataclass(frozen=True)
class Number:
    """A number per row: one column, and a second one if values are missing.

    "standard" subtracts the training mean and divides by the training
    standard deviation; "log" does so after sign(x) log(1 + |x|); "none"
    leaves the value alone. A constant column is divided by 1. A missing
    value becomes 0 after scaling; when the training rows had missing
    values, a 0/1 column named `<column>_missing` says which.

    Attributes:
        column: name of the frame's column.
        transform: "standard", "log" or "none".
    """

    column: str
    transform: str = "standard"

    def __post_init__(self) -> None:
        _check_column(self.column)
        if self.transform not in TRANSFORMS:
            raise SchemaError(
                f"Column {self.column!r}: unknown transform "
                f"{self.transform!r}. Choose one of {', '.join(TRANSFORMS)}."
            )


Feature = Categorical | Sequence | Text | Number
IdFeature = Categorical | Sequence | Text


@dataclass(frozen=True)
class IdColumns:
    """Where one feature lies in the id matrix.

    Attributes:
        name: the feature's column in the frame.
        start, stop: columns [start, stop) of the id matrix.
        field: index into `Schema.field_sizes`: which table it reads.
        pooled: whether its columns are entries of one list (a sequence or
            a text), to be pooled over the rows that are not `PADDING`.
    """

    name: str
    start: int
    stop: int
    field: int
    pooled: bool


def table_of(feature: IdFeature) -> str:
    """Return the column whose vocabulary or buckets a feature uses."""
    if isinstance(feature, Text):
        return feature.column
    return feature.vocabulary_of or feature.column


def table_owners(features: tuple[Feature, ...]) -> dict[str, IdFeature]:
    """Return the features that own a table; their order is the fields'."""
    return {
        f.column: f
        for f in features
        if not isinstance(f, Number) and table_of(f) == f.column
    }


def lay_out(features: tuple[Feature, ...]) -> tuple[IdColumns, ...]:
    """Give every id feature its columns and its field, in order."""
    fields = {name: n for n, name in enumerate(table_owners(features))}
    places, start = [], 0
    for feature in features:
        if isinstance(feature, Number):
            continue
        stop = start + feature.width
        pooled = not isinstance(feature, Categorical)
        field = fields[table_of(feature)]
        places.append(IdColumns(feature.column, start, stop, field, pooled))
        start = stop
    return tuple(places)
