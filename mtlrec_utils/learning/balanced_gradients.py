"""What each weight of a model gets under a balancing method.

* A weight that tasks share: the method's direction. A method that weighs
  losses gives the sum of the tasks' gradients by its weights.
* A weight of one task's own: that task's gradient (times its weight, if
  the method weighs losses).

At the parameters, a method that makes weights from a Gram matrix looks at
the dense shared weights. A table gets the sum of the tasks' gradients by
the same weights, in one more pass backward: exact, and no task fills a
table. A method that changes single entries also looks at the rows of the
batch, merged by id.

At the representation, methods look at the gradients of the forks (see
``shared_parameters.py``), with a column per row of the batch and unit;
what they make of them goes back in one pass to all shared weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtlrec_utils.learning.balancing.method import (
    Balancing,
    GramBalancing,
    State,
    gram_matrix,
)
from mtlrec_utils.learning.shared_parameters import Cut
from mtlrec_utils.learning.task_gradients import (
    AtCut,
    Block,
    before_the_cut,
    block,
    times,
    weighted_sum,
)


@dataclass(frozen=True)
class Batch:
    """One forward pass, and the way back to the cut.

    Attributes:
        tape: persistent; recorded the pass.
        cut: its tensors at the cut.
        at_cut: per task its gradients there, times ``scale``.
        losses: float32 [T], as the method sees them.
        complete: bool; every task has a known label. Where one has none,
            a method with a Gram matrix is not asked: its zero row would
            stop MGDA, for one. The tasks' gradients are added up.
        scale: of gradients in half precision; None without.
        variables: what tasks share.
        tables: those of them whose gradient names rows.
    """

    tape: tf.GradientTape
    cut: Cut
    at_cut: list[AtCut]
    losses: Any
    complete: Any
    scale: Any
    variables: Sequence[Any]
    tables: Sequence[Any]

    @property
    def n_tasks(self) -> int:
        """T."""
        return len(self.at_cut)

    def back(self, gradients: AtCut, variables: Sequence[Any]) -> list[Any]:
        """Take gradients from the cut to shared variables."""
        return before_the_cut(self.tape, self.cut, gradients, variables)

    def norms(self, variables: Sequence[Any]) -> Any:
        """Return each task's gradient norm over some weights, [T]."""
        blocks = _blocks(
            [self.back(g, variables) for g in self.at_cut], self.scale
        )
        squares = [
            tf.reduce_sum(tf.square(b.jacobian), axis=1)
            for b in blocks
            if b is not None
        ]
        return tf.sqrt(tf.add_n(squares))


# Gradients of the shared variables, weights [T] (None for a method that
# has none), and what the method remembers.
Found = tuple[list[Any], Any, State]


def directions(
    method: Balancing, batch: Batch, at: str, state: State
) -> Found:
    """Let a gradient method choose what the shared variables get."""
    if isinstance(method, GramBalancing):
        if at == "representation":
            return _weighed_representation(method, batch, state)
        return _weighed_parameters(method, batch, state)
    if at == "representation":
        return _combined_representation(method, batch, state)
    return _combined_parameters(method, batch, state)


def _weighed_representation(
    method: GramBalancing, batch: Batch, state: State
) -> Found:
    blocks = _blocks(batch.at_cut, batch.scale)
    weights, state = _weights(method, blocks, batch, state)
    sums = weighted_sum(batch.at_cut, weights)
    return batch.back(sums, batch.variables), weights, state


def _weighed_parameters(
    method: GramBalancing, batch: Batch, state: State
) -> Found:
    tables = {id(v) for v in batch.tables}
    # A model that shares nothing but tables is judged by their rows.
    dense = [v for v in batch.variables if id(v) not in tables]
    looked_at = dense or batch.variables
    blocks = _blocks(
        [batch.back(g, looked_at) for g in batch.at_cut], batch.scale
    )
    weights, state = _weights(method, blocks, batch, state)
    found = _times(weights, blocks, batch)
    if dense and tables:
        sums = weighted_sum(batch.at_cut, weights)
        of_tables = iter(batch.back(sums, batch.tables))
        of_dense = iter(found)
        found = [
            next(of_tables if id(v) in tables else of_dense)
            for v in batch.variables
        ]
    return found, weights, state


def _combined_representation(method: Any, batch: Batch, state: State) -> Found:
    blocks = _blocks(batch.at_cut, batch.scale)
    found, state = _combined(method, blocks, batch, state)
    at_cut = [
        None if g is None else tf.cast(g, fork.dtype)
        for g, fork in zip(found, batch.cut.forks, strict=True)
    ]
    return batch.back(at_cut, batch.variables), None, state


def _combined_parameters(method: Any, batch: Batch, state: State) -> Found:
    per_task = [batch.back(g, batch.variables) for g in batch.at_cut]
    blocks = _blocks(per_task, batch.scale)
    found, state = _combined(method, blocks, batch, state)
    return found, None, state


def _blocks(per_task: Sequence[AtCut], scale: Any) -> list[Block | None]:
    return [block(g, scale) for g in zip(*per_task, strict=True)]


def _weights(
    method: GramBalancing,
    blocks: Sequence[Block | None],
    batch: Batch,
    state: State,
) -> tuple[Any, State]:
    gram = gram_matrix([b.jacobian for b in blocks if b is not None])
    weights, new = method.weights(gram, batch.losses, state)
    weights = tf.cast(weights, tf.float32)
    # Where a task is missing there is nothing to balance it against.
    kept = {n: tf.where(batch.complete, new[n], state[n]) for n in new}
    return tf.where(batch.complete, weights, tf.ones_like(weights)), kept


def _times(
    weights: Any, blocks: Sequence[Block | None], batch: Batch
) -> list[Any]:
    """Return w^T J as gradients."""
    return [
        None
        if b is None
        else b.gradient(
            times(tf.linalg.matvec(b.jacobian, weights, True), batch.scale)
        )
        for b in blocks
    ]


def _combined(
    method: Any, blocks: Sequence[Block | None], batch: Batch, state: State
) -> tuple[list[Any], State]:
    """Return the method's direction as gradients, in full precision."""
    nothing = tf.zeros([batch.n_tasks, 1])
    jacobian = [nothing if b is None else b.jacobian for b in blocks]
    found, state = method.combine(jacobian, batch.losses, state)
    gradients = [
        None if b is None else b.gradient(times(direction, batch.scale))
        for b, direction in zip(blocks, found, strict=True)
    ]
    return gradients, state
