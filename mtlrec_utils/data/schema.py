"""From a frame to tensors: features, tasks and what was learned of them.

A schema is fitted on training rows only and then encodes any frame:

>>> schema = Schema(
...     features=[Categorical("user"), Categorical("item"), Number("price")],
...     tasks=[Task("click"), Task("like", sample_space="click")],
... ).fit(train)                                        # doctest: +SKIP
>>> examples = schema.encode(test, user="user")         # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data import schema_file
from mtlrec_utils.data.columns import SchemaError, check_frame
from mtlrec_utils.data.encoding import user_codes
from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.features import (
    Categorical,
    Feature,
    IdColumns,
    Number,
    Sequence,
    Text,
    lay_out,
    table_of,
    table_owners,
)
from mtlrec_utils.data.learned import Learned, learn
from mtlrec_utils.data.schema_rules import check_schema
from mtlrec_utils.data.tasks import Task, fit_task, read_labels
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
    "Vocabulary",
]


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
        self._learned: Learned | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` was called."""
        return self._learned is not None

    @property
    def id_columns(self) -> tuple[IdColumns, ...]:
        """The id features in order, with their columns and fields."""
        return lay_out(self.features)

    @property
    def field_sizes(self) -> tuple[int, ...]:
        """Rows of each field's table, unknown and padding included."""
        learned = self._fitted("field_sizes")
        return tuple(
            owner.buckets + FIRST_KNOWN
            if isinstance(owner, Text)
            else learned.vocabularies[owner.column].size
            for owner in table_owners(self.features).values()
        )

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the columns of the number matrix."""
        return self._fitted("number_names").number_names(self.features)

    @property
    def n_id_columns(self) -> int:
        """Width C of the id matrix."""
        return max((place.stop for place in self.id_columns), default=0)

    @property
    def n_numbers(self) -> int:
        """Width M of the number matrix."""
        return len(self.number_names)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return tuple(task.name for task in self.tasks)

    def task(self, name: str) -> Task:
        """Return the task called `name`.

        Raises:
            SchemaError: there is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise SchemaError(
            f"No task is called {name!r}. The schema has "
            f"{', '.join(self.task_names) or 'no tasks'}."
        )

    def vocabulary(self, column: str) -> Vocabulary:
        """Return the vocabulary that a feature uses (its own or shared).

        Raises:
            SchemaError: the column has none, or the schema is not fitted.
        """
        vocabularies = self._fitted("vocabulary").vocabularies
        for feature in self.features:
            if feature.column == column and not isinstance(
                feature, Number | Text
            ):
                return vocabularies[table_of(feature)]
        raise SchemaError(
            f"Column {column!r} has no vocabulary: only Categorical and "
            "Sequence features of this schema learn one."
        )

    def _fitted(self, what: str) -> Learned:
        if self._learned is None:
            raise SchemaError(
                f"Schema.{what} needs a fitted schema. Call "
                "schema.fit(train) first, with training rows only."
            )
        return self._learned

    def fit(self, train: pd.DataFrame) -> Schema:
        """Learn vocabularies and scales, of labels too, from training rows.

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
        learned = learn(self.features, train)
        tasks = tuple(fit_task(task, train) for task in self.tasks)
        self._learned, self.tasks = learned, tasks
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
        learned = self._fitted("encode")
        check_frame(frame, "Schema.encode")
        known = {
            task.name: read_labels(task, frame)
            for task in (self.tasks if labels else ())
        }
        return Examples(
            ids=learned.ids(self.features, frame),
            numbers=learned.numbers(self.features, frame),
            labels={name: pair[0] for name, pair in known.items()},
            masks={name: pair[1] for name, pair in known.items()},
            users=None if user is None else user_codes(frame, user),
            rows=np.arange(len(frame), dtype=np.int64),
        )

    def with_tasks(self, names: Iterable[str]) -> Schema:
        """Return a schema with only the named tasks, in the given order.

        It shares what this one learned, so its ids mean the same.
        """
        if isinstance(names, str):
            names = [names]
        chosen = Schema(self.features, [self.task(name) for name in names])
        chosen._learned = self._learned
        return chosen

    def describe(self) -> pd.DataFrame:
        """Tabulate the features.

        Returns:
            One row per feature: feature, kind, size (rows of its table,
            unknown and padding included; 0 for a number) and columns
            (how many it takes in the id or number matrix).
        """
        learned, sizes = self._fitted("describe"), self.field_sizes
        places = {place.name: place for place in self.id_columns}
        records: list[tuple[str, str, int, int]] = []
        for feature in self.features:
            if isinstance(feature, Number):
                columns = 1 + learned.scalings[feature.column].missing
                size = 0
            else:
                columns = feature.width
                size = sizes[places[feature.column].field]
            kind = type(feature).__name__.lower()
            records.append((feature.column, kind, size, columns))
        return pd.DataFrame(
            records, columns=["feature", "kind", "size", "columns"]
        )

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
        return schema_file.to_dict(self.features, self.tasks, self._learned)

    @classmethod
    def from_dict(cls, form: dict[str, Any]) -> Schema:
        """Undo `to_dict`.

        Raises:
            SchemaError: `form` was not made by `to_dict`.
        """
        features, tasks, learned = schema_file.from_dict(form)
        schema = cls(features, tasks)
        if learned is not None:
            schema_file.check_learned(schema.features, learned)
        schema._learned = learned
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
