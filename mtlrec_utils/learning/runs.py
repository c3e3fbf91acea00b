"""One training run: epochs, validation, early stopping, resuming.

Each epoch draws its order of rows and its dropout from (seed, epoch)
alone, so that the same seed gives the same weights, whether the run was
interrupted or not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning import checkpoints
from mtlrec_utils.learning.checkpoints import Checkpoint, State
from mtlrec_utils.learning.checks import check_examples
from mtlrec_utils.learning.divergence import (
    check_losses,
    check_validation,
    check_weights,
)
from mtlrec_utils.learning.history import (
    CONFLICTS,
    TOTAL,
    WEIGHTS,
    History,
    best_epoch,
    epoch_rows,
)
from mtlrec_utils.learning.identity import run_identity
from mtlrec_utils.learning.losses import task_weights
from mtlrec_utils.learning.progress import Progress
from mtlrec_utils.learning.settings import DECAY, Settings
from mtlrec_utils.learning.steps import TrainingProgram

_SCORE_BATCH = 8192  # rows per batch where nothing is learned
_CALL_SECONDS = 0.5  # one call into the compiled loop takes about so long


def run(
    program: TrainingProgram,
    train: Examples,
    validation: Examples | None,
    settings: Settings,
    *,
    rate: float | None,
    shown: bool = False,
    label: str = "training",
    keep_line: bool = True,
    checkpoint: str | Path | None = None,
) -> History:
    """Train by an already compiled program; ``fit`` explains the rest."""
    losses = program.losses
    weights = task_weights(settings.loss_weights, losses.tasks)
    check_examples(losses, train, "train")
    if validation is not None:
        check_examples(losses, validation, "validation")
        if settings.patience is not None:
            _check_judge(validation, weights)
    store = None
    if checkpoint is not None:
        store = Checkpoint(
            checkpoint,
            run_identity(program, train, validation, settings, rate),
        )
    train = _informative(train, losses.tasks)
    if program.balanced is not None:
        program.balanced.reset()
    if program.anchored is not None and settings.anchor is not None:
        program.anchored.start(settings.anchor)
    job = _Run(program, train, validation, settings, rate, weights)
    job.resume(store)
    if job.state.epoch > settings.epochs:
        raise ValueError(
            f"The checkpoint in {checkpoint} is of epoch {job.state.epoch}, "
            f"past epochs={settings.epochs}. Ask for more, or use another "
            "folder."
        )
    steps = job.steps_per_epoch * max(settings.epochs - job.state.epoch, 0)
    with Progress(shown, steps, label, keep_line) as line:
        while not job.finished():
            job.epoch(line)
            if store is not None:
                store.save(job.state)
    return job.result()


def _informative(train: Examples, tasks: Sequence[str]) -> Examples:
    """Leave out rows without a known label: they would only cost steps.

    Rows in which no task has one stay as they are: the loss is then 0.
    """
    known = np.any([train.masks[task] > 0 for task in tasks], axis=0)
    return train if known.all() or not known.any() else train.subset(known)


class _Run:
    """One training run: its data on the device and its state."""

    def __init__(
        self,
        program: TrainingProgram,
        train: Examples,
        validation: Examples | None,
        settings: Settings,
        rate: float | None,
        weights: Mapping[str, float],
    ) -> None:
        self.program, self.settings = program, settings
        self.tasks = program.losses.tasks
        self.rate, self.weights = rate, weights
        self.n_rows = len(train)
        self.steps_per_epoch = -(-self.n_rows // settings.batch_size)
        self.train = program.load(train)
        self.validation = None
        if validation is not None:
            self.validation = program.load(validation)
        self.measured = None
        if settings.conflicts:
            self.measured = program.measured_conflicts(train, settings.seed)
        program.trace(validation is not None)
        self.state = State(0, [], 0, 0.0, [], [], None)

    def resume(self, store: Checkpoint | None) -> None:
        """Go on from a stored state, if there is one."""
        state = None if store is None else store.load()
        if state is not None:
            self.state = state
            checkpoints.assign(self._weights(), state.weights)
            checkpoints.assign(
                self.program.optimizer.variables, state.optimizer
            )
            checkpoints.assign(self._balancing(), state.balancing)
        self.keep_all = store is not None

    def finished(self) -> bool:
        """Tell whether all epochs are done, or patience is at its end."""
        state, patience = self.state, self.settings.patience
        if state.epoch >= self.settings.epochs:
            return True
        if patience is None or not state.epoch:
            return False
        return state.epoch - best_epoch(state.rows) >= patience

    def epoch(self, line: Progress) -> None:
        """Train for one epoch and judge it."""
        state = self.state
        epoch = state.epoch + 1
        began = time.perf_counter()
        means = self._train(epoch, line)
        trained = time.perf_counter()
        check_weights(self.program.model.trainable_variables, epoch)
        rows = epoch_rows(epoch, "train", means, self.weights, trained - began)
        if self.validation is not None:
            sums = self.program.score(self.validation, _SCORE_BATCH)
            check_validation(sums[:, 0], self.tasks, epoch)
            means = self._means(sums)
            seconds = time.perf_counter() - trained
            rows += epoch_rows(
                epoch, "validation", means, self.weights, seconds
            )
        state.rows = state.rows + rows
        self._diagnose(epoch)
        state.epoch, state.steps = epoch, epoch * self.steps_per_epoch
        state.seconds += time.perf_counter() - began
        if self.settings.patience and best_epoch(state.rows) == epoch:
            state.best = checkpoints.to_numpy(self._weights())
        if self.keep_all:
            state.weights = checkpoints.to_numpy(self._weights())
            state.optimizer = checkpoints.to_numpy(
                self.program.optimizer.variables
            )
            state.balancing = checkpoints.to_numpy(self._balancing())
        line.report(
            epoch=f"{epoch}/{self.settings.epochs}",
            **{
                row["part"]: f"{row['loss']:.4f}"
                for row in rows
                if row["task"] == TOTAL
            },
        )

    def result(self) -> History:
        """Leave the right weights in the model and tell the story."""
        state = self.state
        best = best_epoch(state.rows)
        weights_of = state.epoch
        if self.settings.patience is not None and state.best is not None:
            checkpoints.assign(self._weights(), state.best)
            weights_of = best
        table = pd.DataFrame(
            state.rows, columns=["epoch", "part", "task", "loss", "seconds"]
        )
        return History(
            table,
            state.steps,
            state.seconds,
            best,
            weights_of,
            pd.DataFrame(state.weight_rows, columns=WEIGHTS),
            pd.DataFrame(state.conflict_rows, columns=CONFLICTS),
        )

    def _train(self, epoch: int, line: Progress) -> dict[str, float]:
        """Run the steps of one epoch; return each task's mean loss."""
        settings = self.settings
        random = np.random.default_rng([settings.seed, epoch])
        order = random.permutation(self.n_rows)
        rows = tf.constant(order, tf.int32)
        self.program.seed_dropout(settings.seed, epoch)
        sums = np.zeros((len(self.weights), 2))
        given = []  # weights of the balancing method, [steps, T]
        start, length = 0, 8
        while start < self.steps_per_epoch:
            stop = min(start + length, self.steps_per_epoch)
            before = time.perf_counter()
            log = self.program.run(
                self.train,
                rows,
                settings.batch_size,
                range(start, stop),
                self._rates(epoch, start, stop),
                self.weights,
            ).astype(np.float64)
            check_losses(
                log[..., 0], self.tasks, epoch, start, self.steps_per_epoch
            )
            sums[:, 0] += (log[..., 0] * log[..., 1]).sum(axis=0)
            sums[:, 1] += log[..., 1].sum(axis=0)
            given.append(log[..., 2:].sum(axis=2))
            line.advance(stop - start)
            if time.perf_counter() - before < _CALL_SECONDS / 2:
                length *= 2
            start = stop
        means = self._means(sums)
        self._balance(epoch, means, np.concatenate(given))
        return means

    def _balance(
        self, epoch: int, means: Mapping[str, float], weights: np.ndarray
    ) -> None:
        """Tell the balancing method of an epoch; note its mean weights.

        A method without weights has NaN, and so may a step that half
        precision has skipped.
        """
        if self.program.balanced is None:
            return
        self.program.balanced.after_epoch(
            [self.weights[task] * mean for task, mean in means.items()]
        )
        known = weights[np.isfinite(weights).all(axis=1)]
        if len(known):
            self.state.weight_rows = self.state.weight_rows + [
                {"epoch": epoch, "task": task, "weight": float(weight)}
                for task, weight in zip(
                    self.tasks, known.mean(axis=0), strict=True
                )
            ]

    def _diagnose(self, epoch: int) -> None:
        if self.measured is not None:
            self.state.conflict_rows = self.state.conflict_rows + [
                {"epoch": epoch, **row} for row in self.measured(self.weights)
            ]

    def _rates(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Return the learning rate of some steps of an epoch."""
        if self.rate is None:
            return np.zeros(stop - start, np.float32)
        rates = np.full(stop - start, self.rate)
        if self.settings.decay is not None:
            done = np.arange(start, stop) + (epoch - 1) * self.steps_per_epoch
            total = self.settings.epochs * self.steps_per_epoch
            rates *= DECAY[self.settings.decay](done / total)
        return rates

    def _means(self, sums: np.ndarray) -> dict[str, float]:
        """Turn [T, 2] sums and counts into mean losses; NaN for none."""
        return {
            task: float(loss / count) if count else math.nan
            for task, (loss, count) in zip(self.tasks, sums, strict=True)
        }

    def _weights(self) -> list[Any]:
        return self.program.model.weights

    def _balancing(self) -> list[Any]:
        balanced = self.program.balanced
        return [] if balanced is None else list(balanced.state.values())


def _check_judge(validation: Examples, weights: Mapping[str, float]) -> None:
    for task, weight in weights.items():
        if weight and not validation.masks[task].any():
            raise ValueError(
                f"validation has no known label of task {task!r}, so it "
                "cannot judge when to stop. Add rows, or give the task a "
                "loss weight of 0."
            )
