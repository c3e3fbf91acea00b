"""A shared bottom that reads lists in windows: standard or separable.

``shared_bottom`` reads the mean of a list's items, whatever their order. Here
a window of w items slides over the list first, so that what stood next to
what can matter. A standard convolution has w d f weights, a separable one
d (w + f): one window per column, then one matrix for all places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from mtlrec_utils.models.features_and_towers import (
    model_inputs,
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed
from mtlrec_utils.models.ranking_parts import bottom, every_column_embedded
from mtlrec_utils.models.set_encoding import MaskedMean, Tokens
from mtlrec_utils.models.text_encoders import WordConvolution


def convolutional_bottom(
    schema: Any,
    *,
    separable: bool = True,
    filters: int = 16,
    width: int = 3,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a shared bottom whose lists go through a convolution.

    The layer "convolution_<list>" reads each list, and the mean over its
    places goes into the features.

    Args:
        schema: a fitted ``Schema`` with a Sequence or a Text at least.
        separable: a depthwise and a pointwise kernel; False: one standard
            kernel.
        filters: f, width of what a list becomes.
        width: w, places that a window sees.
        embedding_dimension, bottom_units, tower_units, dropout, seed: as
            for ``single_task``.

    Raises:
        ValueError: an unfitted schema, one without lists, a bad width.

    Source: F. Chollet, "Xception: Deep Learning with Depthwise Separable
    Convolutions", CVPR 2017.
    """
    names = [column.name for column in schema.id_columns]
    own = ("tokens", "vector", "convolution")
    tasks = tasks_by_name(
        schema, taken=[f"{part}_{name}" for part in own for name in names]
    )
    if not any(column.pooled for column in schema.id_columns):
        raise ValueError(
            "convolutional_bottom reads lists, but the schema has none; "
            "give it a Sequence or a Text."
        )
    inputs = model_inputs(schema)
    embedded = every_column_embedded(
        schema, inputs["ids"], embedding_dimension, seed
    )
    parts = []
    for column in schema.id_columns:
        tokens, places = Tokens(
            [(column.start, column.stop)], name=f"tokens_{column.name}"
        )([inputs["ids"], embedded])
        if column.pooled:
            tokens = WordConvolution(
                filters,
                width,
                separable,
                seed=derived_seed(seed, "convolution", column.name),
                name=f"convolution_{column.name}",
            )([tokens, places])
        # The mean of one token is the token.
        mean = MaskedMean(name=f"vector_{column.name}")([tokens, places])
        parts.append(mean)
    if "numbers" in inputs:
        parts.append(inputs["numbers"])
    features = parts[0]
    if len(parts) > 1:
        features = keras.layers.Concatenate(name="features")(parts)
    hidden = bottom(bottom_units, dropout, seed)(features)
    outputs = task_outputs(
        tasks, dict.fromkeys(tasks, hidden), tower_units, dropout, seed
    )
    return keras.Model(inputs, outputs, name="convolutional_bottom")
