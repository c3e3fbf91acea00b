"""The training loop as one TensorFlow function, traced once per model.

The function takes the data, the order of the rows, the batch size, the
learning rates and the loss weights as arguments. Epochs, seeds and data
sets of other lengths therefore run the same trace, and one call runs many
steps. XLA stays off: on a CPU it halves the speed of table updates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mtlrec_utils.learning.anchors import L2SP, AnchoredWeights
from mtlrec_utils.learning.balanced_steps import BalancedStep
from mtlrec_utils.learning.balancing.method import Balancing
from mtlrec_utils.learning.conflicts import Conflicts
from mtlrec_utils.learning.losses import (
    TaskLosses,
    label_type,
    masked_mean,
    masked_sum,
    tensors,
)

Data = dict[str, dict[str, tf.Tensor]]


def summed_gradients(
    tape: tf.GradientTape,
    losses: Mapping[str, tf.Tensor],
    weights: Mapping[str, tf.Tensor],
    variables: Sequence[Any],
) -> list[Any]:
    """Return the gradient of sum_t w_t L_t: static loss weights.

    Without a balancing method, this is where tasks meet in the update;
    ``balanced_steps.py`` has the step with one.

    Args:
        tape: recorded the losses.
        losses: name -> scalar loss; tasks, and "(penalty)" where the model
            has regularisers.
        weights: the same names -> scalar weight.
        variables: what to differentiate by.

    Returns:
        One gradient per variable; None where no loss depends on it.
    """
    return tape.gradient(
        list(losses.values()),
        variables,
        output_gradients=[weights[name] for name in losses],
    )


class TrainingProgram:
    """A model, its losses and its optimizer, compiled together.

    Args:
        model: a functional model with one named output per task.
        optimizer: a Keras optimizer; it is built for the model here.
        set_rate: write the learning rate of each step into the optimizer;
            False leaves a schedule of the optimizer's own in charge.
        balancing: a method that balances the tasks; None adds their
            weighted losses.
        balance_at: "parameters" or "representation" (see ``fit``).
        anchor: what pulls weights back to where they start, or None.

    Attributes:
        losses: the model's ``TaskLosses``.
        variables: the trainable variables.
        balanced: the step under the balancing method; None without one.
        anchored: the weights that are pulled back; None without an anchor.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        set_rate: bool,
        balancing: Balancing | None = None,
        balance_at: str = "parameters",
        anchor: L2SP | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.losses = TaskLosses(model)
        self.variables = [v.value for v in model.trainable_variables]
        self._set_rate = set_rate
        self._seeds = [
            v for v in model.variables if v.name == "seed_generator_state"
        ]
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        self._initial = [_constant(v.numpy()) for v in optimizer.variables]
        self.anchored = None
        if anchor is not None:
            self.anchored = AnchoredWeights(model, optimizer, anchor)
        self.balanced = None
        if balancing is not None:
            self.balanced = BalancedStep(
                model,
                self.losses,
                optimizer,
                balancing,
                balance_at,
                self.anchored,
            )
        self._conflicts: Conflicts | None = None
        self._columns = 2 if self.balanced is None else 3
        self._run = tf.function(
            self._steps,
            input_signature=self._signature(training=True),
            autograph=False,
            jit_compile=False,
        )
        self._score = tf.function(
            self._batches,
            input_signature=self._signature(training=False),
            autograph=False,
            jit_compile=False,
        )

    def trace(self, validation: bool) -> None:
        """Trace now rather than at the first step (about a second)."""
        self._run.get_concrete_function()
        if validation:
            self._score.get_concrete_function()

    def load(self, examples: Any) -> Data:
        """Copy examples to the device in the form that ``run`` takes."""
        return tensors(examples, self.losses)

    def run(
        self,
        data: Data,
        order: tf.Tensor,
        batch_size: int,
        steps: range,
        rates: np.ndarray,
        weights: Mapping[str, float],
    ) -> np.ndarray:
        """Train on batches ``steps`` of the row order.

        Args:
            data: from ``load``.
            order: int32 [N], the epoch's order of rows.
            batch_size: rows per step; the epoch's last may be smaller.
            steps: consecutive step numbers within the epoch.
            rates: learning rate of each of the steps.
            weights: task -> loss weight.

        Returns:
            float32 [len(steps), T, 2]: masked mean loss of each step and
            task, and how many rows it rests on. With a balancing method
            [len(steps), T, 3]: also the weight it gave the task, NaN if
            it has none.
        """
        return self._run(
            data,
            order,
            tf.constant(batch_size, tf.int32),
            tf.constant(steps.start, tf.int32),
            tf.constant(steps.stop, tf.int32),
            tf.constant(rates, tf.float32),
            {t: tf.constant(weights[t], tf.float32) for t in weights},
        ).numpy()

    def score(self, data: Data, batch_size: int) -> np.ndarray:
        """Return the loss without training: float64 [T, 2], sum and rows."""
        batches = self._score(data, tf.constant(batch_size, tf.int32))
        return batches.numpy().astype(np.float64).sum(axis=0)

    def measured_conflicts(
        self, examples: Any, seed: int
    ) -> Callable[[Mapping[str, float]], list[dict[str, Any]]]:
        """Return what measures conflicts on a sample of some examples."""
        if self._conflicts is None:
            self._conflicts = Conflicts(self.model, self.losses)
        return self._conflicts.on(examples, seed)

    def reset_optimizer(self) -> None:
        """Put the optimizer back to where it was when it was built."""
        for variable, value in zip(
            self.optimizer.variables, self._initial, strict=True
        ):
            variable.assign(np.broadcast_to(value, variable.shape))

    def seed_dropout(self, *seed: int) -> None:
        """Start every random layer anew, each from a seed of its own."""
        for k, state in enumerate(self._seeds):
            words = np.random.SeedSequence([*seed, k]).generate_state(2)
            state.assign(words.astype("uint32"))

    def _steps(
        self,
        data: Any,
        order: Any,
        batch_size: Any,
        first: Any,
        stop: Any,
        rates: Any,
        weights: Any,
    ) -> Any:
        def step(i: Any, log: Any) -> Any:
            rows = order[i * batch_size : (i + 1) * batch_size]
            batch = tf.nest.map_structure(lambda x: tf.gather(x, rows), data)
            if self._set_rate:
                self.optimizer.learning_rate.assign(rates[i - first])
            return i + 1, log.write(i - first, self._step(batch, weights))

        log = tf.TensorArray(
            tf.float32,
            stop - first,
            element_shape=(len(self.losses.tasks), self._columns),
        )
        _, log = tf.while_loop(lambda i, _: i < stop, step, (first, log))
        return log.stack()

    def _step(self, batch: Any, weights: Any) -> Any:
        """Forward, masked losses, gradients, update: one batch."""
        if self.balanced is not None:
            return self.balanced(batch, weights)
        masks = batch["masks"]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            rows = self.losses.per_row(
                batch["inputs"], batch["labels"], masks, training=True
            )
            losses = {t: masked_mean(rows[t], masks[t]) for t in rows}
            log = [(losses[t], tf.reduce_sum(masks[t])) for t in losses]
            penalties = self.losses.graph.losses
            if penalties:
                losses["(penalty)"] = tf.add_n(penalties)
                weights = {**weights, "(penalty)": tf.constant(1.0)}
        weights = {t: self.optimizer.scale_loss(w) for t, w in weights.items()}
        gradients = summed_gradients(tape, losses, weights, self.variables)
        if self.anchored is not None:
            gradients = self.anchored.pulled(gradients)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return tf.convert_to_tensor(log)

    def _batches(self, data: Any, batch_size: Any) -> Any:
        masks = data["masks"]
        n_rows = tf.shape(next(iter(masks.values())))[0]

        def batch(i: Any, log: Any) -> Any:
            part = tf.nest.map_structure(
                lambda x: x[i * batch_size : (i + 1) * batch_size], data
            )
            rows = self.losses.per_row(
                part["inputs"], part["labels"], part["masks"], training=False
            )
            sums = [
                (masked_sum(rows[t], m), tf.reduce_sum(m))
                for t, m in part["masks"].items()
            ]
            return i + 1, log.write(i, tf.convert_to_tensor(sums))

        n = (n_rows + batch_size - 1) // batch_size
        log = tf.TensorArray(
            tf.float32, n, element_shape=(len(self.losses.tasks), 2)
        )
        _, log = tf.while_loop(lambda i, _: i < n, batch, (0, log))
        return log.stack()

    def _signature(self, training: bool) -> list[Any]:
        tasks, kinds = self.losses.tasks, self.losses.kinds
        data = {
            "inputs": {
                x.name: tf.TensorSpec((None, x.shape[1]), x.dtype)
                for x in self.model.inputs
            },
            "labels": {
                t: tf.TensorSpec([None], label_type(kinds[t])) for t in tasks
            },
            "masks": {t: tf.TensorSpec([None], tf.float32) for t in tasks},
        }
        number = tf.TensorSpec([], tf.int32)
        if not training:
            return [data, number]
        order = tf.TensorSpec([None], tf.int32)
        rates = tf.TensorSpec([None], tf.float32)
        weights = {t: tf.TensorSpec([], tf.float32) for t in tasks}
        return [data, order, number, number, number, rates, weights]


def _constant(array: np.ndarray) -> np.ndarray:
    """Keep one number of an array that holds nothing else."""
    if array.size and (array == array.flat[0]).all():
        return array.flat[0]
    return array
