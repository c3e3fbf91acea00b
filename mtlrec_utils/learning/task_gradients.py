"""Each task's own gradient, taken before anything is summed.

Tensors at the cut of a graph (``shared_parameters.py``) hold each task's
gradient of the shared representation; its gradient of a shared weight is
one pass backward from there. An embedding table's gradient stays in the
rows that were looked up: no task ever fills a whole table.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.losses import TaskLosses, masked_mean
from mtlrec_utils.learning.shared_parameters import Cut, SharedParameters

# Gradient at each fork; None where the task does not read it.
AtCut = list[Any]


def forked_losses(
    losses: TaskLosses, shared: SharedParameters, batch: Any, training: bool
) -> tuple[dict[str, Any], list[Any], Cut]:
    """Run a model once, with a copy of every fork for every task.

    Args:
        losses: of the model.
        shared: of ``losses.graph``.
        batch: inputs, labels and masks.
        training: dropout on.

    Returns:
        task -> masked mean loss; the model's penalties; the cut.
    """
    masks = batch["masks"]

    def read(graph: Any) -> tuple[dict[str, Any], list[Any]]:
        forked = copy.copy(losses)
        forked.graph = graph
        rows = forked.per_row(
            batch["inputs"], batch["labels"], masks, training=training
        )
        means = {t: masked_mean(rows[t], masks[t]) for t in rows}
        return means, graph.losses

    (means, penalties), cut = shared.forward(read)
    return means, penalties, cut


def at_the_cut(
    tape: tf.GradientTape,
    losses: Sequence[Any],
    cut: Cut,
    variables: Sequence[Any],
    scale: Any = None,
) -> tuple[list[AtCut], list[Any]]:
    """Go back from the losses to the cut, through each task's own layers.

    Args:
        tape: persistent; recorded the losses.
        losses: one scalar per task, in the order of ``cut.copies``.
        cut: of the same forward pass.
        variables: no two tasks share one of them.
        scale: factor of all gradients in half precision; None without.

    Returns:
        Per task its gradients at the cut; and the gradients of
        ``variables``, None where no loss depends on one.
    """
    copies = [x for own in cut.copies.values() for x in own if x is not None]
    found = tape.gradient(
        list(losses),
        [*variables, *copies],
        output_gradients=None if scale is None else [scale for _ in losses],
    )
    of_copies = iter(found[len(variables) :])
    at_cut = [
        [None if x is None else next(of_copies) for x in own]
        for own in cut.copies.values()
    ]
    return at_cut, found[: len(variables)]


def before_the_cut(
    tape: tf.GradientTape,
    cut: Cut,
    gradients: AtCut,
    variables: Sequence[Any],
) -> list[Any]:
    """Go back from gradients at the cut to shared variables."""
    pairs = [
        (fork, gradient)
        for fork, gradient in zip(cut.forks, gradients, strict=True)
        if gradient is not None
    ]
    if not pairs or not variables:
        return [None for _ in variables]
    forks, given = zip(*pairs, strict=True)
    return tape.gradient(
        list(forks), list(variables), output_gradients=list(given)
    )


def looked_up(shared: SharedParameters, variables: Sequence[Any]) -> list[Any]:
    """Return the variables whose gradient names rows: embedding tables.

    One row of zeros goes through the graph to find out.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(variables))
        _, cut = shared.forward(
            lambda graph: graph(
                {
                    x.name: tf.zeros((1, *x.shape[1:]), x.dtype)
                    for x in graph.inputs
                }
            )
        )
    ones = [tf.ones_like(fork) for fork in cut.forks]
    found = before_the_cut(tape, cut, ones, variables)
    return [
        v
        for v, g in zip(variables, found, strict=True)
        if isinstance(g, tf.IndexedSlices)
    ]


