"""Balancing methods so small that what they do is known by heart."""

from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow as tf

from mtlrec_utils.learning.balancing.method import (
    GradientBalancing,
    GramBalancing,
    LossBalancing,
)
from mtlrec_utils.learning.balancing.norms import NormBalancing


@dataclass(frozen=True)
class Given(GramBalancing):
    """The weights it is told."""

    given: tuple[float, ...] = (0.3, 2.0)

    def weights(self, gram: Any, losses: Any, state: Any) -> Any:
        return tf.constant(self.given, tf.float64), state


@dataclass(frozen=True)
class GramOf(GramBalancing):
    """Weights that tell the Gram matrix: its row ``row``."""

    row: int = 0

    def weights(self, gram: Any, losses: Any, state: Any) -> Any:
        return gram[self.row], state


@dataclass(frozen=True)
class Largest(GradientBalancing):
    """Entry by entry, the gradient of the largest absolute value."""

    def combine(self, jacobian: Any, losses: Any, state: Any) -> Any:
        return [
            tf.where(tf.abs(g[0]) > tf.abs(g[1]), g[0], g[1]) for g in jacobian
        ], state


@dataclass(frozen=True)
class Counting(GramBalancing):
    """Weights that grow with the number of steps and epochs."""

    def initial_state(self, tasks: Any, n_tensors: int) -> Any:
        return {"step": tf.constant(0, tf.int64), "epochs": tf.constant(1.0)}

    def after_epoch(self, losses: Any, state: Any) -> Any:
        return {**state, "epochs": state["epochs"] * 2}

    def weights(self, gram: Any, losses: Any, state: Any) -> Any:
        step = state["step"] + 1
        weight = tf.cast(step, tf.float64) * tf.cast(
            state["epochs"], tf.float64
        )
        return tf.stack([weight, tf.ones_like(weight)]), {
            **state,
            "step": step,
        }


@dataclass(frozen=True)
class Adding(GramBalancing):
    """Adds up Gram matrices; weights tell how often they were finite."""

    def initial_state(self, tasks: Any, n_tensors: int) -> Any:
        shape = [len(tasks), len(tasks)]
        return {"sum": tf.zeros(shape, tf.float64), "n": tf.constant(0.0)}

    def weights(self, gram: Any, losses: Any, state: Any) -> Any:
        new = {"sum": state["sum"] + gram, "n": state["n"] + 1}
        return tf.ones_like(gram[0]) + 0 * new["sum"][0], new


@dataclass(frozen=True)
class Norms(NormBalancing):
    """Weights that tell the norms."""

    def weights_from_norms(self, losses: Any, norms: Any, state: Any) -> Any:
        return norms, state


@dataclass(frozen=True)
class LastEpoch(LossBalancing):
    """Weights that tell the mean losses of the epoch before."""

    def initial_state(self, tasks: Any, n_tensors: int) -> Any:
        return {"told": tf.zeros(len(tasks))}

    def after_epoch(self, losses: Any, state: Any) -> Any:
        return {"told": losses}

    def weights(self, losses: Any, state: Any) -> Any:
        return state["told"], state


@dataclass(frozen=True)
class Twice(LossBalancing):
    """Remembers the losses before and after the last step."""

    looks_twice: ClassVar[bool] = True

    def initial_state(self, tasks: Any, n_tensors: int) -> Any:
        return {
            "before": tf.zeros(len(tasks)),
            "after": tf.zeros(len(tasks)),
        }

    def after_step(self, before: Any, after: Any, state: Any) -> Any:
        return {"before": before, "after": after}

    def weights(self, losses: Any, state: Any) -> Any:
        return tf.ones_like(losses), state


@dataclass(frozen=True)
class Once(Twice):
    looks_twice: ClassVar[bool] = False
