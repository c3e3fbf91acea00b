"""replicate: each seed as if trained alone, on one trace per model."""

import functools

import keras
import numpy as np
import pytest
from learning_cases import examples, small_model

from mtlrec_utils.learning import (
    ReplicationError,
    RowSparseAdam,
    TrainingDiverged,
    evaluate,
    fit,
    predict,
    replicate,
    steps,
    tune,
)

TASKS = ("click", "minutes")
OPTIONS = {"epochs": 2, "batch_size": 32, "learning_rate": 0.02}
TRAIN, VALIDATION, TEST = (examples(100, seed=s, users=True) for s in range(3))


def with_dropout(seed):
    return small_model(seed, TASKS, dropout=0.4)


def plain(seed):
    return small_model(seed, TASKS)


@pytest.fixture
def traces(monkeypatch):
    """Count how often a training step is traced."""
    found = []
    original = steps.TrainingProgram._step

    def spy(self, batch, weights):
        found.append(self.model.name)
        return original(self, batch, weights)

    monkeypatch.setattr(steps.TrainingProgram, "_step", spy)
    return found


@pytest.fixture(scope="module")
def replication():
    return replicate(
        {"dropout": with_dropout, "plain": plain},
        TRAIN,
        VALIDATION,
        TEST,
        seeds=(7, 3),
        patience=2,
        **OPTIONS,
    )


def test_each_seed_is_what_fit_makes_of_a_new_model(replication):
    for name, build in (("dropout", with_dropout), ("plain", plain)):
        for s, seed in enumerate((7, 3)):
            model = build(seed)
            history = fit(
                model, TRAIN, VALIDATION, seed=seed, patience=2, **OPTIONS
            )
            for task, values in predict(model, TEST).items():
                np.testing.assert_array_equal(
                    values, replication.predictions[name][task][s]
                )
            rows = replication.table.query("model == @name and seed == @seed")
            expected = evaluate(model, TEST)
            assert rows["value"].tolist() == expected["value"].tolist()
            found = replication.histories[name][s]
            columns = ["epoch", "part", "task", "loss"]
            assert found.table[columns].equals(history.table[columns])


def test_table_is_tidy(replication):
    table = replication.table
    assert list(table) == [
        "model",
        "seed",
        "task",
        "metric",
        "value",
        "seconds",
        "parameters",
        "steps",
    ]
    keys = ["model", "seed", "task", "metric"]
    assert len(table) == 2 * 2 * 4 == len(table[keys].drop_duplicates())
    assert table["seed"].unique().tolist() == [7, 3]
    assert (table["steps"] == 2 * 4).all()
    assert (table["seconds"] > 0).all()
    expected = sum(np.prod(w.shape) for w in plain(0).trainable_weights)
    assert (table["parameters"] == expected).all()
    assert replication.predictions["plain"]["click"].shape == (2, 100)
    summary = replication.summary().set_index(["model", "task", "metric"])
    auc = table.query("model == 'plain' and metric == 'auc'")["value"]
    found = summary.loc[("plain", "click", "auc")]
    assert found["mean"] == pytest.approx(auc.mean())
    assert found["std"] == pytest.approx(auc.std(ddof=1))


def test_seeds_differ(replication):
    a, b = replication.predictions["plain"]["click"]
    assert np.abs(a - b).max() > 1e-3


def test_one_trace_per_builder_over_seeds_and_calls(traces):
    build = functools.partial(small_model, tasks=TASKS)
    data = (TRAIN, VALIDATION, TEST)
    replicate({"a": build}, *data, seeds=range(3), **OPTIONS)
    assert len(traces) == 1
    fewer = TRAIN.subset(slice(0, 33))
    other = {**OPTIONS, "batch_size": 8, "learning_rate": 0.1, "epochs": 1}
    again = replicate({"a": build}, fewer, None, TEST, seeds=[5], **other)
    assert len(traces) == 1
    model = build(seed=5)
    fit(model, fewer, seed=5, **other)
    for task, values in predict(model, TEST).items():
        np.testing.assert_array_equal(values, again.predictions["a"][task][0])


