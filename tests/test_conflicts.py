"""Gradient conflicts: against a plain tape, in the history, and cheap."""

import keras
import numpy as np
import pytest
from gradient_oracles import batch_of, jacobian, task_gradients
from learning_cases import examples, same_weights, small_model, weights
from models_under_test import small_schema

from mtlrec_utils import models
from mtlrec_utils.learning import fit, gradient_conflicts
from mtlrec_utils.learning.conflicts import DENSE, EVERY, Conflicts
from mtlrec_utils.learning.losses import TaskLosses

COLUMNS = ["layer", "task_a", "task_b", "cosine", "norm_ratio"]
PAIRS = [("click", "minutes"), ("click", "mood"), ("minutes", "mood")]
GROUPS = {
    "embedding": ["embedding/table"],
    "bottom": ["bottom/kernel", "bottom/bias"],
    DENSE: ["bottom/kernel", "bottom/bias"],
    EVERY: ["embedding/table", "bottom/kernel", "bottom/bias"],
}


def test_cosines_and_ratios_are_those_of_a_plain_tape():
    model, rows = small_model(1), examples(50)
    gradients = task_gradients(model, batch_of(model, rows))
    table = gradient_conflicts(model, rows)
    assert list(table) == COLUMNS
    assert table["layer"].unique().tolist() == list(GROUPS)
    found = table.set_index(["layer", "task_a", "task_b"])
    assert len(found) == len(GROUPS) * len(PAIRS)
    for layer, paths in GROUPS.items():
        g = dict(zip(gradients, jacobian(gradients, paths), strict=True))
        for a, b in PAIRS:
            row = found.loc[(layer, a, b)]
            norms = np.linalg.norm(g[a]), np.linalg.norm(g[b])
            cosine = g[a] @ g[b] / (norms[0] * norms[1])
            assert row["cosine"] == pytest.approx(cosine, abs=1e-5)
            ratio = norms[0] / norms[1]
            assert row["norm_ratio"] == pytest.approx(ratio, rel=1e-4)


def test_loss_weights_change_norms_but_no_angle():
    model, rows = small_model(1), examples(50)
    plain = gradient_conflicts(model, rows)
    weighed = gradient_conflicts(model, rows, loss_weights={"minutes": 4.0})
    np.testing.assert_allclose(weighed["cosine"], plain["cosine"], atol=1e-6)
    ratio = weighed["norm_ratio"] / plain["norm_ratio"]
    expected = {"click-minutes": 0.25, "minutes-mood": 4.0}
    pairs = plain["task_a"] + "-" + plain["task_b"]
    np.testing.assert_allclose(
        ratio, [expected.get(pair, 1.0) for pair in pairs], rtol=1e-5
    )


def test_a_task_beside_its_copy_and_its_opposite():
    """Equal tasks: cosine 1 and ratio 1. Opposite regressions: -1."""
    numbers = keras.Input((2,), name="numbers")
    hidden = keras.layers.Dense(3, name="bottom")(numbers)
    head = keras.layers.Dense(1, name="head", use_bias=False)
    outputs = {
        "minutes": keras.layers.Activation("linear", name="minutes")(
            head(hidden)
        ),
        "again": keras.layers.Activation("linear", name="again")(head(hidden)),
        "opposite": keras.layers.Activation("linear", name="opposite")(
            keras.layers.Rescaling(-1.0, name="turned")(head(hidden))
        ),
    }
    model = keras.Model({"numbers": numbers}, outputs)
    rows = examples(40, tasks=("minutes",), hidden=0)
    y = dict.fromkeys(outputs, rows.labels["minutes"] + 5)
    masks = dict.fromkeys(outputs, rows.masks["minutes"])
    rows = type(rows)(
        rows.ids, rows.numbers, y, masks, users=None, rows=rows.rows
    )
    head.set_weights([np.full((3, 1), 1e-4, "float32")])
    model.get_layer("bottom").set_weights(
        [np.full((2, 3), 1e-4, "float32"), np.zeros(3, "float32")]
    )
    table = gradient_conflicts(model, rows).query("layer == 'bottom'")
    found = {
        (r.task_a, r.task_b): (r.cosine, r.norm_ratio)
        for r in table.itertuples()
    }
    assert found["minutes", "again"] == pytest.approx((1, 1), abs=1e-6)
    assert found["minutes", "opposite"] == pytest.approx((-1, 1), abs=1e-3)


