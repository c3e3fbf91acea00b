"""LiteRT files: the same scores, the errors that quantising may make."""

import keras
import numpy as np
import pytest
from models_under_test import random_inputs, small_schema

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.tasks import Task
from mtlrec_utils.learning import predict
from mtlrec_utils.learning.compress import (
    PRECISIONS,
    LiteRTModel,
    export_litert,
    latency,
    size_on_disk,
)
from mtlrec_utils.models import mmoe, single_task, with_compact_tables

SCHEMA = small_schema(
    (
        Task("click"),
        Task("minutes", "regression"),
        Task("kind", "multiclass", classes=3),
    )
)


def rows(n=40, seed=0, schema=SCHEMA):
    inputs = random_inputs(schema, n, seed)
    empty = np.zeros((n, 0), "float32")
    return Examples(
        inputs["ids"],
        inputs.get("numbers", empty),
        {},
        {},
        None,
        np.arange(n),
    )


@pytest.fixture(scope="module")
def model():
    """An MMoE whose table and experts are large enough to be quantised."""
    built = mmoe(SCHEMA, embedding_dimension=48, expert_units=(16,), seed=1)
    table = built.get_layer("embedding").table
    table.assign(10 * np.asarray(table))  # scores that differ by row
    return built


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("litert")
    return {
        precision: export_litert(
            model,
            folder / "new" / f"{precision}.tflite",
            precision,
            representative=rows(200, 7),
        )
        for precision in PRECISIONS
    }


def gaps(file, model, examples):
    ours = LiteRTModel(file).predict(examples, batch_size=16)
    theirs = predict(model, examples)
    assert set(ours) == set(theirs)
    return {t: np.abs(ours[t] - theirs[t]).max() for t in theirs}


def test_float32_scores_what_the_model_predicts(model, files):
    assert max(gaps(files["float32"], model, rows()).values()) < 1e-6


@pytest.mark.parametrize(
    ("precision", "bound"),
    [("float16", 1e-3), ("dynamic_int8", 1e-2), ("int8", 0.1)],
)
def test_quantised_scores_are_close_but_not_the_same(
    model, files, precision, bound
):
    found = max(gaps(files[precision], model, rows()).values())
    assert 1e-7 < found < bound


def test_sizes_follow_the_bits(model, files):
    size = {p: size_on_disk(files[p]) for p in PRECISIONS}
    numbers = model.count_params()
    assert size["float32"] > 4 * numbers
    assert size["float16"] < 0.65 * size["float32"]
    # The towers, below 1,024 numbers a kernel, stay float32.
    assert size["dynamic_int8"] < 0.55 * size["float32"]
    assert size_on_disk(files["float32"].parent) == sum(size.values())
    assert sorted(f.suffix for f in files["int8"].parent.iterdir()) == (
        [".tflite"] * len(PRECISIONS)
    )


def test_the_bound_of_a_quantised_table(tmp_path):
    # Table, then one weight per number: only the table has 1,024 numbers,
    # so a logit is off by at most sum |w| max |table| / 254.
    schema = small_schema((Task("click"),), numbers=False)
    linear = single_task(
        schema, embedding_dimension=48, bottom_units=(), tower_units=(), seed=2
    )
    table = np.asarray(linear.get_layer("embedding").table)
    weights = np.asarray(linear.get_layer("logit_click").kernel)
    bound = np.abs(weights).sum() * np.abs(table).max() / 254
    path = export_litert(linear, tmp_path / "l.tflite", "dynamic_int8")
    examples = rows(60, schema=schema)
    p = LiteRTModel(path).predict(examples)["click"]
    q = predict(linear, examples)["click"]
    gap = np.abs(np.log(p / (1 - p)) - np.log(q / (1 - q))).max()
    assert bound / 100 < gap <= bound + 1e-6


def test_batches_of_any_size_and_order_of_rows(files):
    run, examples = LiteRTModel(files["float32"]), rows()
    whole = run(examples.inputs)
    one = run({name: x[5:6] for name, x in examples.inputs.items()})
    for task, scores in whole.items():
        np.testing.assert_allclose(one[task][0], scores[5], atol=1e-6)
    assert whole["click"].shape == (40,) and whole["kind"].shape == (40, 3)
    again = run(examples.inputs)
    whole["click"][:] = 0  # what was returned is the caller's own
    assert again["click"].min() > 0


def test_compact_tables_are_exported(tmp_path):
    for kind in ("hashed", "compositional"):
        small = with_compact_tables(mmoe(SCHEMA, seed=1), 4, kind)
        path = export_litert(small, tmp_path / "small.tflite")
        assert max(gaps(path, small, rows()).values()) < 1e-6


def test_what_export_refuses(model, tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match="precision='int4'"):
        export_litert(model, path, "int4")
    for nothing in (None, rows().subset([])):
        with pytest.raises(ValueError, match="needs representative rows"):
            export_litert(model, path, "int8", representative=nothing)
    other = rows(schema=small_schema(numbers=False))
    with pytest.raises(ValueError, match="has 0 columns of numbers"):
        export_litert(model, path, "int8", representative=other)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        export_litert(model, path)
    assert [f.name for f in tmp_path.iterdir()] == ["model.tflite"]
    assert path.read_bytes() == b"old"


def test_what_a_file_refuses(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="no LiteRT file"):
        LiteRTModel(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(ValueError, match="cannot be read"):
        LiteRTModel(tmp_path / "text.tflite")
    run, inputs = LiteRTModel(files["float32"]), rows().inputs
    with pytest.raises(ValueError, match="'numbers' is missing"):
        run({"ids": inputs["ids"]})
    with pytest.raises(ValueError, match="ids has shape"):
        run({**inputs, "ids": inputs["ids"][:, 1:]})
    with pytest.raises(ValueError, match="batch_size=0"):
        run.predict(rows(), batch_size=0)


def test_latency_takes_turns_and_counts_right():
    calls = []
    variants = {
        name: lambda batch, name=name: calls.append((name, batch))
        for name in ("a", "b", "c")
    }
    table = latency(
        variants, {1: "one", 9: "nine"}, rounds=4, calls=3, warm_up=2
    )
    assert list(table["variant"]) == ["a", "b", "c"] * 2
    assert list(table["batch"]) == [1] * 3 + [9] * 3
    for name in variants:
        assert calls.count((name, "one")) == 2 + 4 * 3
    # After warming up, every round has one turn of each variant.
    turns = [name for name, _ in calls[6:42:3]]
    assert all(
        sorted(turns[i : i + 3]) == ["a", "b", "c"] for i in range(0, 12, 3)
    )
    assert (table["p99"] >= table["p50"]).all()
    assert (table.loc[table["variant"] == "a", "relative"] == 1).all()
    for bad in ({"rounds": 0}, {"calls": 0}, {"warm_up": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            latency(variants, {1: None}, **bad)
    with pytest.raises(ValueError, match="at least one variant"):
        latency({}, {1: None})


def test_the_keras_file_of_a_compiled_model_holds_its_optimizer(tmp_path):
    """What lesson 21 says of files larger than the model."""
    built = single_task(SCHEMA, "click", embedding_dimension=256, seed=1)
    built.save(tmp_path / "plain.keras")
    built.compile(keras.optimizers.Adam(), "binary_crossentropy")
    inputs = random_inputs(SCHEMA, 8)
    built.fit(inputs, {"click": np.zeros((8, 1))}, verbose=0)
    built.save(tmp_path / "compiled.keras")
    ratio = size_on_disk(tmp_path / "compiled.keras") / size_on_disk(
        tmp_path / "plain.keras"
    )
    assert 2.5 < ratio < 3.2
