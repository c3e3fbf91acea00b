"""Schema: frames to tensors, and every way a frame can be wrong."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrec_utils.data.schema import (
    PADDING,
    UNKNOWN,
    Categorical,
    IdColumns,
    Number,
    Schema,
    SchemaError,
    Sequence,
    Task,
    Text,
)


def column(values, dtype=object):
    return pd.Series(list(values), dtype=dtype)


def ids_of(feature, train, frame=None, extra=()):
    schema = Schema([feature, *extra]).fit(train)
    return schema.encode(train if frame is None else frame).ids


@pytest.fixture
def log():
    return pd.DataFrame(
        {
            "user": [7, 3, 7, 9],
            "item": ["b", "a", None, "b"],
            "price": [1.0, 3.0, np.nan, 5.0],
            "history": [["a"], [], ["b", "a", "zebra"], None],
            "words": ["Hello, World!", "world", None, "HELLO"],
            "click": [1, 0, 1, 1],
            "like": [1.0, np.nan, 0.0, 1.0],
            "minutes": [12.5, np.nan, 0.0, 3.0],
            "genre": [0, 2, 1, 2],
        }
    )


@pytest.fixture
def schema(log):
    return Schema(
        features=[
            Categorical("user"),
            Categorical("item"),
            Number("price"),
            Sequence("history", 2, vocabulary_of="item"),
            Text("words", buckets=50, length=3),
        ],
        tasks=[
            Task("click"),
            Task("like", sample_space="click"),
            Task("minutes", kind="regression", sample_space="click"),
            Task("genre", kind="multiclass", classes=3),
        ],
    ).fit(log)


# -- the whole frame, by hand ------------------------------------------------


def test_a_frame_worked_by_hand(schema, log):
    hello = 2 + zlib.crc32(b"hello") % 50
    world = 2 + zlib.crc32(b"world") % 50
    encoded = schema.encode(log, user="user")
    assert encoded.ids.dtype == np.int32
    assert encoded.ids.tolist() == [
        # user 3, 7, 9 -> 2, 3, 4; item a, b -> 2, 3
        [3, 3, 2, PADDING, hello, world, PADDING],
        [2, 2, PADDING, PADDING, world, PADDING, PADDING],
        [3, UNKNOWN, 2, UNKNOWN, PADDING, PADDING, PADDING],
        [4, 3, PADDING, PADDING, hello, PADDING, PADDING],
    ]
    scale = np.sqrt(8 / 3)  # of 1, 3, 5 around 3
    assert encoded.numbers.dtype == np.float32
    np.testing.assert_allclose(
        encoded.numbers, [[-2 / scale, 0], [0, 0], [0, 1], [2 / scale, 0]]
    )
    assert schema.number_names == ("price", "price_missing")
    assert encoded.users.tolist() == [7, 3, 7, 9]
    assert encoded.rows.tolist() == [0, 1, 2, 3]
    assert encoded.labels["like"].tolist() == [1, 0, 0, 1]
    assert encoded.masks["like"].tolist() == [1, 0, 1, 1]
    assert encoded.labels["minutes"].tolist() == [12.5, 0, 0, 3]
    assert encoded.masks["click"].tolist() == [1, 1, 1, 1]
    assert encoded.labels["genre"].tolist() == [0, 2, 1, 2]
    kinds = {name: a.dtype for name, a in encoded.labels.items()}
    assert kinds == {
        "click": np.float32,
        "like": np.float32,
        "minutes": np.float32,
        "genre": np.int32,
    }


def test_the_layout_models_build_on(schema):
    assert schema.id_columns == (
        IdColumns("user", 0, 1, 0, False),
        IdColumns("item", 1, 2, 1, False),
        IdColumns("history", 2, 4, 1, True),
        IdColumns("words", 4, 7, 2, True),
    )
    assert schema.field_sizes == (5, 4, 52)
    assert (schema.n_id_columns, schema.n_numbers) == (7, 2)
    assert schema.task_names == ("click", "like", "minutes", "genre")
    assert schema.task("genre").classes == 3


def test_describe_is_a_small_table(schema):
    table = schema.describe()
    assert table.columns.tolist() == ["feature", "kind", "size", "columns"]
    assert table.to_numpy().tolist() == [
        ["user", "categorical", 5, 1],
        ["item", "categorical", 4, 1],
        ["price", "number", 0, 2],
        ["history", "sequence", 4, 2],
        ["words", "text", 52, 3],
    ]


def test_a_schema_of_numbers_only_and_of_ids_only(log):
    numbers = Schema([Number("price")]).fit(log).encode(log)
    assert numbers.ids.shape == (4, 0)
    ids = Schema([Categorical("user")]).fit(log).encode(log)
    assert ids.numbers.shape == (4, 0)
    assert ids.labels == {}
    assert ids.users is None


def test_rows_to_predict_need_no_labels(schema, log):
    bare = log.drop(columns=["click", "like", "minutes", "genre"])
    encoded = schema.encode(bare, labels=False)
    assert encoded.labels == {}
    assert encoded.masks == {}
    assert (encoded.ids == schema.encode(log).ids).all()
    with pytest.raises(SchemaError, match="'click'.*labels=False"):
        schema.encode(bare)


def test_the_index_of_the_frame_does_not_matter(schema, log):
    moved = log.set_axis([5, 5, -1, 0])
    for part in ("ids", "numbers"):
        a = getattr(schema.encode(log), part)
        b = getattr(schema.encode(moved), part)
        assert (a == b).all()


# -- categories --------------------------------------------------------------

KINDS = {
    "integer": column([5, -3, 5, 2**62], "int64"),
    "int8": column([5, -3, 5, 100], "int8"),
    "unsigned": column([5, 3, 5, 100], "uint64"),
    "nullable": column([5, 3, None, 100], "Int64"),
    "float": column([0.5, -1.5, np.nan, 0.5], "float64"),
    "text": column(["b", "a", None, "b"]),
    "text dtype": column(["b", "a", None, "b"], "string"),
    "boolean": column([True, False, True, True], "bool"),
    "nullable boolean": column([True, None, True, True], "boolean"),
    "category": column(["b", "a", None, "b"], "category"),
    "integer category": column([5, 3, None, 5], "Int64").astype("category"),
    "objects": column([5, None, 3, 5]),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_id(name):
    series = KINDS[name]
    known = sorted(set(series.dropna().tolist()))
    expected = [
        UNKNOWN if pd.isna(value) else 2 + known.index(value)
        for value in series
    ]
    train = pd.DataFrame({"c": series})
    schema = Schema([Categorical("c")]).fit(train)
    assert schema.encode(train).ids[:, 0].tolist() == expected
    assert schema.field_sizes == (len(known) + 2,)
    assert schema.vocabulary("c").values.tolist() == known
    loaded = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert loaded.encode(train).ids[:, 0].tolist() == expected


@pytest.mark.parametrize("spread", [1, 10**9])  # dense table, hashing
def test_unknown_integers_go_to_row_0_never_out_of_range(spread):
    train = pd.DataFrame({"c": np.array([3, 5, 9]) * spread})
    extremes = [-(2**63), -1, 0, 4 * spread, 2**63 - 1, 5 * spread]
    frame = pd.DataFrame({"c": np.array(extremes, np.int64)})
    ids = ids_of(Categorical("c"), train, frame)
    assert ids[:, 0].tolist() == [0, 0, 0, 0, 0, 3]


def test_unknown_text_and_floats_go_to_row_0():
    frame = pd.DataFrame({"c": ["new", "a"]})
    train = pd.DataFrame({"c": ["a", "b"]})
    assert ids_of(Categorical("c"), train, frame).tolist() == [[0], [2]]
    frame = pd.DataFrame({"c": [1.25, np.inf, 0.5, np.nan, -0.0]})
    train = pd.DataFrame({"c": [0.5, 0.0, 2.0]})
    ids = ids_of(Categorical("c"), train, frame)
    assert ids[:, 0].tolist() == [0, 0, 3, 0, 2]


def test_a_stored_vocabulary_does_not_depend_on_row_order():
    def stored(entries):
        frame = pd.DataFrame({"c": entries})
        return json.dumps(Schema([Categorical("c")]).fit(frame).to_dict())

    assert stored([0.0, -0.0, 1.0]) == stored([1.0, -0.0, 0.0])
    assert stored(["b", "a", "ä"]) == stored(["ä", "b", "a"])


@pytest.mark.parametrize("kind", ["int64", "str", "category", "float64"])
def test_rare_values_are_unknown(kind):
    train = pd.DataFrame({"c": pd.Series([4, 4, 4, 2, 2, 8]).astype(kind)})
    schema = Schema([Categorical("c", min_count=2)]).fit(train)
    assert schema.field_sizes == (4,)
    assert schema.encode(train).ids[:, 0].tolist() == [3, 3, 3, 2, 2, 0]


def test_a_vocabulary_without_frequent_values_is_all_unknown():
    train = pd.DataFrame({"c": [4, 2, 8]})
    schema = Schema([Categorical("c", min_count=2)]).fit(train)
    assert schema.field_sizes == (2,)
    assert schema.encode(train).ids[:, 0].tolist() == [0, 0, 0]


def test_categories_that_never_occur_are_not_learned():
    series = pd.Series(pd.Categorical(["a"], categories=["a", "ghost"]))
    schema = Schema([Categorical("c")]).fit(pd.DataFrame({"c": series}))
    assert schema.vocabulary("c").values.tolist() == ["a"]


def test_a_column_without_any_value_encodes_as_unknown():
    train = pd.DataFrame({"c": [4, 2]})
    for empty in (column([None, None]), column([np.nan] * 2, "float64")):
        frame = pd.DataFrame({"c": empty})
        assert ids_of(Categorical("c"), train, frame).tolist() == [[0], [0]]


def test_text_that_looks_alike_stays_apart():
    words = ["a", "a\0", "A", "a ", "\ud800", ""]
    train = pd.DataFrame({"c": pd.Series(words, dtype=object)})
    schema = Schema([Categorical("c")]).fit(train)
    ids = schema.encode(train).ids[:, 0]
    assert sorted(ids.tolist()) == [2, 3, 4, 5, 6, 7]
    loaded = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert loaded == schema


def test_shared_vocabularies_share_the_field():
    frame = pd.DataFrame({"left": [1, 2, 3], "right": [3, 9, 1]})
    schema = Schema(
        [Categorical("left"), Categorical("right", vocabulary_of="left")]
    ).fit(frame)
    assert [place.field for place in schema.id_columns] == [0, 0]
    assert schema.field_sizes == (5,)
    assert schema.encode(frame).ids.tolist() == [[2, 4], [3, 0], [4, 2]]
    assert schema.vocabulary("right") is schema.vocabulary("left")


def test_a_borrower_may_stand_before_the_owner():
    frame = pd.DataFrame({"h": [[1], [2, 5]], "i": [1, 2], "u": [0, 0]})
    schema = Schema(
        [
            Sequence("h", 2, vocabulary_of="i"),
            Categorical("u"),
            Categorical("i"),
        ]
    ).fit(frame)
    # Fields are numbered by the features that own them: u, i.
    assert [place.field for place in schema.id_columns] == [1, 0, 1]
    assert schema.field_sizes == (3, 4)
    assert schema.encode(frame).ids.tolist() == [[2, 1, 2, 2], [3, 0, 2, 3]]


# -- sequences and text ------------------------------------------------------


def test_sequences_keep_the_most_recent_entries_in_order():
    cells = [[1, 2, 3, 4], (5,), np.array([3, 1]), [], None, np.nan]
    train = pd.DataFrame({"h": column(cells)})
    ids = ids_of(Sequence("h", 3), train)
    # 1 was dropped from the first cell but lives in the third.
    assert ids.tolist() == [
        [3, 4, 5],
        [6, PADDING, PADDING],
        [4, 2, PADDING],
        [PADDING] * 3,
        [PADDING] * 3,
        [PADDING] * 3,
    ]


def test_sequence_entries_may_be_missing_or_unknown():
    train = pd.DataFrame({"h": column([[1, 2], [2]])})
    frame = pd.DataFrame({"h": column([[1, None], [77, 2]])})
    ids = ids_of(Sequence("h", 2), train, frame)
    assert ids.tolist() == [[2, UNKNOWN], [UNKNOWN, 3]]


def test_sequences_of_arrays_of_one_dtype():
    cells = [np.array([4, 6]), np.array([], np.int64), np.array([6])]
    train = pd.DataFrame({"h": column(cells)})
    assert ids_of(Sequence("h", 2), train).tolist() == [
        [2, 3],
        [PADDING, PADDING],
        [3, PADDING],
    ]


def test_sequences_of_text_with_min_count():
    train = pd.DataFrame({"h": column([["x", "y"], ["y"]])})
    assert ids_of(Sequence("h", 2, min_count=2), train).tolist() == [
        [UNKNOWN, 2],
        [2, PADDING],
    ]


def test_text_is_hashed_without_learning():
    one = pd.DataFrame({"t": ["nothing here"]})
    other = pd.DataFrame({"t": ["Snow_white & the 7 dwarfs", "", None]})
    ids = ids_of(Text("t", buckets=1000, length=4), one, other)
    words = ["snow", "white", "the", "7"]  # dwarfs is the fifth
    expected = [2 + zlib.crc32(w.encode()) % 1000 for w in words]
    assert ids.tolist() == [expected, [PADDING] * 4, [PADDING] * 4]


def test_text_rows_lie_inside_the_table():
    train = pd.DataFrame({"t": [f"w{n}" for n in range(200)]})
    schema = Schema([Text("t", buckets=7, length=1)]).fit(train)
    ids = schema.encode(train).ids
    assert set(ids[:, 0].tolist()) == set(range(2, 9))
    assert schema.field_sizes == (9,)


def test_text_hashes_are_the_same_in_another_process():
    code = (
        "import pandas as pd; from mtlrec_utils.data.schema import *;"
        "f = pd.DataFrame({'t': ['Hello world'], 'u': ['ann']});"
        "e = Schema([Text('t', length=2)]).fit(f).encode(f, user='u');"
        "print(e.ids.tolist(), e.users.tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


# -- numbers -----------------------------------------------------------------


def numbers_of(feature, train, frame=None):
    train = pd.DataFrame({"x": train})
    frame = train if frame is None else pd.DataFrame({"x": frame})
    return Schema([feature]).fit(train).encode(frame).numbers


def test_scaling_comes_from_training_rows_only():
    numbers = numbers_of(Number("x"), [0.0, 4.0], [0.0, 2.0, 8.0])
    assert numbers.tolist() == [[-1], [0], [3]]


def test_log_is_signed_and_then_standardised():
    raw = np.array([-(np.e - 1), 0.0, np.e - 1])
    expected = np.array([-1, 0, 1]) / np.sqrt(2 / 3)
    numbers = numbers_of(Number("x", "log"), raw)
    np.testing.assert_allclose(numbers[:, 0], expected, rtol=1e-6)


def test_none_leaves_numbers_alone():
    assert numbers_of(Number("x", "none"), [3, -7]).tolist() == [[3], [-7]]


@pytest.mark.parametrize("value", [0.1, 0.0, 1e15, -3.0])
@pytest.mark.parametrize("transform", ["standard", "log"])
def test_a_constant_column_is_zero_and_scaled_by_1(value, transform):
    train = [value] * 7
    numbers = numbers_of(Number("x", transform), train, [value, value])
    assert numbers.tolist() == [[0], [0]]
    if transform == "standard" and value < 1e6:
        later = numbers_of(Number("x"), train, [value + 2])
        np.testing.assert_allclose(later, [[2]], rtol=1e-6)


def test_missing_numbers_are_the_mean_and_marked():
    numbers = numbers_of(Number("x"), [0.0, np.nan, 4.0], [np.nan, 4.0])
    assert numbers.tolist() == [[0, 1], [1, 0]]
    # No missing value in training: no second column later.
    assert numbers_of(Number("x"), [0.0, 4.0], [np.nan]).tolist() == [[0]]


@pytest.mark.parametrize(
    "series",
    [
        column([1, None, 3], "Int64"),
        column([1.0, None, 3.0], "Float64"),
        column([1, None, 3]),
        column([1, 1, 3], "uint8"),
        column([True, False, True], "bool"),
        column([1.5, 2.5, 3.5], "float32"),
        column([1, 2, 1], "category"),
    ],
    ids=lambda series: str(series.dtype),
)
def test_every_kind_of_number(series):
    raw = np.array([np.nan if pd.isna(v) else float(v) for v in series])
    expected = (raw - np.nanmean(raw)) / np.nanstd(raw)
    numbers = numbers_of(Number("x"), series)
    np.testing.assert_allclose(
        numbers[:, 0], np.nan_to_num(expected), rtol=1e-6
    )


# -- tasks -------------------------------------------------------------------


def read(task, **columns):
    frame = pd.DataFrame({"x": 1.0, **columns})
    encoded = Schema([Number("x")], [task]).fit(frame).encode(frame)
    return encoded.labels[task.name], encoded.masks[task.name]


def test_labels_outside_the_sample_space_are_never_looked_at():
    task = Task("buy", sample_space="click")
    for junk in (np.nan, -1.0, 0.0, 1e6, np.inf):
        labels, mask = read(task, click=[1, 0, 1], buy=[1.0, junk, 0.0])
        assert labels.tolist() == [1, 0, 0]
        assert mask.tolist() == [1, 0, 1]


def test_labels_missing_on_purpose():
    task = Task("buy", sample_space="click", missing="masked")
    labels, mask = read(task, click=[1, 0, 1], buy=[np.nan, 1.0, 1.0])
    assert labels.tolist() == [0, 0, 1]
    assert mask.tolist() == [0, 0, 1]


def test_label_column_and_two_tasks_on_one_column():
    frame = pd.DataFrame({"x": [1.0, 2.0], "c": [0, 1], "y": [0, 1]})
    tasks = [Task("all", label="y"), Task("clicked", "binary", "y", "c")]
    encoded = Schema([Number("x")], tasks).fit(frame).encode(frame)
    assert encoded.masks["all"].tolist() == [1, 1]
    assert encoded.masks["clicked"].tolist() == [0, 1]


def test_boolean_labels_and_sample_spaces():
    labels, mask = read(
        Task("buy", sample_space="click"),
        click=[True, False, True],
        buy=pd.Series([True, None, False], dtype="boolean"),
    )
    assert labels.tolist() == [1, 0, 0]
    assert mask.tolist() == [1, 0, 1]


def test_an_empty_sample_space_is_all_masked():
    task = Task("buy", sample_space="click")
    labels, mask = read(task, click=[0, 0], buy=[np.nan, np.nan])
    assert labels.tolist() == mask.tolist() == [0, 0]


def test_with_tasks_shares_what_was_learned(schema, log):
    one = schema.with_tasks(["like"])
    assert one.task_names == ("like",)
    assert one.field_sizes == schema.field_sizes
    encoded = one.encode(log)
    assert encoded.tasks == ("like",)
    assert (encoded.ids == schema.encode(log).ids).all()
    assert schema.with_tasks("like") == one
    assert schema.with_tasks(["genre", "click"]).task_names == (
        "genre",
        "click",
    )
    with pytest.raises(SchemaError, match="'lik'.*click, like"):
        schema.with_tasks(["lik"])


def test_fitting_again_does_not_change_a_derived_schema(schema, log):
    one = schema.with_tasks(["like"])
    before = one.to_dict()
    schema.fit(log.iloc[:2].assign(user=99))
    assert one.to_dict() == before


# -- refusals: each names the column and the remedy --------------------------


def refuses(*patterns):
    return pytest.raises(SchemaError, match=r"(?s)" + ".*".join(patterns))


def test_schema_error_is_a_value_error():
    assert issubclass(SchemaError, ValueError)


@pytest.mark.parametrize("frame", [[[1]], {"user": [1]}, None, np.eye(2)])
def test_refuses_what_is_no_frame(schema, frame):
    with refuses("Schema.fit", "DataFrame"):
        Schema([Categorical("user")]).fit(frame)
    with refuses("Schema.encode", "DataFrame"):
        schema.encode(frame)


def test_refuses_an_empty_frame(schema, log):
    for call in (schema.fit, schema.encode):
        with refuses("empty", "Check the filter"):
            call(log.iloc[:0])


def test_refuses_duplicated_columns(schema, log):
    twice = pd.concat([log, log[["price"]]], axis=1)
    for call in (schema.fit, schema.encode):
        with refuses("duplicated column 'price'", "Rename or drop"):
            call(twice)


def test_refuses_columns_in_levels(schema, log):
    nested = pd.concat({"a": log}, axis=1)
    with refuses("2 levels", "Flatten"):
        schema.encode(nested)


def test_refuses_an_unknown_column(schema, log):
    renamed = log.rename(columns={"price": "prices"})
    for call in (schema.fit, schema.encode):
        with refuses("unknown column 'price'", "Did you mean 'prices'"):
            call(renamed)
    with refuses("user", "unknown column 'person'", "The frame has"):
        schema.encode(log, user="person")


def test_refuses_to_encode_before_fit(log):
    schema = Schema([Categorical("user"), Number("price")])
    assert not schema.is_fitted
    uses = [
        lambda: schema.encode(log),
        lambda: schema.field_sizes,
        lambda: schema.number_names,
        lambda: schema.describe(),
        lambda: schema.vocabulary("user"),
    ]
    for use in uses:
        with refuses("fitted", r"schema\.fit\(train\)"):
            use()
    assert schema.n_id_columns == 1  # the layout needs no training rows


@pytest.mark.parametrize(
    ("fitted", "later", "remedy"),
    [
        ([1, 2], ["1", "2"], "astype\\('Int64'\\)"),
        ([1, 2], [1.0, np.nan], "missing.*astype\\('Int64'\\)"),
        ([1.0, np.nan], [1, 2], "missing.*astype\\('float64'\\)"),
        (["1", "2"], [1, 2], "astype\\(str\\)"),
        ([True, False], ["True", "False"], "map"),
        ([1, 2], [True, False], "astype\\('Int64'\\)"),
    ],
)
def test_refuses_an_id_type_that_changed(fitted, later, remedy):
    schema = Schema([Categorical("user")])
    schema.fit(pd.DataFrame({"user": fitted}))
    with refuses("Column 'user'", "fitted on", remedy):
        schema.encode(pd.DataFrame({"user": later}))


def test_an_integer_of_another_width_or_missing_properly_is_fine():
    schema = Schema([Categorical("user")])
    schema.fit(pd.DataFrame({"user": column([1, 2], "int8")}))
    frame = pd.DataFrame({"user": column([2, None, 300], "Int64")})
    assert schema.encode(frame).ids[:, 0].tolist() == [3, 0, 0]


def test_refuses_a_sequence_of_another_type():
    train = pd.DataFrame({"i": [1], "h": column([["a"]])})
    borrowed = Schema([Categorical("i"), Sequence("h", 2, "i")])
    with refuses("Column 'h' holds string", "fitted on integer", "every list"):
        borrowed.fit(train)
    assert not borrowed.is_fitted


@pytest.mark.parametrize(
    ("feature", "values", "message"),
    [
        (Categorical("c"), [1, "1"], "'c' holds mixed.*astype\\(str\\)"),
        (Categorical("c"), [[1], [2]], "'c' holds mixed.*Sequence"),
        (Categorical("c"), [b"x", b"y"], "'c' holds bytes"),
        (Categorical("c"), [np.inf, 1.0], "'c' holds infinite.*Number"),
        (Categorical("c"), [2**64, 1], "'c'.*64 bits.*astype\\(str\\)"),
        (Categorical("c"), [2**63, 1], "'c'.*64 bits.*astype\\(str\\)"),
        (Categorical("c"), [None, None], "'c' holds no value.*Remove"),
        (Sequence("c", 2), [[], None], "'c' holds no value.*Remove"),
        (Sequence("c", 2), ["abc", "d"], "'c'.*must be a list.*Text"),
        (Sequence("c", 2), [7, 8], "'c'.*must be a list.*Categorical"),
        (Sequence("c", 2), [np.eye(2)] * 2, "'c'.*one-dimensional"),
        (Sequence("c", 2), [[1, "a"], [2]], "'c' holds mixed"),
        (Text("c"), [1, 2], "'c' holds integer.*not text.*astype\\(str\\)"),
        (Text("c"), ["a", ["b"]], "'c' holds mixed"),
        (Number("c"), ["1", "2"], "'c'.*not numbers.*to_numeric"),
        (Number("c"), [1.0, np.inf], "'c': 1 infinite.*NaN"),
        (Number("c"), [np.nan, np.nan], "'c' holds no number.*Remove"),
        (Number("c"), [1e300, -1e300], "'c'.*too large.*'log'"),
        (Number("c", "none"), [1e39, 0.0], "'c'.*too large.*'log'"),
    ],
)
def test_refuses_values_that_do_not_fit_the_feature(feature, values, message):
    frame = pd.DataFrame({"c": pd.Series(values)})
    schema = Schema([feature])
    with refuses(message):
        schema.fit(frame).encode(frame)


def test_refuses_dates_as_numbers_or_categories():
    frame = pd.DataFrame({"c": pd.to_datetime(["2024-01-01"])})
    for feature in (Number("c"), Categorical("c")):
        with refuses("'c'", "datetime64"):
            Schema([feature]).fit(frame)


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        (Task("y"), [0, 2, 1], "'y'.*0 or 1; 1 row.*for example 2.*astype"),
        (Task("y"), [0.5, 0, 1], "'y'.*0 or 1"),
        (Task("y"), ["yes", "no", "no"], "'y'.*not numbers.*== 'yes'"),
        (Task("y", "multiclass", classes=3), [0, 3, 1], "0 to 2.*classes=K"),
        (Task("y", "multiclass", classes=3), [0, -1, 1], "0 to 2"),
        (Task("y", "multiclass", classes=3), [0, 0.5, 1], "0 to 2"),
        (Task("y", "multiclass", classes=3), [0, np.inf, 1], "0 to 2"),
        (Task("y", "regression"), [0, np.inf, 1], "finite.*Drop or clip"),
        (Task("y", "regression"), [0, 1e39, 1], "finite.*Drop or clip"),
    ],
)
def test_refuses_a_label_outside_its_kind(task, label, message):
    with refuses(message):
        read(task, y=label)


def test_refuses_a_missing_label_inside_the_sample_space():
    task = Task("like", label="y", sample_space="click")
    with refuses("'like'", "'y' is NaN on 2 row", "missing='masked'"):
        read(task, click=[1, 0, 1], y=[np.nan] * 3)
    with refuses("'like'", "'y' is NaN on 1 row", "sample_space"):
        read(Task("like", label="y"), y=[0.0, 1.0, np.nan])


@pytest.mark.parametrize("space", [[1, 2, 0], [1, np.nan, 0], [0.5, 0, 1]])
def test_refuses_a_sample_space_that_is_not_0_or_1(space):
    task = Task("like", sample_space="click")
    with refuses("'like', sample space", "'click'", "1 row", "astype"):
        read(task, click=space, like=[0, 1, 1])


@pytest.mark.parametrize(
    "leak",
    [
        [Task("click")],
        [Task("x"), Task("opened", label="click")],
        [Task("like", sample_space="click")],
        [Task("like"), Task("buy", sample_space="click")],
    ],
)
def test_refuses_a_label_or_sample_space_as_feature(leak):
    features = [Categorical("user"), Categorical("click")]
    with refuses("'click'", "also a feature", "Remove it"):
        Schema(features, leak)


def test_refuses_repeats():
    with refuses("Duplicate feature", "'age'", "copy it"):
        Schema([Number("age"), Categorical("age")])
    with refuses("Duplicate task", "'click'", "own name"):
        Schema([Number("age")], [Task("click"), Task("click", label="c")])
    with refuses("'age_missing'", "Rename"):
        Schema([Number("age"), Number("age_missing")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schema([]), "at least one feature"),
        (lambda: Schema(["user"]), "'user' is no feature.*Categorical"),
        (lambda: Schema([Number("x")], ["y"]), "'y' is no task.*Task"),
        (lambda: Categorical(3), "non-empty string.*3.*columns=str"),
        (lambda: Categorical("c", min_count=0), "'c': min_count"),
        (lambda: Sequence("h", 0), "'h': length.*at least 1"),
        (lambda: Sequence("h", 2.5), "'h': length"),
        (lambda: Text("t", buckets=0), "'t': buckets"),
        (lambda: Number("x", "sqrt"), "'x'.*'sqrt'.*standard, log, none"),
        (lambda: Task("a/b"), "'a/b'.*letters"),
        (lambda: Task("y", "ranking"), "'ranking'.*binary"),
        (lambda: Task("y", classes=3), "classes=3.*multiclass"),
        (lambda: Task("y", "multiclass"), "needs classes=K"),
        (lambda: Task("y", "multiclass", classes=1), "needs classes=K"),
        (lambda: Task("y", missing="drop"), "'drop'.*'masked'"),
        (lambda: Task("y", sample_space="y"), "own sample space"),
        (
            lambda: Schema([Sequence("h", 2, vocabulary_of="i")]),
            "'h': vocabulary_of='i'.*Add one",
        ),
        (
            lambda: Schema([Text("t"), Sequence("h", 2, "t")]),
            "'h': vocabulary_of='t'",
        ),
        (
            lambda: Schema(
                [
                    Categorical("a"),
                    Sequence("b", 2, "a"),
                    Sequence("c", 2, "b"),
                ]
            ),
            "'c': 'b' itself borrows.*'a'",
        ),
    ],
)
def test_refuses_a_schema_that_makes_no_sense(make, message):
    with refuses(message):
        make()


def test_refuses_users_that_cannot_be_grouped(schema, log):
    with refuses("'price'", "missing on 1"):
        schema.encode(log, user="price")
    with refuses("'u' holds float", "int64"):
        schema.encode(log.assign(u=[1.0, 2, 3, 4]), user="u")


def test_a_refused_fit_changes_nothing(schema, log):
    before = schema.to_dict()
    with pytest.raises(SchemaError):
        schema.fit(log.assign(user=1, click=5))
    assert schema.to_dict() == before


# -- user codes --------------------------------------------------------------


def test_text_users_have_one_code_in_every_frame(log):
    schema = Schema([Categorical("user")]).fit(log)
    one = schema.encode(log.assign(u=["ann", "bob", "ann", "eve"]), user="u")
    two = schema.encode(log.assign(u=["eve", "ann", "x", "y"]), user="u")
    assert one.users[0] == one.users[2] == two.users[1]
    assert one.users[3] == two.users[0]
    assert len(set(one.users.tolist())) == 3
    text = log.assign(u=pd.Categorical(["ann", "bob", "ann", "eve"]))
    assert (schema.encode(text, user="u").users == one.users).all()


# -- storage -----------------------------------------------------------------


def test_save_and_load_round_trip(schema, log, tmp_path):
    path = tmp_path / "schema.json"
    schema.save(path)
    loaded = Schema.load(path)
    assert loaded == schema
    assert [p.name for p in tmp_path.iterdir()] == ["schema.json"]
    a, b = schema.encode(log), loaded.encode(log)
    assert (a.ids == b.ids).all()
    assert (a.numbers == b.numbers).all()
    assert loaded.number_names == schema.number_names


def test_an_unfitted_schema_round_trips_too():
    schema = Schema([Number("x", "log")], [Task("y", missing="masked")])
    loaded = Schema.from_dict(schema.to_dict())
    assert loaded == schema
    assert not loaded.is_fitted


def test_stored_values_keep_their_type():
    frame = pd.DataFrame(
        {"i": [1, 0], "f": [1.0, 0.0], "b": [True, False], "s": ["1", "0"]}
    )
    schema = Schema([Categorical(c) for c in frame]).fit(frame)
    loaded = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    for name in frame:
        others = frame.assign(**{name: frame["s" if name != "s" else "i"]})
        with pytest.raises(SchemaError, match=f"Column '{name}'"):
            loaded.encode(others)
    assert loaded.encode(frame).ids.tolist() == [[3] * 4, [2] * 4]


def test_a_failed_save_leaves_the_old_file(schema, tmp_path, monkeypatch):
    path = tmp_path / "schema.json"
    path.write_text("old")

    def full_disk(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full_disk)
    with pytest.raises(OSError, match="No space"):
        schema.save(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["schema.json"]


def test_save_into_a_missing_folder(schema, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*Create it"):
        schema.save(tmp_path / "nowhere" / "schema.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[1, 2]", b"null", b'{"features": []}'],
)
def test_load_refuses_a_foreign_file(content, tmp_path):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with refuses("other.json", "Schema.save"):
        Schema.load(path)


def test_load_of_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Schema.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    "damage",
    [
        lambda form: form.pop("features"),
        lambda form: form.pop("learned"),
        lambda form: form["features"][0].update(kind="picture"),
        lambda form: form["features"][0].update(colour="red"),
        lambda form: form["tasks"][0].update(kind="ranking"),
        lambda form: form["learned"]["vocabularies"].pop("item"),
        lambda form: form["learned"]["scalings"].pop("price"),
        lambda form: form["learned"]["scalings"]["price"].update(scale=0.0),
        lambda form: form["learned"]["scalings"]["price"].update(center="1"),
        lambda form: form["learned"]["vocabularies"]["user"].update(
            values=[3, 9, 7]
        ),
        lambda form: form["learned"]["vocabularies"]["user"].update(
            values=["3", "7", "9"]
        ),
        lambda form: form["learned"]["vocabularies"]["user"].update(
            values=[3, 7, True]
        ),
        lambda form: form["learned"]["vocabularies"]["user"].update(
            values=None
        ),
        lambda form: form.update(learned=[1]),
    ],
)
def test_from_dict_refuses_damage(schema, damage):
    form = json.loads(json.dumps(schema.to_dict()))
    damage(form)
    with pytest.raises(SchemaError):
        Schema.from_dict(form)


def test_from_dict_names_a_newer_version(schema):
    with refuses("version 99", "reads version 1"):
        Schema.from_dict({**schema.to_dict(), "version": 99})


# -- properties --------------------------------------------------------------

values = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30),
    st.lists(st.integers(-5, 5), min_size=1, max_size=30),
    st.lists(st.text(max_size=3), min_size=1, max_size=30),
    st.lists(st.booleans(), min_size=1, max_size=30),
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=30,
    ),
)


def frame_of(entries, **columns):
    series = pd.Series(entries, dtype=object)
    if not isinstance(entries[0], str):
        series = series.infer_objects()
    return pd.DataFrame({"c": series, **columns})


@settings(max_examples=60, deadline=None)
@given(entries=values, unseen=values, min_count=st.integers(1, 3))
def test_a_vocabulary_is_what_sorting_and_counting_says(
    entries, unseen, min_count
):
    frame = frame_of(entries)
    schema = Schema([Categorical("c", min_count)]).fit(frame)
    known = sorted(v for v in set(entries) if entries.count(v) >= min_count)
    places = {value: 2 + n for n, value in enumerate(known)}
    expected = [places.get(value, UNKNOWN) for value in entries]
    assert schema.encode(frame).ids[:, 0].tolist() == expected
    if type(unseen[0]) is type(entries[0]):
        expected = [places.get(value, UNKNOWN) for value in unseen]
        ids = schema.encode(frame_of(unseen)).ids[:, 0]
        assert ids.tolist() == expected
    stored = json.loads(json.dumps(schema.to_dict(), allow_nan=False))
    assert Schema.from_dict(stored) == schema


@settings(max_examples=40, deadline=None)
@given(data=st.data(), entries=values)
def test_permuting_rows_permutes_the_encoding(data, entries):
    n = len(entries)
    order = data.draw(st.permutations(range(n)))
    rng = np.random.default_rng(n)
    lengths = rng.integers(0, 5, n)
    frame = frame_of(
        entries,
        x=rng.normal(size=n).round(3),
        h=[list(range(k)) if k else [0] for k in lengths],
        t=[f"word {k} of {k % 3}" for k in lengths],
        y=rng.integers(0, 2, n),
    )
    shuffled = frame.iloc[order]
    features = [Categorical("c"), Number("x"), Sequence("h", 3), Text("t")]
    one = Schema(features, [Task("y")]).fit(frame)
    two = Schema(features, [Task("y")]).fit(shuffled)
    assert (
        one.to_dict()["learned"]["vocabularies"]
        == (two.to_dict()["learned"]["vocabularies"])
    )
    encoded, moved = one.encode(frame), one.encode(shuffled)
    assert (encoded.ids[order] == moved.ids).all()
    assert (encoded.numbers[order] == moved.numbers).all()
    assert (encoded.labels["y"][order] == moved.labels["y"]).all()
    sizes = np.array(one.field_sizes)
    for place in one.id_columns:
        block = encoded.ids[:, place.start : place.stop]
        assert (block >= 0).all()
        assert (block < sizes[place.field]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.floats(-1e100, 1e100) | st.just(float("nan")),
        min_size=1,
        max_size=20,
    ).filter(lambda xs: not all(np.isnan(xs))),
    st.sampled_from(["standard", "log"]),
)
def test_scaled_training_numbers_are_finite_and_centred(entries, transform):
    frame = pd.DataFrame({"x": entries})
    schema = Schema([Number("x", transform)]).fit(frame)
    numbers = schema.encode(frame).numbers[:, 0].astype(float)
    known = ~np.isnan(entries)
    assert np.isfinite(numbers).all()
    assert (numbers[~known] == 0).all()
    assert abs(numbers[known].mean()) < 1e-4
    assert numbers[known].std() < 1 + 1e-4
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == (
        schema
    )
