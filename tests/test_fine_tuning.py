"""Fine-tuning: what stays, what moves, and how far (limit cases)."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from learning_cases import examples, same_weights, small_model, weights
from sklearn.linear_model import LogisticRegression

from mtlrec_utils.learning import RowSparseAdam, fit, predict, replicate
from mtlrec_utils.learning.balancing import PCGrad
from mtlrec_utils.learning.transfer import (
    L2SP,
    export_module,
    exported_layer,
    fit_gradually,
    freeze,
    layer_groups,
    layer_table,
    load_module,
    save_module,
    transfer_weights,
    unfreeze,
)

TASKS = ("click", "minutes")
LOGITS = ["logit_click", "logit_minutes"]
OPTIONS = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-2}


def model_of(seed=0):
    return small_model(seed=seed, tasks=TASKS)


@pytest.fixture(scope="module")
def rows():
    return examples(n=120, tasks=TASKS)


@pytest.fixture(scope="module")
def source(rows):
    model = model_of(seed=3)
    fit(model, rows, **OPTIONS)
    return model


def copy_of(source, seed=0):
    model = model_of(seed)
    transfer_weights(source, model)
    return model


def distance(model, other):
    return max(
        np.abs(a - b).max()
        for a, b in zip(weights(model), weights(other), strict=True)
    )


# -- modules ---------------------------------------------------------------


def test_at_step_0_predictions_are_the_sources(source, rows):
    wanted, found = predict(source, rows), predict(copy_of(source), rows)
    for task in TASKS:
        np.testing.assert_array_equal(found[task], wanted[task])
    fresh = predict(model_of(), rows)
    assert np.abs(fresh["click"] - wanted["click"]).max() > 0.01


def test_only_named_layers_are_copied(source):
    target = model_of()
    before = target.get_layer("logit_click").get_weights()
    assert transfer_weights(source, target, ["bottom", "embedding"]) == [
        "embedding",
        "bottom",
    ]
    same_weights(target.get_layer("logit_click").get_weights(), before)
    same_weights(
        target.get_layer("bottom").get_weights(),
        source.get_layer("bottom").get_weights(),
    )


def test_weights_that_do_not_fit_are_refused_and_nothing_is_copied(source):
    wider = small_model(tasks=TASKS, width=5)
    before = weights(wider)
    with pytest.raises(ValueError, match="'bottom' has weights of shapes"):
        transfer_weights(source, wider)
    same_weights(weights(wider), before)
    with pytest.raises(ValueError, match="The source has no tower"):
        transfer_weights(source, wider, ["tower"])


def test_a_module_comes_back_from_its_file(source, rows, tmp_path):
    path = save_module(source, tmp_path / "deep" / "source.keras")
    assert [p.name for p in path.parent.iterdir()] == ["source.keras"]
    loaded = load_module(path)
    wanted, found = predict(source, rows), predict(loaded, rows)
    np.testing.assert_array_equal(found["click"], wanted["click"])
    freeze(loaded, "embedding", "bottom")
    fit(loaded, rows, **OPTIONS)
    assert np.abs(predict(loaded, rows)["click"] - wanted["click"]).max() > 0
    with pytest.raises(ValueError, match=r"end in \.keras"):
        save_module(source, tmp_path / "source.h5")
    with pytest.raises(FileNotFoundError, match="save_module"):
        load_module(tmp_path / "no.keras")


def test_an_exported_module_predicts_the_same(source, rows, tmp_path):
    folder = export_module(source, tmp_path / "exported")
    export_module(source, folder)  # in place of the first
    assert [p.name for p in tmp_path.iterdir()] == ["exported"]
    outputs = exported_layer(folder)(rows.inputs)
    wanted = predict(source, rows)
    for task in TASKS:
        np.testing.assert_allclose(
            np.asarray(outputs[task])[:, 0], wanted[task], atol=1e-6
        )
    with pytest.raises(FileNotFoundError, match="export_module"):
        exported_layer(tmp_path)


# -- freezing --------------------------------------------------------------


def test_groups_hold_every_layer_with_weights():
    assert layer_groups(model_of()) == {
        "embedding": ["embedding"],
        "bottom": ["bottom"],
        "towers": LOGITS,
    }


@pytest.mark.parametrize("group", ["embedding", "bottom", "towers"])
def test_a_frozen_group_keeps_every_bit_and_has_no_slots(source, rows, group):
    model = copy_of(source)
    frozen = freeze(model, group)
    optimizer = RowSparseAdam(1e-2)
    fit(model, rows, epochs=2, batch_size=16, optimizer=optimizer)
    for layer in ("embedding", "bottom", *LOGITS):
        pairs = zip(
            source.get_layer(layer).get_weights(),
            model.get_layer(layer).get_weights(),
            strict=True,
        )
        moved = [not np.array_equal(a, b) for a, b in pairs]
        assert not any(moved) if layer in frozen else all(moved), layer
    assert len(optimizer.variables) == 2 + 2 * len(model.trainable_variables)
    table = layer_table(model).set_index("layer")
    assert (table["learns"] == 0).to_dict() == {
        layer: layer in frozen for layer in table.index
    }


def test_freezing_by_name_and_back():
    model = model_of()
    assert freeze(model, "towers", "logit_click") == LOGITS
    unfreeze(model, "logit_click")
    assert not model.get_layer("logit_minutes").trainable
    assert model.get_layer("logit_click").trainable
    with pytest.raises(ValueError, match="'head' is no group"):
        freeze(model, "head")
    with pytest.raises(ValueError, match="Say which layers"):
        freeze(model)


def test_normalisation_in_a_frozen_layer_is_in_inference_mode(rows):
    def build():
        numbers = keras.Input((2,), name="numbers")
        norm = keras.layers.BatchNormalization(name="norm", momentum=0.5)
        logit = keras.layers.Dense(1, name="logit_click")(norm(numbers))
        click = keras.layers.Activation("sigmoid", name="click")(logit)
        return keras.Model({"numbers": numbers}, {"click": click})

    clicks = rows.with_tasks(["click"])
    learning = build()
    before = learning.get_layer("norm").get_weights()
    fit(learning, clicks, **OPTIONS)
    moved = learning.get_layer("norm").get_weights()
    assert all(
        not np.array_equal(a, b) for a, b in zip(before, moved, strict=True)
    )
    freeze(learning, "norm")
    # One batch of one row: its own variance is 0, the stored one is not.
    one = clicks.subset([0])
    before = predict(learning, one)["click"]
    loss = -np.log(before if one.labels["click"][0] else 1 - before)
    history = fit(learning, one, epochs=1)
    same_weights(learning.get_layer("norm").get_weights(), moved)
    assert history.losses("train", "click").iloc[0] == pytest.approx(
        loss[0], rel=1e-5
    )


def test_only_the_head_learns_equals_logistic_regression(source, rows):
    model = copy_of(source)
    freeze(model, "embedding", "bottom", "logit_minutes")
    fit(
        model,
        rows.with_tasks(["click", "minutes"]),
        epochs=500,
        batch_size=len(rows),
        learning_rate=0.3,
        decay="linear",
        loss_weights={"minutes": 0.0},
    )
    features = keras.Model(model.input, model.get_layer("bottom").output)
    x, y = np.asarray(features(rows.inputs)), rows.labels["click"]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    oracle.fit(x, y)
    np.testing.assert_allclose(
        predict(model, rows)["click"],
        oracle.predict_proba(x)[:, 1],
        atol=1e-3,
    )


# -- L2-SP -----------------------------------------------------------------


def test_no_strength_is_plain_fine_tuning(source, rows):
    plain, anchored = copy_of(source), copy_of(source)
    fit(plain, rows, **OPTIONS)
    fit(anchored, rows, anchor=L2SP(0.0), **OPTIONS)
    same_weights(weights(plain), weights(anchored), atol=1e-6)


def test_a_strong_pull_keeps_the_weights(source, rows):
    plain, held = copy_of(source), copy_of(source)
    options = {**OPTIONS, "decay": "linear", "epochs": 20}
    fit(plain, rows, **options)
    fit(held, rows, anchor=L2SP(1e4), **options)
    assert distance(held, source) < 1e-3
    assert distance(plain, source) > 0.1


def test_the_pull_is_0_at_the_first_step_unlike_weight_decay(source, rows):
    batch = {"epochs": 1, "batch_size": len(rows)}
    plain, held, decayed = (copy_of(source) for _ in range(3))
    sgd = keras.optimizers.SGD
    fit(plain, rows, optimizer=sgd(0.1), **batch)
    fit(held, rows, optimizer=sgd(0.1), anchor=L2SP(5.0), **batch)
    fit(decayed, rows, optimizer=sgd(0.1, weight_decay=0.5), **batch)
    same_weights(weights(plain), weights(held), atol=1e-7)
    assert distance(plain, decayed) > 1e-3


def test_the_second_step_is_pulled_back_by_hand_value(source, rows):
    # theta_2 = theta_1 - rate (gradient + strength (theta_1 - theta_0))
    rate, strength = 0.1, 2.0
    batch = {"epochs": 2, "batch_size": len(rows), "seed": 1}
    plain, held, once = (copy_of(source) for _ in range(3))
    fit(plain, rows, optimizer=keras.optimizers.SGD(rate), **batch)
    fit(
        held,
        rows,
        optimizer=keras.optimizers.SGD(rate),
        anchor=L2SP(strength),
        **batch,
    )
    fit(
        once,
        rows,
        optimizer=keras.optimizers.SGD(rate),
        **{**batch, "epochs": 1},
    )
    models = (plain, held, once, source)
    for a, b, c, d in zip(*map(weights, models), strict=True):
        np.testing.assert_allclose(b, a - rate * strength * (c - d), atol=1e-6)


def test_only_named_layers_are_pulled(source, rows):
    model = copy_of(source)
    options = {**OPTIONS, "decay": "linear", "epochs": 20}
    fit(model, rows, anchor=L2SP(1e4, ("bottom",)), **options)
    away = {
        layer: np.abs(
            model.get_layer(layer).get_weights()[0]
            - source.get_layer(layer).get_weights()[0]
        ).max()
        for layer in ("bottom", "logit_click")
    }
    assert away["bottom"] < 1e-3 < 0.1 < away["logit_click"]
    with pytest.raises(ValueError, match="names 'head'"):
        fit(model, rows, anchor=L2SP(1.0, ("head",)))
    with pytest.raises(ValueError, match="at least 0"):
        L2SP(-1.0)
    with pytest.raises(ValueError, match="pass an instance"):
        fit(model, rows, anchor=0.1)


def test_a_balanced_run_is_pulled_too(source, rows):
    held = copy_of(source)
    options = {**OPTIONS, "decay": "linear", "epochs": 20}
    fit(held, rows, anchor=L2SP(1e4), balancing=PCGrad(), **options)
    assert distance(held, source) < 1e-3


def test_a_repeated_run_is_anchored_at_its_own_start(rows):
    starts = {}

    def build(seed):
        starts[seed] = model_of(seed)
        return model_of(seed)

    options = {**OPTIONS, "epochs": 6, "decay": "linear"}
    repeated = replicate(
        {"m": build}, rows, None, rows, seeds=(1, 2), anchor=L2SP(1e4),
        **options,
    )  # fmt: skip
    for i, seed in enumerate((1, 2)):
        np.testing.assert_allclose(
            repeated.predictions["m"]["click"][i],
            predict(starts[seed], rows)["click"],
            atol=2e-3,
        )


def test_two_strengths_share_a_trace_but_not_a_result(source, rows):
    def build():
        return copy_of(source)

    options = {**OPTIONS, "decay": "linear"}
    found = [
        replicate(
            {"m": build}, rows, None, rows, seeds=(0,), anchor=L2SP(strength),
            **options,
        ).predictions["m"]["click"][0]
        for strength in (1e4, 0.0)
    ]  # fmt: skip
    start = predict(source, rows)["click"]
    assert np.abs(found[0] - start).max() < 1e-2
    assert np.abs(found[1] - start).max() > 5e-2


# -- learning rates of groups ----------------------------------------------


def test_a_factor_scales_the_first_step_of_adam_exactly(source, rows):
    batch = {"epochs": 1, "batch_size": len(rows), "learning_rate": 1e-2}
    plain, slowed = copy_of(source), copy_of(source)
    fit(plain, rows, **batch)
    fit(slowed, rows, rate_factors={"embedding": 0.1, "bottom": 0.5}, **batch)
    factors = {"embedding": 0.1, "bottom": 0.5, "logit_click": 1.0}
    for layer, factor in factors.items():
        start, full, part = (
            model.get_layer(layer).get_weights()[0]
            for model in (source, plain, slowed)
        )
        np.testing.assert_allclose(
            part - start, factor * (full - start), atol=2e-7
        )


def test_factors_survive_the_configuration_and_are_checked(source, rows):
    optimizer = RowSparseAdam(1e-2, rate_factors={"bottom": 0.1})
    again = RowSparseAdam.from_config(optimizer.get_config())
    assert again.rate_factors == {"bottom": 0.1}
    assert "rate_factors" not in RowSparseAdam(1e-2).get_config()
    with pytest.raises(ValueError, match="names 'botom'"):
        fit(copy_of(source), rows, rate_factors={"botom": 0.1})
    with pytest.raises(ValueError, match="above 0"):
        fit(copy_of(source), rows, rate_factors={"bottom": 0.0})
    with pytest.raises(ValueError, match="for the default optimizer"):
        fit(
            copy_of(source),
            rows,
            optimizer=keras.optimizers.SGD(0.1),
            rate_factors={"bottom": 0.1},
        )


# -- gradual unfreezing ----------------------------------------------------


def test_one_stage_is_plain_fine_tuning_of_those_layers(source, rows):
    staged, plain = copy_of(source), copy_of(source)
    (history,) = fit_gradually(staged, rows, stages=[["towers"]], **OPTIONS)
    freeze(plain, "embedding", "bottom")
    fit(plain, rows, **OPTIONS)
    same_weights(weights(staged), weights(plain))
    assert history.steps == 24


def test_every_stage_thaws_more(source, rows):
    model = copy_of(source)
    before = weights(model)
    stages = [["towers"], ["bottom"]]
    histories = fit_gradually(model, rows, stages=stages, **OPTIONS)
    assert len(histories) == 2
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(before, weights(model), strict=True)
    ]
    names = [w.path.split("/")[0] for w in model.weights]
    assert {n for n, m in zip(names, moved, strict=True) if not m} == {
        "embedding"
    }
    with pytest.raises(ValueError, match="stages is empty"):
        fit_gradually(model, rows, stages=[], **OPTIONS)
    with pytest.raises(ValueError, match="one stage"):
        fit_gradually(model, rows, optimizer=RowSparseAdam())
