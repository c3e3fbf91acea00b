"""How far tasks' gradients agree, layer by layer.

A cosine of 1: what helps one task helps the other. Below 0 the tasks are
in conflict: a small step against one gradient raises the other's loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.balancing.method import gram_matrix
from mtlrec_utils.learning.checks import check_examples
from mtlrec_utils.learning.losses import (
    TaskLosses,
    task_weights,
    tensors,
)
from mtlrec_utils.learning.shared_parameters import SharedParameters
from mtlrec_utils.learning.task_gradients import (
    at_the_cut,
    before_the_cut,
    block,
    forked_losses,
    looked_up,
)

ROWS = 4096
DENSE, EVERY = "all dense", "all"

Measure = Callable[[Mapping[str, float]], list[dict[str, Any]]]


def gradient_conflicts(
    model: Any,
    examples: Examples,
    *,
    loss_weights: Mapping[str, float] | None = None,
    rows: int = ROWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare the tasks' gradients of the weights that they share.

    The gradients are of the tasks' mean losses over one batch, dropout
    off.

    Args:
        model: functional, with one named output per task, two or more.
        examples: rows with labels of every task.
        loss_weights: task -> weight of its loss (changes norm ratios).
        rows: size of the batch; of more examples, so many are drawn.
        seed: of the draw.

    Returns:
        One row per layer and pair of tasks. Columns: layer (the shared
        layers by name; then "all dense", every shared weight but
        embedding tables, and "all"), task_a, task_b, cosine (in [-1, 1];
        NaN if a gradient is 0) and norm_ratio (norm of task_a's gradient
        over that of task_b's).

    Raises:
        ValueError: fewer than two tasks, nothing shared, or examples that
            do not fit the model.
    """
    losses = TaskLosses(model)
    check_examples(losses, examples, "examples")
    weights = task_weights(loss_weights, losses.tasks)
    measure = Conflicts(model, losses).on(examples, seed, rows)
    return pd.DataFrame(measure(weights))


class Conflicts:
    """Gradient conflicts of one model, traced once.

    Args:
        model: the model.
        losses: its ``TaskLosses``.

    Raises:
        ValueError: fewer than two tasks, or nothing that they share.
    """

    def __init__(self, model: Any, losses: TaskLosses) -> None:
        self._losses = losses
        self._shared = SharedParameters(losses.graph)
        if len(losses.tasks) < 2 or not self._shared.variables:
            raise ValueError(
                f"Model {model.name!r} has no trainable layer that two "
                "tasks share: there are no conflicts to measure. Use a "
                "model of two tasks or more that shares, such as "
                "shared_bottom."
            )
        self._variables = [v.value for v in self._shared.variables]
        tables = {id(v) for v in looked_up(self._shared, self._variables)}
        self._dense = [id(v) not in tables for v in self._variables]
        layers = {
            id(v): layer.name
            for layer in reversed(self._shared.layers)
            for v in layer.trainable_variables
        }
        self._layers = [layers[id(v)] for v in self._shared.variables]
        self._grams = tf.function(
            self._gram_matrices, autograph=False, jit_compile=False
        )

    def on(self, examples: Examples, seed: int, rows: int = ROWS) -> Measure:
        """Return a function of the loss weights that measures again."""
        if len(examples) > rows:
            random = np.random.default_rng([seed, rows])
            chosen = random.choice(len(examples), rows, replace=False)
            examples = examples.subset(np.sort(chosen))
        data = tensors(examples, self._losses)

        def measure(weights: Mapping[str, float]) -> list[dict[str, Any]]:
            given = {t: tf.constant(weights[t], tf.float32) for t in weights}
            return self._rows(self._grams(data, given).numpy())

        return measure

    def _gram_matrices(self, data: Any, weights: Any) -> Any:
        """Return inner products, float64 [V, T, T], per shared variable."""
        with tf.GradientTape(
            persistent=True, watch_accessed_variables=False
        ) as tape:
            tape.watch(self._variables)
            found, _, cut = forked_losses(
                self._losses, self._shared, data, training=False
            )
            losses = [weights[t] * found[t] for t in found]
        at_cut, _ = at_the_cut(tape, losses, cut, [])
        per_task = [
            before_the_cut(tape, cut, g, self._variables) for g in at_cut
        ]
        blocks = [block(g) for g in zip(*per_task, strict=True)]
        nothing = tf.zeros([len(losses)] * 2, tf.float64)
        return tf.stack(
            [
                nothing if b is None else gram_matrix([b.jacobian])
                for b in blocks
            ]
        )

    def _rows(self, grams: np.ndarray) -> list[dict[str, Any]]:
        sums: dict[str, np.ndarray] = {}
        for layer, gram in zip(self._layers, grams, strict=True):
            sums[layer] = sums.get(layer, 0) + gram
        if any(self._dense):
            sums[DENSE] = grams[self._dense].sum(axis=0)
        sums[EVERY] = grams.sum(axis=0)
        tasks = self._losses.tasks
        return [
            {
                "layer": layer,
                "task_a": tasks[a],
                "task_b": tasks[b],
                **_compared(gram, a, b),
            }
            for layer, gram in sums.items()
            for a, b in combinations(range(len(tasks)), 2)
        ]


def _compared(gram: np.ndarray, a: int, b: int) -> dict[str, float]:
    norm_a, norm_b = np.sqrt(gram[a, a]), np.sqrt(gram[b, b])
    both = norm_a * norm_b
    return {
        "cosine": float(np.clip(gram[a, b] / both, -1, 1)) if both else np.nan,
        "norm_ratio": float(norm_a / norm_b) if norm_b else np.nan,
    }
