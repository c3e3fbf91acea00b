"""Bridges that are networks, on the same factors as those in closed form.

``models.classic.ColdBridges`` holds the factors of one split with cold users
and its bridges in closed form; these three stand beside them. Of the target
they learn from linked users' rows alone. Each returns a function: rows of the
target in, predicted ratings [N] out, like the trials of
``ColdBridges.best_of``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from mtlrec_utils.learning.prediction import predict
from mtlrec_utils.learning.training import fit
from mtlrec_utils.learning.transfer.mapping import mlp_bridge
from mtlrec_utils.learning.transfer.semi_supervised import (
    Preferences,
    neighbourhood,
    semi_supervised_bridge,
)
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


def semi_supervised_network(
    bridges: ColdBridges,
    linked: ArrayLike,
    *,
    n_hops: int = 1,
    **settings: Any,
) -> Predictor:
    """Train SSCDR, and read cold users off their neighbourhood.

    A user prefers the items of the source they rated above the item's mean;
    the map learns that these are closer to the linked user's vector in the
    target than the others they rated. Distances leave a user's level aside.

    Args:
        bridges: the factors of both domains.
        linked: numbers of the users to learn from.
        n_hops: of ``neighbourhood``, over the mapped vectors of all users
            and items of the source; 0 takes the user's own.
        **settings: of ``semi_supervised_bridge``.

    Raises:
        ValueError: no linked users, a setting out of range.

    Source: Kang et al., CIKM 2019; ``semi_supervised`` says what differs.
    """
    users, own = np.asarray(linked), bridges.source.user_vectors
    items = item_points(bridges.source.item_vectors, own)
    known = preferences(bridges)
    carried = semi_supervised_bridge(
        own[users],
        bridges.target.user_vectors[users],
        items,
        known[users],
        n_compared=bridges.target.n_factors,
        **settings,
    )
    vectors, theirs = carried(own), carried(items)
    vectors[:, :-1] = neighbourhood(
        vectors[:, :-1], theirs[:, :-1], known, n_hops
    )[0]
    return lambda rows: bridges.predict(rows, vectors)


def preferences(bridges: ColdBridges) -> Preferences:
    """Return who rated what in the source above (1) or below (-1) its mean.

    Returns:
        [n_users, n_source_items], 0 where there is no rating.
    """
    rows, (n_users, n_items, _) = bridges.split.source, bridges.sizes
    user, item = rows["user"].to_numpy(), rows["item"].to_numpy()
    rest = rows["rating"].to_numpy() - bridges.source.item_mean[item]
    table = sparse.csr_array((rest, (user, item)), shape=(n_users, n_items))
    table.sum_duplicates()
    table.data = np.sign(table.data)
    return table


def item_points(
    items: NDArray[np.float64], users: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return items as users: at level 0, their tastes as long as users'.

    Args:
        items: (y_i, 1), [n_items, k + 1].
        users: tastes and level, [n_users, k + 1].
    """
    taste, theirs = items[:, :-1], users[:, :-1]
    size = np.sqrt(np.mean(taste**2))
    scale = np.sqrt(np.mean(theirs**2)) / size if size else 0.0
    return np.column_stack([scale * taste, np.zeros(len(items))])
