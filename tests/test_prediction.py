"""predict and evaluate: same numbers as the model's, under its own names."""

import gc
import logging
from dataclasses import replace

import keras
import numpy as np
import pytest
from learning_cases import KINDS, examples, small_model

from mtlrec_utils import evidence
from mtlrec_utils.learning import evaluate, fit, measure, predict


@pytest.fixture(scope="module")
def model():
    model = small_model(dropout=0.5)
    fit(model, examples(200), epochs=3, batch_size=32, learning_rate=0.02)
    return model


@pytest.mark.parametrize("batch_size", [1, 7, 60, 8192])
def test_predictions_are_the_models_for_any_batch(model, batch_size):
    rows = examples()
    found = predict(model, rows, batch_size)
    expected = model(rows.inputs, training=False)
    assert {t: p.shape for t, p in found.items()} == {
        "click": (60,),
        "minutes": (60,),
        "mood": (60, 3),
    }
    for task, values in expected.items():
        assert found[task].dtype == np.float32
        values = np.squeeze(values.numpy())
        np.testing.assert_allclose(found[task], values, atol=1e-6)


def test_predictions_follow_the_weights(model):
    again, rows = small_model(dropout=0.5), examples()
    before = predict(again, rows)["click"]
    again.set_weights(model.get_weights())
    after = predict(again, rows)["click"]
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, predict(model, rows)["click"], atol=1e-7)


def test_no_rows_give_no_predictions(model):
    found = predict(model, examples().subset(slice(0, 0)))
    assert {t: p.shape for t, p in found.items()} == {
        "click": (0,),
        "minutes": (0,),
        "mood": (0, 3),
    }
    with pytest.raises(ValueError, match="batch_size=0"):
        predict(model, examples(), 0)


def test_what_prediction_keeps_is_not_saved(model, tmp_path):
    rows = examples()
    expected = predict(model, rows)
    layers = [layer.name for layer in model.layers]
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "served", verbose=False)
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in again.layers] == layers
    for task, values in predict(again, rows).items():
        np.testing.assert_array_equal(values, expected[task])


def test_many_models_in_a_loop_meet_no_warning_of_retracing(caplog):
    rows = examples(20)
    log = logging.getLogger("tensorflow")
    log.addHandler(caplog.handler)
    try:
        for _ in range(8):  # TensorFlow warns at the fifth of one address
            predict(small_model(), rows)
            gc.collect()
    finally:
        log.removeHandler(caplog.handler)
    assert not [r for r in caplog.records if "retracing" in r.getMessage()]


def test_metrics_are_those_of_the_known_rows(model):
    rows = examples(300, seed=2, users=True)
    table = evaluate(model, rows)
    assert list(table) == ["task", "metric", "value"]
    found = table.set_index(["task", "metric"])["value"]
    predicted = predict(model, rows)
    known = {t: m > 0 for t, m in rows.masks.items()}
    y = {t: rows.labels[t][known[t]] for t in KINDS}
    p = {t: predicted[t][known[t]] for t in KINDS}
    users = rows.users[known["click"]]
    assert dict(found) == {
        ("click", "auc"): evidence.auc(y["click"], p["click"]),
        ("click", "gauc"): evidence.gauc(y["click"], p["click"], users),
        ("click", "log_loss"): evidence.log_loss(y["click"], p["click"]),
        ("minutes", "rmse"): evidence.rmse(y["minutes"], p["minutes"]),
        ("mood", "log_loss"): evidence.multiclass_log_loss(
            y["mood"], p["mood"]
        ),
        ("mood", "accuracy"): evidence.accuracy(y["mood"], p["mood"]),
    }


def test_masked_labels_are_not_measured(model):
    rows = examples(300, seed=2)
    labels = {
        t: np.where(rows.masks[t] > 0, y, 1).astype(y.dtype)
        for t, y in rows.labels.items()
    }
    a, b = (evaluate(model, r) for r in (rows, replace(rows, labels=labels)))
    assert a.equals(b)


def test_each_metric_lands_under_its_own_task():
    """Constant predictions .9 and .1, whatever the order of names."""
    numbers = keras.Input((2,), name="numbers")
    outputs = {}
    for task, logit in (("like", 2.2), ("click", -2.2), ("click_long", 0)):
        constant = keras.layers.Dense(
            1,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(logit),
        )(numbers)
        outputs[task] = keras.layers.Activation("sigmoid", name=task)(constant)
    model = keras.Model({"numbers": numbers}, outputs)
    rows = examples(10, tasks=("click",))
    names = ("click", "click_long", "like")
    rows = replace(
        rows,
        labels={t: (np.arange(10) > 0).astype("float32") for t in names},
        masks={t: np.ones(10) for t in names},
    )
    table = evaluate(model, rows).query("metric == 'log_loss'")
    found = table.set_index("task")["value"]
    for task, p in (("like", 0.9002), ("click", 0.0998), ("click_long", 0.5)):
        expected = -0.9 * np.log(p) - 0.1 * np.log(1 - p)
        assert found[task] == pytest.approx(expected, abs=1e-3)


def test_what_cannot_be_measured_is_an_error(model):
    rows = examples()
    with pytest.raises(ValueError, match="no task"):
        evaluate(model, rows.with_tasks([]))
    ones = {"click": np.ones(60, "float32")}
    with pytest.raises(ValueError, match="Task 'click'"):
        evaluate(model, replace(rows.with_tasks(["click"]), labels=ones))
    with pytest.raises(ValueError, match="'minutes': no row has a known"):
        evaluate(model, rows.keep_labels("minutes", 0, seed=0))


def test_gauc_without_a_user_of_both_classes_is_missing():
    rows = examples(10, tasks=("click",))
    rows = replace(rows, users=np.arange(10))
    p = {"click": np.linspace(0.1, 0.9, 10, dtype="float32")}
    table = measure(p, rows, KINDS).set_index("metric")["value"]
    assert np.isnan(table["gauc"])
    assert table["auc"] > 0
