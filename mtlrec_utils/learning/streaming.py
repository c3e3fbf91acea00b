"""A stream of shards as a ``tf.data`` dataset of whole batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from mtlrec_utils.data.stream import Position, ShardStream
from mtlrec_utils.learning.losses import TaskLosses, label_type, tensors


def batch_dataset(
    stream: ShardStream,
    model: Any,
    start: Position | None = None,
    epochs: int = 1,
) -> tf.data.Dataset:
    """Return the batches of a stream as a dataset, one element per batch.

    Elements are whole batches, so the cost per element (a call of Python
    and a copy) is paid once per batch and not once per row.

    Args:
        stream: of the rows.
        model: whose inputs and tasks are wanted.
        start: where to begin (``ShardStream.batches``).
        epochs: number of the epoch to end before.

    Returns:
        Elements {"inputs": ..., "labels": ..., "masks": ...}: input name
        -> [B, C], task -> [B]. The next batch is read while one is used.
    """
    losses = TaskLosses(model)
    signature = {
        "inputs": {
            x.name: tf.TensorSpec((None, x.shape[1]), x.dtype)
            for x in model.inputs
        },
        "labels": {
            task: tf.TensorSpec([None], label_type(losses.kinds[task]))
            for task in losses.tasks
        },
        "masks": {t: tf.TensorSpec([None], tf.float32) for t in losses.tasks},
    }

    def elements() -> Iterator[dict[str, dict[str, tf.Tensor]]]:
        for _, batch in stream.batches(start, epochs):
            yield tensors(batch, losses)

    return tf.data.Dataset.from_generator(
        elements, output_signature=signature
    ).prefetch(1)
