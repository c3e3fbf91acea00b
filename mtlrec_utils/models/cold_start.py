"""Two towers that also serve who was never seen: id dropout.

A tower reads an id's embedding (what was learned about this user, or this
item) and content (a profile, words). On day one there is no embedding. A
tower that always had one may lean on it; one that often had to do without is
used to it. In training, each row's id embedding is replaced by zeros with
chance ``id_dropout``, for the user and for the item independently; an id that
is unknown reads the same zeros, so serving day one looks like training.

Layers of a side: "<side>_preference" (the id's embedding, or zeros),
"<side>_features", "<side>_tower", "<side>_vector". The towers meet in
"match": [u * v; u; v], of which each task takes a weighted sum, so that a
score stays an inner product of something made of the user alone and
something made of the item alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.data.vocabulary import UNKNOWN
from mtlrec_utils.models.checks import dropout_rate, positive_widths
from mtlrec_utils.models.feature_parts import FeaturePart, split_features
from mtlrec_utils.models.features_and_towers import (
    joined,
    model_inputs,
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import (
    derived_seed,
    register,
    seeded,
)
from mtlrec_utils.models.layers import MLP


@register
class IdDropout(keras.layers.Layer):
    """Replace vectors of ids by zeros: [B, 1] and [B, d] -> [B, d].

    Unknown ids always get zeros; the others, while training, with chance
    ``rate``. What is kept is not scaled up (as ``Dropout`` would): a
    missing embedding is a state of the world here, not noise, and kept
    rows must look in training as they do in use.

    Args:
        rate: share of rows, in [0, 1).
        seed: starting point of the draws.

    Raises:
        ValueError: a rate outside [0, 1).

    Source: Volkovs, Yu and Poutanen, "DropoutNet: Addressing Cold Start in
    Recommender Systems", NeurIPS 2017, section 4.1.
    """

    def __init__(
        self, rate: float = 0.5, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = dropout_rate("rate", rate)
        self.seed = seed
        if self.rate:
            self.generator = keras.random.SeedGenerator(
                derived_seed(seed, "id_dropout")
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the vectors of [ids, vectors] that are kept, or zeros."""
        ids, vectors = inputs
        kept = ids != UNKNOWN
        if training and self.rate:
            chance = keras.random.uniform(
                ops.shape(ids), dtype="float32", seed=self.generator
            )
            kept = ops.logical_and(kept, chance >= self.rate)
        return ops.where(kept, vectors, ops.zeros_like(vectors))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the vectors."""
        return input_shape[1]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
        }


@register
class Match(keras.layers.Layer):
    """Put two vectors together: [B, d] twice -> [u * v; u; v], [B, 3d]."""

    def call(self, inputs: Any) -> Any:
        """Return product, user and item side by side."""
        user, item = inputs
        return ops.concatenate([user * item, user, item], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, 3d)."""
        return (*input_shape[0][:-1], 3 * input_shape[0][-1])


def cold_start_towers(
    schema: Any,
    *,
    user_features: Sequence[str],
    item_features: Sequence[str],
    user: str = "user",
    item: str = "item",
    id_dropout: float = 0.5,
    embedding_dimension: int = 8,
    tower_units: Sequence[int] = (),
    dimension: int = 16,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build two towers that read ids, content, or both.

    With ``id_dropout=0`` it is a plain pair of towers. Any number of tasks
    share the towers; each weighs the match in its own way.

    Args:
        schema: a fitted ``Schema``.
        user_features: columns the user tower reads; with or without the
            id, with or without others.
        item_features: columns the item tower reads, likewise.
        user: the categorical feature that is the user's id.
        item: the categorical feature that is the item's id.
        id_dropout: chance, in [0, 1), that a training row's id embedding
            is replaced by zeros, per side.
        embedding_dimension: width of one id's or one column's embedding.
        tower_units: widths of a tower's hidden layers; () for none.
        dimension: d, length of the vectors that meet.
        dropout: share of hidden outputs dropped in training.
        seed: same seed, same initial weights and draws.

    Raises:
        ValueError: an unfitted schema, an unknown feature, a side without
            features, a bad width or rate.
    """
    tasks = tasks_by_name(schema)
    inputs = model_inputs(schema, (*user_features, *item_features))
    (dimension,) = positive_widths("dimension", (dimension,))
    widths = (positive_widths("tower_units", tower_units), dimension)
    rates = (
        dropout_rate("id_dropout", id_dropout),
        dropout_rate("dropout", dropout),
    )
    vectors = []
    for side, names, identity in (
        ("user", user_features, user),
        ("item", item_features, item),
    ):
        parts = _parts_of_side(schema, side, names, identity)
        features = _features(
            parts, inputs, side, embedding_dimension, rates[0], seed
        )
        vectors.append(_vector(features, side, widths, rates[1], seed))
    match = Match(name="match")(vectors)
    outputs = task_outputs(tasks, dict.fromkeys(tasks, match), (), 0.0, seed)
    return keras.Model(inputs, outputs, name="cold_start_towers")


def _parts_of_side(
    schema: Any, side: str, names: Sequence[str], identity: str
) -> dict[str, FeaturePart]:
    """Return the side's "id" and its "content", those it has."""
    _, whole = split_features(schema, names, f"{side}_features")
    groups = {
        "id": [name for name in names if name == identity],
        "content": [name for name in names if name != identity],
    }
    parts = {
        kind: split_features(schema, group, f"{side}_features")[1]
        for kind, group in groups.items()
        if group
    }
    found = parts.get("id")
    if found is not None and len(found.ids) != 1:
        raise ValueError(
            f"{side}={identity!r} must be a Categorical feature: one id per "
            f"row, not {len(whole.ids)} columns."
        )
    return parts


def _features(
    parts: Mapping[str, FeaturePart],
    inputs: Mapping[str, Any],
    side: str,
    dimension: int,
    id_dropout: float,
    seed: int | None,
) -> Any:
    """Return what the side's tower reads: [preference; content]."""
    found = []
    if "id" in parts:
        own = parts["id"].inputs(inputs, f"{side}_id_")
        vector = joined(parts["id"], own, dimension, seed, f"{side}_id_")
        name = f"{side}_preference"
        drop = IdDropout(id_dropout, seed=derived_seed(seed, name), name=name)
        found.append(drop([own["ids"], vector]))
    if "content" in parts:
        prefix = f"{side}_content_"
        own = parts["content"].inputs(inputs, prefix)
        found.append(joined(parts["content"], own, dimension, seed, prefix))
    if len(found) == 1:
        return found[0]
    return keras.layers.Concatenate(name=f"{side}_features")(found)


def _vector(
    features: Any,
    side: str,
    widths: tuple[tuple[int, ...], int],
    dropout: float,
    seed: int | None,
) -> Any:
    """Send a side's features through its tower, to [B, d]."""
    units, dimension = widths
    tower = MLP(
        units,
        dropout=dropout,
        seed=derived_seed(seed, f"{side}_tower"),
        name=f"{side}_tower",
    )(features)
    return keras.layers.Dense(
        dimension,
        kernel_initializer=seeded("glorot_uniform", seed, f"{side}_vector"),
        name=f"{side}_vector",
    )(tower)
