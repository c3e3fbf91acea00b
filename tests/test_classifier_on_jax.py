"""The classifier under JAX: a saved model predicts the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from models_under_test import assert_same_outputs, predict
from test_classifier import INPUTS, built

ROOT = Path(__file__).resolve().parents[1]

ON_JAX = """
import sys
import keras, numpy as np
from mtlrec_utils import models
assert keras.backend.backend() == "jax"
models.classifier
model = keras.saving.load_model(sys.argv[1] + "/model.keras")
inputs = dict(np.load(sys.argv[1] + "/inputs.npz"))
np.savez(sys.argv[1] + "/jax.npz",
         **{k: np.asarray(v) for k, v in model(inputs).items()})
"""


def test_jax_predicts_the_same(tmp_path):
    pytest.importorskip("jax")
    model = built("both", positions=True)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", **INPUTS)
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(np.load(tmp_path / "jax.npz"))
    assert_same_outputs(found, predict(model, INPUTS), 1e-4)
