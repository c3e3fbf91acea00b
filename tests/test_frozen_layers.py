"""A frozen layer stays as it is, bit for bit, and costs no optimizer slot."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import Categorical, Number, Schema, Task
from mtlrec_utils.learning import RowSparseAdam, fit
from mtlrec_utils.models import shared_bottom

LAYERS = ("embedding", "bottom", "tower_click", "logit_like")


@pytest.fixture(scope="module")
def schema_and_examples():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "item": random.integers(20, size=256),
            "price": random.normal(size=256),
            "click": random.integers(2, size=256),
            "like": random.integers(2, size=256),
        }
    )
    schema = Schema(
        features=[Categorical("item"), Number("price")],
        tasks=[Task("click"), Task("like")],
    ).fit(frame)
    return schema, schema.encode(frame)


def weights_of(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {name: model.get_layer(name).get_weights() for name in LAYERS}


@pytest.mark.parametrize("frozen", LAYERS)
def test_frozen_layer_keeps_every_bit(schema_and_examples, frozen):
    schema, examples = schema_and_examples
    model = shared_bottom(schema, bottom_units=(8,), tower_units=(4,), seed=0)
    model.get_layer(frozen).trainable = False
    before = weights_of(model)
    optimizer = RowSparseAdam(1e-2)
    fit(model, examples, epochs=2, batch_size=64, optimizer=optimizer)
    for name, after in weights_of(model).items():
        same = [
            np.array_equal(a, b)
            for a, b in zip(before[name], after, strict=True)
        ]
        assert all(same) if name == frozen else not any(same), name
    # Two slots per trained variable, beside iterations and learning rate.
    assert len(optimizer.variables) == 2 + 2 * len(model.trainable_variables)
