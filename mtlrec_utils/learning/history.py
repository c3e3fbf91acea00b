"""What a training run tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

TOTAL = "total"
WEIGHTS = ["epoch", "task", "weight"]
CONFLICTS = ["epoch", "layer", "task_a", "task_b", "cosine", "norm_ratio"]


@dataclass(frozen=True)
class History:
    """The losses of a training run, epoch by epoch.

    Attributes:
        table: columns epoch (from 1), part ("train", "validation"), task
            (or "total" for the weighted sum), loss (mean over the known
            labels; NaN if there are none) and seconds (of that part of
            the epoch). The loss on training rows is taken while the
            weights move, with dropout on; that on validation rows after
            the epoch, with dropout off.
        steps: updates made in the whole training.
        seconds: spent on training and validation, tracing left out.
        best_epoch: the epoch with the lowest total validation loss, or
            the last one without validation rows.
        weights_of: the epoch whose weights the model has now.
        weights: columns epoch, task and weight: the weight that the
            balancing method gave the task's loss or gradient, its mean
            over the epoch's steps (static loss weights left out). Empty
            for a method without weights.
        conflicts: with ``fit(conflicts=True)``, the columns epoch and
            those of ``gradient_conflicts``, on a fixed sample of training
            rows after each epoch; else empty.
    """

    table: pd.DataFrame
    steps: int
    seconds: float
    best_epoch: int
    weights_of: int
    weights: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=WEIGHTS)
    )
    conflicts: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=CONFLICTS)
    )

    def losses(self, part: str = "train", task: str = TOTAL) -> pd.Series:
        """Return one curve, indexed by epoch.

        Raises:
            ValueError: there is no such part or task.
        """
        rows = self.table.query("part == @part and task == @task")
        if rows.empty:
            parts = list(self.table["part"].unique())
            tasks = list(self.table["task"].unique())
            raise ValueError(
                f"No losses of part {part!r}, task {task!r}. There are "
                f"parts {parts} and tasks {tasks}."
            )
        return rows.set_index("epoch")["loss"]

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False)


def epoch_rows(
    epoch: int,
    part: str,
    means: Mapping[str, float],
    weights: Mapping[str, float],
    seconds: float,
) -> list[dict[str, Any]]:
    """Write one part of an epoch as rows of the history table."""
    losses = {**means, TOTAL: total(means, weights)}
    return [
        {
            "epoch": epoch,
            "part": part,
            "task": task,
            "loss": loss,
            "seconds": seconds,
        }
        for task, loss in losses.items()
    ]


def total(means: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return sum_t w_t L_t over the tasks that have a known label."""
    return float(
        sum(weights[t] * m for t, m in means.items() if not np.isnan(m))
    )


def best_epoch(rows: list[dict[str, Any]]) -> int:
    """Return the epoch of the lowest validation loss, else the last one."""
    scores = {
        row["epoch"]: row["loss"]
        for row in rows
        if row["part"] == "validation" and row["task"] == TOTAL
    }
    if not scores:
        return max((row["epoch"] for row in rows), default=0)
    return min(scores, key=scores.__getitem__)
