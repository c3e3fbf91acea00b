"""Lists of what came before: hand values, and never a look ahead."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import SchemaError
from mtlrec_utils.data.histories import past_items, windows

ROWS = pd.DataFrame(
    {
        "user": [7, 3, 7, 7, 3, 7],
        "item": [10, 11, 12, 13, 14, 15],
        "click": [1, 1, 0, 1, 0, 1],
    },
    index=[5, 4, 3, 2, 1, 0],
)


def lists(series):
    return [entry.tolist() for entry in series]


def random_rows(seed, n=200):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": rng.integers(0, 9, n),
            "item": np.arange(n),
            "click": rng.integers(0, 2, n),
        }
    )


def test_a_row_sees_the_items_above_it():
    found = past_items(ROWS, 5)
    assert found.index.tolist() == ROWS.index.tolist()
    assert lists(found) == [[], [], [10], [10, 12], [11], [10, 12, 13]]


def test_only_taken_rows_count():
    found = past_items(ROWS, 5, taken="click")
    assert lists(found) == [[], [], [10], [10], [11], [10, 13]]


def test_the_latest_are_kept():
    assert lists(past_items(ROWS, 2))[-1] == [12, 13]


@pytest.mark.parametrize("taken", [None, "click"])
def test_the_same_as_a_loop(taken):
    rows = random_rows(1)
    found = past_items(rows, 4, taken=taken)
    for place in range(len(rows)):
        above = rows.iloc[:place]
        mine = above[above["user"] == rows["user"].iloc[place]]
        if taken:
            mine = mine[mine[taken] == 1]
        assert found.iloc[place].tolist() == mine["item"].tolist()[-4:]


def test_the_row_itself_and_the_future_change_nothing():
    rows = random_rows(2)
    changed = rows.copy()
    changed.loc[100:, "click"] = 1 - changed.loc[100:, "click"]
    changed.loc[100:, "item"] = -1
    before = past_items(rows, 6, taken="click")
    after = past_items(changed, 6, taken="click")
    for place in range(101):
        assert before[place].tolist() == after[place].tolist()


def test_windows_of_a_user_follow_each_other():
    rows = pd.DataFrame({"user": [1] * 8 + [2, 3, 3], "item": range(11)})
    found = windows(rows, 3)
    assert found["user"].tolist() == [1, 1, 1, 3]
    assert lists(found["history"]) == [[0], [1, 2, 3], [4, 5, 6], [9]]
    assert found["next_item"].tolist() == [1, 4, 7, 10]


@pytest.mark.parametrize("length", [1, 4, 50])
def test_every_step_is_in_exactly_one_window(length):
    rows = random_rows(3)
    found = windows(rows, length)
    steps = set()
    for run in found.itertuples():
        items = [*run.history, run.next_item]
        assert 1 <= len(run.history) <= length
        new = set(zip(items, items[1:], strict=False))
        assert not new & steps
        steps |= new
    by_user = rows.groupby("user")["item"]
    every = {
        pair
        for _, items in by_user
        for pair in zip(items, items[1:], strict=False)
    }
    assert steps == every


@pytest.mark.parametrize("make", [past_items, windows])
@pytest.mark.parametrize("length", [0, 2.5, True])
def test_a_length_that_is_none(make, length):
    with pytest.raises(SchemaError, match="whole number of at least 1"):
        make(ROWS, length)


def test_a_column_that_is_not_there():
    with pytest.raises(SchemaError, match="unknown column 'film'"):
        past_items(ROWS, 3, item="film")


def test_taken_must_be_0_or_1():
    rows = ROWS.assign(click=[1, 0, np.nan, 1, 0, 0])
    with pytest.raises(SchemaError, match="0 or 1"):
        past_items(rows, 3, taken="click")
