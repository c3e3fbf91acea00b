"""Examples and splits: parts stay aligned, rows are neither lost nor seen
twice."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrec_utils.data.examples import (
    Examples,
    concatenate,
    split_at_random,
    split_by_time,
)


def build(n=10, users=True, seed=0):
    """Every part tells which row it belongs to: n equals its position."""
    rng = np.random.default_rng(seed)
    position = np.arange(n)
    return Examples(
        ids=np.stack([position, position + 100], axis=1),
        numbers=position[:, None] / 2,
        labels={
            "click": (position % 2).astype(np.float32),
            "genre": position.astype(np.int32),
        },
        masks={
            "click": np.ones(n, np.float32),
            "genre": rng.integers(0, 2, n).astype(np.float32),
        },
        users=position + 1000 if users else None,
        rows=position,
    )


def check_aligned(examples, original):
    position = examples.rows
    assert (examples.ids[:, 0] == position).all()
    assert (examples.ids[:, 1] == position + 100).all()
    assert (examples.numbers[:, 0] == position / 2).all()
    assert (examples.users == position + 1000).all()
    for task in original.labels:
        for part in ("labels", "masks"):
            old = getattr(original, part)[task]
            new = getattr(examples, part)[task]
            assert new.dtype == old.dtype
            assert (new == old[position]).all()


# -- construction ------------------------------------------------------------


def test_types_inputs_and_names():
    examples = build()
    assert len(examples) == 10
    assert examples.ids.dtype == np.int32
    assert examples.numbers.dtype == np.float32
    assert examples.users.dtype == examples.rows.dtype == np.int64
    assert examples.labels["genre"].dtype == np.int32
    assert set(examples.inputs) == {"ids", "numbers"}
    assert examples.inputs["ids"] is examples.ids
    assert examples.tasks == ("click", "genre")
    assert repr(examples).startswith(
        "Examples(10 rows, 2 id columns, 1 numbers; labels: click 10, genre"
    )


def test_arrays_are_read_only_but_the_callers_are_not():
    mine = np.zeros((3, 1), np.int32)
    examples = Examples(mine, np.zeros((3, 0)), {}, {}, None, np.arange(3))
    parts = [build(), build().subset([1, 0]), next(build().batches(4, 0))]
    for part in parts:
        for array in (part.ids, part.labels["click"], part.masks["click"]):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
    with pytest.raises(AttributeError):
        examples.ids = mine
    mine[0] = 5  # still writable


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("ids", np.zeros(10), "must be matrices"),
        ("numbers", np.zeros((9, 1)), "9 rows of numbers for 10"),
        ("rows", np.arange(9), "rows has shape"),
        ("users", np.arange(9), "users has shape"),
        ("labels", {"click": np.zeros(9)}, "labels\\['click'\\] has shape"),
        ("labels", {}, "Give each task both"),
        ("labels", {"click": np.full(10, np.nan)}, "'click' hold NaN"),
        ("masks", {"click": np.full(10, 0.5)}, "'click' must be 0 or 1"),
    ],
)
def test_refuses_parts_that_do_not_fit(part, value, message):
    parts = {
        "ids": np.zeros((10, 1)),
        "numbers": np.zeros((10, 0)),
        "labels": {"click": np.zeros(10)},
        "masks": {"click": np.ones(10)},
        "users": None,
        "rows": np.arange(10),
    }
    Examples(**parts)
    with pytest.raises(ValueError, match=message):
        Examples(**{**parts, part: value})


def test_pickles():
    examples = pickle.loads(pickle.dumps(build()))
    check_aligned(examples, build())


# -- subset and batches ------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        ([3, 1, 3], [3, 1, 3]),
        (np.arange(10) >= 8, [8, 9]),
        (pd.Series([True] + [False] * 9), [0]),
        (slice(2, 5), [2, 3, 4]),
        ([-1], [9]),
        ([], []),
        (np.zeros(10, bool), []),
    ],
)
def test_subset_keeps_every_part_aligned(index, rows):
    examples = build()
    chosen = examples.subset(index)
    assert chosen.rows.tolist() == rows
    check_aligned(chosen, examples)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([True, False], "2 booleans for 10 rows"),
        ([10], "positions 10 to 10 for 10 rows"),
        ([-11], "positions -11"),
        ([0.5], "float64"),
        ([[0]], "one-dimensional"),
        (3, "one-dimensional"),
    ],
)
def test_subset_refuses(index, message):
    with pytest.raises(ValueError, match=message):
        build().subset(index)


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("size", [1, 3, 5, 10, 99])
def test_batches_hold_every_row_once(size, seed):
    examples = build()
    batches = list(examples.batches(size, seed))
    assert [len(b) for b in batches[:-1]] == [size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= size
    for batch in batches:
        check_aligned(batch, examples)
    rows = np.concatenate([b.rows for b in batches]).tolist()
    assert sorted(rows) == list(range(10))
    assert (rows == list(range(10))) == (seed is None)


def test_batches_follow_their_seed():
    def rows(seed):
        return [b.rows.tolist() for b in build(50).batches(8, seed)]

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)


def test_batches_refuse_an_empty_size():
    with pytest.raises(ValueError, match="batch_size=0"):
        list(build().batches(0))


# -- labels ------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(0, 5))
def test_keep_labels_is_exact_nested_and_touches_one_task(data, seed):
    examples = build(40, seed=seed)
    known = examples.observed("genre")
    small, large = sorted(
        data.draw(st.tuples(st.integers(0, known), st.integers(0, known)))
    )
    few = examples.keep_labels("genre", small, seed)
    many = examples.keep_labels("genre", large, seed)
    assert few.observed("genre") == small
    assert many.observed("genre") == large
    assert (few.masks["genre"] <= many.masks["genre"]).all()
    assert (many.masks["genre"] <= examples.masks["genre"]).all()
    mask = few.masks["genre"]
    assert (few.labels["genre"] == examples.labels["genre"] * mask).all()
    assert few.labels["genre"].dtype == np.int32
    assert few.ids is not None
    for part in ("ids", "numbers", "rows", "users"):
        assert (getattr(few, part) == getattr(examples, part)).all()
    assert (few.labels["click"] == examples.labels["click"]).all()
    assert (few.masks["click"] == examples.masks["click"]).all()


def test_keep_labels_follows_its_seed():
    examples = build(100)

    def kept(seed):
        return examples.keep_labels("click", 20, seed).masks["click"].tolist()

    assert kept(1) == kept(1)
    assert kept(1) != kept(2)


def test_keep_labels_refuses_more_than_there_are():
    examples = build()
    for n in (11, -1):
        with pytest.raises(ValueError, match=f"n={n}.*'click'.*10 known"):
            examples.keep_labels("click", n, 0)
    with pytest.raises(ValueError, match="'clik'.*click, genre"):
        examples.keep_labels("clik", 1, 0)


def test_with_tasks():
    examples = build()
    one = examples.with_tasks(["genre"])
    assert one.tasks == tuple(one.masks) == ("genre",)
    assert examples.with_tasks("genre").tasks == ("genre",)
    assert examples.with_tasks(["genre", "click"]).tasks == ("genre", "click")
    assert len(one) == 10
    with pytest.raises(ValueError, match="'like'"):
        examples.with_tasks(["like"])


def test_observed_counts_the_mask():
    examples = build()
    assert examples.observed("genre") == examples.masks["genre"].sum()
    with pytest.raises(ValueError, match="'like'"):
        examples.observed("like")


# -- concatenate -------------------------------------------------------------


def test_concatenate_undoes_a_cut():
    examples = build()
    joined = concatenate(
        [examples.subset(slice(0, 4)), examples.subset(slice(4, 10))]
    )
    assert joined.rows.tolist() == list(range(10))
    check_aligned(joined, examples)
    assert joined.tasks == examples.tasks


def test_concatenate_without_users():
    assert concatenate([build(3, users=False)] * 2).users is None


def test_concatenate_refuses():
    with pytest.raises(ValueError, match="no examples"):
        concatenate([])
    for other in (build(users=False), build().with_tasks(["click"])):
        with pytest.raises(ValueError, match="one schema"):
            concatenate([build(), other])


# -- splits ------------------------------------------------------------------

fractions = st.sampled_from(
    [(0.8, 0.1, 0.1), (0.5, 0.5), (0.34, 0.33, 0.33), (0.25,) * 4, (1.0,)]
)


def test_split_by_time_by_hand():
    frame = pd.DataFrame(
        {"time": [5, 1, 4, 2, 3, 10, 9, 8, 7, 6]}, index=list("abcdefghij")
    )
    train, validation, test = split_by_time(frame)
    assert train["time"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert validation.index.tolist() == ["g"]
    assert test["time"].tolist() == [10]


def test_split_by_time_keeps_equal_times_together():
    # The cut at 4 falls inside the 2s; 2 ends at 5, begins at 3.
    frame = pd.DataFrame({"when": [1, 1, 1, 2, 2, 3, 3, 3]})
    early, late = split_by_time(frame, (0.5, 0.5), "when")
    assert early["when"].tolist() in ([1, 1, 1], [1, 1, 1, 2, 2])
    frame = pd.DataFrame({"when": [1, 2, 2, 2, 2, 3, 3, 3]})
    early, late = split_by_time(frame, (0.5, 0.5), "when")
    assert early["when"].tolist() == [1, 2, 2, 2, 2]
    # Never at the price of an empty part while it can be avoided.
    frame = pd.DataFrame({"when": [1] * 9 + [2, 3]})
    parts = split_by_time(frame, (0.3, 0.3, 0.4), "when")
    assert [sorted(set(p["when"])) for p in parts] == [[1], [2], [3]]
    frame = pd.DataFrame({"when": [1, 2] + [3] * 18})
    parts = split_by_time(frame, (0.9, 0.05, 0.05), "when")
    assert [sorted(set(p["when"])) for p in parts] == [[1], [2], [3]]


def test_split_by_time_cuts_equal_times_only_when_it_must():
    frame = pd.DataFrame({"time": [7] * 10, "row": range(10)})
    early, late = split_by_time(frame, (0.7, 0.3))
    assert early["row"].tolist() == list(range(7))
    assert late["row"].tolist() == [7, 8, 9]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=10, max_size=60),
    fractions,
    st.sampled_from(["int", "float", "date", "nullable"]),
)
def test_split_by_time_properties(times, shares, kind):
    series = pd.Series(times)
    if kind == "date":
        series = pd.to_datetime(series, unit="D", utc=True)
    elif kind == "nullable":
        series = series.astype("Int64")
    elif kind == "float":
        series = series / 7
    frame = pd.DataFrame({"time": series, "row": range(len(times))})
    parts = split_by_time(frame, shares)
    assert len(parts) == len(shares)
    assert all(len(part) for part in parts)
    rows = np.concatenate([part["row"] for part in parts])
    assert sorted(rows.tolist()) == list(range(len(times)))
    ordered = pd.concat(parts)["time"]
    assert ordered.is_monotonic_increasing
    stable = sorted(range(len(times)), key=times.__getitem__)
    assert rows.tolist() == stable
    if len(set(times)) >= len(shares):
        for before, after in zip(parts, parts[1:], strict=False):
            assert before["time"].max() < after["time"].min()
    if len(set(times)) == len(times):
        ends = np.rint(np.cumsum(shares) * len(times))
        assert np.cumsum([len(p) for p in parts]).tolist() == ends.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 80), fractions, st.integers(0, 3))
def test_split_at_random_properties(n, shares, seed):
    frame = pd.DataFrame({"row": range(n)})
    parts = split_at_random(frame, shares, seed)
    ends = np.rint(np.cumsum(shares) * n)
    assert np.cumsum([len(p) for p in parts]).tolist() == ends.tolist()
    rows = np.concatenate([part["row"] for part in parts])
    assert sorted(rows.tolist()) == list(range(n))
    for part in parts:
        assert part["row"].is_monotonic_increasing
    again = split_at_random(frame, shares, seed)
    for part, same in zip(parts, again, strict=True):
        pd.testing.assert_frame_equal(part, same)


def test_split_at_random_mixes():
    frame = pd.DataFrame({"row": range(1000)})
    train, test = split_at_random(frame, (0.8, 0.2), seed=0)
    other, _ = split_at_random(frame, (0.8, 0.2), seed=1)
    assert len(train) == 800
    # A random 200 of 1000: mean 499.5, standard error about 18.
    assert abs(test["row"].mean() - 499.5) < 100
    assert train["row"].tolist() != other["row"].tolist()


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        ({"day": [1, 2, 3]}, {}, "unknown column 'time'.*'day'"),
        ({"time": [1, np.nan, 3]}, {}, "'time' is missing on 1 row.*Drop"),
        ({"time": ["9", "10", "11"]}, {}, "'time'.*to_datetime"),
        ({"time": []}, {}, "empty"),
        ({"time": [1, 2]}, {}, "2 row.*would be empty"),
        ({"time": [1, 2]}, {"fractions": (0.5, 0.6)}, "sum to 1"),
        ({"time": [1, 2]}, {"fractions": (1.5, -0.5)}, "positive"),
        ({"time": [1, 2]}, {"fractions": ()}, "positive"),
        ({"time": [1, 2]}, {"fractions": (0.5, np.nan)}, "positive"),
    ],
)
def test_split_by_time_refuses(frame, options, message):
    with pytest.raises(ValueError, match=message):
        split_by_time(pd.DataFrame(frame), **options)


def test_split_at_random_refuses():
    with pytest.raises(ValueError, match="DataFrame"):
        split_at_random([1, 2, 3])
    with pytest.raises(ValueError, match="would be empty"):
        split_at_random(pd.DataFrame({"a": [1, 2]}))


def test_all_that_a_user_needs_is_named_by_the_package():
    from mtlrec_utils import data
    from mtlrec_utils.data import examples, schema

    for module in (examples, schema):
        for name in module.__all__:
            assert name in data.__all__
            assert getattr(data, name) is getattr(module, name)
