"""The training function: read, step, keep; the same wherever it runs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.stream import Position
from mtlrec_utils.learning.checkpoints import State
from mtlrec_utils.learning.distributed.job import Job

SUMMARY = "summary.json"


class Steps(Protocol):
    """What carries out a step: TensorFlow or JAX, on any devices."""

    devices: int
    is_chief: bool
    model: Any

    def step(self, batch: Examples) -> dict[str, float]:
        """Train on one batch; return the mean loss of each task."""

    def state(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return weights and optimizer variables."""

    def restore(
        self, weights: list[np.ndarray], optimizer: list[np.ndarray]
    ) -> None:
        """Put a state back."""


@dataclass(frozen=True)
class Summary:
    """What a run did; ``summary.json`` in the job's output folder.

    Attributes:
        steps: updates of the whole job.
        resumed_at: steps that a checkpoint had already done.
        devices: in step with each other.
        rows_per_second: of the steps after the first two of this process,
            reading and checkpoints included; NaN if there are none.
        step_seconds: median time of those steps, reading left out.
        processor_seconds: the same in seconds that this process computed:
            waiting for others, or for a busy machine, does not count.
        losses: task -> mean loss over the last epoch's steps that this
            process ran.
    """

    steps: int
    resumed_at: int
    devices: int
    rows_per_second: float
    step_seconds: float
    processor_seconds: float
    losses: dict[str, float]


def train(job: Job, steps: Steps) -> Summary:
    """Train a job, from its last checkpoint if there is one.

    Every process of the job calls this with its own ``steps``; each reads
    the whole stream and takes its part of every batch. Only the chief
    writes.

    Raises:
        CheckpointError: the output folder holds another job.
        ShardError: a shard is damaged.
        FloatingPointError: a loss became NaN or infinite. The checkpoint
            is left as it was.
    """
    stream, checkpoint = job.stream(), job.checkpoint()
    stored = checkpoint.load()
    resumed = 0
    if stored is not None:
        resumed = stored.steps
        steps.restore(stored.weights, stored.optimizer)
    done, n_rows, warm = resumed, 0, time.perf_counter()
    losses: list[dict[str, float]] = []
    spent: list[tuple[float, float]] = []
    epoch = 0
    place = stream.position(resumed)
    for after, batch in stream.batches(place, job.epochs):
        if place.epoch != epoch:
            losses, epoch = [], place.epoch
        start = time.perf_counter(), time.process_time()
        losses.append(steps.step(batch))
        end = time.perf_counter(), time.process_time()
        spent.append((end[0] - start[0], end[1] - start[1]))
        place = after
        done += 1
        if not np.isfinite(list(losses[-1].values())).all():
            raise FloatingPointError(
                f"Step {done}: the losses are {losses[-1]}. Lower the "
                "learning rate; the last checkpoint is unharmed."
            )
        if done == resumed + 2:  # tracing is over
            warm, n_rows = time.perf_counter(), 0
        elif done > resumed + 2:
            n_rows += len(batch)
        if done % job.checkpoint_every == 0:
            _keep(checkpoint, steps, after, done)
    seconds = time.perf_counter() - warm
    if done > resumed:
        _keep(checkpoint, steps, place, done)
    medians = [float("nan")] * 2
    if n_rows:
        medians = np.median(spent[2:], axis=0).tolist()
    tasks = losses[0] if losses else {}
    summary = Summary(
        steps=done,
        resumed_at=resumed,
        devices=steps.devices,
        rows_per_second=n_rows / seconds if n_rows else float("nan"),
        step_seconds=medians[0],
        processor_seconds=medians[1],
        losses={t: float(np.mean([x[t] for x in losses])) for t in tasks},
    )
    if steps.is_chief:
        _write(summary, Path(job.output) / SUMMARY)
    return summary


def save_start(job: Job, steps: Steps) -> None:
    """Keep the state of ``steps`` as where a job begins.

    Back ends draw other initial weights from the same seed; a job that
    begins here begins with these, wherever it runs.
    """
    _keep(job.checkpoint(), steps, Position(), 0)


def _keep(checkpoint: Any, steps: Steps, place: Position, done: int) -> None:
    if steps.is_chief:
        weights, optimizer = steps.state()
        checkpoint.save(
            State(place.epoch, [], done, 0.0, weights, optimizer, None)
        )


def _write(summary: Summary, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(json.dumps(asdict(summary)), "utf-8")
    os.replace(new, path)


def largest_difference(one: Job, other: Job) -> float:
    """Return how far the weights of two jobs' checkpoints are apart.

    Raises:
        ValueError: a job has no checkpoint yet, or the models differ.
    """
    states = [job.checkpoint().load() for job in (one, other)]
    for job, state in zip((one, other), states, strict=True):
        if state is None:
            raise ValueError(
                f"{job.output} holds no checkpoint; train the job first."
            )
    pairs = zip(*(s.weights for s in states if s is not None), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def read_summary(job: Job) -> Summary:
    """Read what the chief wrote at the end."""
    text = (Path(job.output) / SUMMARY).read_text("utf-8")
    return Summary(**json.loads(text))
