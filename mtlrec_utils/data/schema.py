"""From a frame to tensors: features, tasks and what was learned of them.

A schema is fitted on training rows only and then encodes any frame:

>>> schema = Schema(
...     features=[Categorical("user"), Categorical("item"), Number("price")],
...     tasks=[Task("click"), Task("like", sample_space="click")],
... ).fit(train)                                        # doctest: +SKIP
>>> examples = schema.encode(test, user="user")         # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data import schema_file
from mtlrec_utils.data.columns import (
    FLOAT,
    INTEGER,
    SchemaError,
    check_frame,
    column_of,
    read_values,
)
from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.features import (
    Categorical,
    Feature,
    IdFeature,
    Number,
    Scaling,
    Sequence,
    Text,
    fit_scaling,
    number_columns,
    sequence_entries,
    sequence_rows,
    text_rows,
)
from mtlrec_utils.data.schema_rules import check_schema
from mtlrec_utils.data.tasks import Task, read_labels
from mtlrec_utils.data.vocabulary import (
    FIRST_KNOWN,
    PADDING,
    UNKNOWN,
    Vocabulary,
)

__all__ = [
    "PADDING",
    "UNKNOWN",
    "Categorical",
    "IdColumns",
    "Number",
    "Schema",
    "SchemaError",
    "Sequence",
    "Task",
    "Text",
]


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


def _owner(feature: IdFeature) -> str:
    """The column whose table a feature reads."""
    if isinstance(feature, Text):
        return feature.column
    return feature.vocabulary_of or feature.column


class Schema:
    """Named features and tasks, and how to turn a frame into `Examples`.

    Ids are row numbers *per field*: 0 is unknown, 1 is padding, known
    values follow in sorted order. Features that share a vocabulary share
    the field.

    Args:
        features: at least one of Categorical, Number, Sequence, Text.
        tasks: any number of `Task`.

    Raises:
        SchemaError: features or tasks repeat or contradict each other, or
            a label (or sample space) is listed as a feature.
    """

    def __init__(
        self, features: Iterable[Feature], tasks: Iterable[Task] = ()
    ):
        self.features = tuple(features)
        self.tasks = tuple(tasks)
        check_schema(self.features, self.tasks)
        self._vocabularies: dict[str, Vocabulary] | None = None
        self._scalings: dict[str, Scaling] = {}

    # -- what models need to know ---------------------------------------

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` was called."""
        return self._vocabularies is not None

    @property
    def id_columns(self) -> tuple[IdColumns, ...]:
        """The id features in order, with their columns and fields."""
        owners = list(self._field_owners)
        found, start = [], 0
        for feature in self._id_features:
            stop = start + feature.width
            found.append(
                IdColumns(
                    name=feature.column,
                    start=start,
                    stop=stop,
                    field=owners.index(_owner(feature)),
                    pooled=not isinstance(feature, Categorical),
                )
            )
            start = stop
        return tuple(found)

    @property
    def field_sizes(self) -> tuple[int, ...]:
        """Rows of each field's table, unknown and padding included."""
        vocabularies = self._fitted("field_sizes")
        return tuple(
            owner.buckets + FIRST_KNOWN
            if isinstance(owner, Text)
            else vocabularies[owner.column].size
            for owner in self._field_owners.values()
        )

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the columns of the number matrix."""
        self._fitted("number_names")
        names: list[str] = []
        for feature in self._number_features:
            names.append(feature.column)
            if self._scalings[feature.column].missing:
                names.append(f"{feature.column}_missing")
        return tuple(names)

    @property
    def n_id_columns(self) -> int:
        """Width C of the id matrix."""
        return sum(feature.width for feature in self._id_features)

    @property
    def n_numbers(self) -> int:
        """Width M of the number matrix."""
        return len(self.number_names)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return tuple(task.name for task in self.tasks)

    def task(self, name: str) -> Task:
        """Return the task called `name`."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise SchemaError(
            f"No task is called {name!r}. The schema has "
            f"{', '.join(self.task_names) or 'no tasks'}."
        )

    def vocabulary(self, column: str) -> Vocabulary:
        """Return the vocabulary that a feature uses (its own or shared)."""
        vocabularies = self._fitted("vocabulary")
        for feature in self._id_features:
            if feature.column == column and _owner(feature) in vocabularies:
                return vocabularies[_owner(feature)]
        raise SchemaError(
            f"Column {column!r} has no vocabulary: only Categorical and "
            "Sequence features learn one."
        )

    @property
    def _id_features(self) -> tuple[IdFeature, ...]:
        return tuple(f for f in self.features if not isinstance(f, Number))

    @property
    def _number_features(self) -> tuple[Number, ...]:
        return tuple(f for f in self.features if isinstance(f, Number))

    @property
    def _field_owners(self) -> dict[str, IdFeature]:
        """The features that own a table, in order of appearance."""
        return {
            f.column: f for f in self._id_features if _owner(f) == f.column
        }

    def _fitted(self, what: str) -> dict[str, Vocabulary]:
        if self._vocabularies is None:
            raise SchemaError(
                f"Schema.{what} needs a fitted schema. Call "
                "schema.fit(train) first, with training rows only."
            )
        return self._vocabularies

    # -- learning and encoding ------------------------------------------

    def fit(self, train: pd.DataFrame) -> Schema:
        """Learn vocabularies and scales from training rows.

        Labels are checked too, so that a wrong one shows here and not in
        the middle of a training run.

        Args:
            train: training rows only; anything else leaks the future.

        Returns:
            The schema itself, fitted. Nothing changes when it raises.

        Raises:
            SchemaError: the frame does not fit the schema.
        """
        check_frame(train, "Schema.fit")
        vocabularies: dict[str, Vocabulary] = {}
        scalings: dict[str, Scaling] = {}
        for feature in self.features:
            series = column_of(train, feature.column, "Schema.fit")
            if isinstance(feature, Number):
                scalings[feature.column] = fit_scaling(series, feature)
            elif isinstance(feature, Text):
                text_rows(series.head(1), feature)
            elif _owner(feature) == feature.column:
                if isinstance(feature, Sequence):
                    found = sequence_entries(series, feature)[1]
                else:
                    found = read_values(series, feature.column)
                vocabularies[feature.column] = Vocabulary.fit(
                    found, feature.column, feature.min_count
                )
        for task in self.tasks:
            read_labels(task, train)
        self._vocabularies, self._scalings = vocabularies, scalings
        return self

    def encode(
        self,
        frame: pd.DataFrame,
        *,
        user: str | None = None,
        labels: bool = True,
    ) -> Examples:
        """Turn a frame into `Examples`, row by row in the frame's order.

        Args:
            frame: any rows; values unseen at `fit` become unknown.
            user: column that groups rows (for per-user metrics and
                intervals): integers are kept, text becomes a 64-bit code
                that is the same for the same text in every frame.
            labels: False for rows to predict, which have no labels yet.

        Raises:
            SchemaError: the schema is not fitted, or the frame does not
                fit it.
        """
        vocabularies = self._fitted("encode")
        check_frame(frame, "Schema.encode")
        ids = np.empty((len(frame), self.n_id_columns), np.int32)
        for feature, place in zip(
            self._id_features, self.id_columns, strict=True
        ):
            series = column_of(frame, feature.column, "Schema.encode")
            block = ids[:, place.start : place.stop]
            if isinstance(feature, Text):
                block[:] = text_rows(series, feature)
            elif isinstance(feature, Sequence):
                vocabulary = vocabularies[_owner(feature)]
                block[:] = sequence_rows(series, feature, vocabulary)
            else:
                vocabulary = vocabularies[_owner(feature)]
                found = read_values(series, feature.column)
                block[:, 0] = vocabulary.rows(found, feature.column)
        return Examples(
            ids=ids,
            numbers=self._numbers(frame),
            **self._labels(frame if labels else None),
            users=None if user is None else user_codes(frame, user),
            rows=np.arange(len(frame), dtype=np.int64),
        )

    def _numbers(self, frame: pd.DataFrame) -> np.ndarray:
        blocks = [np.empty((len(frame), 0), np.float32)]
        for feature in self._number_features:
            series = column_of(frame, feature.column, "Schema.encode")
            scaling = self._scalings[feature.column]
            blocks.append(number_columns(series, feature, scaling))
        return np.concatenate(blocks, axis=1)

    def _labels(
        self, frame: pd.DataFrame | None
    ) -> dict[str, dict[str, np.ndarray]]:
        labels: dict[str, np.ndarray] = {}
        masks: dict[str, np.ndarray] = {}
        if frame is not None:
            for task in self.tasks:
                labels[task.name], masks[task.name] = read_labels(task, frame)
        return {"labels": labels, "masks": masks}

    # -- derived schemas, display, storage ------------------------------

    def with_tasks(self, names: Iterable[str]) -> Schema:
        """Return a schema with only the named tasks, in the given order.

        It shares what this one learned, so its ids mean the same.
        """
        if isinstance(names, str):
            names = [names]
        chosen = Schema(self.features, [self.task(name) for name in names])
        chosen._vocabularies = self._vocabularies
        chosen._scalings = self._scalings
        return chosen

    def describe(self) -> pd.DataFrame:
        """Tabulate the features.

        Returns:
            One row per feature: feature, kind, size (rows of its table,
            unknown and padding included; 0 for a number) and columns
            (how many it takes in the id or number matrix).
        """
        sizes = self.field_sizes
        places = {place.name: place for place in self.id_columns}
        records: list[dict[str, Any]] = []
        for feature in self.features:
            if isinstance(feature, Number):
                size = 0
                columns = 1 + self._scalings[feature.column].missing
            else:
                size = sizes[places[feature.column].field]
                columns = feature.width
            records.append(
                {
                    "feature": feature.column,
                    "kind": type(feature).__name__.lower(),
                    "size": size,
                    "columns": columns,
                }
            )
        return pd.DataFrame.from_records(records)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        state = "fitted" if self.is_fitted else "not fitted"
        features = ", ".join(repr(f) for f in self.features)
        tasks = ", ".join(self.task_names) or "none"
        return f"Schema([{features}]; tasks: {tasks}; {state})"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form; `from_dict` gives an equal schema."""
        return schema_file.to_dict(
            self.features, self.tasks, self._vocabularies, self._scalings
        )

    @classmethod
    def from_dict(cls, form: dict[str, Any]) -> Schema:
        """Undo `to_dict`.

        Raises:
            SchemaError: `form` was not made by `to_dict`.
        """
        features, tasks, vocabularies, scalings = schema_file.from_dict(form)
        schema = cls(features, tasks)
        if vocabularies is not None:
            schema_file.check_learned(
                [f.column for f in schema._field_owners.values()
                 if not isinstance(f, Text)],
                [f.column for f in schema._number_features],
                vocabularies,
                scalings,
            )
        schema._vocabularies, schema._scalings = vocabularies, scalings
        return schema

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the schema as JSON, whole or not at all."""
        schema_file.write(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Schema:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            SchemaError: the file is broken or something else.
        """
        return schema_file.read(path, cls.from_dict)


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
