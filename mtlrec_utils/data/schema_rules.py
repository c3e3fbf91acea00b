"""What a schema may not say: repeats, leaks, dangling vocabularies."""

from __future__ import annotations

from collections import Counter

from mtlrec_utils.data.columns import SchemaError
from mtlrec_utils.data.features import (
    Categorical,
    Feature,
    Number,
    Sequence,
    Text,
)
from mtlrec_utils.data.tasks import Task


def check_schema(
    features: tuple[Feature, ...], tasks: tuple[Task, ...]
) -> None:
    """Check features and tasks against each other.

    Raises:
        SchemaError: see the functions below.
    """
    _check_types(features, tasks)
    _check_repeats(features, tasks)
    _check_leaks(features, tasks)
    _check_vocabularies(features)


def _check_types(
    features: tuple[Feature, ...], tasks: tuple[Task, ...]
) -> None:
    if not features:
        raise SchemaError(
            "A schema needs at least one feature: Categorical, Number, "
            "Sequence or Text."
        )
    for feature in features:
        if not isinstance(feature, Feature):
            raise SchemaError(
                f"{feature!r} is no feature. Write Categorical({feature!r}) "
                "or Number(...), Sequence(...), Text(...)."
            )
    for task in tasks:
        if not isinstance(task, Task):
            raise SchemaError(
                f"{task!r} is no task. Write Task({task!r}, kind=...)."
            )


def _check_repeats(
    features: tuple[Feature, ...], tasks: tuple[Task, ...]
) -> None:
    columns = Counter(feature.column for feature in features)
    for column, count in columns.items():
        if count > 1:
            raise SchemaError(
                f"Duplicate feature: column {column!r} is listed {count} "
                "times. Keep one; to read a column in two ways, copy it "
                "under a second name."
            )
    for feature in features:
        indicator = f"{feature.column}_missing"
        if isinstance(feature, Number) and indicator in columns:
            raise SchemaError(
                f"Column {indicator!r} has the name of the indicator that "
                f"Number({feature.column!r}) may add. Rename the column."
            )
    names = Counter(task.name for task in tasks)
    for name, count in names.items():
        if count > 1:
            raise SchemaError(
                f"Duplicate task: {name!r} is listed {count} times. Give "
                "each task its own name; two tasks may share a column "
                "through label=..."
            )


def _check_leaks(
    features: tuple[Feature, ...], tasks: tuple[Task, ...]
) -> None:
    columns = {feature.column for feature in features}
    for task in tasks:
        if task.label_column in columns:
            raise SchemaError(
                f"Column {task.label_column!r} is the label of task "
                f"{task.name!r} and also a feature: a model would read the "
                "answer. Remove it from the features."
            )
        if task.sample_space in columns:
            raise SchemaError(
                f"Column {task.sample_space!r} is the sample space of task "
                f"{task.name!r} and also a feature: it is not known before "
                "the row was shown. Remove it from the features."
            )


def _check_vocabularies(features: tuple[Feature, ...]) -> None:
    by_column = {feature.column: feature for feature in features}
    for feature in features:
        if not isinstance(feature, Categorical | Sequence):
            continue
        target = feature.vocabulary_of
        if target is None:
            continue
        owner = by_column.get(target)
        if owner is None or isinstance(owner, Number | Text):
            raise SchemaError(
                f"Column {feature.column!r}: vocabulary_of={target!r} names "
                "no Categorical or Sequence feature of this schema. Add "
                "one, or leave vocabulary_of out."
            )
        if owner.vocabulary_of is not None:
            raise SchemaError(
                f"Column {feature.column!r}: {target!r} itself borrows the "
                f"vocabulary of {owner.vocabulary_of!r}. Name that column."
            )
