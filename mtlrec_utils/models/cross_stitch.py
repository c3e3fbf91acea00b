"""Cross-stitch: a bottom per task, mixed after every layer.

Between the ends that all models share (see ``multitask``), each task has
layers "bottom_<task>_1", "bottom_<task>_2", ... of its own, and a layer
"cross_stitch_1", ... after each depth mixes what the tasks have computed.
How much is shared is learned: an identity keeps the tasks apart, equal
rows make them one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.features_and_towers import (
    joined_features,
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed, register
from mtlrec_utils.models.layers import MLP


@register
class CrossStitch(keras.layers.Layer):
    """Mix T representations: T times [B, h] -> T times [B, h].

    Output i is the sum over j of mixing[i, j] times input j. Rows start
    with sum 1, which keeps the scale of the activations; a row of ones
    would multiply it by T at every depth.

    Args:
        own_share: what each task keeps of itself at the start, in [0, 1];
            the others share the rest evenly. 1 / T mixes all evenly.
        per_unit: learn a matrix for each of the h units.

    Raises:
        ValueError: own_share outside [0, 1], inputs of unequal shapes.

    Source: Misra et al., "Cross-stitch Networks for Multi-task Learning",
    CVPR 2016.
    """

    def __init__(
        self, own_share: float = 0.9, per_unit: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= own_share <= 1.0:
            raise ValueError(
                f"own_share must be in [0, 1], not {own_share!r}; 1 starts "
                "with separate tasks."
            )
        self.own_share = float(own_share)
        self.per_unit = per_unit

    def build(self, input_shape: Any) -> None:
        """Create the mixing weights, [T, T] or [T, T, h]."""
        shapes = [tuple(shape) for shape in input_shape]
        if len({shape[-1] for shape in shapes}) != 1:
            raise ValueError(
                "CrossStitch takes a list of tensors of one width, not "
                f"{shapes}."
            )
        values = _mixing_start(len(shapes), self.own_share)
        if self.per_unit:
            values = np.repeat(values[..., None], shapes[0][-1], axis=-1)
        self.mixing = self.add_weight(
            name="mixing",
            shape=values.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(
                values, dtype=dtype
            ),
        )

    def call(self, inputs: Sequence[Any]) -> list[Any]:
        """Return each task's mixture, in the order of the inputs."""
        mixing = ops.convert_to_tensor(self.mixing)
        return [
            functools.reduce(
                ops.add, [mixing[i, j] * x for j, x in enumerate(inputs)]
            )
            for i in range(len(inputs))
        ]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shapes of the inputs."""
        return list(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "own_share": self.own_share,
            "per_unit": self.per_unit,
        }


def _mixing_start(n_tasks: int, own_share: float) -> np.ndarray:
    """Return [T, T] with own_share on the diagonal and rows of sum 1."""
    if n_tasks == 1:
        return np.ones((1, 1), "float32")
    others = (1.0 - own_share) / (n_tasks - 1)
    start = np.full((n_tasks, n_tasks), others, "float32")
    np.fill_diagonal(start, own_share)
    return start


def cross_stitch(
    schema: Any,
    *,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    own_share: float = 0.9,
    per_unit: bool = False,
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a cross-stitch model: T bottoms that learn what to exchange.

    After each layer, with what task u has computed, z_u, task t goes on with

        sum_u A_tu z_u,  sum_u A_tu = 1 at the start.

    The embedding is shared; each task's bottom starts from weights of its
    own. With T tasks and L bottom layers, stitching adds L T^2 parameters
    to T bottoms.

    Args:
        schema: a fitted ``Schema``.
        embedding_dimension: width of one id's embedding.
        bottom_units: widths of each task's bottom; at least one.
        own_share: what a task keeps of its own at the start, as in
            ``CrossStitch``.
        per_unit: learn to mix each unit of a layer on its own.
        tower_units: widths of each task's tower; () for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, a bad width, no bottom, an
            own_share outside [0, 1].

    Source: Misra et al., CVPR 2016; as a recommender, the baseline of Ma
    et al., KDD 2018.
    """
    tasks = tasks_by_name(schema)
    widths = positive_widths("bottom_units", bottom_units)
    if not widths:
        raise ValueError("bottom_units is empty: there is nothing to stitch.")
    inputs, features = joined_features(schema, embedding_dimension, seed)
    hidden = [features for _ in tasks]
    for depth, width in enumerate(widths, start=1):
        own = [
            MLP(
                (width,),
                dropout=dropout,
                seed=derived_seed(seed, "bottom", task, depth),
                name=f"bottom_{task}_{depth}",
            )(x)
            for task, x in zip(tasks, hidden, strict=True)
        ]
        name = f"cross_stitch_{depth}"
        hidden = CrossStitch(own_share, per_unit, name=name)(own)
    reads = dict(zip(tasks, hidden, strict=True))
    outputs = task_outputs(tasks, reads, tower_units, dropout, seed)
    return keras.Model(inputs, outputs, name="cross_stitch")


def cross_stitch_values(model: keras.Model) -> dict[str, np.ndarray]:
    """Read how much each task takes from each other, depth by depth.

    Args:
        model: from ``cross_stitch``.

    Returns:
        {layer name: [T, T]} float32, first depth first; entry [i, j] is
        the weight of task j in what task i reads, in the order of the
        schema's tasks. [T, T, h] with ``per_unit``.

    Raises:
        ValueError: the model has no cross-stitch layers.
    """
    values = {
        layer.name: ops.convert_to_numpy(layer.mixing)
        for layer in model.layers
        if isinstance(layer, CrossStitch)
    }
    if not values:
        raise ValueError(
            f"Model {model.name!r} has no cross-stitch layers; build it "
            "with cross_stitch(...)."
        )
    return values
