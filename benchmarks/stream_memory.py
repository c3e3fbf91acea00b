"""Does the memory of a stream grow with the data?

    python -m benchmarks.stream_memory --gigabytes 0.25 0.5 1 2 \
        [--save datasets/results/stream_memory.csv]

Shards of drawn rows (20 ids, 5 numbers, 2 labels) are written, then one
epoch of encoded batches is read in a process of its own, by
``ShardStream`` alone: no TensorFlow, no model. A gigabyte is 10^9 bytes of
parquet on disk. The resident set is read after every batch.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import streamed_rows
from mtlrec_utils.data import Schema
from mtlrec_utils.data.shards import write_shards
from mtlrec_utils.data.stream import ShardStream
from mtlrec_utils.evidence import write_results


def work(folder: Path, batch: int) -> None:
    """Read one epoch; print what it took."""
    schema = Schema.load(folder / "schema.json")
    stream = ShardStream(folder / "shards", schema, batch, seed=0)
    began, resident = time.perf_counter(), []
    for _ in stream.batches():
        resident.append(streamed_rows.resident_megabytes())
    spent = time.perf_counter() - began
    tenth = len(resident) // 10
    print(
        json.dumps(
            {
                "rows": stream.n_rows,
                "rows_per_second": round(stream.n_rows / spent),
                "first_tenth_megabytes": round(max(resident[:tenth])),
                "last_tenth_megabytes": round(max(resident[-tenth:])),
                "peak_megabytes": round(max(resident)),
            }
        )
    )


def measure(gigabytes: float, batch: int) -> dict[str, float]:
    """Write shards of about this size, and read them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = next(streamed_rows.drawn_frames(streamed_rows.ROWS_PER_SHARD, 0))
        streamed_rows.schema_of(one).save(folder / "schema.json")
        path = write_shards(
            one,
            folder / "one",
            streamed_rows.ROWS_PER_SHARD,
            rows_per_group=streamed_rows.ROWS_PER_GROUP,
        )[0]
        per_row = path.stat().st_size / len(one)
        began = time.perf_counter()
        paths = write_shards(
            streamed_rows.drawn_frames(int(gigabytes * 1e9 / per_row), 0),
            folder / "shards",
            streamed_rows.ROWS_PER_SHARD,
            rows_per_group=streamed_rows.ROWS_PER_GROUP,
        )
        written = time.perf_counter() - began
        command = [sys.executable, "-m", "benchmarks.stream_memory"]
        done = subprocess.run(
            [*command, "--work", name, "--batch", str(batch)],
            capture_output=True,
            text=True,
            check=True,
        )
        size = sum(path.stat().st_size for path in paths)
        return {
            "gigabytes": round(size / 1e9, 3),
            "shards": len(paths),
            **json.loads(done.stdout),
            "seconds_to_write": round(written, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--gigabytes", nargs="+", type=float, default=[0.25, 0.5, 1, 2]
    )
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.batch)
        return
    rows = []
    for gigabytes in options.gigabytes:
        rows.append(measure(gigabytes, options.batch))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    if len(table) > 1:
        slope = np.polyfit(table["gigabytes"], table["peak_megabytes"], 1)[0]
        print(f"{slope:.1f} MB more at the peak for each GB on disk")
    if options.save:
        write_results(
            table,
            options.save,
            seeds=[0],
            command=shlex.join(
                ["python", "-m", "benchmarks.stream_memory", *sys.argv[1:]]
            ),
            machine="2 cores, shared with other work",
        )


if __name__ == "__main__":
    main()
