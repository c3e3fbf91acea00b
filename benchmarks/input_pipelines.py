"""Three ways to feed rows: speed and memory, and why one is slow.

    python -m benchmarks.input_pipelines [--rows 65536] \
        [--save datasets/results/input_pipelines.csv]

Each pipeline runs in a process of its own and is only emptied: no model
trains. They take turns, a round each. "per row" is the pipeline of most
tutorials; its variants change one thing each. Memory is the largest
resident set while rows flow, and what the process had before its data.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import data, streamed_rows
from mtlrec_utils.evidence import write_results

PER_ROW = tuple(f"per row, {k} columns" for k in (1, 5, 15, 25))
PIPELINES = (
    *PER_ROW,
    "per row, 25 columns, no shuffle",
    "per row, 2 matrices",
    "whole batches",
    "streamed shards",
)
BUFFER = 50_000


def pipeline(
    name: str, folder: Path, batch: int
) -> Callable[[], Iterator[Any]]:
    """Load what a pipeline needs; return what starts an epoch of it."""
    import tensorflow as tf

    from mtlrec_utils.data import Schema
    from mtlrec_utils.data.stream import ShardStream
    from mtlrec_utils.learning.losses import TaskLosses, tensors
    from mtlrec_utils.learning.streaming import batch_dataset
    from mtlrec_utils.models import shared_bottom

    def quiet(dataset: Any) -> Any:
        options = tf.data.Options()
        options.autotune.enabled = False
        return iter(dataset.prefetch(1).with_options(options))

    schema = Schema.load(folder / "schema.json")
    model = shared_bottom(
        schema, embedding_dimension=1, bottom_units=(1,), tower_units=()
    )
    if name == "streamed shards":
        stream = ShardStream(folder / "shards", schema, batch, seed=0)
        return lambda: quiet(batch_dataset(stream, model))
    frame = pd.concat(
        pd.read_parquet(path) for path in sorted(folder.glob("shards/*"))
    )
    if name == "whole batches":
        rows, losses = schema.encode(frame), TaskLosses(model)
        return lambda: (tensors(b, losses) for b in rows.batches(batch, 0))
    labels = {task: frame[task].to_numpy() for task in data.TASKS}
    if name == "per row, 2 matrices":
        rows = schema.encode(frame)
        inputs: Any = dict(rows.inputs)
    else:
        count = int(name.split()[2])
        chosen = (*data.FIELDS, *data.NUMBERS)[-count:]
        inputs = {c: frame[c].to_numpy() for c in chosen}
    slices = tf.data.Dataset.from_tensor_slices((inputs, labels))
    if "no shuffle" not in name:
        slices = slices.shuffle(BUFFER, seed=0)
    return lambda: quiet(slices.batch(batch))


def work(name: str, folder: Path, batch: int) -> None:
    """Empty one epoch for every line of input; print what it took."""
    import tensorflow as tf

    tf.constant(0)
    before = streamed_rows.resident_megabytes()
    start_epoch = pipeline(name, folder, batch)
    for _ in sys.stdin:
        began, peak, n_rows = time.perf_counter(), 0.0, 0
        for element in start_epoch():
            n_rows += len(tf.nest.flatten(element)[0])
            peak = max(peak, streamed_rows.resident_megabytes())
        spent = time.perf_counter() - began
        print(json.dumps([n_rows, spent, before, peak]), flush=True)


def measure(options: argparse.Namespace, folder: Path) -> pd.DataFrame:
    """Run all pipelines in turns."""
    command = [sys.executable, "-m", "benchmarks.input_pipelines"]
    found: dict[str, list[list[float]]] = {}
    for name in PIPELINES:
        worker = subprocess.Popen(
            [*command, "--batch", str(options.batch), "--work", name]
            + ["--folder", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        out, _ = worker.communicate("go\n" * (options.rounds + 1))
        found[name] = [json.loads(line) for line in out.splitlines()][1:]
        print(name, found[name][-1], flush=True)
    rows = []
    for name, rounds in found.items():
        n, spent, before, peak = np.array(rounds).T
        rows.append(
            {
                "pipeline": name,
                "rows_per_second": round(float(np.median(n / spent))),
                "slowest": round(float((n / spent).min())),
                "fastest": round(float((n / spent).max())),
                "before_megabytes": round(float(before[0])),
                "peak_megabytes": round(float(peak.max())),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.folder, options.batch)
        return
    with tempfile.TemporaryDirectory() as name:
        streamed_rows.prepare(Path(name), options.rows)
        table = measure(options, Path(name))
    print(table.to_string(index=False))
    if options.save:
        write_results(
            table,
            options.save,
            seeds=[0],
            command=shlex.join(
                ["python", "-m", "benchmarks.input_pipelines", *sys.argv[1:]]
            ),
            rows=options.rows,
            machine="2 cores, shared with other work",
        )


if __name__ == "__main__":
    main()
