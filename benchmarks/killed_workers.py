"""kill -9 of a worker at random points: is anything lost?

    python -m benchmarks.killed_workers --kills 50 \
        [--save datasets/results/killed_workers.csv]

Two workers train a job; at a random moment one of them is killed, in half of
the attempts during start-up, else soon after a checkpoint, while they train.
All start again, from the last checkpoint, and so on; after the last kill they
may end. The weights must be those of a run on one device that nobody
disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from mtlrec_utils.learning.distributed.launch import Workers

START_UP = 10.0  # seconds in which a worker is killed before it trains
SPAN = 2.0  # seconds after a checkpoint in which it is killed in training


def steps_done(job: Job) -> int:
    """Return the steps of the last checkpoint."""
    state = job.checkpoint().load()
    return 0 if state is None else state.steps


def wait_for_moment(
    job: Job, workers: Workers, phase: str, rng: np.random.Generator
) -> None:
    """Wait until it is time to kill, or until all workers have ended."""
    path = job.checkpoint().path

    def written() -> int:
        return path.stat().st_mtime_ns if path.exists() else 0

    def wait(seconds: float, unless: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not unless():
            time.sleep(0.005)

    def ended() -> bool:
        return all(p.poll() is not None for p in workers.processes)

    if phase == "start-up":
        wait(rng.uniform(0, START_UP), ended)
        return
    first = written()
    wait(600, lambda: ended() or written() != first)
    wait(rng.uniform(0, SPAN), ended)


def killed_run(job: Job, file: Path, kills: int, seed: int) -> pd.DataFrame:
    """Kill workers so many times, then let them end; a row per attempt."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for attempt in range(kills + 1):
        before = steps_done(job)
        victim = int(rng.integers(2))
        phase = "end"
        if attempt < kills:
            phase = "start-up" if rng.integers(2) else "training"
        workers = start_workers(file, "workers", 2)
        began = time.monotonic()
        if phase != "end":
            wait_for_moment(job, workers, phase, rng)
        killed = phase != "end" and workers.processes[victim].poll() is None
        seconds = time.monotonic() - began
        if killed:
            workers.processes[victim].kill()
        with contextlib.suppress(WorkerDiedError):
            workers.wait(timeout=600)
        rows.append(
            {
                "attempt": attempt,
                "phase": phase,
                "killed_worker": victim if killed else -1,
                "after_seconds": round(seconds, 2) if killed else np.nan,
                "steps_before": before,
                "steps_after": steps_done(job),
            }
        )
        print(rows[-1], flush=True)
        if not killed:
            break
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=20_000)
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
        table = killed_run(job, file, options.kills, options.seed)
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
