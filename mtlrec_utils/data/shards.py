"""Parquet shards: rows in many files, written whole, checked when opened."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

PATTERN = "part-{:05d}.parquet"
_DAMAGE = (OSError, EOFError, pa.ArrowException)


class ShardError(ValueError):
    """A shard that cannot be read, or that is not like the others."""


@dataclass(frozen=True)
class Shard:
    """One parquet file.

    Attributes:
        path: where it lies.
        groups: number of rows of each row group.
    """

    path: Path
    groups: tuple[int, ...]


def write_shards(
    rows: pd.DataFrame | Iterable[pd.DataFrame],
    folder: str | os.PathLike[str],
    rows_per_shard: int,
    *,
    rows_per_group: int | None = None,
) -> list[Path]:
    """Write rows to ``folder/part-00000.parquet``, ``part-00001`` and so on.

    The folder appears whole or not at all: the shards are written beside it
    and renamed together. No more than one shard is held in memory.

    Args:
        rows: a frame, or frames of the same columns one after the other.
        folder: must not exist yet, or be empty.
        rows_per_shard: rows of each file; the last may have fewer.
        rows_per_group: rows of each row group, the unit that a reader
            takes; None makes it an eighth of a shard.

    Returns:
        The files, in order.

    Raises:
        ValueError: a size below 1, no rows, a folder that holds something.
        ShardError: a later frame has other columns than the first.
    """
    if rows_per_group is None:
        rows_per_group = max(1, rows_per_shard // 8)
    for name, value in (
        ("rows_per_shard", rows_per_shard),
        ("rows_per_group", rows_per_group),
    ):
        if value < 1:
            raise ValueError(f"{name}={value!r} must be at least 1.")
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not empty. Write shards to a new folder, so that "
            "old and new ones never mix."
        )
    frames = [rows] if isinstance(rows, pd.DataFrame) else rows
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = Path(
        tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.")
    )
    try:
        names = []
        for number, table in enumerate(_tables(frames, rows_per_shard)):
            names.append(PATTERN.format(number))
            pq.write_table(
                table, place / names[-1], row_group_size=rows_per_group
            )
        if not names:
            raise ValueError("write_shards: there are no rows to write.")
        place.chmod(0o755)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        os.replace(place, folder)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return [folder / name for name in names]


def _tables(
    frames: Iterable[pd.DataFrame], rows_per_shard: int
) -> Iterator[pa.Table]:
    """Cut frames anew, into tables of ``rows_per_shard`` rows."""
    held: list[pa.Table] = []
    n_held = 0
    schema = None
    for number, frame in enumerate(frames):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.replace_schema_metadata(None)
        if schema is None:
            schema = table.schema
        elif table.schema != schema:
            raise ShardError(
                f"write_shards: frame {number} differs from the first: "
                f"{difference(schema, table.schema)}. Give all frames the "
                "same columns and types."
            )
        while table.num_rows:
            part = table.slice(0, rows_per_shard - n_held)
            table = table.slice(part.num_rows)
            held.append(part)
            n_held += part.num_rows
            if n_held == rows_per_shard:
                yield pa.concat_tables(held)
                held, n_held = [], 0
    if held:
        yield pa.concat_tables(held)


def open_shards(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Iterable[str],
) -> list[Shard]:
    """Read the footers of all shards and compare them with the first.

    Args:
        source: a folder, whose ``*.parquet`` are taken by name, or files.
        columns: what is going to be read.

    Raises:
        FileNotFoundError: no folder, or no shard in it.
        ShardError: a shard is truncated or damaged, lacks a column, or
            holds it in another type than the first one does.
    """
    if isinstance(source, str | os.PathLike):
        paths = sorted(Path(source).glob("*.parquet"))
        if not paths:
            raise FileNotFoundError(
                f"{source} holds no *.parquet file. write_shards makes them."
            )
    else:
        paths = [Path(path) for path in source]
    wanted = list(dict.fromkeys(columns))
    shards: list[Shard] = []
    first: pa.Schema | None = None
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                footer, schema = file.metadata, file.schema_arrow
        except _DAMAGE as error:
            raise damaged(path, error) from error
        first = first or schema
        _check_columns(path, schema, paths[0], first, wanted)
        groups = tuple(
            footer.row_group(g).num_rows for g in range(footer.num_row_groups)
        )
        shards.append(Shard(path, groups))
    return shards


def _check_columns(
    path: Path,
    schema: pa.Schema,
    first_path: Path,
    first: pa.Schema,
    wanted: Sequence[str],
) -> None:
    for column in wanted:
        if column not in schema.names:
            raise ShardError(
                f"{path.name} has no column {column!r}; it has "
                f"{', '.join(schema.names)}. Write this shard again from "
                "its source, or leave it out."
            )
        here, there = schema.field(column).type, first.field(column).type
        if here != there:
            raise ShardError(
                f"{path.name}: column {column!r} is {here}, but {there} in "
                f"{first_path.name}. Write this shard again with the same "
                "type, or leave it out."
            )


def read_group(shard: Shard, group: int, columns: list[str]) -> pd.DataFrame:
    """Read some columns of one row group.

    Raises:
        ShardError: the data of the group are damaged.
    """
    try:
        # Not memory-mapped: a mapped file counts as resident memory.
        with pq.ParquetFile(shard.path, memory_map=False) as file:
            table = file.read_row_group(
                group, columns=columns, use_threads=False
            )
            return table.to_pandas(self_destruct=True)
    except _DAMAGE as error:
        raise damaged(shard.path, error, f"row group {group} of ") from error


def damaged(path: Path, error: BaseException, what: str = "") -> ShardError:
    """Say that a file is truncated or damaged, and what to do."""
    if isinstance(error, FileNotFoundError):
        return ShardError(f"{path} does not exist. Correct the list of files.")
    return ShardError(
        f"{path.name}: {what}the file is truncated or damaged ("
        f"{' '.join(str(error).split())[:160]}). Write or copy this shard "
        "again, or leave it out."
    )


def difference(first: pa.Schema, other: pa.Schema) -> str:
    """Name the first column in which two tables differ."""
    for field in first:
        if field.name not in other.names:
            return f"it has no column {field.name!r}"
        if other.field(field.name).type != field.type:
            return (
                f"column {field.name!r} is {other.field(field.name).type}, "
                f"not {field.type}"
            )
    more = [name for name in other.names if name not in first.names]
    if more:
        return f"it has a further column {more[0]!r}"
    return "the same columns stand in another order"
