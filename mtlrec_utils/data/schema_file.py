"""A schema as JSON: exact round trip, atomic write, clear refusals."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from mtlrec_utils.data.columns import SchemaError
from mtlrec_utils.data.encoding import Scaling
from mtlrec_utils.data.features import (
    Categorical,
    Feature,
    Number,
    Sequence,
    Text,
    table_owners,
)
from mtlrec_utils.data.learned import Learned
from mtlrec_utils.data.tasks import Task
from mtlrec_utils.data.vocabulary import Vocabulary
from mtlrec_utils.whole_file import whole_file

FORMAT = "mtlrec_utils.Schema"
VERSION = 1

_KINDS: dict[str, type[Feature]] = {
    "categorical": Categorical,
    "number": Number,
    "sequence": Sequence,
    "text": Text,
}

_T = TypeVar("_T")


def to_dict(
    features: tuple[Feature, ...],
    tasks: tuple[Task, ...],
    learned: Learned | None,
) -> dict[str, Any]:
    """Return the JSON-able form of a schema's parts."""
    stored = None
    if learned is not None:
        stored = {
            "vocabularies": {
                column: vocabulary.to_dict()
                for column, vocabulary in learned.vocabularies.items()
            },
            "scalings": {
                column: asdict(scaling)
                for column, scaling in learned.scalings.items()
            },
        }
    return {
        "format": FORMAT,
        "version": VERSION,
        "features": [
            {"kind": type(feature).__name__.lower(), **asdict(feature)}
            for feature in features
        ],
        "tasks": [asdict(task) for task in tasks],
        "learned": stored,
    }


def from_dict(
    form: Any,
) -> tuple[list[Feature], list[Task], Learned | None]:
    """Undo `to_dict`.

    Raises:
        SchemaError: `form` was not made by `to_dict`.
    """
    if not isinstance(form, dict) or form.get("format") != FORMAT:
        raise SchemaError(
            "This is not a stored schema. Give the file or dictionary that "
            "Schema.save or Schema.to_dict made."
        )
    if form.get("version") != VERSION:
        raise SchemaError(
            f"The stored schema has version {form.get('version')!r}; this "
            f"package reads version {VERSION}. Fit and save it again."
        )
    try:
        features = [_feature(entry) for entry in form["features"]]
        tasks = [Task(**entry) for entry in form["tasks"]]
        learned = form["learned"] and _learned(form["learned"])
    except SchemaError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SchemaError(
            "The stored schema is damaged "
            f"({type(error).__name__}: {error}). Fit and save it again."
        ) from error
    return features, tasks, learned


def _feature(entry: dict[str, Any]) -> Feature:
    options = dict(entry)
    return _KINDS[options.pop("kind")](**options)


def _learned(stored: dict[str, Any]) -> Learned:
    vocabularies = {
        column: Vocabulary.from_dict(entry, column)
        for column, entry in stored["vocabularies"].items()
    }
    scalings = {
        column: _scaling(entry, column)
        for column, entry in stored["scalings"].items()
    }
    return Learned(vocabularies, scalings)


def _scaling(entry: dict[str, Any], column: str) -> Scaling:
    scaling = Scaling(**entry)
    numbers = scaling.center, scaling.scale
    good = all(type(n) is float and math.isfinite(n) for n in numbers)
    if not good or scaling.scale <= 0 or type(scaling.missing) is not bool:
        raise SchemaError(
            f"Column {column!r}: the stored scaling {entry!r} is damaged. "
            "Fit and save the schema again."
        )
    return scaling


def check_learned(features: tuple[Feature, ...], learned: Learned) -> None:
    """Check that every feature, and nothing else, was learned.

    Raises:
        SchemaError: the stored parts do not belong together.
    """
    owners = table_owners(features).values()
    words = {f.column for f in owners if not isinstance(f, Text)}
    numbers = {f.column for f in features if isinstance(f, Number)}
    odd = words ^ set(learned.vocabularies) | numbers ^ set(learned.scalings)
    if odd:
        raise SchemaError(
            "The stored schema is damaged: what it learned does not match "
            f"its features at {sorted(odd)}. Fit and save it again."
        )


def write(form: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write JSON through a temporary file beside `path`.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"Schema.save: there is no folder {os.fspath(target.parent)!r}. "
            "Create it first."
        )
    with whole_file(target) as part, part.open("w", encoding="ascii") as file:
        json.dump(form, file, allow_nan=False, separators=(",", ":"))
        file.write("\n")


def read(
    path: str | os.PathLike[str], build: Callable[[dict[str, Any]], _T]
) -> _T:
    """Read JSON and build a schema of it; errors name the file.

    Raises:
        FileNotFoundError: there is no such file.
        SchemaError: the file is broken or something else.
    """
    try:
        form = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, not UTF-8
        raise SchemaError(
            f"{os.fspath(path)} is not a stored schema ({error}). Fit the "
            "schema and write it again with Schema.save."
        ) from error
    try:
        return build(form)
    except SchemaError as error:
        raise SchemaError(f"{os.fspath(path)}: {error}") from error
