"""kill -9 of a worker at random points: is anything lost?

    python -m benchmarks.killed_workers --seconds 180 \
        [--save datasets/results/killed_workers.csv]

Two workers train a job; at a random moment, counted from their start, one
of them is killed. All start again, from the last checkpoint, and so on
until the time is up; then they may end. The weights must be those of a run
on one device that nobody disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import streamed_rows
from mtlrec_utils.evidence import write_results
from mtlrec_utils.learning.distributed import (
    Job,
    TensorFlowSteps,
    WorkerDiedError,
    largest_difference,
    start_workers,
    train,
)


def steps_done(job: Job) -> int:
    """Return the steps of the last checkpoint."""
    state = job.checkpoint().load()
    return 0 if state is None else state.steps


def killed_run(
    job: Job, file: Path, seconds: float, longest: float, seed: int
) -> pd.DataFrame:
    """Kill workers until the time is up; one row per attempt."""
    rng = np.random.default_rng(seed)
    end, rows = time.monotonic() + seconds, []
    while True:
        before = steps_done(job)
        workers = start_workers(file, "workers", 2)
        start = time.monotonic()
        victim, moment = int(rng.integers(2)), rng.uniform(0, longest)
        last = start + moment > end
        while not last and time.monotonic() < start + moment:
            if all(p.poll() is not None for p in workers.processes):
                break
            time.sleep(0.02)
        killed = not last and workers.processes[victim].poll() is None
        if killed:
            workers.processes[victim].kill()
        with contextlib.suppress(WorkerDiedError):
            workers.wait(timeout=600)
        rows.append(
            {
                "attempt": len(rows),
                "killed_worker": victim if killed else -1,
                "after_seconds": round(moment, 2) if killed else np.nan,
                "steps_before": before,
                "steps_after": steps_done(job),
            }
        )
        print(rows[-1], flush=True)
        if not killed:
            return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--longest", type=float, default=60)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    batch = 64
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        streamed_rows.prepare(folder, batch * options.steps)
        job = Job(
            shards=str(folder / "shards"),
            schema=str(folder / "schema.json"),
            output=str(folder / "killed"),
            arguments={
                "embedding_dimension": 2,
                "bottom_units": [16],
                "tower_units": [],
            },
            batch_size=batch,
            checkpoint_every=50,
        )
        file = job.save(folder / "job.json")
        table = killed_run(
            job, file, options.seconds, options.longest, options.seed
        )
        alone = replace(job, output=str(folder / "alone"))
        train(alone, TensorFlowSteps(alone))
        difference = largest_difference(job, alone)
    kills = int((table["killed_worker"] >= 0).sum())
    print(f"{kills} kills; largest difference of a weight {difference:.2e}")
    if options.save:
        write_results(
            table.assign(largest_difference=difference),
            options.save,
            seeds=[options.seed],
            command=shlex.join(
                ["python", "-m", "benchmarks.killed_workers", *sys.argv[1:]]
            ),
            machine="2 cores, shared with other work",
        )


if __name__ == "__main__":
    main()
