"""One and two workers: rows per second, efficiency, bytes on the wire.

    python -m benchmarks.scaling [--save datasets/results/scaling.csv]

Every worker is a process on a core of its own. Step times are medians over
the steps of a run, by the clock and in processor seconds; waiting for the
other worker, or for a busy machine, counts in the first only. Bytes are
those of the loopback interface from the first checkpoint to the end, per
step. Other traffic counts too; on Linux

    unshare -n sh -c "ip link set lo up; python -m benchmarks.scaling"

gives the benchmark an interface of its own.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import streamed_rows
from mtlrec_utils.data import Schema
from mtlrec_utils.data.stream import ShardStream
from mtlrec_utils.evidence import read_results, scale_plan, write_results
from mtlrec_utils.learning.distributed import (
    Job,
    Summary,
    read_summary,
    start_workers,
)

DIMENSION = 16
ARGUMENTS = {
    "embedding_dimension": DIMENSION,
    "bottom_units": [256, 128],
    "tower_units": [64],
}


def loopback_bytes() -> int:
    """Return what the loopback interface has sent so far."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[8])
    raise RuntimeError("This benchmark reads /proc: it needs Linux.")


def run(
    folder: Path, workers: int, batch: int, n_rows: int
) -> tuple[Summary, float]:
    """Run one job; return its summary and the bytes of a step."""
    steps = n_rows // batch
    with tempfile.TemporaryDirectory(dir=folder) as output:
        job = Job(
            shards=str(folder / "shards"),
            schema=str(folder / "schema.json"),
            output=output,
            arguments=ARGUMENTS,
            batch_size=batch,
            checkpoint_every=max(1, steps // 4),
        )
        started = start_workers(
            job.save(Path(output) / "job.json"), "workers", workers
        )
        cores = sorted(os.sched_getaffinity(0))
        for k, process in enumerate(started.processes):
            os.sched_setaffinity(process.pid, {cores[k % len(cores)]})
        while not (Path(output) / "training.npz").exists():
            if any(p.poll() is not None for p in started.processes):
                break
            time.sleep(0.002)
        before = loopback_bytes()
        started.wait(timeout=600)
        counted = loopback_bytes() - before
        done = max(1, steps // 4)
        return read_summary(job), counted / (steps - done)


def all_ids(folder: Path) -> np.ndarray:
    """Return the encoded ids of all rows."""
    schema = Schema.load(folder / "schema.json")
    stream = ShardStream(folder / "shards", schema, 8192)
    return np.concatenate([batch.ids for _, batch in stream.batches()])


def dense_values(folder: Path) -> int:
    """Count the trained values outside the table."""
    from mtlrec_utils.models import shared_bottom

    model = shared_bottom(Schema.load(folder / "schema.json"), **ARGUMENTS)
    return sum(
        int(np.prod(v.shape))
        for v in model.trainable_variables
        if not v.path.endswith("embedding/table")
    )


def measure(options: argparse.Namespace, folder: Path) -> pd.DataFrame:
    """Run all settings, one worker first; one row each, kept as it comes."""
    dense = dense_values(folder)
    alone: dict[int, Summary] = {}
    rows = []
    settings = [(1, size) for size in options.batches]
    settings += [(2, size) for size in options.pairs]
    for workers, size in settings:
        summary, counted = run(folder, workers, workers * size, options.rows)
        rows.append(_row(workers, size, summary))
        if workers == 1:
            alone[size] = summary
        else:
            distinct, expected = scale_plan.distinct_rows(
                all_ids(folder), size
            )
            formula = 2 * (
                scale_plan.ring_bytes(dense, 2)
                + scale_plan.gathered_bytes(expected, DIMENSION, 2)
            )
            one = alone[size]
            rows[-1] |= {
                "bytes_per_step": round(counted),
                "formula_bytes": round(formula),
                "distinct_rows": round(distinct),
                "expected_rows": round(expected),
                "efficiency": round(
                    one.step_seconds / summary.step_seconds, 3
                ),
                "processor_efficiency": round(
                    one.processor_seconds / summary.processor_seconds, 3
                ),
            }
        print(rows[-1], flush=True)
        table = pd.DataFrame(rows).assign(
            dense_values=dense, dimension=DIMENSION
        )
        if options.save:
            write(table, options)
    return table


def write(table: pd.DataFrame, options: argparse.Namespace) -> None:
    """Store the rows measured so far, after those of an earlier run."""
    if options.append is not None:
        table = pd.concat([options.append, table], ignore_index=True)
    write_results(
        table,
        options.save,
        seeds=[0],
        command=shlex.join(
            ["python", "-m", "benchmarks.scaling", *sys.argv[1:]]
        ),
        rows=options.rows,
        machine="2 virtual cores, shared with other work; one per worker",
    )


def _row(workers: int, per_worker: int, summary: Summary) -> dict[str, Any]:
    return {
        "workers": workers,
        "batch_per_worker": per_worker,
        "step_seconds": round(summary.step_seconds, 5),
        "processor_seconds": round(summary.processor_seconds, 5),
        "rows_per_second": round(workers * per_worker / summary.step_seconds),
        "with_reading": round(summary.rows_per_second),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[512, 2048, 4096]
    )
    parser.add_argument(
        "--pairs",
        type=int,
        nargs="+",
        default=[4096, 512],
        help="the batches that two workers run as well",
    )
    parser.add_argument("--save", type=Path)
    parser.add_argument(
        "--append",
        action="store_true",
        help="keep the rows that the file has, and measure more",
    )
    options = parser.parse_args()
    options.append = (
        read_results(options.save).frame if options.append else None
    )
    with tempfile.TemporaryDirectory() as name:
        streamed_rows.prepare(Path(name), options.rows)
        table = measure(options, Path(name))
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
