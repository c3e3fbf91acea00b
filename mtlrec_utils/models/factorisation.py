"""Matrix factorisation: a vector per user and per item, by ids alone."""

from __future__ import annotations

from typing import Any

import keras

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.features_and_towers import model_inputs
from mtlrec_utils.models.retrieval_layers import (
    PairwiseMatch,
    SoftmaxMatch,
    ValueMatch,
)
from mtlrec_utils.models.retrieval_parts import (
    drawn_items,
    item_identity,
    matched_model,
    only_task,
    refuse_catalogue,
)
from mtlrec_utils.models.retrieval_towers import Tower

LOSSES = ("labels", "bpr", "softmax")


def matrix_factorisation(
    schema: Any,
    *,
    user: str = "user",
    item: str = "item",
    dimension: int = 16,
    loss: str = "labels",
    catalogue: Any = None,
    n_negatives: int | None = None,
    biases: bool = True,
    penalty: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a matrix factorisation: a vector per user and per item.

    score(u, i) = <u, v_i> + b_i (+ b_u with loss "labels"). A bias is a
    component of a vector whose partner is 1, so the score is <user_vector,
    item_vector>.

    Args:
        schema: a fitted ``Schema`` with these two features and one task.
        user, item: names of the features.
        dimension: d, length of a vector without its bias.
        loss: "labels": squared error of a regression task (about the mean
            of its training labels with ``scale="standard"``), log loss of
            a binary one. "bpr": each taken item above drawn ones. "softmax":
            each taken item among drawn ones.
        catalogue: ``Examples`` with a row per item, to draw from; for
            "bpr" and "softmax".
        n_negatives: items to draw, per row for "bpr" (1 if None), for the
            whole batch for "softmax" (None: all items, the full softmax).
        biases: learn what is popular apart from what fits.
        penalty: lambda of lambda (|u|^2 + |v|^2), biases included, added to
            the loss of each row.
        seed: same seed, same initial weights and draws.

    Raises:
        ValueError: an unfitted schema, not one task, an unknown feature or
            loss, no catalogue to draw from.

    Source: Koren, Bell and Volinsky, "Matrix Factorization Techniques for
    Recommender Systems", Computer 42(8), 2009; BPR: Rendle et al., UAI 2009.
    """
    task = only_task(schema)
    if loss not in LOSSES:
        raise ValueError(f"loss={loss!r}: choose one of {', '.join(LOSSES)}.")
    inputs = model_inputs(schema, (user, item))
    name = f"matrix_factorisation_{loss}"
    (dimension,) = positive_widths("dimension", (dimension,))
    with_user = biases and loss == "labels"
    towers = [
        Tower.of_ids(schema, "user", [user], dimension, with_user, seed),
        Tower.of_ids(schema, "item", [item], dimension, biases, seed),
    ]
    if biases:
        towers[0].add_ones(before_last=with_user)
    if with_user:
        towers[1].add_ones(before_last=False)
    ends = [tower.of_batch(inputs) for tower in towers]
    options: dict[str, Any] = {"penalty": penalty, "name": task.name}
    if loss == "labels":
        refuse_catalogue(catalogue, n_negatives, 'loss="labels"')
        last: Any = ValueMatch(
            task.kind == "regression", task.center, task.spread, **options
        )
        return matched_model(inputs, last, ends, name)
    own = item_identity(schema, inputs, item)
    if loss == "bpr":
        count = 1 if n_negatives is None else n_negatives
        last = PairwiseMatch(count, **options)
    else:
        count = n_negatives or 0
        last = SoftmaxMatch(in_batch=False, drawn=count, **options)
    drawn = drawn_items(
        schema, inputs, towers[1], item, catalogue, count, loss == "bpr", seed
    )
    ends = [*ends, own, *drawn]
    return matched_model(inputs, last, ends, name)
