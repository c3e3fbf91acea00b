"""Rows of a request to the inputs of a model, without pandas.

The same numbers as ``Schema.encode``, which a test holds this to. A frame
costs milliseconds to build, whatever its size; a request has a few rows, and
they are looked up one by one here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data.columns import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    STRING,
    SchemaError,
)
from mtlrec_utils.data.encoding import (
    Scaling,
    number_columns,
    token_row,
    tokens,
)
from mtlrec_utils.data.features import Categorical, Number, Sequence, Text
from mtlrec_utils.data.schema import Schema
from mtlrec_utils.data.vocabulary import (
    FIRST_KNOWN,
    PADDING,
    UNKNOWN,
    Vocabulary,
)

_WANTED = {
    STRING: "text",
    INTEGER: "a whole number",
    FLOAT: "a number",
    BOOLEAN: "true or false",
}
_LARGEST = 2**63


class RowError(ValueError):
    """A row does not fit the schema; the message holds no value of it."""


class RowEncoder:
    """Encodes rows by a fitted schema.

    Args:
        schema: fitted.
        longest: entries of a list, or characters of a text, at most.
    """

    def __init__(self, schema: Schema, longest: int = 10_000) -> None:
        self._columns = {f.column for f in schema.features}
        self._longest = longest
        self._ids: list[tuple[str, Callable[[Any], list[int]]]] = []
        self._numbers: list[tuple[Number, Scaling]] = []
        scalings = schema.to_dict()["learned"]["scalings"]
        for feature in schema.features:
            if isinstance(feature, Number):
                scaling = Scaling(**scalings[feature.column])
                self._numbers.append((feature, scaling))
            else:
                self._ids.append(
                    (feature.column, self._encoder(feature, schema))
                )
        self._width = schema.n_id_columns

    def encode(self, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        """Encode rows.

        Args:
            rows: at least one dictionary of column -> value; None is a
                missing value, values unseen in training become unknown.

        Returns:
            {"ids": int32 [N, C], "numbers": float32 [N, M]}.

        Raises:
            RowError: a column is missing, unknown, or of another type.
        """
        for place, row in enumerate(rows):
            if not isinstance(row, dict):
                raise RowError(f"Row {place} is not an object.")
            if row.keys() != self._columns:
                missing = sorted(self._columns - row.keys())
                if missing:
                    raise RowError(f"Row {place} lacks {missing[0]!r}.")
                raise RowError(
                    f"Row {place} has a column that the model does not know."
                )
        flat: list[int] = []
        for place, row in enumerate(rows):
            for column, encode in self._ids:
                try:
                    flat += encode(row[column])
                except RowError as error:
                    raise RowError(
                        f"Row {place}, column {column!r}: {error}"
                    ) from None
        ids = np.array(flat, np.int32).reshape(len(rows), self._width)
        return {"ids": ids, "numbers": self._encode_numbers(rows)}

    def _encode_numbers(self, rows: list[dict[str, Any]]) -> np.ndarray:
        blocks = [np.empty((len(rows), 0), np.float32)]
        for feature, scaling in self._numbers:
            values = [
                _number(row[feature.column], place, feature.column)
                for place, row in enumerate(rows)
            ]
            try:
                block = number_columns(pd.Series(values), feature, scaling)
            except SchemaError:
                raise RowError(
                    f"Column {feature.column!r} holds a number that is too "
                    "large."
                ) from None
            blocks.append(block)
        return np.concatenate(blocks, axis=1)

    def _encoder(
        self, feature: Categorical | Sequence | Text, schema: Schema
    ) -> Callable[[Any], list[int]]:
        if isinstance(feature, Text):
            return lambda value: self._text(value, feature)
        look_up = _look_up(schema.vocabulary(feature.column))
        if isinstance(feature, Categorical):
            return lambda value: [look_up(value)]
        length = feature.length
        return lambda value: self._sequence(value, length, look_up)

    def _text(self, value: Any, feature: Text) -> list[int]:
        if value is None:
            return [PADDING] * feature.length
        if type(value) is not str or len(value) > self._longest:
            raise RowError(f"give text of at most {self._longest} characters.")
        found = [
            token_row(token, feature.buckets)
            for token in tokens(value)[: feature.length]
        ]
        return found + [PADDING] * (feature.length - len(found))

    def _sequence(
        self, value: Any, length: int, look_up: Callable[[Any], int]
    ) -> list[int]:
        if value is None:
            return [PADDING] * length
        if type(value) is not list or len(value) > self._longest:
            raise RowError(f"give a list of at most {self._longest} entries.")
        found = [look_up(entry) for entry in value[-length:]]
        return found + [PADDING] * (length - len(found))


def _look_up(vocabulary: Vocabulary) -> Callable[[Any], int]:
    kind = vocabulary.kind
    known = dict(
        zip(
            vocabulary.values.tolist(),
            range(FIRST_KNOWN, vocabulary.size),
            strict=True,
        )
    )
    types = {
        STRING: (str,),
        INTEGER: (int,),
        FLOAT: (float, int),
        BOOLEAN: (bool,),
    }[kind]

    def row(value: Any) -> int:
        if value is None:
            return UNKNOWN
        if type(value) not in types:
            raise RowError(f"give {_WANTED[kind]}.")
        if kind in (INTEGER, FLOAT) and not -_LARGEST <= value < _LARGEST:
            raise RowError("the number is too large.")
        return known.get(value, UNKNOWN)

    return row


def _number(value: Any, place: int, column: str) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float):
        raise RowError(f"Row {place}, column {column!r}: give a number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RowError(
            f"Row {place}, column {column!r}: the number is too large."
        )
    return number
