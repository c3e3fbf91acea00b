"""Small tables of results that say where they come from.

A table carries its seeds, date, command and library versions. In a CSV file
these stand in front, one ``# key: value`` line each (the value as JSON); in a
parquet file they are part of its schema.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mtlrec_utils.evidence.metrics import higher_is_better
from mtlrec_utils.evidence.verdicts import verdict
from mtlrec_utils.whole_file import whole_file

_LIBRARIES = ("tensorflow", "keras", "numpy", "scipy", "pandas")
_REQUIRED = ("seeds", "date", "command", "versions")
_KEY = b"mtlrec_results"
# From pandas 3.1 on, numbers are read exactly and the option is deprecated.
_OLD_PANDAS = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)
_EXACT: dict[str, Any] = (
    {"float_precision": "round_trip"} if _OLD_PANDAS else {}
)


class ResultTable(NamedTuple):
    """A table and its metadata: seeds, date, command, versions, and more."""

    frame: pd.DataFrame
    metadata: dict[str, Any]


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries of the course."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def write_results(
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    seeds: Sequence[int],
    command: str,
    date: str | None = None,
    versions: Mapping[str, str] | None = None,
    **notes: Any,
) -> Path:
    """Write a result table; the file appears whole or not at all.

    Args:
        frame: The table; its index is not written.
        path: ``.csv`` or ``.parquet``.
        seeds: Seeds that were run.
        command: What to type to make the table again, for example
            ``"make evidence"``.
        date: ISO date of the run; today (UTC) if None.
        versions: Library -> version; the installed ones if None.
        notes: More metadata; anything JSON can hold.

    Raises:
        ValueError: Empty table, unknown file type, no seeds or command,
            a verdict that its interval does not bear out, or metadata that
            JSON cannot hold.
    """
    path = Path(path)
    if frame.empty:
        raise ValueError("the table is empty; there is nothing to keep.")
    if not command.strip() or len(seeds) == 0:
        raise ValueError(
            "seeds and command must be given: without them nobody can make "
            "the table again."
        )
    wrong = verdict_disagreements(frame)
    if wrong:
        raise ValueError("; ".join(wrong))
    metadata = {
        "seeds": [int(seed) for seed in seeds],
        "date": date or datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command,
        "versions": dict(versions or library_versions()),
        **notes,
    }
    try:
        encoded = {
            key: json.dumps(v, allow_nan=False) for key, v in metadata.items()
        }
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a note cannot be kept ({error}); use numbers, strings, lists "
            "and dictionaries."
        ) from None
    if path.suffix == ".csv":
        header = "".join(f"# {k}: {v}\n" for k, v in encoded.items())
        content = header + frame.to_csv(index=False, lineterminator="\n")
        with whole_file(path) as part:
            part.write_bytes(content.encode("utf-8"))
    elif path.suffix == ".parquet":
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), _KEY: json.dumps(metadata)}
        )
        with whole_file(path) as part:
            pq.write_table(table, part)
    else:
        raise ValueError(f"{path.name}: write a .csv or a .parquet file.")
    return path


def read_results(path: str | os.PathLike[str]) -> ResultTable:
    """Read a table of ``write_results``.

    Raises:
        ValueError: The file has no metadata, or lacks a required entry.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        stored = (table.schema.metadata or {}).get(_KEY)
        metadata = json.loads(stored) if stored else {}
        frame = table.to_pandas()
    else:
        metadata, n_lines = _csv_header(path)
        frame = pd.read_csv(path, skiprows=n_lines, **_EXACT)
    missing = [key for key in _REQUIRED if key not in metadata]
    if missing:
        raise ValueError(
            f"{path.name} does not say its {', '.join(missing)}; write it "
            "with write_results."
        )
    return ResultTable(frame, metadata)


def _csv_header(path: Path) -> tuple[dict[str, Any], int]:
    metadata: dict[str, Any] = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file):
            if not line.startswith("# "):
                break
            key, colon, value = line[2:].partition(": ")
            try:
                metadata[key] = json.loads(value)
            except json.JSONDecodeError:
                raise ValueError(
                    f"{path.name}, line {number + 1}: not '# key: JSON'; "
                    "write the table with write_results."
                ) from None
    return metadata, len(metadata)


def verdict_disagreements(frame: pd.DataFrame) -> list[str]:
    """Rows whose verdict word is not the one of their interval.

    Looks at tables with the columns verdict, low, high and either metric or
    higher_is_better; any other table has nothing to disagree about.

    Returns:
        One message per wrong row; empty when all agree.
    """
    if not {"verdict", "low", "high"} <= set(frame.columns):
        return []
    messages = []
    for place, row in enumerate(frame.to_dict("records")):
        if "higher_is_better" in row:
            upward = bool(row["higher_is_better"])
        elif "metric" in row:
            upward = higher_is_better(row["metric"])
        else:
            return []
        word = verdict(row["low"], row["high"], upward)
        if word != row["verdict"]:
            messages.append(
                f"row {place} says {row['verdict']!r}, but its interval "
                f"[{row['low']:g}, {row['high']:g}] says {word!r}"
            )
    return messages
