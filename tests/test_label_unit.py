"""Regressions on a standardised label: learned scale, real units outside."""

import keras
import numpy as np
import pandas as pd
import pytest

from mtlrec_utils import models
from mtlrec_utils.data import Categorical, Number, Schema, SchemaError, Task
from mtlrec_utils.learning import evaluate, fit, predict
from mtlrec_utils.models import LabelUnit

CENTER, SPREAD = 40.0, 25.0
MINUTES = Task("minutes", "regression", sample_space="click", scale="standard")


def frame(n=400, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return pd.DataFrame(
        {
            "item": random.integers(5, size=n),
            "x": x,
            "click": random.integers(2, size=n),
            "minutes": CENTER
            + SPREAD * (x + 0.5 * random.normal(size=n)) / np.sqrt(1.25),
        }
    )


def schema_of(*tasks):
    return Schema([Categorical("item"), Number("x")], tasks)


@pytest.fixture(scope="module")
def fitted():
    return schema_of(Task("click"), MINUTES).fit(frame())


def test_the_scale_is_that_of_known_training_labels_by_hand():
    rows = pd.DataFrame(
        {
            "item": [1, 1, 2, 2],
            "x": [0.0, 1.0, 2.0, 3.0],
            "click": [1, 1, 0, 1],
            "minutes": [10.0, 30.0, 1e6, np.nan],
        }
    )
    task = Task(
        "minutes",
        "regression",
        sample_space="click",
        scale="standard",
        missing="masked",
    )
    schema = schema_of(task).fit(rows)
    assert (schema.tasks[0].center, schema.tasks[0].spread) == (20.0, 10.0)
    assert (task.center, task.spread) == (0.0, 1.0)  # the caller's own
    labels = schema.encode(rows.assign(x=0.0)).labels["minutes"]
    np.testing.assert_array_equal(labels, [10, 30, 0, 0])  # in minutes


def test_fitting_again_learns_again_and_a_refused_fit_learns_nothing():
    schema = schema_of(MINUTES).fit(frame())
    before = schema.to_dict()
    with pytest.raises(SchemaError, match="labels that vary"):
        schema.fit(frame().assign(minutes=0.1))
    assert schema.to_dict() == before
    other = frame(seed=1)
    other["minutes"] += 1000
    schema.fit(other)
    known = other.loc[other["click"] == 1, "minutes"]
    assert schema.tasks[0].center == pytest.approx(known.mean(), rel=1e-6)
    assert schema.tasks[0].spread == pytest.approx(known.std(ddof=0), rel=1e-5)


def test_the_scale_is_stored_and_shared(fitted, tmp_path):
    fitted.save(tmp_path / "schema.json")
    again = Schema.load(tmp_path / "schema.json")
    assert again == fitted
    assert again.task("minutes") == fitted.task("minutes")
    assert again.task("minutes").spread != 1
    alone = fitted.with_tasks("minutes")
    assert alone.task("minutes") == fitted.task("minutes")


def test_a_schema_stored_before_labels_had_a_scale_still_loads(fitted):
    form = schema_of(Task("minutes", "regression")).fit(frame()).to_dict()
    for entry in form["tasks"]:
        for name in ("scale", "center", "spread"):
            del entry[name]
    assert Schema.from_dict(form).tasks[0].scale == "none"


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), None, "2"])
def test_a_damaged_scale_is_refused(fitted, value):
    form = fitted.to_dict()
    form["tasks"][1]["spread"] = value
    with pytest.raises(SchemaError, match="minutes|damaged"):
        Schema.from_dict(form)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Task("click", scale="standard"), "for kind='regression'"),
        (lambda: Task("m", "regression", scale="log"), "'none' or"),
        (lambda: Task("m", "regression", center=3.0), "learned by"),
        (lambda: LabelUnit(0.0, 0.0), "above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_no_known_label_is_refused():
    with pytest.raises(SchemaError, match="the 0 known one"):
        schema_of(MINUTES).fit(frame().assign(click=0))


@pytest.mark.parametrize("name", ["shared_bottom", "omoe", "mmoe", "ple"])
def test_models_predict_in_the_labels_unit(fitted, name):
    model = getattr(models, name)(fitted, seed=0)
    task = fitted.task("minutes")
    logits = keras.Model(
        {x.name: x for x in model.inputs},
        {"minutes": model.get_layer("logit_minutes").output},
    )
    rows = fitted.encode(frame(seed=2))
    raw = logits(rows.inputs)["minutes"].numpy()[:, 0]
    expected = task.center + task.spread * raw.astype(np.float64)
    np.testing.assert_allclose(
        predict(model, rows)["minutes"], expected, rtol=1e-5
    )


def test_training_equals_that_on_labels_scaled_by_hand(tmp_path):
    """Same weights and losses; only the unit of the predictions differs."""
    rows, later = frame(), frame(seed=3)
    schema = schema_of(Task("click"), MINUTES).fit(rows)
    task = schema.task("minutes")

    def by_hand(part):
        return part.assign(
            minutes=(part["minutes"] - task.center) / task.spread
        )

    plain = Task("minutes", "regression", sample_space="click")
    other = schema_of(Task("click"), plain).fit(by_hand(rows))
    options = {"epochs": 3, "batch_size": 64, "learning_rate": 0.01}
    pair = []
    for mine, change in ((schema, lambda part: part), (other, by_hand)):
        model = models.shared_bottom(mine, bottom_units=(8,), seed=1)
        train, test = (mine.encode(change(part)) for part in (rows, later))
        history = fit(model, train, test, progress=False, **options)
        pair.append((model, history, predict(model, test), test))
    (model, history, found, test), (_, hand, expected, scaled) = pair
    np.testing.assert_allclose(
        history.table["loss"], hand.table["loss"], rtol=1e-4
    )
    first = history.losses("train", "minutes").iloc[0]
    assert 0.2 < first < 2  # of the size of a log loss, not of minutes^2
    np.testing.assert_allclose(
        found["minutes"],
        task.center + task.spread * expected["minutes"],
        rtol=1e-3,
    )

    def rmse(network, part):
        table = evaluate(network, part).set_index(["task", "metric"])
        return table["value"]["minutes", "rmse"]

    error = rmse(model, test)
    assert error == pytest.approx(task.spread * rmse(pair[1][0], scaled), 1e-3)
    loss = history.losses("validation", "minutes").iloc[-1]
    assert error**2 == pytest.approx(loss * task.spread**2, rel=1e-3)

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        predict(again, test)["minutes"], found["minutes"]
    )
    again = fit(again, schema.encode(rows), progress=False, epochs=1)
    assert again.losses("train", "minutes").iloc[0] < first  # it knows how
