"""The training function: read, step, keep; the same wherever it runs."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.stream import Position
from mtlrec_utils.learning.checkpoints import State
from mtlrec_utils.learning.distributed.job import Job
from mtlrec_utils.whole_file import whole_file

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
    """What a run has done; ``summary.json`` in the job's output folder.

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


class _Record:
    """What a process has done so far."""

    def __init__(self, resumed_at: int, devices: int) -> None:
        self.resumed_at = resumed_at
        self.devices = devices
        self.begin = time.perf_counter()
        self.epoch = 0
        self.losses: list[dict[str, float]] = []
        self.rows: list[int] = []
        self.seconds: list[tuple[float, float]] = []

    def run(self, steps: Steps, batch: Examples, epoch: int) -> None:
        """Train on one batch."""
        if epoch != self.epoch:
            self.losses, self.epoch = [], epoch
        if len(self.rows) == 2:  # tracing is over
            self.begin = time.perf_counter()
        start = time.perf_counter(), time.process_time()
        self.losses.append(steps.step(batch))
        end = time.perf_counter(), time.process_time()
        self.seconds.append((end[0] - start[0], end[1] - start[1]))
        self.rows.append(len(batch))
        if not np.isfinite(list(self.losses[-1].values())).all():
            raise FloatingPointError(
                f"Step {self.steps}: the losses are {self.losses[-1]}. Lower "
                "the learning rate; the last checkpoint is unharmed."
            )

    @property
    def steps(self) -> int:
        return self.resumed_at + len(self.rows)

    def summary(self) -> Summary:
        clock = processor = pace = float("nan")
        if len(self.rows) > 2:
            clock, processor = np.median(self.seconds[2:], axis=0).tolist()
            pace = sum(self.rows[2:]) / (time.perf_counter() - self.begin)
        tasks = self.losses[0] if self.losses else {}
        return Summary(
            steps=self.steps,
            resumed_at=self.resumed_at,
            devices=self.devices,
            rows_per_second=pace,
            step_seconds=clock,
            processor_seconds=processor,
            losses={
                task: float(np.mean([loss[task] for loss in self.losses]))
                for task in tasks
            },
        )


def train(job: Job, steps: Steps) -> Summary:
    """Train a job, from its last checkpoint if there is one.

    Every process of the job calls this with its own ``steps``; each reads
    the whole stream and takes its part of every batch. Only the chief
    writes: the state and a summary so far, at each checkpoint.

    Raises:
        CheckpointError: the output folder holds another job.
        ShardError: a shard is damaged.
        FloatingPointError: a loss became NaN or infinite. The checkpoint
            is left as it was.
    """
    stream, checkpoint = job.stream(), job.checkpoint()
    stored = checkpoint.load()
    if stored is not None:
        steps.restore(stored.weights, stored.optimizer)
    record = _Record(stored.steps if stored else 0, steps.devices)
    place = stream.position(record.steps)
    kept = record.steps
    for after, batch in stream.batches(place, job.epochs):
        record.run(steps, batch, place.epoch)
        place = after
        if record.steps % job.checkpoint_every == 0:
            _keep(checkpoint, steps, place, record.steps)
            _write(record.summary(), job, steps)
            kept = record.steps
    if record.steps > kept:
        _keep(checkpoint, steps, place, record.steps)
    _write(record.summary(), job, steps)
    return record.summary()


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


def _write(summary: Summary, job: Job, steps: Steps) -> None:
    if not steps.is_chief:
        return
    with whole_file(Path(job.output) / SUMMARY) as part:
        part.write_text(json.dumps(asdict(summary)), "utf-8")


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
    """Read what the chief wrote at its last checkpoint, or at the end."""
    text = (Path(job.output) / SUMMARY).read_text("utf-8")
    return Summary(**json.loads(text))
