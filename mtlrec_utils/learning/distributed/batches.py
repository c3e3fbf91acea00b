"""A batch cut for several devices: equal parts, filled up with masked rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.losses import UNKNOWN_LABEL, TaskLosses

Batch = dict[str, dict[str, np.ndarray]]


def padded(batch: Examples, n_rows: int, losses: TaskLosses) -> Batch:
    """Return a batch as arrays of ``n_rows`` rows.

    Rows that fill it up are 0 everywhere, their masks too, so no loss sees
    them. All steps then have one shape, and one trace.

    Args:
        batch: at most ``n_rows`` rows.
        n_rows: of the result.
        losses: of the model; say which inputs and tasks it needs.
    """
    missing = n_rows - len(batch)

    def filled(array: np.ndarray) -> np.ndarray:
        wide = ((0, missing), *[(0, 0)] * (array.ndim - 1))
        return np.pad(array, wide) if missing else array

    labels, masks = {}, {}
    for task in losses.tasks:
        label, mask = batch.labels[task], batch.masks[task]
        if task in losses.every_row:
            label = np.where(mask > 0, label, UNKNOWN_LABEL)
            mask = np.ones_like(mask)
        kind = "int32" if losses.kinds[task] == "multiclass" else "float32"
        labels[task] = filled(label).astype(kind)
        masks[task] = filled(mask).astype("float32")
    inputs = {name: filled(batch.inputs[name]) for name in losses.inputs}
    return {"inputs": inputs, "labels": labels, "masks": masks}


def part(batch: Any, number: int, parts: int) -> Any:
    """Return part ``number`` of a padded batch cut into equal parts."""
    size = len(next(iter(batch["masks"].values()))) // parts
    cut = slice(number * size, (number + 1) * size)
    return {
        kind: {name: array[cut] for name, array in arrays.items()}
        for kind, arrays in batch.items()
    }
