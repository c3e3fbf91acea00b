"""Encoding: one column of a frame to columns of a matrix."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data.columns import (
    FLOAT,
    INTEGER,
    STRING,
    ColumnValues,
    SchemaError,
    column_of,
    read_numbers,
    read_values,
)
from mtlrec_utils.data.features import Number, Sequence, Text
from mtlrec_utils.data.vocabulary import FIRST_KNOWN, PADDING, Vocabulary

_TOKEN = re.compile(r"[^\W_]+")
_FLOAT32_MAX = float(np.finfo(np.float32).max)


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
    rows = vocabulary.rows(entries, feature.column, in_lists=True)
    return pad(rows, lengths, feature.length)


def tokens(text: str) -> list[str]:
    """Split text into lower-cased runs of letters and digits."""
    return _TOKEN.findall(text.lower())


def token_row(token: str, buckets: int) -> int:
    """Return the table row of one token, the same in every process."""
    code = zlib.crc32(token.encode("utf-8", "surrogatepass"))
    return FIRST_KNOWN + code % buckets


def read_text(series: pd.Series, feature: Text) -> ColumnValues:
    """Read a text column.

    Raises:
        SchemaError: the column holds something else than text.
    """
    found = read_values(series, feature.column)
    if found.kind not in (STRING, None):
        raise SchemaError(
            f"Column {feature.column!r} holds {found.kind} values, not "
            "text. Use Categorical or Number for it, or convert it: "
            f"frame[{feature.column!r}].astype(str)."
        )
    return found


def text_rows(series: pd.Series, feature: Text) -> np.ndarray:
    """Encode a text column: int32 [N, feature.length].

    Raises:
        SchemaError: the column holds something else than text.
    """
    found = read_text(series, feature)
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


def user_codes(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return an int64 code per row, equal for equal users in any frame.

    Raises:
        SchemaError: a missing user, or a column of floats.
    """
    series = column_of(frame, column, "Schema.encode, user")
    found = read_values(series, column)
    missing = int(series.isna().sum())
    if missing:
        raise SchemaError(
            f"Schema.encode, user: column {column!r} is missing on "
            f"{missing} row(s). Drop them, or leave user=... out."
        )
    if found.kind == FLOAT:
        raise SchemaError(
            f"Schema.encode, user: column {column!r} holds float values. "
            f"Convert it: frame[{column!r}].astype('int64')."
        )
    if found.kind == INTEGER:
        return found.spread(found.values, 0)
    codes: dict[Any, int] = {}
    for value in found.values.tolist():
        if value not in codes:
            codes[value] = _stable_code(str(value))
    per_value = np.array([codes[v] for v in found.values.tolist()], np.int64)
    return found.spread(per_value, 0)


def _stable_code(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
