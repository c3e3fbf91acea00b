"""What holds for every model of a funnel: ESMM, its variants, AITM."""

import json

import keras
import numpy as np
import pytest
from funnel_cases import (
    BUILDERS,
    SCHEMA,
    losses_and_gradients,
    rows_of_a_funnel,
)
from jax_process import run_on_jax
from models_under_test import (
    assert_same_outputs,
    predict,
    shift_every_weight,
)

from mtlrec_utils.learning.losses import TaskLosses

ROWS = rows_of_a_funnel()


@pytest.fixture(params=BUILDERS, name="build")
def _build(request):
    return BUILDERS[request.param]


@pytest.fixture
def policy():
    """Set a dtype policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def test_every_trainable_variable_has_a_gradient(build):
    model = build(seed=1)
    shift_every_weight(model)
    _, found = losses_and_gradients(model, ROWS)
    assert len(found) == len(model.trainable_weights)
    for path, gradient in found.items():
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path


def test_a_prediction_does_not_depend_on_its_batch(build):
    model = build(dropout=0.3, seed=1)
    shift_every_weight(model)
    whole = predict(model, ROWS.inputs)
    for i in range(0, 24, 7):
        alone = predict(model, ROWS.subset([i]).inputs)
        for name, value in alone.items():
            np.testing.assert_allclose(value[0], whole[name][i], atol=1e-5)


def test_a_seed_decides_and_no_two_weights_start_alike(build):
    options = {"tower_units": (16, 16), "seed": 1}
    a, b = build(**options), build(**options)
    c = build(**{**options, "seed": 2})
    drawn = []
    for ours, same, other in zip(a.weights, b.weights, c.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(same))
        if "bias" not in ours.path:
            values = np.asarray(ours).ravel()
            assert np.abs(values - np.asarray(other).ravel()).max() > 1e-3
            drawn.append((ours.path, (values / values.std())[:16]))
    for i, (path, values) in enumerate(drawn):
        for other_path, others in drawn[:i]:
            gap = np.abs(values - others).max()
            assert gap > 0.1, (path, other_path)


def test_without_a_seed_keras_decides(build):
    keras.utils.set_random_seed(3)
    first, second = build(), build()
    keras.utils.set_random_seed(3)
    a, b, c = (
        predict(m, ROWS.inputs)["click"] for m in (first, second, build())
    )
    np.testing.assert_array_equal(a, c)
    assert np.abs(a - b).max() > 1e-4


def test_a_saved_model_predicts_and_learns_as_before(build, tmp_path):
    model = build(seed=1, dropout=0.1)
    shift_every_weight(model)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    ours, theirs = (
        json.dumps(m.get_config(), sort_keys=True) for m in (copy, model)
    )
    assert ours == theirs
    assert_same_outputs(
        predict(copy, ROWS.inputs), predict(model, ROWS.inputs), 1e-7
    )
    if model.name == "escm2_ips":
        assert copy.get_layer("buy").floor == 0.2
    before, after = TaskLosses(model), TaskLosses(copy)
    assert after.tasks == before.tasks
    assert after.every_row == before.every_row
    assert after.kinds == before.kinds
    plain = build(seed=1)
    plain.set_weights(model.get_weights())
    plain.save(tmp_path / "plain.keras")
    again = keras.saving.load_model(tmp_path / "plain.keras")
    ours, theirs = (losses_and_gradients(m, ROWS) for m in (again, plain))
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    for path, gradient in theirs[1].items():
        np.testing.assert_allclose(ours[1][path], gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, name, build):
    exact = build(seed=1)
    policy(name)
    model = build(seed=1)
    outputs = model(ROWS.inputs)
    hidden = keras.Model(model.inputs, model.get_layer("tower_click").output)
    assert hidden(ROWS.inputs).dtype == name.removeprefix("mixed_")
    assert all(value.dtype == "float32" for value in outputs.values())
    assert_same_outputs(
        predict(model, ROWS.inputs), predict(exact, ROWS.inputs), 0.02
    )
    means, found = losses_and_gradients(model, ROWS)
    assert np.isfinite(list(means.values())).all()
    assert all(np.isfinite(gradient).all() for gradient in found.values())


@pytest.mark.parametrize("name", ["escm2_dr", "aitm"])
def test_compiled_by_xla(name):
    model = BUILDERS[name](dropout=0.1, tower_units=(4,), seed=1)
    losses = dict.fromkeys(model.output, "binary_crossentropy")
    model.compile("sgd", loss=losses, jit_compile=True)
    before = [np.asarray(weight) for weight in model.weights]
    labels = {t: ROWS.labels[t][:, None] for t in losses}
    model.train_on_batch(ROWS.inputs, labels)
    for weight, start in zip(model.weights, before, strict=True):
        if "imputation" not in weight.path:  # of no output of the model
            assert np.abs(np.asarray(weight) - start).max() > 0, weight.path


# Reads what the TensorFlow side wrote; a saved model needs no other import.
ON_JAX = """
import json, sys
from pathlib import Path
import keras, numpy as np
from mtlrec_utils import models