def weighted_sum(at_cut: Sequence[AtCut], weights: Any) -> AtCut:
    """Add up tasks' gradients at the cut, each by its weight, [T]."""
    sums: AtCut = []
    for of_tasks in zip(*at_cut, strict=True):
        terms = [
            tf.cast(weights[t], g.dtype) * g
            for t, g in enumerate(of_tasks)
            if g is not None
        ]
        sums.append(tf.add_n(terms) if terms else None)
    return sums


def times(gradient: Any, factor: Any) -> Any:
    """Multiply a gradient of any form; a factor of None leaves it."""
    if gradient is None or factor is None:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(
            gradient.values * factor, gradient.indices, gradient.dense_shape
        )
    return gradient * factor


def sum_of(a: Any, b: Any) -> Any:
    """Add two gradients of a tensor; slices stay slices if both are."""
    if a is None or b is None:
        return a if b is None else b
    if isinstance(a, tf.IndexedSlices) and isinstance(b, tf.IndexedSlices):
        return tf.IndexedSlices(
            tf.concat([a.values, b.values], 0),
            tf.concat([a.indices, b.indices], 0),
            a.dense_shape,
        )
    return tf.convert_to_tensor(a) + tf.convert_to_tensor(b)


@dataclass(frozen=True)
class Block:
    """The tasks' gradients of one tensor.

    Attributes:
        jacobian: float32 [T, P].
        shape: of the tensor, or of the rows of it that have a gradient.
        rows: int [U], the distinct rows of a table; None for a tensor
            that is not looked up by rows.
        dense_shape: of the whole table.
    """

    jacobian: Any
    shape: Any
    rows: Any = None
    dense_shape: Any = None

    def gradient(self, direction: Any) -> Any:
        """Give a direction, [P], the form of a gradient."""
        values = tf.reshape(direction, self.shape)
        if self.rows is None:
            return values
        return tf.IndexedSlices(values, self.rows, self.dense_shape)


def block(gradients: Sequence[Any], scale: Any = None) -> Block | None:
    """Stack the tasks' gradients of one tensor.

    Args:
        gradients: one per task; None is zero.
        scale: what to divide them by.

    Returns:
        None where no task has a gradient.
    """
    given = [g for g in gradients if g is not None]
    if not given:
        return None
    if any(isinstance(g, tf.IndexedSlices) for g in given):
        return _of_rows(gradients, scale)
    rows = [
        tf.zeros_like(given[0]) if g is None else tf.convert_to_tensor(g)
        for g in gradients
    ]
    stacked = tf.stack([tf.reshape(g, [-1]) for g in rows])
    return Block(_unscaled(stacked, scale), tf.shape(given[0]))


def _of_rows(gradients: Sequence[Any], scale: Any) -> Block:
    """Merge repeated rows of each task; zero where it has no such row."""
    given = [g for g in gradients if g is not None]
    for g in given:
        if not isinstance(g, tf.IndexedSlices):
            raise ValueError(
                "One task looks up rows of a weight that another one reads "
                f"as a whole ({g.shape}); its gradient would fill the table "
                "for every task. Use balance_at='representation', or a copy "
                "of the weight."
            )
    rows, position = tf.unique(tf.concat([g.indices for g in given], 0))
    positions = iter(tf.split(position, [tf.size(g.indices) for g in given]))
    width = given[0].values.shape[1:]
    merged = [
        tf.zeros([tf.size(rows), *width], given[0].dtype)
        if g is None
        else tf.math.unsorted_segment_sum(
            g.values, next(positions), tf.size(rows)
        )
        for g in gradients
    ]
    stacked = tf.stack([tf.reshape(m, [-1]) for m in merged])
    return Block(
        _unscaled(stacked, scale),
        tf.shape(merged[0]),
        rows,
        given[0].dense_shape,
    )


def _unscaled(jacobian: Any, scale: Any) -> Any:
    jacobian = tf.cast(jacobian, tf.float32)
    return jacobian if scale is None else jacobian / scale
