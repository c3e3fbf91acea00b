"""PTUPCDR: padding, histories, and the bridges it contains as limit cases."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from mtlrec_utils.data import Examples
from mtlrec_utils.learning import fit, predict
from mtlrec_utils.models import PersonalBridge, histories, ptupcdr

K, M, LENGTH = 3, 3, 5
RNG = np.random.default_rng(0)
TABLES = {
    "users": RNG.normal(size=(6, K)),
    "items": RNG.normal(size=(7, M)),
    "item_means": RNG.normal(size=7) + 3,
    "history_items": RNG.normal(size=(8, 4)),
}


def model_of(seed=0):
    return ptupcdr(**TABLES, length=LENGTH, seed=seed)


def rows(history, user=2, item=1):
    history = np.atleast_2d(history)
    ids = np.zeros((len(history), 2 + LENGTH), np.int32)
    ids[:, 0], ids[:, 1] = user, item
    ids[:, 2 : 2 + history.shape[1]] = history
    return ids


def output(model, ids):
    return np.asarray(model({"ids": ids})["rating"])[:, 0]


def examples(n=80):
    rng = np.random.default_rng(1)
    ids = np.concatenate(
        [
            rng.integers(6, size=(n, 1)),
            rng.integers(7, size=(n, 1)),
            rng.integers(9, size=(n, LENGTH)),
        ],
        axis=1,
    )
    return Examples(
        ids=ids,
        numbers=np.zeros((n, 0)),
        labels={"rating": rng.normal(size=n) + 3},
        masks={"rating": np.ones(n)},
        users=ids[:, 0],
        rows=np.arange(n),
    )


def test_padding_has_no_weight_and_no_effect():
    layer = model_of().get_layer("bridge")
    history = RNG.normal(size=(1, 4, 4)).astype("float32")
    there = np.array([[1.0, 1.0, 0.0, 0.0]], "float32")
    weights = np.asarray(layer.attention(history, there))
    np.testing.assert_array_equal(weights[0, 2:], 0)
    assert weights.sum() == pytest.approx(1)
    # Item 0 of the source is number 1, and none is the padding.
    model = model_of()
    assert output(model, rows([1, 0, 0]))[0] != output(model, rows([0]))[0]
    np.testing.assert_allclose(
        output(model, rows([4, 2])), output(model, rows([4, 0, 2, 0, 0]))
    )


def test_the_order_of_a_history_does_not_matter():
    model = model_of()
    found = output(model, rows([[1, 4, 7, 2], [7, 2, 1, 4]]))
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_user_without_a_history_has_a_finite_rating():
    found = output(model_of(), rows(np.zeros((3, 2)), user=[0, 1, 2]))
    assert np.isfinite(found).all()


def test_one_shared_item_is_one_common_bridge():
    model = model_of()
    users = np.arange(6)
    ids = rows(np.full((6, 1), 3), user=users, item=4)
    # A common linear bridge is linear in x: add two users, get their sum.
    rest = output(model, ids) - TABLES["item_means"][4]
    bridge = np.linalg.lstsq(TABLES["users"], rest, rcond=None)[0]
    np.testing.assert_allclose(TABLES["users"] @ bridge, rest, atol=1e-5)
    own = rows(np.arange(1, 7)[:, None], user=users, item=4)
    rest = output(model, own) - TABLES["item_means"][4]
    bridge = np.linalg.lstsq(TABLES["users"], rest, rcond=None)[0]
    assert np.abs(TABLES["users"] @ bridge - rest).max() > 1e-2


def test_a_meta_network_that_writes_the_identity_copies_the_vector():
    model = model_of()
    layer = model.get_layer("bridge")
    layer.write.assign(np.zeros(layer.write.shape))
    layer.write_bias.assign(np.eye(K).reshape(-1))
    found = output(model, rows([5, 1], user=3, item=2))
    wanted = TABLES["item_means"][2] + TABLES["users"][3] @ TABLES["items"][2]
    assert found[0] == pytest.approx(wanted, abs=1e-5)


def test_only_the_bridge_learns_and_all_of_it():
    model, data = model_of(), examples()
    before = [w.numpy() for w in model.weights]
    history = fit(model, data, epochs=20, batch_size=16, learning_rate=1e-2)
    losses = history.losses("train", "rating")
    assert losses.iloc[-1] < losses.iloc[0]
    moved = [
        not np.array_equal(a, w.numpy())
        for a, w in zip(before, model.weights, strict=True)
    ]
    inside = [w.path.startswith("bridge/") for w in model.weights]
    assert moved == inside


def test_a_row_does_not_see_the_others():
    model, data = model_of(), examples()
    np.testing.assert_allclose(
        predict(model, data)["rating"][3],
        predict(model, data.subset([3]))["rating"][0],
        atol=1e-6,
    )


def test_histories_keep_the_last_items():
    found = histories([0, 2, 0, 0, 2], [4, 0, 5, 6, 3], 4, 2)
    assert found.tolist() == [[7, 6], [0, 0], [4, 1], [0, 0]]


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="a mean per item"):
        ptupcdr(**{**TABLES, "item_means": np.ones(3)}, length=2)
    with pytest.raises(ValueError, match="1 or more"):
        PersonalBridge(0)


def test_a_saved_model_predicts_the_same(tmp_path):
    model, ids = model_of(), examples().ids
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(output(loaded, ids), output(model, ids))
