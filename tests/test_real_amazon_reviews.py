"""The loader of Amazon reviews: on made-up lines, and on the genuine file."""

import gzip
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from mtlrec_utils.data.real import DataFileError, load_amazon_reviews

LINE = {
    "reviewerID": "A1",
    "asin": "0001",
    "reviewerName": "Nobody",
    "helpful": [2, 3],
    "reviewText": "Good strings.",
    "overall": 5.0,
    "summary": "Good",
    "unixReviewTime": 1_000_000_000,
    "reviewTime": "09 9, 2001",
}


def written(folder, *rows):
    path = folder / "amazon-musical-instruments"
    path.mkdir(parents=True, exist_ok=True)
    path = path / "reviews_Musical_Instruments_5.json.gz"
    path.write_bytes(
        gzip.compress("\n".join(json.dumps(row) for row in rows).encode())
    )
    return path


def without(*keys):
    return {k: v for k, v in LINE.items() if k not in keys}


def test_values_and_types(tmp_path):
    other = without("summary", "reviewerName") | {"overall": 1, "asin": "1"}
    path = written(tmp_path, LINE, other)
    frame = load_amazon_reviews(file=path)
    assert list(frame) == [
        *("user", "item", "rating", "summary", "text", "helpful", "votes"),
        "time",
    ]
    assert frame["item"].tolist() == ["0001", "1"]
    assert frame["rating"].tolist() == [5, 1]
    assert frame["summary"].tolist() == ["Good", ""]
    assert (frame["helpful"][0], frame["votes"][0]) == (2, 3)
    assert frame["time"].dtype == np.int64
    assert "Nobody" not in frame.to_csv()
    with pytest.warns(UserWarning, match="has 2 rows.*10,261"):
        load_amazon_reviews(folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overall": 6}, "line 2: 6 stars"),
        ({"helpful": [4, 3]}, "4 of 3 votes cannot be"),
        ({"helpful": 3}, "line 2 is not in the official layout"),
        ({"unixReviewTime": "soon"}, "line 2 is not in the official layout"),
    ],
)
def test_wrong_lines_are_refused(tmp_path, change, message):
    path = written(tmp_path, LINE, LINE | change)
    with pytest.raises(DataFileError, match=message):
        load_amazon_reviews(file=path)
    path = written(tmp_path, without("asin"))
    with pytest.raises(DataFileError, match="official layout"):
        load_amazon_reviews(file=path)


def test_an_absent_file_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="Get reviews_Musical") as told:
        load_amazon_reviews(folder=tmp_path)
    assert str(tmp_path) not in str(told.value).splitlines()[0]


def test_counts_of_the_genuine_file():
    root = os.environ.get("MTLREC_DATA")
    if not root or not (Path(root) / "amazon-musical-instruments").is_dir():
        pytest.skip("the folder MTLREC_DATA names has no such reviews")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = load_amazon_reviews(folder=root)
    assert len(frame) == 10_261
    assert (frame["user"].nunique(), frame["item"].nunique()) == (1429, 900)
    stars = frame["rating"].value_counts().sort_index().tolist()
    assert stars == [217, 250, 772, 2084, 6938]
    assert not frame.duplicated(["user", "item"]).any()
    assert (frame["time"] % 86_400 == 0).all()
