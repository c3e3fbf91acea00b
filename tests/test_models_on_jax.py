"""The same models under JAX: same outputs, and a step of training."""

import ast
from pathlib import Path

import numpy as np
import pytest
from jax_process import run_on_jax
from models_under_test import (
    BUILDERS,
    assert_same_outputs,
    predict,
    random_inputs,
    random_labels,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils import models

WITH_GATES = ("omoe", "mmoe", "cgc", "ple", "mmoe_with_position_bias")
# JAX compiles a step of each model anew, for seconds: those whose layers
# are the course's own.
TRAINED = ("mmoe", "cross_stitch", "l2_constrained", "ple")
ROOT = Path(__file__).resolve().parents[1]

# Reads what the TensorFlow side wrote.
ON_JAX = """
import json, sys
from pathlib import Path
import keras, numpy as np
from mtlrec_utils import models

assert keras.backend.backend() == "jax"
folder = Path(sys.argv[1])
# A saved model needs no other import of ours than the package of models.
saved = {
    path.stem: keras.saving.load_model(path)
    for path in folder.glob("*.keras")
}

from mtlrec_utils.data.schema import Schema

schema = Schema.load(folder / "schema.json")
inputs = dict(np.load(folder / "inputs.npz"))
labels = dict(np.load(folder / "labels.npz"))
extra = {
    "single_task": {"task": "click"},
    "mmoe_with_position_bias": {"bias_features": ["age"]},
}
moved = {}
for name in json.loads(sys.argv[2]):
    build = getattr(models, name)
    gates = {"gate_dropout": 0.1} if name in json.loads(sys.argv[3]) else {}
    model = build(schema, dropout=0.1, seed=1, **extra.get(name, {}), **gates)
    model.load_weights(folder / f"{name}.weights.h5")
    out = {k: np.asarray(v) for k, v in model(inputs).items()}
    if gates:
        values = models.gate_values(model, inputs)
        out.update({f"gate_{k}": v for k, v in values.items()})
    np.savez(folder / f"{name}.jax.npz", **out)
    for key, value in saved[name](inputs).items():
        np.testing.assert_allclose(np.asarray(value), out[key], atol=1e-6)
    if name not in json.loads(sys.argv[4]):
        continue
    kinds = {"minutes": "mse"}
    losses = {k: kinds.get(k, "binary_crossentropy") for k in model.output}
    model.compile(keras.optimizers.SGD(0.1), loss=losses)
    before = [np.asarray(w) for w in model.trainable_weights]
    batch = {k: labels[k] for k in losses}
    history = model.fit(inputs, batch, batch_size=24, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    moved[name] = [
        w.path
        for w, b in zip(model.trainable_weights, before, strict=True)
        if np.abs(np.asarray(w) - b).max() == 0
    ]
print(json.dumps(moved))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Outputs of each model under TensorFlow, and what JAX made of it."""
    folder = tmp_path_factory.mktemp("jax")
    schema = small_schema()
    inputs = random_inputs(schema)
    schema.save(folder / "schema.json")
    np.savez(folder / "inputs.npz", **inputs)
    np.savez(folder / "labels.npz", **random_labels(schema))
    expected = {}
    for name, build in BUILDERS.items():
        gates = {"gate_dropout": 0.1} if name in WITH_GATES else {}
        model = build(schema, dropout=0.1, seed=2, **gates)
        shift_every_weight(model)
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
        expected[name] = predict(model, inputs)
        if gates:
            values = models.gate_values(model, inputs)
            expected[name].update(
                {f"gate_{task}": gate for task, gate in values.items()}
            )
    still = run_on_jax(ON_JAX, folder, list(BUILDERS), WITH_GATES, TRAINED)
    found = {
        name: dict(np.load(folder / f"{name}.jax.npz")) for name in BUILDERS
    }
    return expected, found, still


@pytest.mark.parametrize("name", BUILDERS)
def test_jax_predicts_what_tensorflow_predicts(results, name):
    expected, found, _ = results
    assert_same_outputs(found[name], expected[name], 1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_under_jax_moves_every_weight(results, name):
    _, _, still = results
    assert still[name] == []


def test_models_import_no_tensorflow():
    for path in (ROOT / "mtlrec_utils" / "models").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"tensorflow", "jax", "torch"}, path.name
