"""The rows of the other benchmarks as shards, a schema and a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import data
from mtlrec_utils.data import Categorical, Number, Schema, Task
from mtlrec_utils.data.shards import write_shards

ROWS_PER_SHARD = 262_144
ROWS_PER_GROUP = 32_768


def frame_of(table: data.Table) -> pd.DataFrame:
    """Return a planted table as raw columns, labels included."""
    labels = {
        task: table.labels[:, k].astype("int8")
        for k, task in enumerate(data.TASKS)
    }
    return pd.DataFrame({**table.columns(slice(None)), **labels})


def schema_of(frame: pd.DataFrame) -> Schema:
    """Fit the schema of such a frame."""
    return Schema(
        [*map(Categorical, data.FIELDS), *map(Number, data.NUMBERS)],
        [Task(task) for task in data.TASKS],
    ).fit(frame)


def drawn_frames(n_rows: int, seed: int) -> Iterator[pd.DataFrame]:
    """Draw rows without a planted model, a shard's worth at a time."""
    rng = np.random.default_rng(seed)
    sizes = data.field_sizes()
    for first in range(0, n_rows, ROWS_PER_SHARD):
        n = min(ROWS_PER_SHARD, n_rows - first)
        columns = {
            name: rng.integers(size, size=n, dtype="int32")
            for name, size in zip(data.FIELDS, sizes, strict=True)
        }
        for name in data.NUMBERS:
            columns[name] = rng.standard_normal(n, dtype="float32")
        for task in data.TASKS:
            columns[task] = (rng.random(n) < 0.2).astype("int8")
        yield pd.DataFrame(columns)


def prepare(folder: Path, n_rows: int, seed: int = 0) -> Schema:
    """Write shards of a planted table and its schema into a folder."""
    frame = frame_of(data.generate(n_rows, n_rows, seed))
    schema = schema_of(frame)
    schema.save(folder / "schema.json")
    write_shards(
        frame,
        folder / "shards",
        ROWS_PER_SHARD,
        rows_per_group=ROWS_PER_GROUP,
    )
    return schema


def resident_megabytes(kind: str = "VmRSS") -> float:
    """Return this process's resident memory, or its peak ("VmHWM")."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) / 1024
    raise RuntimeError("This benchmark reads /proc: it needs Linux.")