def test_a_builder_that_changes_is_traced_anew(traces):
    width = 4

    def build(seed):
        return small_model(seed, TASKS, width=width)

    data = (TRAIN, None, TEST)
    first = replicate({"a": build}, *data, seeds=[0], **OPTIONS)
    width = 6
    second = replicate({"a": build}, *data, seeds=[0], **OPTIONS)
    assert len(traces) == 2
    assert first.table["parameters"][0] < second.table["parameters"][0]


def test_a_change_without_new_shapes_is_seen(traces):
    rate = 0.0

    def build(seed):
        return small_model(seed, TASKS, dropout=rate or 0.1)

    for rate in (0.1, 0.5):  # noqa: B007
        found = replicate(
            {"a": build}, TRAIN, None, TEST, seeds=[1], **OPTIONS
        )
    assert len(traces) == 2
    model = small_model(1, TASKS, dropout=0.5)
    fit(model, TRAIN, seed=1, **OPTIONS)
    for task, values in predict(model, TEST).items():
        np.testing.assert_array_equal(values, found.predictions["a"][task][0])


def test_an_own_optimizer_starts_anew_for_each_run():
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    options = {"epochs": 2, "batch_size": 32}
    found = replicate(
        {"a": plain},
        TRAIN,
        None,
        TEST,
        seeds=[0, 1],
        optimizer=optimizer,
        **options,
    )
    assert not optimizer.built
    for seed in (0, 1):
        model = plain(seed)
        own = keras.optimizers.SGD(0.05, momentum=0.9)
        fit(model, TRAIN, seed=seed, optimizer=own, **options)
        for task, values in predict(model, TEST).items():
            np.testing.assert_array_equal(
                values, found.predictions["a"][task][seed]
            )


def test_options_for_one_model():
    found = replicate(
        {"a": plain, "b": plain},
        TRAIN,
        None,
        TEST,
        seeds=[0],
        per_model={"b": {"epochs": 1}},
        **OPTIONS,
    )
    steps_of = found.table.groupby("model")["steps"].first()
    assert steps_of.to_dict() == {"a": 8, "b": 4}


def test_builders_take_the_seed_or_nothing():
    def unseeded():
        numbers = keras.Input((2,), name="numbers")
        logit = keras.layers.Dense(1)(numbers)
        output = keras.layers.Activation("sigmoid", name="click")(logit)
        return keras.Model({"numbers": numbers}, {"click": output})

    def needs_more(schema, seed):
        raise AssertionError

    runs = [
        replicate({"a": unseeded}, TRAIN, None, TEST, seeds=[4, 5], epochs=1)
        for _ in range(2)
    ]
    a, b = (run.predictions["a"]["click"] for run in runs)
    np.testing.assert_array_equal(a, b)
    assert np.abs(a[0] - a[1]).max() > 1e-3
    with pytest.raises(ReplicationError, match="schema"):
        replicate({"a": needs_more}, TRAIN, None, TEST)


def test_a_failing_seed_is_named():
    with pytest.raises(ReplicationError, match="'a' with seed 9") as caught:
        replicate(
            {"a": plain},
            TRAIN,
            None,
            TEST,
            seeds=[9],
            epochs=50,
            optimizer=keras.optimizers.SGD(1e6),
        )
    assert isinstance(caught.value.__cause__, TrainingDiverged)
    # The program of the failed run is fit for another.
    found = replicate({"a": plain}, TRAIN, None, TEST, seeds=[0], **OPTIONS)
    assert np.isfinite(found.table["value"]).all()