def test_a_gradient_of_zero_has_no_angle():
    model, rows = small_model(1), examples(50)
    table = gradient_conflicts(model, rows, loss_weights={"minutes": 0.0})
    with_minutes = (table["task_a"] == "minutes") | (
        table["task_b"] == "minutes"
    )
    assert table.loc[with_minutes, "cosine"].isna().all()
    assert table.loc[~with_minutes, "cosine"].notna().all()


def test_dropout_is_off_and_nothing_changes():
    rows = examples(50)
    model, plain = small_model(1, dropout=0.5), small_model(1)
    before = weights(model)
    tables = [gradient_conflicts(m, rows) for m in (model, model, plain)]
    assert tables[0].equals(tables[1])
    np.testing.assert_allclose(tables[0]["cosine"], tables[2]["cosine"])
    same_weights(weights(model), before)


def test_a_sample_of_more_rows_is_fixed_by_its_seed():
    model, rows = small_model(1), examples(200)
    whole = gradient_conflicts(model, rows)
    first, again, other = (
        gradient_conflicts(model, rows, rows=50, seed=s) for s in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first["cosine"].equals(other["cosine"])
    # A larger sample is nearer to all rows.
    larger = gradient_conflicts(model, rows, rows=190, seed=1)
    errors = [
        np.abs(t["cosine"] - whole["cosine"]).mean() for t in (first, larger)
    ]
    assert errors[1] < errors[0] / 2


def test_the_history_has_them_after_each_epoch():
    """The last rows are those of the trained model; training is as ever."""
    rows, options = examples(60), {"epochs": 3, "batch_size": 16}
    measured, plain = (small_model(1, dropout=0.3) for _ in range(2))
    weights_of = {"minutes": 0.5}
    history = fit(
        measured, rows, conflicts=True, loss_weights=weights_of, **options
    )
    without = fit(plain, rows, loss_weights=weights_of, **options)
    same_weights(weights(measured), weights(plain))
    assert without.conflicts.empty
    table = history.conflicts
    assert list(table) == ["epoch", *COLUMNS]
    assert table["epoch"].tolist() == sorted([1, 2, 3] * 12)
    last = table.query("epoch == 3")[COLUMNS].reset_index(drop=True)
    after = gradient_conflicts(measured, rows, loss_weights=weights_of)
    np.testing.assert_allclose(last["cosine"], after["cosine"], atol=1e-6)
    np.testing.assert_allclose(last["norm_ratio"], after["norm_ratio"])
    first = table.query("epoch == 1")["cosine"].to_numpy()
    assert np.abs(first - last["cosine"]).max() > 1e-3


def test_a_stopped_run_keeps_what_was_measured(tmp_path):
    def train(epochs, folder):
        return fit(
            small_model(1),
            examples(60),
            epochs=epochs,
            batch_size=16,
            conflicts=True,
            checkpoint=folder,
        ).conflicts

    whole = train(3, None)
    train(1, tmp_path)
    assert train(3, tmp_path).equals(whole)


def test_layers_are_those_of_the_model():
    schema = small_schema()
    model = models.mmoe(schema, seed=1)
    measure = Conflicts(model, TaskLosses(model))
    found = measure._rows(np.tile(np.eye(3), (3, 1, 1)))
    layers = list(dict.fromkeys(row["layer"] for row in found))
    assert layers == ["embedding", "experts", DENSE, EVERY]
    assert {row["cosine"] for row in found} == {0.0}


def test_a_model_without_conflicts_is_told():
    rows = examples(tasks=("click",))
    with pytest.raises(ValueError, match="no trainable layer that two"):
        gradient_conflicts(small_model(tasks=("click",)), rows)
    frozen = small_model()
    for layer in frozen.layers:
        layer.trainable = False
    with pytest.raises(ValueError, match="no trainable layer that two"):
        fit(frozen, examples(), conflicts=True)
    with pytest.raises(ValueError, match="no labels"):
        gradient_conflicts(small_model(), rows)
