"""Models of every family, saved here, predict the same under JAX.

One process loads them all: starting it costs more than most of the models.
"""

import numpy as np
import pytest
import test_classifier
import test_cold_start
import test_compact_tables
import test_convolution
import test_id_free
import test_low_rank
import test_personal_bridge
import test_ranking
import test_sequence
from jax_process import run_on_jax
from models_under_test import assert_same_outputs, predict

# name -> (function that builds the model, its inputs)
CASES = {
    "classifier": (
        lambda: test_classifier.built("both", positions=True),
        test_classifier.INPUTS,
    ),
    "compact_tables": (test_compact_tables.built, test_compact_tables.INPUTS),
    "convolution": (test_convolution.built, test_convolution.INPUTS),
    **{
        f"id_free_{name}": (
            lambda name=name: test_id_free.built(name),
            test_id_free.INPUTS,
        )
        for name in test_id_free.TEXT_ENCODERS
    },
    "low_rank": (test_low_rank.built, test_low_rank.INPUTS),
    "cold_start": (test_cold_start.built, test_cold_start.INPUTS),
    "personal_bridge": (
        test_personal_bridge.model_of,
        {"ids": test_personal_bridge.examples().ids},
    ),
    **{
        name: (lambda name=name: test_ranking.built(name), test_ranking.INPUTS)
        for name in test_ranking.BUILDERS
    },
    **{
        name: (
            lambda name=name: test_sequence.built(name),
            {"ids": test_sequence.MIXED},
        )
        for name in test_sequence.BUILDERS
    },
}

# A saved model needs no other import of ours than the package of models.
ON_JAX = """
import sys
from pathlib import Path
import keras, numpy as np
from mtlrec_utils import models
assert keras.backend.backend() == "jax"
models.shared_bottom
for path in Path(sys.argv[1]).glob("*.keras"):
    model = keras.saving.load_model(path)
    inputs = dict(np.load(path.with_suffix(".inputs.npz")))
    model(inputs, training=True)
    found = {k: np.asarray(v) for k, v in model(inputs).items()}
    np.savez(path.with_suffix(".found.npz"), **found)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for name, (build, inputs) in CASES.items():
        build().save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.inputs.npz", **inputs)
    run_on_jax(ON_JAX, folder)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_jax_predicts_the_same(folder, name):
    build, inputs = CASES[name]
    found = dict(np.load(folder / f"{name}.found.npz"))
    assert_same_outputs(found, predict(build(), inputs), 1e-5)
