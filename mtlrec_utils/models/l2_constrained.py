"""L2-constrained sharing: a bottom per task, pulled towards each other.

Between the ends that all models share (see ``multitask``), the layer
"bottoms" holds one bottom per task, [B, T, h], and "bottom_<task>" is the
task's part of it. Nothing is exchanged; the loss is charged for weights
that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.features_and_towers import (
    joined_features,
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed, register
from mtlrec_utils.models.layers import Experts


@register
class PairwiseDifference(keras.regularizers.Regularizer):
    """Charge a stacked weight [T, ...] for the differences of its slices.

    The penalty is strength times the sum over pairs i < j of
    ||w_i - w_j||^2. It is computed as strength T sum_i ||w_i - mean||^2,
    which is the same number, at a cost of T instead of T^2.

    Args:
        strength: from 0 up.

    Raises:
        ValueError: a strength below 0 or not finite.
    """

    def __init__(self, strength: float) -> None:
        if not 0.0 <= strength < float("inf"):
            raise ValueError(
                f"strength must be a finite number of at least 0, not "
                f"{strength!r}; 0 leaves the tasks apart."
            )
        self.strength = float(strength)

    def __call__(self, weight: Any) -> Any:
        """Return the penalty, a scalar."""
        weight = ops.convert_to_tensor(weight)
        distance = weight - ops.mean(weight, axis=0, keepdims=True)
        return self.strength * weight.shape[0] * ops.sum(ops.square(distance))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {"strength": self.strength}


@register
class OneExpert(keras.layers.Layer):
    """Take one expert's output: [B, E, out] -> [B, out].

    Args:
        index: which of them, from 0.
    """

    def __init__(self, index: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.index = int(index)

    def call(self, inputs: Any) -> Any:
        """Return the output of expert ``index``."""
        return inputs[:, self.index]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {**super().get_config(), "index": self.index}


def l2_constrained(
    schema: Any,
    *,
    strength: float = 0.01,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build one bottom per task, and a penalty on their differences.

    With the weights v_t of task t's bottom the loss is

        sum_t L_t + strength sum_(t < u) ||v_t - v_u||^2.

    The penalty is a Keras regulariser of the layer "bottoms": it is part
    of ``model.losses`` and so of every training, and of a saved model. The
    embedding is shared as it is. Strength 0 leaves the bottoms separate,
    a very large one makes them a single shared bottom; gradient descent
    needs learning rate x strength x T < 1 to stay stable.

    Args:
        schema: a fitted ``Schema``.
        strength: weight of the sum over pairs of tasks of the squared
            differences of all kernels and biases of their bottoms; from 0.
        embedding_dimension: width of one id's embedding.
        bottom_units: widths of each task's bottom; at least one.
        tower_units: widths of each task's tower; () for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, a bad width, no bottom, a strength
            below 0.

    Source: Duong et al., "Low Resource Dependency Parsing: Cross-lingual
    Parameter Sharing in a Neural Network Parser", ACL 2015; as a
    recommender, the baseline of Ma et al., KDD 2018.
    """
    tasks = tasks_by_name(schema)
    widths = positive_widths("bottom_units", bottom_units)
    if not widths:
        raise ValueError("bottom_units is empty: there is nothing to pull.")
    inputs, features = joined_features(schema, embedding_dimension, seed)
    bottoms = Experts(
        len(tasks),
        widths,
        dropout=dropout,
        seed=derived_seed(seed, "bottoms"),
        regularizer=PairwiseDifference(strength),
        name="bottoms",
    )(features)
    # Alphabetical, so that the order of the tasks changes no weight.
    reads = {
        task: OneExpert(i, name=f"bottom_{task}")(bottoms)
        for i, task in enumerate(sorted(tasks))
    }
    outputs = task_outputs(tasks, reads, tower_units, dropout, seed)
    return keras.Model(inputs, outputs, name="l2_constrained")