assert keras.backend.backend() == "jax"
folder = Path(sys.argv[1])
inputs = dict(np.load(folder / "inputs.npz"))
labels = dict(np.load(folder / "labels.npz"))
models.esmm
still = {}
for path in folder.glob("*.keras"):
    model = keras.saving.load_model(path)
    out = {k: np.asarray(v) for k, v in model(inputs).items()}
    ends = model.get_layer("click_and_buy").input
    reader = keras.Model(model.inputs, ends)
    layer = model.get_layer("click_and_buy")
    if hasattr(layer, "row_loss"):
        y = labels["click_and_buy"][:, 0]
        out["row_loss"] = layer.row_loss(reader(inputs), y, y * 0 + 1)
    np.savez(folder / f"{path.stem}.jax.npz", **out)
    if path.stem not in ("escm2_dr", "aitm"):
        continue
    losses = dict.fromkeys(model.output, "binary_crossentropy")
    model.compile(keras.optimizers.SGD(0.1), loss=losses)
    before = [np.asarray(w) for w in model.trainable_weights]
    batch = {k: labels[k] for k in losses}
    history = model.fit(inputs, batch, batch_size=24, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    still[path.stem] = [
        w.path
        for w, b in zip(model.trainable_weights, before, strict=True)
        if np.abs(np.asarray(w) - b).max() == 0
    ]
print(json.dumps(still))
"""


def test_on_jax(tmp_path):
    np.savez(tmp_path / "inputs.npz", **ROWS.inputs)
    labels = {task: y[:, None] for task, y in ROWS.labels.items()}
    np.savez(tmp_path / "labels.npz", **labels)
    expected = {}
    for name, build in BUILDERS.items():
        model = build(dropout=0.1, seed=2)
        shift_every_weight(model)
        model.save(tmp_path / f"{name}.keras")
        expected[name] = predict(model, ROWS.inputs)
        if name != "aitm":
            layer = model.get_layer("click_and_buy")
            ends = keras.Model(model.inputs, layer.input)(ROWS.inputs)
            y = ROWS.labels["click_and_buy"]
            rows = layer.row_loss(ends, y, y * 0 + 1)
            expected[name]["row_loss"] = rows.numpy()
    still = run_on_jax(ON_JAX, tmp_path)
    for name, wanted in expected.items():
        found = dict(np.load(tmp_path / f"{name}.jax.npz"))
        assert_same_outputs(found, wanted, 1e-5)
    assert set(still) == {"escm2_dr", "aitm"}
    for paths in still.values():
        # Only a loss of the course's own reads the imputation.
        assert [p for p in paths if "imputation" not in p] == []


def test_all_builders_are_of_the_funnel():
    for name, build in BUILDERS.items():
        model = build()
        assert model.name == name
        assert set(model.output) <= set(SCHEMA.task_names)
