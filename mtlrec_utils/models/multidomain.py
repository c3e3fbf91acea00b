"""Models of many domains, from one for all to one for each.

A domain is a shop, a page, a country: the same tasks, other users or other
tastes. It is a ``Categorical`` feature of the schema, given by name. Each
function returns a functional Keras model with the ends of ``multitask``:
"embedding" and "features" in front, "tower_<task>", "logit_<task>" and the
task's own layer at the back. With several tasks there is a tower per task
and domain. ``star`` and ``pepnet`` have modules of their own.

A row of a domain that the schema does not know is served by the mean of all
domains' weights (``domain_layers``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.domain_layers import (
    DomainDense,
    DomainMLP,
    SelectVectors,
)
from mtlrec_utils.models.domain_parts import (
    bottom_layer,
    domain_outputs,
    front,
)
from mtlrec_utils.models.embedding import FusedEmbedding
from mtlrec_utils.models.features_and_towers import (
    joined_features,
    task_outputs,
)
from mtlrec_utils.models.gating import WeightedSum
from mtlrec_utils.models.initialisation import derived_seed
from mtlrec_utils.models.mixtures import expert_layer


def pooled_domains(
    schema: Any,
    *,
    domain: str = "domain",
    read_domain: bool = False,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build one shared-bottom model for all domains' rows.

    Args:
        schema: a fitted ``Schema``.
        domain: name of the feature that tells the domain.
        read_domain: read it as a feature like any other ("pooled + domain
            id": ``shared_bottom`` of the whole schema). False: the model
            does not know whose row it is.
        embedding_dimension: width of one id's embedding.
        bottom_units: widths of the bottom's layers.
        tower_units: widths of each task's tower; () for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, a domain that is no feature or the
            only one, a bad width.
    """
    start = front(schema, domain)
    if read_domain:
        inputs, features = joined_features(schema, embedding_dimension, seed)
    else:
        inputs = start.inputs
        features = start.features(embedding_dimension, seed)
    bottom = bottom_layer(bottom_units, dropout, seed)(features)
    outputs = task_outputs(
        start.tasks,
        dict.fromkeys(start.tasks, bottom),
        tower_units,
        dropout,
        seed,
    )
    return keras.Model(inputs, outputs, name="pooled_domains")


def separate_domains(
    schema: Any,
    *,
    domain: str = "domain",
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build D models in one, that share nothing: each row has its own.

    A row of the table holds D embeddings of its id, side by side; bottom,
    towers and logits have weights per domain. Rows of one domain leave the
    weights of the others as they are. Training differs from D runs only in
    that a batch has rows of several domains.

    Args and Raises are those of ``pooled_domains``.
    """
    start = front(schema, domain)
    weights = start.weights()
    own = start.main.inputs(start.inputs, "main_")
    parts = []
    if "ids" in own:
        (width,) = positive_widths(
            "embedding_dimension", (embedding_dimension,)
        )
        vectors = FusedEmbedding(
            start.main.field_sizes,
            start.main.id_columns,
            start.n_domains * width,
            seed=derived_seed(seed, "embedding"),
            name="embedding",
        )(own["ids"])
        select = SelectVectors(width, name="own_embedding")
        parts.append(select([vectors, weights]))
    if "numbers" in own:
        parts.append(own["numbers"])
    features = parts[0]
    if len(parts) > 1:
        features = keras.layers.Concatenate(name="features")(parts)
    bottom = DomainMLP(
        positive_widths("bottom_units", bottom_units),
        dropout=dropout,
        seed=derived_seed(seed, "bottom"),
        name="bottom",
    )([features, weights])
    outputs = domain_outputs(
        start.tasks,
        dict.fromkeys(start.tasks, bottom),
        weights,
        tower_units,
        dropout,
        seed,
    )
    return keras.Model(start.inputs, outputs, name="separate_domains")


def shared_bottom_over_domains(
    schema: Any,
    *,
    domain: str = "domain",
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build one bottom for all, and a tower per task t and domain d.

    With the features x without the domain, for a row of domain d:

        logit_t = h_td(f(x)).

    Args and Raises are those of ``pooled_domains``.
    """
    start = front(schema, domain)
    weights = start.weights()
    features = start.features(embedding_dimension, seed)
    bottom = bottom_layer(bottom_units, dropout, seed)(features)
    outputs = domain_outputs(
        start.tasks,
        dict.fromkeys(start.tasks, bottom),
        weights,
        tower_units,
        dropout,
        seed,
    )
    return keras.Model(
        start.inputs, outputs, name="shared_bottom_over_domains"
    )


def mmoe_over_domains(
    schema: Any,
    *,
    domain: str = "domain",
    embedding_dimension: int = 16,
    n_experts: int = 4,
    expert_units: Sequence[int] = (32,),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build experts for all, a gate and a tower per task t and domain d.

    For a row of domain d:

        logit_t = h_td(sum_e g_tde f_e(x)),  g_td = softmax(x W_td + b_td).

    Args:
        n_experts: E, at least 1.
        expert_units: widths of each expert's layers.
        The others, and Raises, are those of ``pooled_domains``.

    Source: Ma et al., KDD 2018 (there a gate per task).
    """
    start = front(schema, domain)
    weights = start.weights()
    features = start.features(embedding_dimension, seed)
    experts = expert_layer("experts", n_experts, expert_units, dropout, seed)(
        features
    )
    mixtures = {}
    for task in start.tasks:
        gate = DomainDense(
            n_experts,
            seed=derived_seed(seed, "gate", task),
            dtype="float32",
            name=f"gate_logit_{task}",
        )([features, weights])
        gate = keras.layers.Softmax(dtype="float32", name=f"gate_{task}")(gate)
        mixtures[task] = WeightedSum(name=f"mixture_{task}")([gate, experts])
    outputs = domain_outputs(
        start.tasks, mixtures, weights, tower_units, dropout, seed
    )
    return keras.Model(start.inputs, outputs, name="mmoe_over_domains")
