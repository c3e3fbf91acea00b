"""Stop a training run that has left the finite numbers, and say where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_REMEDIES = (
    "Try a lower learning_rate, optimizer=RowSparseAdam(..., clipnorm=1.0), "
    "or a regression label on a smaller scale. The model's weights are "
    "spoilt: build it anew."
)


class TrainingDiverged(ValueError):  # noqa: N818
    """A loss or a weight became NaN or infinite.

    Attributes:
        epoch: in which epoch, from 1.
        step: at which step of the whole training, from 1; None when the
            weights were found broken after an epoch.
        task: whose loss; None when it is not one task's.
    """

    def __init__(
        self, message: str, epoch: int, step: int | None, task: str | None
    ) -> None:
        super().__init__(message)
        self.epoch, self.step, self.task = epoch, step, task


def check_losses(
    losses: np.ndarray,
    tasks: Sequence[str],
    epoch: int,
    first: int,
    per_epoch: int,
) -> None:
    """Check the losses of consecutive steps, [steps, T].

    Args:
        losses: masked means.
        tasks: the T tasks.
        epoch: of the steps, from 1.
        first: number of the first of them within the epoch, from 0.
        per_epoch: steps of an epoch.

    Raises:
        TrainingDiverged: one is NaN or infinite.
    """
    bad = np.argwhere(~np.isfinite(losses))
    if not len(bad):
        return
    row, column = bad[0]
    step = (epoch - 1) * per_epoch + first + int(row) + 1
    raise TrainingDiverged(
        f"The loss of task {tasks[column]!r} became {losses[row, column]} in "
        f"epoch {epoch}, step {step} (of {per_epoch} per epoch). " + _REMEDIES,
        epoch,
        step,
        tasks[column],
    )


def check_validation(
    losses: np.ndarray, tasks: Sequence[str], epoch: int
) -> None:
    """Check the validation losses after an epoch, [T].

    Raises:
        TrainingDiverged: one is NaN or infinite.
    """
    for task, loss in zip(tasks, losses, strict=True):
        if not np.isfinite(loss):
            raise TrainingDiverged(
                f"The validation loss of task {task!r} is {loss} after epoch "
                f"{epoch}. " + _REMEDIES,
                epoch,
                None,
                task,
            )


def check_weights(variables: Iterable[Any], epoch: int) -> None:
    """Check the weights after an epoch: its last step may have spoilt them.

    Raises:
        TrainingDiverged: one is NaN or infinite.
    """
    for variable in variables:
        if not bool(tf.reduce_all(tf.math.is_finite(variable.value))):
            raise TrainingDiverged(
                f"Weight {variable.path!r} holds NaN or infinity after "
                f"epoch {epoch}. " + _REMEDIES,
                epoch,
                None,
                None,
            )
