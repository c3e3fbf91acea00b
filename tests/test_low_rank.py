"""Kernels as products of two thin matrices, exactly."""

import keras
import numpy as np
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

from mtlrec_utils.models import (
    LowRankExperts,
    LowRankMLP,
    low_rank_factors,
    mmoe,
    parameters_by_layer,
    single_task,
    with_low_rank,
)

SCHEMA = small_schema()
INPUTS = random_inputs(SCHEMA)


def built():
    """An MMoE of thin kernels whose weights are all at odds."""
    model = with_low_rank(mmoe(SCHEMA, seed=1), 3)
    shift_every_weight(model)
    return model


def test_every_weight_gets_a_gradient():
    found = gradients(
        built(), INPUTS, lambda out: sum(ops.sum(x) for x in out.values())
    )
    for path, gradient in found.items():
        assert np.abs(gradient).max() > 0, path


def test_saved_and_loaded(tmp_path):
    model = built()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, INPUTS), predict(model, INPUTS), 1e-6)


def test_factors_of_full_rank_give_the_kernel_back():
    kernel = np.random.default_rng(0).normal(size=(3, 5, 4))
    a, b = low_rank_factors(kernel, 4)
    np.testing.assert_allclose(a @ b, kernel, atol=1e-12)
    a, b = low_rank_factors(kernel, 6)
    assert a.shape == (3, 5, 6) and b.shape == (3, 6, 4)
    np.testing.assert_allclose(a @ b, kernel, atol=1e-12)


def test_factors_leave_out_the_smallest_singular_values():
    left = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 3)))[0]
    right = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 3)))[0]
    kernel = left * [3.0, 2.0, 0.5] @ right.T
    a, b = low_rank_factors(kernel, 2)
    # Eckart and Young: the error's norm is what was left out.
    assert np.linalg.norm(kernel - a @ b) == pytest.approx(0.5)
    np.testing.assert_allclose(np.linalg.norm(a, axis=0) ** 2, [3, 2])


@pytest.mark.parametrize("build", [mmoe, single_task])
def test_full_rank_predicts_the_same(build):
    task = {"task": "click"} if build is single_task else {}
    model = build(SCHEMA, seed=1, **task)
    shift_every_weight(model)
    full = with_low_rank(model, rank=64)
    assert_same_outputs(predict(full, INPUTS), predict(model, INPUTS), 1e-4)
    thin = with_low_rank(model, rank=1)
    gap = [
        np.abs(value - predict(model, INPUTS)[name]).max()
        for name, value in predict(thin, INPUTS).items()
    ]
    assert max(gap) > 1e-3


def test_only_the_named_layers_are_split():
    model = mmoe(SCHEMA, expert_units=(32,), seed=1)
    before = parameters_by_layer(model)
    after = parameters_by_layer(with_low_rank(model, 2, ["experts"]))
    width = model.get_layer("experts").input.shape[-1]
    assert after.pop("experts") == 4 * (2 * (width + 32) + 32)
    before.pop("experts")
    assert after == before


def test_layers_of_low_rank_by_hand():
    x = np.array([[1.0, 2.0]], "float32")
    mlp = LowRankMLP((2,), rank=1)
    mlp.build((None, 2))
    mlp.down[0].kernel.assign([[1.0], [1.0]])
    mlp.dense[0].kernel.assign([[2.0, -1.0]])
    mlp.dense[0].bias.assign([0.5, 1.0])
    np.testing.assert_array_equal(mlp(x), [[6.5, 0.0]])
    experts = LowRankExperts(2, (2,), rank=1)
    experts.build((None, 2))
    experts.down[0].assign([[[1.0], [1.0]], [[0.0], [1.0]]])
    experts.kernels[0].assign([[[2.0, -1.0]], [[1.0, 3.0]]])
    np.testing.assert_array_equal(experts(x), [[[6.0, 0.0], [2.0, 6.0]]])


def test_layers_that_cannot_be_split():
    model = mmoe(SCHEMA, seed=1)
    with pytest.raises(ValueError, match="layers names 'gate_click'"):
        with_low_rank(model, 2, ["gate_click"])
    with pytest.raises(ValueError, match="rank holds 0"):
        with_low_rank(model, 0)
