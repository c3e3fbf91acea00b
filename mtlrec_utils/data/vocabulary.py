"""Vocabularies: values of a column to row numbers of a table.

Row 0 is the unknown value, row 1 is padding, known values start at row 2 in
sorted order. A value that was not in the training rows, or was too rare
there, goes to row 0: never out of range (a CPU raises there, a GPU silently
returns zeros).
"""

from __future__ import annotations

from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data.columns import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    STRING,
    ColumnValues,
    SchemaError,
)

UNKNOWN = 0
PADDING = 1
FIRST_KNOWN = 2

# Below this span of ids one array look-up replaces hashing (4 MB at most,
# or four times the vocabulary's own size).
_DENSE_SPAN = 1 << 20

_CASTS = {
    INTEGER: "frame[{column!r}].astype('Int64')",
    FLOAT: "frame[{column!r}].astype('float64')",
    STRING: "frame[{column!r}].astype(str)",
    BOOLEAN: "frame[{column!r}].map({{'True': True, 'False': False}})",
}

_JSON_TYPES = {INTEGER: int, FLOAT: float, STRING: str, BOOLEAN: bool}


class Vocabulary:
    """Sorted distinct values of one column; row = position + 2.

    Attributes:
        kind: "integer", "float", "string" or "boolean".
        values: sorted array, int64 (integer and boolean), float64 or
            object (str).
    """

    def __init__(self, kind: str, values: np.ndarray):
        self.kind = kind
        self.values = values

    @classmethod
    def fit(
        cls, found: ColumnValues, column: str, min_count: int = 1
    ) -> Vocabulary:
        """Learn the values that occur at least `min_count` times.

        Raises:
            SchemaError: the column holds no value, or infinite ones.
        """
        if found.kind is None:
            raise SchemaError(
                f"Column {column!r} holds no value in the training rows, "
                "so there is nothing to learn. Remove the feature or fill "
                "the column."
            )
        if found.kind == FLOAT and not np.isfinite(found.values).all():
            raise SchemaError(
                f"Column {column!r} holds infinite values. Replace them by "
                "a missing value (NaN) or use the column as Number."
            )
        if found.kind == STRING:
            totals: dict[str, int] = {}
            pairs = zip(found.values, found.counts().tolist(), strict=True)
            for word, count in pairs:
                totals[word] = totals.get(word, 0) + count
            kept = sorted(w for w, n in totals.items() if n >= min_count)
            return cls(STRING, _objects(kept))
        values, counts = np.unique(found.values, return_counts=True)
        if found.codes is not None:
            places = np.searchsorted(values, found.values)
            counts = np.bincount(places, found.counts(), len(values))
        return cls(found.kind, values[counts >= min_count])

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """Rows of the table, unknown and padding included."""
        return len(self.values) + FIRST_KNOWN

    def rows(
        self, found: ColumnValues, column: str, in_lists: bool = False
    ) -> np.ndarray:
        """Look values up.

        Args:
            found: the values.
            column: where they are from, for the message.
            in_lists: whether they are entries of lists, for the message.

        Returns:
            int32 array [found.size] in [0, self.size); missing and unknown
            values are `UNKNOWN`.

        Raises:
            SchemaError: the values are of another type than at `fit`.
        """
        if found.kind is None:
            return np.full(found.size, UNKNOWN, np.int32)
        if found.kind != self.kind:
            raise SchemaError(
                _changed(column, self.kind, found.kind, in_lists)
            )
        return found.spread(self._look_up(found.values), UNKNOWN)

    def _look_up(self, values: np.ndarray) -> np.ndarray:
        if len(self.values) == 0:
            return np.full(len(values), UNKNOWN, np.int32)
        if self.kind == STRING:
            found = map(self._words.get, values.tolist(), repeat(UNKNOWN))
            return np.fromiter(found, np.int32, count=len(values))
        if self._dense is not None:
            low, high = self.values[0], self.values[-1]
            inside = (values >= low) & (values <= high)
            rows = self._dense[np.where(inside, values, low) - low]
            return np.where(inside, rows, np.int32(UNKNOWN))
        places = self._index.get_indexer(pd.Index(values))
        rows = np.where(places < 0, UNKNOWN, places + FIRST_KNOWN)
        return rows.astype(np.int32)

    @cached_property
    def _words(self) -> dict[str, int]:
        words = self.values.tolist()
        return dict(zip(words, range(FIRST_KNOWN, self.size), strict=True))

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.values)

    @cached_property
    def _dense(self) -> np.ndarray | None:
        if self.kind == FLOAT:
            return None
        span = int(self.values[-1]) - int(self.values[0]) + 1
        if span > max(_DENSE_SPAN, 4 * len(self.values)):
            return None
        table = np.full(span, UNKNOWN, np.int32)
        rows = np.arange(FIRST_KNOWN, self.size, dtype=np.int32)
        table[self.values - self.values[0]] = rows
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form that keeps the type of the values."""
        values = self.values
        if self.kind == BOOLEAN:
            values = values.astype(bool)
        return {"kind": self.kind, "values": values.tolist()}

    @classmethod
    def from_dict(cls, form: dict[str, Any], column: str) -> Vocabulary:
        """Undo `to_dict`.

        Raises:
            SchemaError: values of another type, unsorted or repeated.
        """
        kind, values = form["kind"], form["values"]
        wanted = _JSON_TYPES.get(kind)
        if wanted is None or any(type(v) is not wanted for v in values):
            raise SchemaError(
                f"Column {column!r}: the stored vocabulary is not a list of "
                f"{kind} values. Write the file again with Schema.save."
            )
        if any(a >= b for a, b in zip(values, values[1:], strict=False)):
            raise SchemaError(
                f"Column {column!r}: the stored vocabulary is not sorted "
                "and distinct. Write the file again with Schema.save."
            )
        if kind == STRING:
            return cls(kind, _objects(values))
        dtype = np.float64 if kind == FLOAT else np.int64
        return cls(kind, np.array(values, dtype=dtype))


def _objects(words: list[str]) -> np.ndarray:
    # An object array: a NumPy text array would drop trailing NULs.
    array = np.empty(len(words), dtype=object)
    array[:] = [str(word) for word in words]
    return array


def _changed(column: str, fitted: str, found: str, in_lists: bool) -> str:
    message = (
        f"Column {column!r} holds {found} values, but its vocabulary was "
        f"fitted on {fitted} values. "
    )
    if {fitted, found} == {INTEGER, FLOAT}:
        message += (
            "NumPy and pandas turn integers into floats as soon as one "
            "value is missing (NaN). "
        )
    remedy = _CASTS[fitted].format(column=column)
    if in_lists:
        remedy = f"frame[{column!r}].map(...) with one type in every list"
    return f"{message}Use one type at fit and encode: {remedy}."
