"""Rankers: wide & deep, DeepFM, DCN-v2 and DIN.

All read a fitted ``Schema`` and have the ends of ``models/multitask.py``: the
inputs "ids" and "numbers" in front, and behind, for each of any number of
tasks, a tower, a logit and a last layer named by the task. ``single_task``
(or ``shared_bottom``) is the plain "deep" one that they are held against.
They differ in what is multiplied with what before a network sees it:

* ``wide_and_deep`` adds a linear term with crosses of your choice;
* ``deepfm`` adds a linear term and the products of all pairs of features;
* ``dcn`` multiplies the joined features with themselves, layer by layer;
* ``din`` weighs the items of a history by the candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.cross_layers import CrossLayer, PairwiseProducts
from mtlrec_utils.models.embedding import FusedEmbedding
from mtlrec_utils.models.features_and_towers import (
    activated,
    joined,
    joined_features,
    model_inputs,
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed
from mtlrec_utils.models.interest import InterestAttention
from mtlrec_utils.models.ranking_parts import (
    added_logits,
    all_widths,
    bottom,
    crossed_term,
    every_column_embedded,
    linear_term,
    network,
    tasks_of_a_sum,
)
from mtlrec_utils.models.set_encoding import MaskedMean, Tokens

_PARTS = ("tokens", "vector")


def wide_and_deep(
    schema: Any,
    *,
    crosses: Sequence[tuple[str, str]] = (),
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] | None = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build wide & deep: a linear model and a network, logits added.

    The wide part has a weight per task for every id, every number, and every
    pair of values of the columns in ``crosses``. Its weights start at 0.

    Args:
        schema: a fitted ``Schema``.
        crosses: pairs of categorical columns whose values are crossed.
        embedding_dimension: width of one id's embedding in the deep part.
        bottom_units: widths of the network's layers; None leaves the deep
            part out, and what remains is logistic (or linear) regression.
        tower_units: widths of each task's tower; () for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, a column that cannot be crossed, a
            bad width.

    Source: Cheng et al., "Wide & Deep Learning for Recommender Systems",
    DLRS 2016.
    """
    tasks = tasks_of_a_sum(schema)
    inputs = model_inputs(schema)
    terms = [linear_term(schema, tasks, inputs, seed)]
    if crosses:
        terms.append(crossed_term(schema, tasks, inputs, crosses, seed))
    logits = None
    if bottom_units is not None:
        features = joined(schema, inputs, embedding_dimension, seed)
        logits = network(
            tasks, features, bottom_units, tower_units, dropout, seed
        )
    outputs = activated(tasks, added_logits(tasks, terms, logits))
    return keras.Model(inputs, outputs, name="wide_and_deep")


