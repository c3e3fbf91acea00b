"""Two towers with id dropout: what must hold exactly."""

import keras
import numpy as np
import pytest
from models_under_test import (
    assert_same_outputs,
    gradients,
    losses_of,
    predict,
    random_inputs,
    random_labels,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils.models import IdDropout, cold_start_towers

SCHEMA = small_schema()
INPUTS = random_inputs(SCHEMA, n_rows=200)
PLACES = {c.name: c.start for c in SCHEMA.id_columns}
USER, ITEM = ["user", "age"], ["item", "words", "price"]


def built(id_dropout=0.5, user=USER, item=ITEM, seed=1, **options):
    model = cold_start_towers(
        SCHEMA,
        user_features=user,
        item_features=item,
        id_dropout=id_dropout,
        seed=seed,
        **options,
    )
    shift_every_weight(model)
    return model


def with_ids(**columns):
    ids = INPUTS["ids"].copy()
    for name, values in columns.items():
        ids[:, PLACES[name]] = values
    return INPUTS | {"ids": ids}


def differ(ours, theirs):
    return np.abs(ours["click"] - theirs["click"]).max() > 1e-4


# The layer


def test_kept_vectors_are_not_scaled_and_unknown_ones_are_zeros():
    layer = IdDropout(0.4, seed=0)
    ids = np.arange(10_000).reshape(-1, 1) % 5
    vectors = np.ones((10_000, 3), "float32") * 2
    at_rest = np.asarray(layer([ids, vectors]))
    np.testing.assert_array_equal(at_rest, np.where(ids > 0, vectors, 0))
    training = np.asarray(layer([ids, vectors], training=True))
    assert set(np.unique(training)) == {0.0, 2.0}
    assert (training.min(axis=1) == training.max(axis=1)).all()
    assert not training[ids[:, 0] == 0].any()
    known = training[ids[:, 0] > 0, 0]
    assert abs((known == 0).mean() - 0.4) < 0.02  # four standard errors


def test_both_sides_lose_their_ids_independently():
    model = built(0.5)
    ends = keras.Model(
        model.inputs,
        [model.get_layer(f"{s}_preference").output for s in ("user", "item")],
    )
    inputs = with_ids(user=2, item=3)
    lost = np.stack(
        [
            [(np.asarray(end) == 0).all(axis=1) for end in found]
            for found in (ends(inputs, training=True) for _ in range(20))
        ]
    )  # [20, 2, 200]
    user, item = lost.transpose(1, 0, 2).reshape(2, -1)
    assert abs((user & item).mean() - 0.25) < 0.03
    assert abs(np.corrcoef(user, item)[0, 1]) < 0.07


# Its limits


def test_without_dropout_it_is_the_plain_model():
    model = built(0.0)
    inputs = with_ids(user=2, item=3)
    training = {
        k: np.asarray(v) for k, v in model(inputs, training=True).items()
    }
    assert_same_outputs(training, predict(model, inputs), 1e-6)
    # ... and so by hand, with the same weights
    vectors = []
    for side, names in (("user", USER), ("item", ITEM)):
        column = SCHEMA.id_columns[
            [c.name for c in SCHEMA.id_columns].index(names[0])
        ]
        rows = inputs["ids"][:, column.start]
        table = model.get_layer(f"{side}_id_embedding").get_weights()[0]
        parts = [table[rows]]
        if side == "item":
            words = SCHEMA.id_columns[-1]
            held = inputs["ids"][:, words.start : words.stop]
            there = (held != 1)[:, :, None]
            embedded = model.get_layer("item_content_embedding").get_weights()[
                0
            ]
            parts.append(
                (embedded[held] * there).sum(axis=1)
                / np.maximum(there.sum(axis=1), 1)
            )
        number = SCHEMA.number_names.index(names[-1])
        parts.append(inputs["numbers"][:, number : number + 1])
        kernel, bias = model.get_layer(f"{side}_vector").get_weights()
        vectors.append(np.concatenate(parts, axis=1) @ kernel + bias)
    u, v = vectors
    kernel, bias = model.get_layer("logit_click").get_weights()
    logit = np.concatenate([u * v, u, v], axis=1) @ kernel + bias
    np.testing.assert_allclose(
        predict(model, inputs)["click"], 1 / (1 + np.exp(-logit)), atol=1e-5
    )


def test_with_its_id_unknown_it_is_the_content_model():
    model = built(0.5, tower_units=(7,))
    content = built(
        0.5, user=["age"], item=["words", "price"], tower_units=(7,)
    )
    for layer in content.layers:
        if not layer.weights:
            continue
        weights = model.get_layer(layer.name).get_weights()
        if layer.name.endswith("_tower"):  # its first rows read the id
            kept = layer.get_weights()[0].shape[0]
            weights[0] = weights[0][-kept:]
        layer.set_weights(weights)
    cold = predict(model, with_ids(user=0, item=0))
    assert_same_outputs(cold, predict(content, INPUTS), 1e-5)
    # the same, whatever the table holds
    for side in ("user", "item"):
        embedding = model.get_layer(f"{side}_id_embedding")
        embedding.set_weights([w + 9 for w in embedding.get_weights()])
    assert_same_outputs(predict(model, with_ids(user=0, item=0)), cold, 1e-6)
    assert differ(predict(model, with_ids(user=2, item=3)), cold)


def test_ids_alone_know_nothing_of_whom_they_do_not_know():
    model = built(0.5, user=["user"], item=["item"])
    cold = predict(model, with_ids(user=0, item=0))["click"]
    np.testing.assert_allclose(cold, cold[0, 0], atol=1e-6)
    assert differ(predict(model, with_ids(user=2)), {"click": cold})


def test_the_score_is_an_inner_product():
    model = built(0.5, tower_units=(7,))
    ends = keras.Model(
        model.inputs,
        [model.get_layer(f"{s}_vector").output for s in ("user", "item")],
    )
    u, v = (np.asarray(end) for end in ends(INPUTS))
    kernel, bias = model.get_layer("logit_minutes").get_weights()
    product, of_user, of_item = kernel[:, 0].reshape(3, -1)
    query = np.column_stack([u * product, u @ of_user, np.ones(len(u))])
    point = np.column_stack([v, np.ones(len(v)), v @ of_item])
    np.testing.assert_allclose(
        (query * point).sum(axis=1) + bias[0],
        predict(model, INPUTS)["minutes"][:, 0],
        rtol=1e-3,
        atol=1e-4,
    )


# What holds for every model of the course


def test_the_towers_do_not_see_each_other():
    model = built()
    vector = keras.Model(model.inputs, model.get_layer("user_vector").output)
    moved = with_ids(item=2)
    np.testing.assert_array_equal(vector(INPUTS), vector(moved))


def test_rows_do_not_see_each_other():
    model = built()
    part = {name: x[3:5] for name, x in INPUTS.items()}
    whole = {k: v[3:5] for k, v in predict(model, INPUTS).items()}
    assert_same_outputs(predict(model, part), whole, 1e-5)


def test_every_weight_learns():
    model = built(0.5, tower_units=(7,))
    labels = random_labels(SCHEMA, 200)
    losses = losses_of(SCHEMA)
    found = gradients(
        model,
        INPUTS,
        lambda out: sum(losses[t](labels[t], out[t]) for t in out),
    )
    assert all(g is not None and np.abs(g).max() > 0 for g in found.values())


def test_an_unknown_id_teaches_its_table_nothing():
    model = built(0.0)
    labels = random_labels(SCHEMA, 200)
    loss = losses_of(SCHEMA)["click"]
    found = gradients(
        model,
        with_ids(user=0),
        lambda out: loss(labels["click"], out["click"]),
    )
    tables = {k: g for k, g in found.items() if "id_embedding" in k}
    assert len(tables) == 2
    for path, gradient in tables.items():
        assert (np.abs(gradient).max() > 0) == ("item" in path)


def test_a_saved_model_predicts_the_same(tmp_path):
    model = built(0.3, tower_units=(7,), dropout=0.1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, INPUTS), predict(model, INPUTS), 1e-6)
    assert again.get_layer("user_preference").rate == 0.3


def test_one_seed_one_model():
    def fresh(seed):
        return cold_start_towers(
            SCHEMA, user_features=USER, item_features=ITEM, seed=seed
        )

    first, again, other = (predict(fresh(s), INPUTS) for s in (1, 1, 2))
    assert_same_outputs(first, again, 1e-7)
    assert differ(first, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id_dropout": 1.0}, "id_dropout must be in"),
        ({"user": []}, "user_features is empty"),
        ({"item": ["itme"]}, "item_features names 'itme'"),
        ({"item": "item"}, "item_features must be a sequence"),
        ({"dimension": 0}, "dimension holds 0"),
        ({"tower_units": 8}, "tower_units must be a sequence"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        built(**options)


def test_a_text_is_no_id():
    with pytest.raises(ValueError, match="must be a Categorical"):
        cold_start_towers(
            SCHEMA, user_features=["user"], item_features=["words"],
            item="words",
        )  # fmt: skip
