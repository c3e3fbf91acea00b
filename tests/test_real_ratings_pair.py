"""Pairs of ratings tables on made-up rows; needs no data."""

import gzip

import numpy as np
import pytest

from mtlrec_utils.data.real import (
    DataFileError,
    load_amazon_books_movies,
    load_ratings_pair,
)


@pytest.fixture
def pair(tmp_path):
    source = tmp_path / "books.inter.gz"
    source.write_bytes(
        gzip.compress(
            b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            b"007\t0001\t5.0\t20\n7\t1\t4.0\t10\n007\t0001\t1.0\t10\n"
            b"NA\t2\t3.0\t10\n"
        )
    )
    target = tmp_path / "films.csv"
    target.write_text("stars,who,what\n2,7,1\n4,007,1\n1,nobody,1\n")
    return source, target


FILMS = {"user": "who", "item": "what", "rating": "stars"}


def test_ids_stay_text_and_overlap_is_exact(pair):
    data = load_ratings_pair(*pair, target_columns=FILMS, duplicates="last")
    assert data.source["user"].tolist() == ["007", "7", "NA"]
    assert data.source["item"].tolist() == ["0001", "1", "2"]
    assert data.source["rating"].dtype == np.float32
    assert data.target["user"].tolist() == ["7", "007", "nobody"]
    assert list(data.target) == ["user", "item", "rating"]
    assert data.overlap.tolist() == ["007", "7"]


@pytest.mark.parametrize(
    ("policy", "rating", "time"), [("last", 5.0, 20), ("mean", 3.0, 20)]
)
def test_duplicate_policies(pair, policy, rating, time):
    data = load_ratings_pair(*pair, target_columns=FILMS, duplicates=policy)
    assert data.duplicates == {"source": 1, "target": 0}
    merged = data.source[data.source["user"] == "007"]
    assert merged["rating"].tolist() == [rating]
    assert merged["time"].tolist() == [time]
    assert len(data.source) == 3


def test_last_means_file_order_without_times(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("user_id,item_id,rating\nu,i,5\nv,i,2\nu,i,1\n")
    data = load_ratings_pair(path, path, duplicates="last")
    assert data.source.to_numpy().tolist() == [["v", "i", 2], ["u", "i", 1]]


def test_duplicates_are_an_error_unless_settled(pair):
    with pytest.raises(ValueError, match=r"source: 1 rows.*'007'.*'0001'"):
        load_ratings_pair(*pair, target_columns=FILMS)


def test_several_files_make_one_domain(tmp_path):
    for name, user in (("a.csv", "u"), ("b.csv", "v")):
        (tmp_path / name).write_text(f"user_id,item_id,rating\n{user},i,5\n")
    both = [tmp_path / "a.csv", tmp_path / "b.csv"]
    data = load_ratings_pair(both, both[1])
    assert data.source["user"].tolist() == ["u", "v"]
    assert data.overlap.tolist() == ["v"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,item_id\na,b\n", "has no column 'rating'"),
        ("user_id,item_id,rating\n,b,1\n", "1 rows have no user id.*row 1"),
        ("user_id,item_id,rating\na,b,1\na,,1\n", "no item id.*row 2"),
        ("user_id,item_id,rating\na,b,good\n", "official layout"),
        ("user_id,item_id,rating\na,b,\n", "official layout|no finite"),
        ("user_id,item_id,rating\na,b,inf\n", "no finite rating"),
    ],
)
def test_pair_wrong_contents(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataFileError, match=message):
        load_ratings_pair(path, path)


def test_pair_wrong_arguments(pair, tmp_path):
    with pytest.raises(ValueError, match="'first' is unknown"):
        load_ratings_pair(*pair, duplicates="first")
    with pytest.raises(ValueError, match="unknown key 'stars'"):
        load_ratings_pair(*pair, columns={"stars": "rating"})
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_ratings_pair(tmp_path / "no.csv", pair[1])
    odd = tmp_path / "a.dat"
    odd.write_text("user_id item_id rating\nu i 1\n")
    with pytest.raises(ValueError, match="separator"):
        load_ratings_pair(odd, odd)
    assert len(load_ratings_pair(odd, odd, separator=" ").source) == 1
    with pytest.raises(FileNotFoundError, match="load_ratings_pair"):
        load_amazon_books_movies(tmp_path)
