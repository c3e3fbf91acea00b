"""The two ends of a model of many domains: who is who, and the towers.

The domain of a row is one of the schema's ``Categorical`` features. Models
do not read it as a feature, unless they say so; they read from it which
domain's weights serve the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras

from mtlrec_utils.data.vocabulary import FIRST_KNOWN
from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.domain_layers import (
    DomainDense,
    DomainMLP,
    DomainWeights,
)
from mtlrec_utils.models.feature_parts import FeaturePart, split_features
from mtlrec_utils.models.features_and_towers import (
    activated,
    joined,
    model_inputs,
    output_width,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed
from mtlrec_utils.models.layers import MLP

_TAKEN = ("domain_ids", "domain_numbers", "domain_weights", "own_embedding")


class Front(NamedTuple):
    """What a model of many domains begins with.

    Attributes:
        tasks: the schema's tasks by name.
        inputs: "ids" and "numbers".
        main: every feature but the domain.
        domain: the domain, as a part of one id column.
        ids: the row's domain, [B, 1].
        n_domains: D.
    """

    tasks: dict[str, Any]
    inputs: dict[str, Any]
    main: FeaturePart
    domain: FeaturePart
    ids: Any
    n_domains: int

    def weights(self) -> Any:
        """Return the domain weights, [B, D]."""
        return DomainWeights(self.n_domains, name="domain_weights")(self.ids)

    def features(self, embedding_dimension: int, seed: int | None) -> Any:
        """Return all features but the domain, joined, [B, in]."""
        own = self.main.inputs(self.inputs, "main_")
        return joined(self.main, own, embedding_dimension, seed)


def front(schema: Any, domain: str) -> Front:
    """Set the domain apart from a schema's other features.

    Args:
        schema: a fitted ``Schema``.
        domain: name of the ``Categorical`` feature that tells it.

    Raises:
        ValueError: no such feature, one of another kind or without values,
            no other feature, or a task named like a layer.
    """
    tasks = tasks_by_name(schema, _TAKEN)
    inputs = model_inputs(schema)
    main, side = split_features(schema, (domain,), "domain")
    [*columns] = side.id_columns
    if len(columns) != 1 or columns[0].pooled or len(side.ids) != 1:
        raise ValueError(
            f"The domain {domain!r} must be a Categorical feature: one value "
            "a row."
        )
    n_domains = side.field_sizes[0] - FIRST_KNOWN
    if n_domains < 1:
        raise ValueError(f"The domain {domain!r} has no value in the schema.")
    ids = side.inputs(inputs, "domain_")["ids"]
    return Front(tasks, inputs, main, side, ids, n_domains)


def bottom_layer(
    units: Sequence[int], dropout: float, seed: int | None
) -> keras.layers.Layer:
    """Make the bottom that all tasks and domains share."""
    return MLP(
        positive_widths("bottom_units", units),
        dropout=dropout,
        seed=derived_seed(seed, "bottom"),
        name="bottom",
    )


def domain_logits(
    tasks: Mapping[str, Any],
    hidden: Mapping[str, Any],
    weights: Any,
    tower_units: Sequence[int],
    dropout: float,
    seed: int | None,
    star: bool = False,
) -> dict[str, Any]:
    """Give each task and domain a tower and a logit: [B, width], float32.

    Args:
        tasks: the schema's tasks by name.
        hidden: what each task's towers read, [B, h].
        weights: the domain weights [B, D], which choose the tower.
        tower_units: widths of a tower's layers.
        dropout: share of each tower layer's outputs dropped in training.
        seed: the model's seed.
        star: domains' weights times shared ones (``DomainDense``).
    """
    logits = {}
    for name, task in tasks.items():
        tower = DomainMLP(
            positive_widths("tower_units", tower_units),
            star,
            dropout=dropout,
            seed=derived_seed(seed, "tower", name),
            name=f"tower_{name}",
        )([hidden[name], weights])
        logits[name] = DomainDense(
            output_width(task),
            star=star,
            seed=derived_seed(seed, "logit", name),
            dtype="float32",
            name=f"logit_{name}",
        )([tower, weights])
    return logits


def domain_outputs(
    tasks: Mapping[str, Any], *arguments: Any
) -> dict[str, Any]:
    """Return {task: prediction} of towers per task and domain.

    The arguments are those of ``domain_logits``.
    """
    return activated(tasks, domain_logits(tasks, *arguments))