def deepfm(
    schema: Any,
    *,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build DeepFM: a factorisation machine and a network, logits added.

    Both read the same embeddings. A task's logit is its linear term, plus
    its weight times the pairwise products of the id features' factors, plus
    its tower's logit. The weight starts at 1 and is the only thing that
    tells tasks apart in the products; with one task it may be thought away.
    Numbers have linear terms and go into the network; they have no factors.

    Args and Raises are those of ``wide_and_deep``; the schema needs at least
    one id feature.

    Source: Guo et al., "DeepFM: A Factorization-Machine based Neural Network
    for CTR Prediction", IJCAI 2017, equations 1 to 4.
    """
    tasks = tasks_of_a_sum(schema)
    if not schema.id_columns:
        raise ValueError(
            "DeepFM multiplies embeddings, but the schema has numbers only; "
            "give it a Categorical feature."
        )
    inputs = model_inputs(schema)
    (dimension,) = positive_widths(
        "embedding_dimension", (embedding_dimension,)
    )
    factors = FusedEmbedding(
        schema.field_sizes,
        schema.id_columns,
        dimension,
        seed=derived_seed(seed, "embedding"),
        name="embedding",
    )(inputs["ids"])
    products = keras.layers.Dense(
        all_widths(tasks),
        use_bias=False,
        kernel_initializer="ones",
        dtype="float32",
        name="weighed_products",
    )(PairwiseProducts(dimension, name="products")(factors))
    features = factors
    if "numbers" in inputs:
        features = keras.layers.Concatenate(name="features")(
            [factors, inputs["numbers"]]
        )
    logits = network(tasks, features, bottom_units, tower_units, dropout, seed)
    terms = [linear_term(schema, tasks, inputs, seed), products]
    outputs = activated(tasks, added_logits(tasks, terms, logits))
    return keras.Model(inputs, outputs, name="deepfm")


def dcn(
    schema: Any,
    *,
    n_crosses: int = 2,
    rank: int | None = None,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build DCN-v2, stacked: cross layers, then the network.

    Args:
        n_crosses: cross layers, at least 1; with D joined features each has
            D^2 + D parameters, or 2 D rank + D.
        rank: of each cross; None for full matrices.
        schema, embedding_dimension, bottom_units, tower_units, dropout,
            seed: as for ``wide_and_deep``.

    Raises:
        ValueError: an unfitted schema, a bad width, rank or number.

    Source: Wang et al., "DCN V2", WWW 2021, section 3 (the stacked
    structure).
    """
    (n_crosses,) = positive_widths("n_crosses", (n_crosses,))
    crosses = [f"cross_{layer}" for layer in range(n_crosses)]
    tasks = tasks_by_name(schema, taken=crosses)
    inputs, features = joined_features(schema, embedding_dimension, seed)
    x = features
    for layer, name in enumerate(crosses):
        x = CrossLayer(
            rank, seed=derived_seed(seed, "cross", layer), name=name
        )([features, x])
    hidden = bottom(bottom_units, dropout, seed)(x)
    outputs = task_outputs(
        tasks, dict.fromkeys(tasks, hidden), tower_units, dropout, seed
    )
    return keras.Model(inputs, outputs, name="dcn")


def din(
    schema: Any,
    *,
    history: str = "history",
    candidate: str = "item",
    attention_units: Sequence[int] = (16,),
    normalised: bool = False,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build DIN: the history is read through the eyes of the candidate.

    In the place of the history's mean stands ``InterestAttention``; all
    other features are joined as in every model.

    Args:
        history: a Sequence feature that shares the candidate's vocabulary.
        candidate: a Categorical feature.
        attention_units: hidden widths of the attention.
        normalised: a softmax over the history, which the paper leaves out.
        schema, embedding_dimension, bottom_units, tower_units, dropout,
            seed: as for ``wide_and_deep``.

    Raises:
        ValueError: an unfitted schema, no such features, two vocabularies,
            a bad width.

    Source: Zhou et al., "Deep Interest Network for Click-Through Rate
    Prediction", KDD 2018.
    """
    tasks = tasks_by_name(schema, taken=_layers_of_din(schema))
    _check_interest(schema, history, candidate)
    inputs = model_inputs(schema)
    embedded = every_column_embedded(
        schema, inputs["ids"], embedding_dimension, seed
    )
    vectors: dict[str, Any] = {}
    past: list[Any] = []
    for column in schema.id_columns:
        part = Tokens(
            [(column.start, column.stop)], name=f"tokens_{column.name}"
        )([inputs["ids"], embedded])
        if column.name == history:
            past = part
        else:
            # The mean of one token is the token.
            vectors[column.name] = MaskedMean(name=f"vector_{column.name}")(
                part
            )
    interest = InterestAttention(
        attention_units,
        normalised,
        seed=derived_seed(seed, "interest"),
        name="interest",
    )([vectors[candidate], *past])
    parts = [*vectors.values(), interest]
    if "numbers" in inputs:
        parts.append(inputs["numbers"])
    features = keras.layers.Concatenate(name="features")(parts)
    hidden = bottom(bottom_units, dropout, seed)(features)
    outputs = task_outputs(
        tasks, dict.fromkeys(tasks, hidden), tower_units, dropout, seed
    )
    return keras.Model(inputs, outputs, name="din")


def _layers_of_din(schema: Any) -> list[str]:
    names = [column.name for column in schema.id_columns]
    parts = [f"{part}_{name}" for name in names for part in _PARTS]
    return ["interest", *parts]


def _check_interest(schema: Any, history: str, candidate: str) -> None:
    columns = {column.name: column for column in schema.id_columns}
    for name, pooled, kind in (
        (history, True, "a Sequence"),
        (candidate, False, "a Categorical"),
    ):
        if name not in columns or columns[name].pooled != pooled:
            raise ValueError(
                f"din needs {kind} feature called {name!r}; the schema has "
                f"{', '.join(map(repr, columns)) or 'no id features'}. Name "
                "yours with history=... and candidate=..."
            )
    if columns[history].field != columns[candidate].field:
        raise ValueError(
            f"{history!r} and {candidate!r} have vocabularies of their own, "
            "so their vectors cannot be compared. Say Sequence("
            f"{history!r}, ..., vocabulary_of={candidate!r})."
        )
