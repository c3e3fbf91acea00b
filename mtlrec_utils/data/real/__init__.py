"""Loaders for public data sets, each written against its official layout.

Nothing of the data is part of this project; see the cards in `datasets/`.
"""

from mtlrec_utils.data.real.amazon_reviews import load_amazon_reviews
from mtlrec_utils.data.real.beibei import Beibei, load_beibei
from mtlrec_utils.data.real.cache import (
    REMOTE_FILES,
    RemoteFile,
    data_folder,
    fetch,
    how_to_get,
)
from mtlrec_utils.data.real.census_income import load_census_income
from mtlrec_utils.data.real.download import DownloadError
from mtlrec_utils.data.real.files import DataFileError
from mtlrec_utils.data.real.goodbooks import load_goodbooks
from mtlrec_utils.data.real.hillstrom import load_hillstrom
from mtlrec_utils.data.real.kuairand import KuaiRand, load_kuairand
from mtlrec_utils.data.real.movielens import MovieLens, load_movielens
from mtlrec_utils.data.real.ratings_pair import (
    RatingsPair,
    load_amazon_books_movies,
    load_ratings_pair,
)

__all__ = [
    "REMOTE_FILES",
    "Beibei",
    "DataFileError",
    "DownloadError",
    "KuaiRand",
    "MovieLens",
    "RatingsPair",
    "RemoteFile",
    "data_folder",
    "fetch",
    "how_to_get",
    "load_amazon_books_movies",
    "load_amazon_reviews",
    "load_beibei",
    "load_census_income",
    "load_goodbooks",
    "load_hillstrom",
    "load_kuairand",
    "load_movielens",
    "load_ratings_pair",
]
