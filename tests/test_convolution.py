"""A bottom that reads lists in windows: separable and standard, exactly."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops
from models_under_test import (
    assert_same_outputs,
    gradients,
    predict,
    random_inputs,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils.data.schema import Categorical, Schema, Task
from mtlrec_utils.models import convolutional_bottom, parameters_by_layer

SCHEMA = small_schema()
INPUTS = random_inputs(SCHEMA)
SIZES = {"embedding_dimension": 4, "filters": 5, "seed": 1}


def built():
    """A separable one whose weights are all at odds."""
    model = convolutional_bottom(SCHEMA, **SIZES)
    shift_every_weight(model)
    return model


def both():
    """Two models with the same weights outside of the kernels."""
    separable = convolutional_bottom(SCHEMA, separable=True, **SIZES)
    standard = convolutional_bottom(SCHEMA, separable=False, **SIZES)
    for layer in separable.layers:
        if not layer.name.startswith("convolution"):
            standard.get_layer(layer.name).set_weights(layer.get_weights())
    return separable, standard


def test_kernels_that_match_predict_the_same():
    separable, standard = both()
    inputs = random_inputs(SCHEMA)
    before = predict(standard, inputs)
    for name in ("convolution_seen", "convolution_words"):
        thin = separable.get_layer(name)
        depthwise = np.asarray(thin.kernels["depthwise"])
        pointwise = np.asarray(thin.kernels["pointwise"])
        kernel = depthwise[:, :, None] * pointwise
        standard.get_layer(name).kernels["kernel"].assign(kernel)
    after = predict(standard, inputs)
    assert_same_outputs(after, predict(separable, inputs), 1e-6)
    assert np.abs(after["minutes"] - before["minutes"]).max() > 1e-4


def test_saved_and_loaded(tmp_path):
    model = built()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, INPUTS), predict(model, INPUTS), 1e-6)


def test_every_weight_gets_a_gradient():
    found = gradients(
        built(), INPUTS, lambda out: sum(ops.sum(x) for x in out.values())
    )
    assert len(found) == len(built().trainable_weights)
    for path, gradient in found.items():
        assert np.abs(gradient).max() > 0, path


def test_parameters_of_a_window():
    separable, standard = both()
    d, w, f = 4, 3, 5
    thin = parameters_by_layer(separable)["convolution_seen"]
    full = parameters_by_layer(standard)["convolution_seen"]
    assert (thin, full) == (d * (w + f) + f, w * d * f + f)


def test_order_counts_and_padding_does_not():
    model = both()[0]
    inputs = random_inputs(SCHEMA, 2)
    seen = next(c for c in SCHEMA.id_columns if c.name == "seen")
    rows = np.repeat(inputs["ids"][:1], 3, axis=0)
    rows[:, seen.start : seen.stop] = [[2, 3, 4], [4, 2, 3], [2, 3, 1]]
    numbers = np.repeat(inputs["numbers"][:1], 3, axis=0)
    one, two, three = predict(model, {"ids": rows, "numbers": numbers})[
        "minutes"
    ]
    assert abs(one - two) > 1e-6 and abs(one - three) > 1e-6
    table = model.get_layer("embedding").table
    changed = np.asarray(table).copy()
    changed[[1, 8]] += 7  # rows of PADDING: the users', the items'
    table.assign(changed)
    again = predict(model, {"ids": rows, "numbers": numbers})["minutes"]
    np.testing.assert_allclose(again[2], three, atol=1e-6)


def test_a_schema_without_lists():
    frame = pd.DataFrame({"user": [1, 2], "click": [0.0, 1.0]})
    schema = Schema([Categorical("user")], [Task("click")]).fit(frame)
    with pytest.raises(ValueError, match="reads lists"):
        convolutional_bottom(schema)
