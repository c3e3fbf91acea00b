"""Balancing over epochs, seeds and stops, and the ways to ask for it."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from gradient_oracles import (
    batch_of,
    descent,
    moved,
    task_gradients,
    values,
)
from learning_cases import examples, same_weights, small_model, weights
from small_methods import Counting, Given, LastEpoch, Once, Twice

from mtlrec_utils.learning import (
    CheckpointError,
    fit,
    predict,
    replicate,
    steps,
    tune,
)
from mtlrec_utils.learning.balancing.learned_weights import FAMO
from mtlrec_utils.learning.balancing.loss_weights import (
    DynamicWeightAverage,
    StaticWeights,
)
from mtlrec_utils.learning.balancing.metabalance import MetaBalance
from mtlrec_utils.learning.balancing.norms import GradNorm
from mtlrec_utils.learning.balancing.projections import PCGrad
from mtlrec_utils.learning.balancing.simple import Sum

TWO = ("click", "minutes")
RATE = 0.5
ONE_STEP = {"epochs": 1, "batch_size": 64}


@pytest.fixture
def programs(monkeypatch):
    """The programs that were made, in order."""
    found = []
    original = steps.TrainingProgram.__init__

    def spy(self, *arguments):
        original(self, *arguments)
        found.append(self)

    monkeypatch.setattr(steps.TrainingProgram, "__init__", spy)
    return found


def regular_model():
    model = small_model(dropout=0.3)
    model.get_layer("bottom").kernel.regularizer = keras.regularizers.L2(0.01)
    return model


@pytest.fixture(scope="module")
def unbalanced():
    model = regular_model()
    history = fit(model, examples(), **SEVERAL)
    return weights(model), history


SEVERAL = {
    "epochs": 2,
    "batch_size": 16,
    "seed": 4,
    "learning_rate": 0.02,
    "loss_weights": {"minutes": 0.5, "mood": 2.0},
}


@pytest.mark.parametrize(
    ("method", "at"),
    [
        (Sum(), "parameters"),
        (Sum(), "representation"),
        (Given((1.0, 1.0, 1.0)), "parameters"),
        (StaticWeights(), "parameters"),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_weights_of_one_are_training_without_balancing(unbalanced, method, at):
    """Three tasks, masks, a penalty, dropout, repeated ids, Adam."""
    model = regular_model()
    history = fit(
        model, examples(), balancing=method, balance_at=at, **SEVERAL
    )
    expected, plain = unbalanced
    same_weights(weights(model), expected, atol=1e-6)
    np.testing.assert_allclose(
        history.table["loss"], plain.table["loss"], rtol=1e-5
    )
    assert plain.weights.empty


def trained(folder=None, **options):
    rows = examples(tasks=TWO)
    model = small_model(2, TWO, dropout=0.3)
    options = {"epochs": 4, "batch_size": 16, "seed": 1, **options}
    history = fit(
        model,
        rows,
        balancing=options.pop("balancing", Counting()),
        checkpoint=folder,
        **options,
    )
    return model, history


def test_the_history_tells_mean_weights_per_epoch():
    _, history = trained()
    assert list(history.weights) == ["epoch", "task", "weight"]
    assert history.weights["task"].tolist() == list(TWO) * 4
    found = history.weights.query("task == 'click'")
    assert found["epoch"].tolist() == [1, 2, 3, 4]
    # Steps 1..4 of epoch 1, 5..8 of epoch 2 ..., doubled after each epoch.
    expected = [2.5, 6.5 * 2, 10.5 * 4, 14.5 * 8]
    assert found["weight"].tolist() == expected


def test_methods_are_told_the_means_of_the_epoch():
    rows = examples(tasks=TWO)
    history = fit(
        small_model(2, TWO),
        rows,
        balancing=LastEpoch(),
        loss_weights={"minutes": 3.0},
        epochs=3,
        batch_size=16,
    )
    for task, factor in (("click", 1.0), ("minutes", 3.0)):
        told = history.weights.query("task == @task").set_index("epoch")
        means = history.losses("train", task)
        assert told["weight"][1] == 0
        for epoch in (2, 3):
            expected = factor * means[epoch - 1]
            assert told["weight"][epoch] == pytest.approx(expected, rel=1e-5)


def test_dynamic_weight_average_of_real_losses_by_hand():
    history = fit(
        small_model(2, TWO),
        examples(tasks=TWO),
        balancing=DynamicWeightAverage(temperature=0.5),
        epochs=4,
        batch_size=16,
        learning_rate=0.05,
    )
    means = np.stack([history.losses("train", t) for t in TWO], axis=1)
    found = history.weights["weight"].to_numpy().reshape(4, 2)
    np.testing.assert_allclose(found[:2], 1, atol=1e-6)
    for epoch in (2, 3):
        powers = np.exp(means[epoch - 1] / means[epoch - 2] / 0.5)
        expected = 2 * powers / powers.sum()
        assert abs(expected[0] - 1) > 0.01
        np.testing.assert_allclose(found[epoch], expected, rtol=1e-4)


def test_a_stopped_run_goes_on_with_the_state(tmp_path):
    whole, expected = trained()
    trained(tmp_path, epochs=2)
    parts, found = trained(tmp_path)
    same_weights(weights(parts), weights(whole))
    assert found.weights.equals(expected.weights)
    for other in (None, Given(), Counting):
        with pytest.raises((CheckpointError, ValueError), match="balancing"):
            trained(tmp_path, balancing=other)
    with pytest.raises(CheckpointError, match="balancing"):
        trained(tmp_path, balance_at="representation")


def test_every_run_begins_with_a_new_state(programs):
    """Seeds of a replication do not go on from each other."""
    rows = examples(60, tasks=TWO)
    options = {"batch_size": 16, "epochs": 2, "balancing": Counting()}

    def build(seed):
        return small_model(seed, TWO)

    many = replicate({"a": build}, rows, None, rows, seeds=(5, 3), **options)
    assert len(programs) == 1
    for s, seed in enumerate((5, 3)):
        model = build(seed)
        history = fit(model, rows, seed=seed, **options)
        found = many.histories["a"][s]
        assert found.weights.equals(history.weights)
        for task, predicted in predict(model, rows).items():
            np.testing.assert_array_equal(
                predicted, many.predictions["a"][task][s]
            )


def test_a_batch_that_lacks_a_task_is_added_up_and_not_remembered(programs):
    model, rows = small_model(2, TWO), examples(40, tasks=TWO)
    nobody = np.zeros_like(rows.masks["minutes"])
    rows = replace(rows, masks={**rows.masks, "minutes": nobody})
    expected = task_gradients(model, batch_of(model, rows))["click"]
    before = values(model)
    history = fit(
        model, rows, balancing=Counting(), optimizer=descent(RATE), **ONE_STEP
    )
    for path, gradient in moved(before, model, RATE).items():
        np.testing.assert_allclose(gradient, expected[path], atol=1e-6)
    assert history.weights["weight"].tolist() == [1.0, 1.0]
    assert programs[0].balanced.state["step"].numpy() == 0


def test_one_trace_for_all_epochs_seeds_and_sizes(monkeypatch):
    traces = []
    original = steps.TrainingProgram._step

    def spy(self, batch, weights):
        traces.append(self)
        return original(self, batch, weights)

    monkeypatch.setattr(steps.TrainingProgram, "_step", spy)
    rows = examples(60, tasks=TWO)

    def build(seed):
        return small_model(seed, TWO)

    options = {"epochs": 3, "batch_size": 16}
    data = (rows, rows, rows)
    for n in (60, 33):
        part = (rows.subset(slice(0, n)), *data[1:])
        found = replicate(
            {"a": build}, *part, seeds=(1, 2), balancing=Given(), **options
        )
        assert len(traces) == 1
    again = replicate(
        {"a": build}, *data, seeds=(1,), balancing=Given((1.0, 0.1)), **options
    )
    assert len(traces) == 2, "another method is another program"
    a, b = (r.histories["a"][0].weights["weight"][0] for r in (found, again))
    assert (a, b) == pytest.approx((0.3, 1.0))


def test_the_second_look_sees_the_same_rows_and_dropout(programs):
    rows = examples(40, tasks=TWO)
    model = small_model(2, TWO, dropout=0.5)
    fit(model, rows, balancing=Twice(), optimizer=descent(1e-12), **ONE_STEP)
    before, after = (
        programs[0].balanced.state[n].numpy() for n in ("before", "after")
    )
    # Nothing has moved: other rows or other dropout would show.
    np.testing.assert_array_equal(before, after)
    model = small_model(2, TWO, dropout=0.0)
    fit(model, rows, balancing=Twice(), optimizer=descent(RATE), **ONE_STEP)
    before, after = (
        programs[1].balanced.state[n].numpy() for n in ("before", "after")
    )
    history = fit(model, rows, rows, optimizer=descent(1e-12), **ONE_STEP)
    for task, loss in zip(TWO, after, strict=True):
        expected = history.losses("validation", task)[1]
        assert loss == pytest.approx(expected, rel=1e-5)
    assert (after < before).all()


def test_the_second_look_leaves_no_trace():
    """Dropout and moving statistics go on as if it had not been."""

    def build():
        model = small_model(2, TWO, dropout=0.5)
        normal = keras.layers.BatchNormalization(name="normal")
        hidden = normal(model.get_layer("dropout").output)
        outputs = {
            task: keras.layers.Activation(kind, name=task)(
                model.get_layer(f"logit_{task}")(hidden)
            )
            for task, kind in (("click", "sigmoid"), ("minutes", "linear"))
        }
        inputs = {x.name: x for x in model.inputs}
        return keras.Model(inputs, outputs)

    rows, found = examples(tasks=TWO), []
    for method in (Twice(), Once()):
        model = build()
        fit(model, rows, balancing=method, epochs=2, batch_size=16)
        found.append(weights(model))
    same_weights(*found)
    assert np.abs(found[0][-1]).max() > 0


def test_methods_stand_in_a_grid_and_per_model():
    rows = examples(60, tasks=TWO)

    def build(seed):
        return small_model(seed, TWO)

    options = {"epochs": 1, "batch_size": 16}
    grid = {"balancing": [None, Given((1.0, 1e-9))], "learning_rate": [0.05]}
    search = tune(build, grid, rows, rows, judge={"minutes": 0.0}, **options)
    assert set(search.fit_options) == {"balancing", "learning_rate"}
    losses = search.table["loss_minutes"]
    assert losses[0] < losses[1] - 1e-3, "minutes were not weighed down"
    found = replicate(
        {"plain": build, "weighed": build},
        rows,
        None,
        rows,
        seeds=[0],
        per_model={
            "weighed": {
                "balancing": Given((1.0, 1e-9)),
                "balance_at": "representation",
            }
        },
        **options,
    )
    a, b = (found.predictions[n]["minutes"] for n in ("plain", "weighed"))
    assert np.abs(a - b).max() > 1e-3
    assert found.histories["plain"][0].weights.empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balancing": PCGrad}, r"pass an instance: PCGrad\(\)"),
        ({"balancing": "pcgrad"}, "such as PCGrad"),
        ({"balancing": Sum(), "balance_at": "rows"}, "'representation'"),
        ({"balance_at": "representation"}, "no balancing leave it out"),
        (
            {"balancing": GradNorm(), "balance_at": "representation"},
            "with GradNorm leave it out",
        ),
        (
            {"balancing": Sum(), "loss_weights": {"click": 0}},
            "'click' a weight of 0",
        ),
        ({"balancing": MetaBalance("clicks")}, "'clicks'.*'click', 'minutes'"),
    ],
)
def test_mistakes_are_told(options, message):
    model, rows = small_model(2, TWO), examples(tasks=TWO)
    start = weights(model)
    with pytest.raises(ValueError, match=message):
        fit(model, rows, **options)
    same_weights(weights(model), start)


def test_one_task_or_nothing_shared_is_told():
    rows = examples()
    with pytest.raises(ValueError, match="has only 'click'"):
        fit(small_model(tasks=("click",)), rows, balancing=FAMO())
    model = small_model()
    for name in ("embedding", "bottom"):
        model.get_layer(name).trainable = False
    for method in (PCGrad(), GradNorm()):
        with pytest.raises(ValueError, match="no trainable layer that two"):
            fit(model, rows, balancing=method)
    fit(model, rows, balancing=FAMO())  # it only looks at losses
