"""Features: how one column of a frame becomes columns of a tensor."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data.columns import (
    STRING,
    ColumnValues,
    SchemaError,
    read_numbers,
    read_values,
)
from mtlrec_utils.data.vocabulary import FIRST_KNOWN, PADDING, Vocabulary

TRANSFORMS = ("standard", "log", "none")

_TOKEN = re.compile(r"[^\W_]+")
_FLOAT32_MAX = float(np.finfo(np.float32).max)


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
        _check_positive(
            self.column, buckets=self.buckets, length=self.length
        )

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
class Scaling:
    """What `Number` learned: value -> (value - center) / scale.

    `missing` says whether the training rows had missing values.
    """

    center: float
    scale: float
    missing: bool


def sequence_entries(
    series: pd.Series, feature: Sequence
) -> tuple[np.ndarray, ColumnValues]:
    """Flatten the kept entries of all rows.

    Returns:
        (number of kept entries per row [N], the entries in row order).

    Raises:
        SchemaError: a cell is neither a list nor missing.
    """
    column, length = feature.column, feature.length
    kept: list[Any] = []
    for cell in series.to_numpy(dtype=object):
        if isinstance(cell, np.ndarray) and cell.ndim != 1:
            raise SchemaError(
                f"Column {column!r}: a cell holds an array of shape "
                f"{cell.shape}; a sequence is one-dimensional. Flatten it."
            )
        if isinstance(cell, list | tuple | np.ndarray):
            kept.append(cell[-length:])
        elif isinstance(cell, pd.Series):
            kept.append(cell.to_numpy()[-length:])
        elif pd.api.types.is_scalar(cell) and pd.isna(cell):
            kept.append(())
        else:
            raise SchemaError(
                f"Column {column!r}: a sequence cell must be a list, an "
                f"array or missing, got {cell!r} "
                f"({type(cell).__name__}). For one id per row use "
                "Categorical, for words use Text."
            )
    lengths = np.fromiter(map(len, kept), np.int64, count=len(kept))
    types = {c.dtype if isinstance(c, np.ndarray) else None for c in kept}
    if len(types) == 1 and None not in types:
        flat = np.concatenate(kept)
    else:
        entries = chain.from_iterable(kept)
        flat = np.fromiter(entries, dtype=object, count=int(lengths.sum()))
    return lengths, read_values(flat, column)


def pad(rows: np.ndarray, lengths: np.ndarray, width: int) -> np.ndarray:
    """Lay flat rows out as an int32 matrix [N, width], padded right."""
    matrix = np.full((len(lengths), width), PADDING, np.int32)
    matrix[np.arange(width) < lengths[:, None]] = rows
    return matrix


def sequence_rows(
    series: pd.Series, feature: Sequence, vocabulary: Vocabulary
) -> np.ndarray:
    """Encode a sequence column: int32 [N, feature.length]."""
    lengths, entries = sequence_entries(series, feature)
    rows = vocabulary.rows(entries, feature.column)
    return pad(rows, lengths, feature.length)


def tokens(text: str) -> list[str]:
    """Split text into lower-cased runs of letters and digits."""
    return _TOKEN.findall(text.lower())


def token_row(token: str, buckets: int) -> int:
    """Return the table row of one token, the same in every process."""
    code = zlib.crc32(token.encode("utf-8", "surrogatepass"))
    return FIRST_KNOWN + code % buckets


def text_rows(series: pd.Series, feature: Text) -> np.ndarray:
    """Encode a text column: int32 [N, feature.length].

    Raises:
        SchemaError: the column holds something else than text.
    """
    found = read_values(series, feature.column)
    if found.kind is None:
        return np.full((found.size, feature.length), PADDING, np.int32)
    if found.kind != STRING:
        raise SchemaError(
            f"Column {feature.column!r} holds {found.kind} values, not "
            "text. Use Categorical or Number for it, or convert it: "
            f"frame[{feature.column!r}].astype(str)."
        )
    # Texts repeat (the words of an item): hash each distinct one once.
    places: dict[str, int] = {}
    where = np.fromiter(
        (places.setdefault(text, len(places)) for text in found.values),
        np.int64,
        count=len(found.values),
    )
    hashed = [
        [token_row(t, feature.buckets) for t in tokens(text)[: feature.length]]
        for text in places
    ]
    lengths = np.fromiter(map(len, hashed), np.int64, count=len(hashed))
    flat = np.fromiter(chain.from_iterable(hashed), np.int32)
    table = pad(flat, lengths, feature.length)
    if found.codes is None:
        return table[where]
    empty = np.full((1, feature.length), PADDING, np.int32)
    return np.concatenate([table[where], empty])[found.codes]


def _transformed(series: pd.Series, feature: Number) -> np.ndarray:
    values = read_numbers(series, feature.column, "Schema")
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise SchemaError(
            f"Column {feature.column!r}: {infinite} infinite value(s). "
            "Replace them by a large finite number or by NaN (missing)."
        )
    if feature.transform == "log":
        return np.sign(values) * np.log1p(np.abs(values))
    return values


def fit_scaling(series: pd.Series, feature: Number) -> Scaling:
    """Learn centre and scale from training rows.

    Raises:
        SchemaError: no number in the column, or infinite ones.
    """
    values = _transformed(series, feature)
    known = values[~np.isnan(values)]
    if not len(known):
        raise SchemaError(
            f"Column {feature.column!r} holds no number in the training "
            "rows, so there is nothing to learn. Remove the feature or "
            "fill the column."
        )
    missing = len(known) < len(values)
    if feature.transform == "none":
        return Scaling(0.0, 1.0, missing)
    if known.min() == known.max():
        return Scaling(float(known[0]), 1.0, missing)
    with np.errstate(over="ignore", invalid="ignore"):
        center, scale = float(known.mean()), float(known.std())
    if not np.isfinite(center) or not np.isfinite(scale):
        raise SchemaError(
            f"Column {feature.column!r}: the values are too large to be "
            "standardised. Use Number(..., transform='log')."
        )
    return Scaling(center, scale if scale > 0 else 1.0, missing)


def number_columns(
    series: pd.Series, feature: Number, scaling: Scaling
) -> np.ndarray:
    """Encode a number column: float32 [N, 1] or, with missing, [N, 2]."""
    values = _transformed(series, feature)
    absent = np.isnan(values)
    scaled = (values - scaling.center) / scaling.scale
    scaled[absent] = 0.0
    if np.abs(scaled).max() > _FLOAT32_MAX:
        raise SchemaError(
            f"Column {feature.column!r}: a value is too large for 32-bit "
            "floats. Use Number(..., transform='log') or clip the column."
        )
    parts = [scaled, absent] if scaling.missing else [scaled]
    return np.stack(parts, axis=1).astype(np.float32)
