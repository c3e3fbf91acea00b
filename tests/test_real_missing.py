"""What a reader without a data set is told."""

import functools

import pytest

from mtlrec_utils.data.real import (
    load_amazon_books_movies,
    load_amazon_reviews,
    load_beibei,
    load_census_income,
    load_goodbooks,
    load_hillstrom,
    load_kuairand,
    load_movielens,
)
from mtlrec_utils.data.real.movielens import EDITIONS

LOADERS = {
    "amazon_books_movies": load_amazon_books_movies,
    "amazon_reviews": load_amazon_reviews,
    "beibei": load_beibei,
    "census_train": functools.partial(load_census_income, "train"),
    "census_test": functools.partial(load_census_income, "test"),
    "goodbooks": load_goodbooks,
    "hillstrom": load_hillstrom,
    "kuairand": load_kuairand,
    **{
        f"movielens_{edition}": functools.partial(load_movielens, edition)
        for edition in EDITIONS
    },
}


@pytest.mark.parametrize("name", LOADERS)
def test_first_line_fits_a_page_and_the_next_say_how_to_get_it(name, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        LOADERS[name](folder=tmp_path)
    first, *rest = str(error.value).splitlines()
    assert len(first) <= 79, "lessons print this line as it stands"
    assert " here" in first
    assert str(tmp_path) in " ".join(rest), "where it was looked for"
    assert "MTLREC_DATA" in str(error.value) or "of your own" in rest[0]
    assert list(tmp_path.iterdir()) == []
