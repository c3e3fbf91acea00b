"""Recommenders without a network: NumPy and SciPy, no Keras.

All of them are fitted on a matrix of interactions and score whole catalogues::

    train = interaction_matrix(rows["user"], rows["item"], (n_users, n_items))
    model = ItemNeighbours().fit(train)
    model.scores(users)          # [len(users), n_items]
    model.recommend(users, k=10)  # item numbers, seen items left out
"""

from mtlrec_utils.models.classic.bridges import (
    described,
    mean_history,
    orthogonal_bridge,
    rating_bridge,
    ridge_bridge,
)
from mtlrec_utils.models.classic.cold_bridges import ColdBridges
from mtlrec_utils.models.classic.content import ContentProfiles, tf_idf
from mtlrec_utils.models.classic.factors import ImplicitALS
from mtlrec_utils.models.classic.interactions import (
    decay_weights,
    interaction_matrix,
)
from mtlrec_utils.models.classic.neighbours import (
    ItemNeighbours,
    UserNeighbours,
    nearest,
)
from mtlrec_utils.models.classic.popularity import Popularity
from mtlrec_utils.models.classic.rating_factors import (
    CollectiveFactors,
    RatingFactors,
    damped_means,
)
from mtlrec_utils.models.classic.ratings import RatingBiases, SlopeOne
from mtlrec_utils.models.classic.recommender import Recommender, top_items

__all__ = [
    "ColdBridges",
    "CollectiveFactors",
    "ContentProfiles",
    "ImplicitALS",
    "ItemNeighbours",
    "Popularity",
    "RatingBiases",
    "RatingFactors",
    "Recommender",
    "SlopeOne",
    "UserNeighbours",
    "damped_means",
    "decay_weights",
    "described",
    "interaction_matrix",
    "mean_history",
    "nearest",
    "orthogonal_bridge",
    "rating_bridge",
    "ridge_bridge",
    "tf_idf",
    "top_items",
]
