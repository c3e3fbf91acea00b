"""Bridges that are networks, on the same factors as those in closed form.

``models.classic.ColdBridges`` holds the factors of one split with cold users
and its bridges in closed form; these two stand beside them. Both learn from
linked users' rows alone, and both return a function: rows of the target in,
predicted ratings [N] out, like the trials of ``ColdBridges.best_of``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.learning.prediction import predict
from mtlrec_utils.learning.training import fit
from mtlrec_utils.learning.transfer.mapping import mlp_bridge
from mtlrec_utils.models import histories, ptupcdr, rating_examples
from mtlrec_utils.models.classic import ColdBridges

Predictor = Callable[[pd.DataFrame], NDArray[np.float64]]


def emcdr_network(
    bridges: ColdBridges, linked: ArrayLike, **settings: Any
) -> Predictor:
    """Train EMCDR with a network for its map.

    Args:
        bridges: the factors of both domains.
        linked: numbers of the users to learn from.
        **settings: of ``mlp_bridge``.

    Raises:
        ValueError: no linked users.

    Source: Man et al., IJCAI 2017.
    """
    users, own = np.asarray(linked), bridges.source.user_vectors
    carried = mlp_bridge(
        own[users], bridges.target.user_vectors[users], **settings
    )
    vectors = carried(own)
    return lambda rows: bridges.predict(rows, vectors)


def personal_network(
    bridges: ColdBridges,
    linked: ArrayLike,
    *,
    length: int = 20,
    hidden: int = 16,
    seed: int = 0,
    **settings: Any,
) -> Predictor:
    """Train PTUPCDR on the linked users' ratings in the target.

    Args:
        bridges: the factors of both domains.
        linked: numbers of the users to learn from.
        length: source items of a user that the network reads, the last ones.
        hidden: width of its layers.
        seed: of weights and order.
        **settings: of ``learning.fit``.

    Raises:
        ValueError: none of the linked users has a rating in the target.

    Source: Zhu et al., WSDM 2022.
    """
    split, n_users = bridges.split, bridges.sizes[0]
    known = split.target[split.target["user"].isin(np.asarray(linked))]
    if not len(known):
        raise ValueError(
            "No linked user has a rating in the target: pass numbers from "
            "`split.linked`."
        )
    past = histories(
        split.source["user"], split.source["item"], n_users, length
    )
    model = ptupcdr(
        bridges.source.user_vectors,
        bridges.target.item_vectors,
        bridges.target.item_mean,
        bridges.source.item_vectors,
        length,
        hidden=hidden,
        seed=seed,
    )
    fit(
        model,
        rating_examples(known, past),
        seed=seed,
        progress=False,
        **settings,
    )

    def predicted(rows: pd.DataFrame) -> NDArray[np.float64]:
        found = predict(model, rating_examples(rows, past))["rating"]
        return np.asarray(found, dtype=np.float64).ravel()

    return predicted
