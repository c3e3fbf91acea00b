"""One training step under a balancing method, for the compiled loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtlrec_utils.learning.anchors import AnchoredWeights
from mtlrec_utils.learning.balanced_gradients import Batch, directions
from mtlrec_utils.learning.balancing.method import (
    Balancing,
    GradientBalancing,
    State,
)
from mtlrec_utils.learning.balancing.norms import NormBalancing
from mtlrec_utils.learning.losses import TaskLosses
from mtlrec_utils.learning.shared_parameters import Cut, SharedParameters
from mtlrec_utils.learning.task_gradients import (
    at_the_cut,
    forked_losses,
    looked_up,
    sum_of,
    times,
    weighted_sum,
)


class BalancedStep:
    """Forward, each task's gradient, the method, one update: one batch.

    Penalties of the model add their gradient unbalanced.

    Args:
        model: the model.
        losses: its ``TaskLosses``.
        optimizer: built for the model.
        method: what balances.
        at: "parameters" or "representation", for gradient methods.
        anchored: weights that are pulled back to where they started, or
            None; like a penalty, the pull is not balanced.

    Attributes:
        state: what the method remembers, name -> variable.

    Raises:
        ValueError: fewer than two tasks, no shared weight for a method
            that needs one, or an argument of the method that does not fit
            the tasks.
    """

    def __init__(
        self,
        model: Any,
        losses: TaskLosses,
        optimizer: Any,
        method: Balancing,
        at: str,
        anchored: AnchoredWeights | None = None,
    ) -> None:
        self.model, self.losses, self.optimizer = model, losses, optimizer
        self._anchored = anchored
        self.method: Any = method
        self._at = at
        self._weighs_losses = not isinstance(method, GradientBalancing)
        self._reads_norms = isinstance(method, NormBalancing)
        self._looks_twice = bool(getattr(method, "looks_twice", False))
        self._shared = SharedParameters(losses.graph)
        self._check()
        self._sort_variables()
        n_tensors = len(self._variables)
        if at == "representation":
            n_tensors = len(self._shared.fork_names)
        initial = method.initial_state(losses.tasks, n_tensors)
        self._initial = {
            name: tf.convert_to_tensor(initial[name]).numpy()
            for name in sorted(initial)
        }
        self.state = {
            name: tf.Variable(value, trainable=False, name=name)
            for name, value in self._initial.items()
        }

    def reset(self) -> None:
        """Forget what earlier steps have taught the method."""
        for name, value in self._initial.items():
            self.state[name].assign(value)

    def after_epoch(self, losses: Sequence[float]) -> None:
        """Tell the method an epoch's mean losses, in the order of tasks.

        A task without a known label has NaN; it counts as 0, as in a
        batch.
        """
        values = tf.constant(np.nan_to_num(losses), tf.float32)
        self._remember(self.method.after_epoch(values, self._remembered()))

    def __call__(self, batch: Any, weights: Mapping[str, Any]) -> Any:
        """Train on one batch.

        Args:
            batch: inputs, labels and masks.
            weights: task -> static weight of its loss.

        Returns:
            float32 [T, 3]: masked mean loss, known labels, and the
            method's weight (NaN if it has none).
        """
        before = self._not_trained() if self._looks_twice else []
        with tf.GradientTape(
            persistent=True, watch_accessed_variables=False
        ) as tape:
            tape.watch([*self._variables, *self._others])
            losses, penalties, cut = forked_losses(
                self.losses, self._shared, batch, training=True
            )
            seen = [weights[t] * losses[t] for t in losses]
            penalty = tf.add_n(penalties) if penalties else None
        counts = tf.stack([tf.reduce_sum(batch["masks"][t]) for t in losses])
        complete = tf.reduce_min(counts) > 0
        found, chosen, state = self._gradients(tape, cut, seen, complete)
        if penalty is not None:
            found = self._with_penalty(found, tape, penalty)
        update = [found[i] for i in self._order]
        if self._anchored is not None:
            update = self._anchored.pulled(update)
        self.optimizer.apply(update, self.model.trainable_variables)
        if self._looks_twice:
            after = self._look_again(batch, weights, before)
            state = self.method.after_step(tf.stack(seen), after, state)
        self._remember(state)
        if chosen is None:
            chosen = tf.fill(tf.shape(counts), np.float32(np.nan))
        return tf.stack(
            [tf.stack(list(losses.values())), counts, chosen], axis=1
        )

    def _gradients(
        self, tape: tf.GradientTape, cut: Cut, seen: list[Any], complete: Any
    ) -> tuple[list[Any], Any, State]:
        """Return gradients of shared and other variables, weights, state."""
        losses, scale = tf.stack(seen), self._scale()
        state = self._remembered()
        if self._weighs_losses and not self._reads_norms:
            weights, state = self.method.weights(losses, state)
            gradients = tape.gradient(
                seen,
                [*self._variables, *self._others],
                output_gradients=tf.unstack(times(weights, scale)),
            )
            return gradients, weights, state
        at_cut, others = at_the_cut(tape, seen, cut, self._others, scale)
        batch = Batch(
            tape,
            cut,
            at_cut,
            losses,
            complete,
            scale,
            self._variables,
            self._tables,
        )
        if not self._reads_norms:
            shared, weights, state = directions(
                self.method, batch, self._at, state
            )
            return [*shared, *others], weights, state
        norms = batch.norms(self._last_kernels)
        weights, state = self.method.weights_from_norms(losses, norms, state)
        shared = batch.back(weighted_sum(at_cut, weights), self._variables)
        others = [
            times(g, None if t is None else weights[t])
            for g, t in zip(others, self._tasks_of_others, strict=True)
        ]
        return [*shared, *others], weights, state

    def _with_penalty(
        self, gradients: list[Any], tape: tf.GradientTape, penalty: Any
    ) -> list[Any]:
        variables = [*self._variables, *self._others]
        found = tape.gradient(
            penalty, variables, output_gradients=self._scale()
        )
        return [sum_of(g, p) for g, p in zip(gradients, found, strict=True)]

    def _look_again(
        self, batch: Any, weights: Mapping[str, Any], before: list[Any]
    ) -> Any:
        """Return the losses after the update, float32 [T].

        Dropout is that of the pass before the update, and neither seeds
        nor moving statistics tell of this one.
        """
        now = self._not_trained()
        self._put_back(before)
        losses, _, _ = forked_losses(
            self.losses, self._shared, batch, training=True
        )
        self._put_back(now)
        return tf.stack([weights[t] * losses[t] for t in losses])

    def _not_trained(self) -> list[Any]:
        variables = self.model.non_trainable_variables
        return [tf.identity(v.value) for v in variables]

    def _put_back(self, values: Sequence[Any]) -> None:
        variables = self.model.non_trainable_variables
        for variable, value in zip(variables, values, strict=True):
            variable.value.assign(value)

    def _scale(self) -> Any:
        """Return the factor of all gradients in half precision, or None."""
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return None
        return self.optimizer.scale_loss(tf.constant(1.0))

    def _remembered(self) -> State:
        return {n: tf.identity(v) for n, v in self.state.items()}

    def _remember(self, state: State) -> None:
        if set(state) != set(self.state):
            raise ValueError(
                f"{type(self.method).__name__} began with a state of "
                f"{sorted(self.state)} and returned one of {sorted(state)}."
            )
        for name, value in self._finite(state).items():
            self.state[name].assign(value)

    def _finite(self, state: State) -> State:
        """Forget a step that overflowed: its update is skipped as well.

        In half precision that is an everyday event. In float32 it is an
        end, which the training loop reports.
        """
        if self._scale() is None:
            return state
        finite = tf.reduce_all(
            [
                tf.reduce_all(tf.math.is_finite(value))
                for value in state.values()
                if value.dtype.is_floating
            ]
        )
        return {
            name: tf.where(finite, state[name], variable)
            for name, variable in self.state.items()
        }

    def _check(self) -> None:
        name, tasks = self.model.name, self.losses.tasks
        if len(tasks) < 2:
            raise ValueError(
                f"balancing needs two tasks or more; model {name!r} has "
                f"only {tasks[0]!r}. Leave balancing out."
            )
        needs = self._reads_norms or not self._weighs_losses
        if needs and not self._shared.variables:
            raise ValueError(
                f"Model {name!r} has no trainable layer that two tasks "
                f"share, so {type(self.method).__name__} has nothing to "
                "balance. Use a model that shares, such as shared_bottom."
            )

    def _sort_variables(self) -> None:
        """Shared variables first, then the others; and the way back."""
        shared = self._shared.variables
        known = {id(v) for v in shared}
        every = self.model.trainable_variables
        others = [v for v in every if id(v) not in known]
        self._variables = [v.value for v in shared]
        self._others = [v.value for v in others]
        place = {id(v): i for i, v in enumerate([*shared, *others])}
        self._order = [place[id(v)] for v in every]
        tasks = {
            id(v): t
            for t, own in enumerate(self._shared.own.values())
            for v in own
        }
        self._tasks_of_others = [tasks.get(id(v)) for v in others]
        self._last_kernels = [v.value for v in self._shared.last_kernels]
        self._tables = looked_up(self._shared, self._variables)
