"""L2-SP: weights are pulled back to where they started.

With theta_S the weights that a run starts from (the source model's), the
gradient of

    strength / 2 * |theta - theta_S|^2

is added to that of the losses: ``strength * (theta - theta_S)``. It is 0 at
the first step, unlike that of weight decay, which pulls towards 0 and so
away from what was learned.

Source: X. Li, Y. Grandvalet, F. Davoine, "Explicit inductive bias for
transfer learning with convolutional networks", ICML 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from mtlrec_utils.learning.optimizers import merge_rows


@dataclass(frozen=True)
class L2SP:
    """Pull the weights towards where they are when training starts.

    Of an embedding table only the rows that a batch looks up are pulled, at
    each step that moves them: the others stay where they are.

    Args:
        strength: of the pull, 0 or more; 0 is plain fine-tuning.
        layers: names of the layers to pull; None: all that learn. Leave
            out layers that are new in the target: they have no source.

    Raises:
        ValueError: a negative strength.
    """

    strength: float = 0.01
    layers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength < np.inf:
            raise ValueError(
                f"strength={self.strength!r} must be a number of at least 0."
            )
        if self.layers is not None:
            if isinstance(self.layers, str):
                raise ValueError(
                    f"layers={self.layers!r}: pass a tuple of names, "
                    f"({self.layers!r},)."
                )
            object.__setattr__(self, "layers", tuple(self.layers))


class AnchoredWeights:
    """The weights of a model that are pulled back, and where to.

    Args:
        model: built; its weights now are the anchor until ``start``.
        optimizer: of the training; it knows the scale of the losses.
        anchor: which layers, and how strongly.

    Raises:
        ValueError: a layer that the model lacks or that does not learn.
    """

    def __init__(self, model: Any, optimizer: Any, anchor: L2SP) -> None:
        self._optimizer = optimizer
        self._weights = list(model.trainable_variables)
        chosen = _chosen(model, anchor.layers)
        self._starts: list[Any] = [
            tf.Variable(weight.value, trainable=False)
            if id(weight) in chosen
            else None
            for weight in self._weights
        ]
        self._strength = tf.Variable(
            float(anchor.strength), dtype=tf.float32, trainable=False
        )

    def start(self, anchor: L2SP) -> None:
        """Take the weights of this moment as the anchor."""
        self._strength.assign(anchor.strength)
        for weight, start in zip(self._weights, self._starts, strict=True):
            if start is not None:
                start.assign(weight.value)

    def pulled(self, gradients: Sequence[Any]) -> list[Any]:
        """Add the pull to the gradients, in the order of the weights."""
        strength = self._optimizer.scale_loss(self._strength.read_value())
        return [
            gradient
            if start is None or gradient is None
            else _pulled(gradient, weight.value, start, strength)
            for gradient, weight, start in zip(
                gradients, self._weights, self._starts, strict=True
            )
        ]


def _chosen(model: Any, layers: tuple[str, ...] | None) -> set[int]:
    """Return the ids of the weights to pull."""
    if layers is None:
        return {id(weight) for weight in model.trainable_variables}
    learning = {
        layer.name: layer.trainable_variables
        for layer in model.layers
        if layer.trainable_variables
    }
    absent = [name for name in layers if name not in learning]
    if absent:
        raise ValueError(
            f"L2SP names {', '.join(map(repr, absent))}, but the layers that "
            f"learn are {', '.join(map(repr, learning))}."
        )
    return {id(w) for name in layers for w in learning[name]}


def _pulled(gradient: Any, weight: Any, start: Any, strength: Any) -> Any:
    strength = tf.cast(strength, weight.dtype)
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient + strength * (weight - start)
    # Merged first: a row looked up twice in the batch is pulled once.
    merged = merge_rows(gradient)
    rows = merged.indices
    away = tf.gather(weight, rows) - tf.gather(start, rows)
    return tf.IndexedSlices(
        merged.values + strength * away, rows, merged.dense_shape
    )
