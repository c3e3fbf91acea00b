"""Texts and vectors of the past; the slot for a trained encoder."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import Number, Schema, SchemaError, Task
from mtlrec_utils.data.item_texts import (
    past_texts,
    past_vectors,
    text_vectors,
)
from mtlrec_utils.models import cold_start_towers

ROWS = pd.DataFrame(
    {
        "user": [1, 2, 1, 1, 2, 1],
        "item": ["a", "b", "b", "c", "a", "a"],
        "click": [1, 0, 1, 0, 1, 1],
    },
    index=[10, 11, 12, 13, 14, 15],
)
TEXTS = pd.Series({"a": "apple", "b": "bear", "c": "cat"})


def test_the_past_is_that_of_rows_above():
    found = past_texts(ROWS, TEXTS, 2, taken="click")
    assert found.index.tolist() == ROWS.index.tolist()
    assert found.fillna("-").T.to_numpy().tolist() == [
        ["-", "-", "apple", "bear", "-", "bear"],
        ["-", "-", "-", "apple", "-", "apple"],
    ]
    everything = past_texts(ROWS, TEXTS, 1)
    assert everything["past_1"].tolist()[3:] == ["bear", "bear", "cat"]


def test_nobody_has_a_past():
    rows = ROWS.assign(click=0)
    assert past_texts(rows, TEXTS, 3, taken="click").isna().all(axis=None)


def test_vectors_of_the_past_are_means():
    vectors = pd.DataFrame(
        {"x": [1.0, 2.0, 4.0], "y": [0.0, 1.0, 0.0]}, index=list("abc")
    )
    found = past_vectors(ROWS, vectors, 2, taken="click")
    assert list(found) == ["past_x", "past_y"]
    assert found["past_x"].tolist() == [0, 0, 1, 1.5, 0, 1.5]
    assert found["past_y"].tolist() == [0, 0, 0, 0.5, 0, 0.5]
    assert found.dtypes.eq(np.float32).all()


def test_an_item_without_a_text_is_named():
    with pytest.raises(SchemaError, match="Item 'b' was taken"):
        past_texts(ROWS, TEXTS.drop("b"), 2)
    with pytest.raises(SchemaError, match="stands twice"):
        past_texts(ROWS, pd.concat([TEXTS, TEXTS]), 2)


# The slot


def letters(texts):
    """A made-up encoder: counts of a, e and all letters."""
    letters.calls.append(list(texts))
    return [[t.count("a"), t.count("e"), len(t)] for t in texts]


@pytest.fixture(autouse=True)
def _no_calls():
    letters.calls = []


def test_each_text_is_encoded_once():
    found = text_vectors(letters, ["apple", "bear", "apple"])
    assert letters.calls == [["apple", "bear"]]
    assert found.tolist() == [[1, 1, 5], [1, 1, 4], [1, 1, 5]]
    assert found.dtype == np.float32


def test_the_file_is_read_while_the_texts_are_the_same(tmp_path):
    cache = tmp_path / "new" / "vectors.npz"
    first = text_vectors(letters, ["apple", "bear"], cache=cache)
    again = text_vectors(letters, ["apple", "bear", "bear"], cache=cache)
    assert len(letters.calls) == 1
    np.testing.assert_array_equal(again[:2], first)
    text_vectors(letters, ["apple", "cat"], cache=cache)
    assert letters.calls[1] == ["apple", "cat"]
    assert [p.name for p in cache.parent.iterdir()] == ["vectors.npz"]


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda t: np.zeros(len(t)), r"2 texts.*shape \(2,\).*\[2, width\]"),
        (lambda t: np.zeros((3, 4)), r"shape \(3, 4\)"),
        (lambda t: np.zeros((len(t), 0)), r"shape \(2, 0\)"),
        (lambda t: [[1.0], [np.nan]], "first in row 1"),
        (lambda t: [["x"], ["y"]], "matrix of numbers"),
        (lambda t: [[1.0], [1.0, 2.0]], "matrix of numbers"),
    ],
)
def test_wrong_vectors_are_refused_and_not_kept(encode, message, tmp_path):
    cache = tmp_path / "vectors.npz"
    with pytest.raises(ValueError, match=message):
        text_vectors(encode, ["apple", "bear"], cache=cache)
    assert not cache.exists()


def test_a_text_that_is_none():
    with pytest.raises(ValueError, match="text 1 is None"):
        text_vectors(letters, ["apple", None])


def test_towers_read_given_vectors():
    """No new model is needed: the vectors are numbers of the schema."""
    vectors = pd.DataFrame(
        text_vectors(letters, TEXTS.tolist()), TEXTS.index
    ).add_prefix("text_")
    rows = ROWS.join(vectors, on="item").join(past_vectors(ROWS, vectors, 2))
    names = list(vectors)
    past = [f"past_{name}" for name in names]
    schema = Schema(
        [Number(name) for name in (*names, *past)], [Task("click")]
    ).fit(rows)
    model = cold_start_towers(
        schema, user_features=past, item_features=names, seed=0
    )
    [name] = [x.name for x in model.inputs]
    assert name == "numbers"
    numbers = schema.encode(rows).numbers
    assert model({"numbers": numbers})["click"].shape == (6, 1)
