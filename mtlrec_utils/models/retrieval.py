"""Retrieval: models whose score is an inner product of two vectors.

A user's vector is made without the item, an item's without the user. So all
item vectors can be made beforehand, and a search for the largest inner
products finds a user's items among millions (``models/index.py``).

Both functions read a fitted ``Schema`` with one task and return a functional
Keras model with the layers "user_vector" and "item_vector" and an output
named by the task. What the model is trained on is decided by its last layer
(``retrieval_layers.py``), so ``learning.fit`` trains it as any other. For
all losses but those on labels, train on the rows that were taken (label 1)
and pass the items to draw negatives from::

    catalogue = schema.encode(items, labels=False)  # a row per item
    model = two_towers(schema, user_features=["user"],
                       item_features=["item", "genre"], item="item",
                       shares=item_shares(schema, train), seed=0)
    learning.fit(model, train, epochs=5)
    item_vectors(model, catalogue)  # [I, d]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlrec_utils.models.checks import dropout_rate, positive_widths
from mtlrec_utils.models.features_and_towers import model_inputs
from mtlrec_utils.models.reading import layer_values
from mtlrec_utils.models.retrieval_layers import SoftmaxMatch
from mtlrec_utils.models.retrieval_parts import (
    drawn_items,
    item_column,
    item_identity,
    matched_model,
    number_of_identities,
    only_task,
    refuse_catalogue,
)
from mtlrec_utils.models.retrieval_towers import Tower


def two_towers(
    schema: Any,
    *,
    user_features: Sequence[str],
    item_features: Sequence[str],
    item: str = "item",
    embedding_dimension: int = 16,
    tower_units: Sequence[int] = (64,),
    dimension: int = 32,
    temperature: float = 1.0,
    normalise: bool = False,
    shares: Any = None,
    mask_hits: bool = True,
    catalogue: Any = None,
    n_negatives: int = 0,
    n_hardest: int | None = None,
    dropout: float = 0.0,
    penalty: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build two towers, trained by an in-batch softmax.

    Each row's item must be found among the items of the other rows of its
    batch; with ``n_negatives`` also among items drawn from the catalogue
    (mixed negatives).

    Args:
        schema: a fitted ``Schema`` with one task.
        user_features: columns the user tower reads.
        item_features: columns the item tower reads.
        item: the feature that says which item a row is about; the item
            tower need not read it.
        embedding_dimension: width of one id's embedding.
        tower_units: widths of a tower's hidden layers; () for none.
        dimension: d, length of the vectors.
        temperature: divides the scores; for vectors of length 1 about 0.1.
        normalise: scale vectors to length 1, so that a score is a cosine.
        shares: share of each item in the training rows, by its id, from
            ``item_shares``: turns the logQ correction on.
        mask_hits: hide a row's own item where it is among the candidates.
        catalogue: ``Examples`` with a row per item, to draw from.
        n_negatives: items to draw from the catalogue for a batch.
        n_hardest: keep so many candidates of each row, those with the
            highest scores; None keeps all.
        dropout: share of hidden outputs dropped in training.
        penalty: lambda of lambda (|u|^2 + |v|^2), added to each row's loss.
        seed: same seed, same initial weights and draws.

    Raises:
        ValueError: an unfitted schema, not one task, an unknown feature, a
            bad width, shares that do not fit the schema, negatives without
            a catalogue.

    Source: Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large
    Corpus Item Recommendations", RecSys 2019.
    """
    task = only_task(schema)
    columns = (*user_features, *item_features, item)
    inputs = model_inputs(schema, columns)
    positive_widths("dimension", (dimension,))
    towers = [
        Tower.of_features(
            schema,
            side,
            features,
            embedding_dimension,
            (positive_widths("tower_units", tower_units), dimension),
            dropout_rate("dropout", dropout),
            normalise,
            seed,
        )
        for side, features in (
            ("user", user_features),
            ("item", item_features),
        )
    ]
    ends = [tower.of_batch(inputs) for tower in towers]
    ends.append(item_identity(schema, inputs, item))
    if n_hardest is not None:
        positive_widths("n_hardest", (n_hardest,))
    if n_negatives:
        positive_widths("n_negatives", (n_negatives,))
        ends += drawn_items(
            schema, inputs, towers[1], item, catalogue, n_negatives, False,
            seed,
        )  # fmt: skip
    else:
        refuse_catalogue(catalogue, None, "n_negatives=0")
    size = number_of_identities(schema, item)
    last = SoftmaxMatch(
        in_batch=True,
        drawn=n_negatives,
        n_items=len(catalogue) if n_negatives else 0,
        n_identities=size,
        correction=shares is not None,
        mask_hits=mask_hits,
        n_hardest=n_hardest,
        penalty=penalty,
        temperature=temperature,
        name=task.name,
    )
    model = matched_model(inputs, last, ends, "two_towers")
    if shares is not None:
        last.log_share.assign(np.log(_checked_shares(shares, size)))
    return model


def item_shares(
    schema: Any, train: Any, item: str = "item", task: str | None = None
) -> np.ndarray:
    """Return the share of each item in the rows that were taken.

    Args:
        schema: a fitted ``Schema``.
        train: the training ``Examples``.
        item: the feature that says which item a row is about.
        task: count rows whose label is 1; None: the only task of the rows,
            or all rows when there is none.

    Returns:
        float64 [rows of the item's vocabulary], summing to 1. An item
        never taken counts as half a row, for its logarithm.
    """
    place = item_column(schema, item)
    ids = train.ids[:, place.start]
    names = list(train.labels) if task is None else [task]
    if len(names) == 1:
        ids = ids[train.labels[names[0]] * train.masks[names[0]] > 0]
    counts = np.bincount(ids, minlength=schema.field_sizes[place.field])
    counts = np.maximum(counts, 0.5)
    return counts / counts.sum()


def user_vectors(model: keras.Model, examples: Any) -> np.ndarray:
    """Return the user tower's vectors, float32 [N, d].

    Args:
        model: of this module.
        examples: a row per user; item columns may hold anything.
    """
    return layer_values(model, ["user_vector"], examples)["user_vector"]


def item_vectors(model: keras.Model, examples: Any) -> np.ndarray:
    """Return the item tower's vectors, float32 [N, d].

    Args:
        model: of this module.
        examples: a row per item; user columns may hold anything.
    """
    return layer_values(model, ["item_vector"], examples)["item_vector"]


def _checked_shares(shares: Any, size: int) -> np.ndarray:
    found = np.asarray(shares, dtype=np.float64)
    if found.shape != (size,) or not (found > 0).all():
        raise ValueError(
            f"shares has shape {found.shape}; pass positive shares, "
            f"({size},), as item_shares(schema, train) returns them."
        )
    return found / found.sum()