def test_one_model_for_all_seeds_is_refused():
    model = plain(0)
    with pytest.raises(ReplicationError, match="same model twice"):
        replicate({"a": lambda: model}, TRAIN, None, TEST, seeds=[0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"builders": {}}, "builders is empty"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "none twice"),
        ({"epoch": 3}, "unknown option epoch"),
        ({"seed": 3}, "unknown option seed"),
        ({"per_model": {"b": {}}}, "per_model names 'b'"),
        ({"test": TEST.with_tasks(["click"])}, "'minutes', but test"),
        ({"builders": {"a": lambda seed: None}}, "not a Keras model"),
        (
            {"test": TEST.subset(TEST.labels["click"] == 1)},
            "Task 'click'",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    given = {
        "builders": {"a": plain},
        "train": TRAIN,
        "validation": None,
        "test": TEST,
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        replicate(**given)


def test_checkpoints_bring_back_a_replication(tmp_path, monkeypatch):
    options = {**OPTIONS, "seeds": [0, 1]}
    data = (TRAIN, VALIDATION, TEST)
    whole = replicate({"a": with_dropout}, *data, **options)
    original = steps.TrainingProgram.run

    def broken(self, data, order, batch_size, steps, rates, weights):
        if len(list(tmp_path.iterdir())) == 2:  # in the second seed's run
            raise KeyboardInterrupt
        return original(self, data, order, batch_size, steps, rates, weights)

    with monkeypatch.context() as patch:
        patch.setattr(steps.TrainingProgram, "run", broken)
        patch.setattr("mtlrec_utils.learning.runs._CALL_SECONDS", 0)
        with pytest.raises(KeyboardInterrupt):
            replicate(
                {"a": with_dropout}, *data, checkpoint=tmp_path, **options
            )
    found = replicate(
        {"a": with_dropout}, *data, checkpoint=tmp_path, **options
    )
    assert len(list(tmp_path.iterdir())) == 2
    for task, values in whole.predictions["a"].items():
        np.testing.assert_array_equal(values, found.predictions["a"][task])


def build_width(width, seed):
    return small_model(seed, TASKS, width=width)


def test_tune_finds_the_lowest_validation_loss():
    grid = {"width": [1, 4], "learning_rate": [1e-4, 0.05]}
    found = tune(build_width, grid, TRAIN, VALIDATION, epochs=3, batch_size=16)
    table = found.table
    assert len(table) == 4
    row = table.loc[table["loss"].idxmin()]
    assert found.best["learning_rate"] == row["learning_rate"] == 0.05
    assert found.best["width"] == row["width"]
    assert found.fit_options == {"learning_rate": 0.05}
    assert found.build_options == {"width": row["width"]}
    model = build_width(found.best["width"], seed=0)
    history = fit(
        model,
        TRAIN,
        VALIDATION,
        epochs=3,
        batch_size=16,
        **found.fit_options,
    )
    total = sum(history.losses("validation", task) for task in TASKS)
    assert row["loss"] == pytest.approx(total.min(), rel=1e-6)
    assert row["best_epoch"] == total.idxmin()


def test_tune_limits_and_skips_what_diverges():
    grid = {"width": [1], "learning_rate": [0.01, 1e30]}
    found = tune(build_width, grid, TRAIN, VALIDATION)
    assert found.best["learning_rate"] == 0.01
    assert np.isnan(found.table["loss"][1])
    drawn = tune(
        build_width,
        {"width": [1, 2], "learning_rate": [1e-3, 2e-3]},
        TRAIN,
        VALIDATION,
        limit=2,
    )
    assert len(drawn.table) == 2


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({}, {}, "no values for anything"),
        ({"width": []}, {}, "no values for width"),
        ({"width": [1], "epochs": [1]}, {"epochs": 2}, "epochs"),
        ({"width": [1]}, {"judge": {"clicks": 1}}, "'clicks'"),
        ({"width": [1]}, {"limit": 0}, "limit=0"),
        ({"width": [1], "learning_rate": [1e30]}, {}, "all diverged"),
    ],
)
def test_bad_searches(grid, options, message):
    with pytest.raises(ValueError, match=message):
        tune(build_width, grid, TRAIN, VALIDATION, **options)


def test_search_takes_an_optimizer_instance_refusal():
    """One optimizer cannot serve several models."""
    with pytest.raises(ValueError, match="optimizer"):
        tune(
            build_width,
            {"width": [1, 2]},
            TRAIN,
            VALIDATION,
            optimizer=RowSparseAdam(0.01),
        )
