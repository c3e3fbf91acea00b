"""Reading columns of a frame: one place that says what is wrong with them.

Everything in `mtlrec_utils.data.schema` reaches a frame through these
functions, so an error always names the column and the remedy.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

INTEGER, FLOAT, STRING, BOOLEAN = "integer", "float", "string", "boolean"

_INFERRED = {
    "integer": INTEGER,
    "floating": FLOAT,
    "mixed-integer-float": FLOAT,
    "string": STRING,
    "boolean": BOOLEAN,
}


class SchemaError(ValueError):
    """A frame does not fit a schema, or a schema contradicts itself."""


def check_frame(frame: Any, purpose: str) -> pd.DataFrame:
    """Return `frame` if it is a non-empty frame with distinct columns.

    Raises:
        SchemaError: `frame` is no DataFrame, has no rows, or has two
            columns of one name.
    """
    if not isinstance(frame, pd.DataFrame):
        raise SchemaError(
            f"{purpose} needs a pandas DataFrame, got "
            f"{type(frame).__name__}. Wrap the data: pd.DataFrame(...)."
        )
    if frame.columns.nlevels > 1:
        raise SchemaError(
            f"{purpose}: the frame has {frame.columns.nlevels} levels of "
            "column names. Flatten them to one string per column first."
        )
    twice = frame.columns[frame.columns.duplicated()].unique().tolist()
    if twice:
        raise SchemaError(
            f"{purpose}: duplicated column {_names(twice)}. Rename or drop "
            "the copies: frame.loc[:, ~frame.columns.duplicated()] keeps "
            "the first."
        )
    if len(frame) == 0:
        raise SchemaError(
            f"{purpose}: the frame is empty (0 rows). Check the filter or "
            "the split that made it."
        )
    return frame


def column_of(
    frame: pd.DataFrame, column: str, purpose: str, remedy: str = ""
) -> pd.Series:
    """Return one column, or say which column was probably meant.

    Args:
        frame: where to look.
        column: name to look for.
        purpose: who asks, for the message.
        remedy: what to do, for the message.

    Raises:
        SchemaError: the frame has no such column.
    """
    if column in frame.columns:
        return frame[column]
    have = [str(name) for name in frame.columns]
    close = difflib.get_close_matches(column, have, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    shown = _names(have[:12]) + (" ..." if len(have) > 12 else "")
    raise SchemaError(
        f"{purpose}: unknown column {column!r}. {hint}"
        f"The frame has {shown}. "
        f"{remedy or 'Add the column, or correct its name.'}"
    )


def _names(names: list[Any]) -> str:
    return ", ".join(repr(name) for name in names)


@dataclass(frozen=True)
class ColumnValues:
    """The values of a column, with their kind and without missing ones.

    Attributes:
        kind: "integer", "float", "string", "boolean"; None when the column
            holds nothing but missing values.
        values: int64 (integer and boolean), float64 or object (str) array.
        codes: position in `values` of each row, -1 where missing; None
            means that row n simply holds `values[n]`.
        size: number of rows.
    """

    kind: str | None
    values: np.ndarray
    codes: np.ndarray | None
    size: int

    def spread(self, per_value: np.ndarray, missing: Any) -> np.ndarray:
        """Bring one entry per value to one entry per row."""
        if self.codes is None:
            return per_value
        return np.append(per_value, per_value.dtype.type(missing))[self.codes]

    def counts(self) -> np.ndarray:
        """How many rows hold each entry of `values`."""
        if self.codes is None:
            return np.ones(len(self.values), np.int64)
        found = self.codes[self.codes >= 0]
        return np.bincount(found, minlength=len(self.values))


def read_values(data: pd.Series | np.ndarray, column: str) -> ColumnValues:
    """Read identifiers or categories: integers, floats, text or booleans.

    A categorical column keeps its codes, so its text is looked at once per
    category instead of once per row.

    Raises:
        SchemaError: the column mixes types or holds something else.
    """
    series = data if isinstance(data, pd.Series) else pd.Series(data)
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        pool = read_values(dtype.categories.to_series(), column)
        codes = series.cat.codes.to_numpy().astype(np.int64)
        if pool.codes is not None:  # cannot hold missing values: be safe
            codes = np.append(pool.codes, -1)[codes]
        return ColumnValues(pool.kind, pool.values, codes, len(series))
    if pd.api.types.is_bool_dtype(dtype):
        return _present(series, BOOLEAN, column)
    if pd.api.types.is_integer_dtype(dtype):
        return _present(series, INTEGER, column)
    if pd.api.types.is_float_dtype(dtype):
        return _present(series, FLOAT, column)
    if isinstance(dtype, pd.StringDtype):
        codes, uniques = pd.factorize(series)
        words = np.asarray(uniques, dtype=object)
        kind = STRING if len(words) else None
        return ColumnValues(kind, words, codes.astype(np.int64), len(series))
    if pd.api.types.is_object_dtype(dtype):
        return _read_objects(series, column)
    raise SchemaError(_unsupported(column, str(dtype)))


def _present(series: pd.Series, kind: str, column: str) -> ColumnValues:
    """Split a column of one known kind into values and missing rows."""
    present = series.notna().to_numpy(dtype=bool)
    whole = bool(present.all())
    kept = series if whole else series[present]
    try:
        if kind == STRING:
            values = kept.to_numpy(dtype=object)
        elif kind == FLOAT:
            # + 0.0 turns -0.0 into 0.0: both are one category.
            values = kept.to_numpy(dtype=np.float64) + 0.0
        else:
            values = kept.to_numpy()
            top = int(values.max()) if values.dtype.kind == "u" else 0
            if top > np.iinfo(np.int64).max:
                raise OverflowError
            values = values.astype(np.int64)
    except OverflowError:
        raise SchemaError(
            f"Column {column!r}: an integer does not fit into 64 bits. "
            f"Turn the column into text: frame[{column!r}].astype(str)."
        ) from None
    codes = None
    if not whole:
        codes = np.where(present, np.cumsum(present) - 1, -1)
    return ColumnValues(
        kind if len(values) else None, values, codes, len(series)
    )


def _read_objects(series: pd.Series, column: str) -> ColumnValues:
    # Infer on present values only: a None among integers must not turn
    # them into floats.
    present = series.notna()
    known = series if present.all() else series[present]
    inferred = pd.api.types.infer_dtype(known, skipna=False)
    if inferred == "empty":
        codes = np.full(len(series), -1, np.int64)
        return ColumnValues(None, np.empty(0, object), codes, len(series))
    if inferred not in _INFERRED:
        raise SchemaError(_unsupported(column, inferred))
    return _present(series, _INFERRED[inferred], column)


def _unsupported(column: str, found: str) -> str:
    return (
        f"Column {column!r} holds {found} values; ids and categories are "
        "integers, floats, text or booleans of one type. Turn them into "
        f"one type: frame[{column!r}].astype(str); for lists of ids use "
        "Sequence."
    )


def read_numbers(series: pd.Series, column: str, purpose: str) -> np.ndarray:
    """Read a column of numbers as float64, NaN where missing.

    Raises:
        SchemaError: the column holds something that is no number.
    """
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        plain = series.astype(dtype.categories.dtype)
        return read_numbers(plain, column, purpose)
    numeric = pd.api.types.is_numeric_dtype(dtype)
    if pd.api.types.is_object_dtype(dtype):
        kind = pd.api.types.infer_dtype(series[series.notna()], skipna=False)
        numeric = _INFERRED.get(kind) in (INTEGER, FLOAT, BOOLEAN)
        numeric = numeric or kind in ("empty", "decimal")
    if not numeric or pd.api.types.is_complex_dtype(dtype):
        raise SchemaError(
            f"{purpose}: column {column!r} holds {dtype} values, not "
            f"numbers. Convert it first: pd.to_numeric(frame[{column!r}]), "
            f"or for text (frame[{column!r}] == 'yes').astype(int)."
        )
    return series.to_numpy(dtype=np.float64, na_value=np.nan)
