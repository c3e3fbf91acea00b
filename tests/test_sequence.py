"""Next-item models: the causal mask, padding, the loss by hand."""

import keras
import numpy as np
import pandas as pd
import pytest
from models_under_test import dense, predict, shift_every_weight
from scipy.special import log_softmax, softmax

from mtlrec_utils import learning, models
from mtlrec_utils.classroom.sequence_states import (
    attention_by_age,
    states_of,
)
from mtlrec_utils.data import Number, Schema, Sequence, Task
from mtlrec_utils.data.histories import windows
from mtlrec_utils.learning.losses import TaskLosses
from mtlrec_utils.models.sequence_layers import CausalSelfAttention

K, L = 9, 6  # items, places
BUILDERS = {"gru4rec": models.gru4rec, "sasrec": models.sasrec}
BOTH = pytest.mark.parametrize("name", BUILDERS)
TASK = Task("next_item", "multiclass", classes=K)


def schema_of(length=L, tasks=(TASK,), features=None):
    frame = pd.DataFrame({"history": [[0, 1, 2], [3, 5, 6, 7], [8]]})
    frame["next_item"], frame["click"], frame["age"] = [3, 4, 0], 1, [1, 2, 3]
    features = features or [Sequence("history", length)]
    return Schema(features, tasks).fit(frame)


SCHEMA = schema_of()


def built(name, schema=SCHEMA, **options):
    options = {"embedding_dimension": 4, "seed": 1} | options
    if name == "sasrec":
        options = {"n_blocks": 2, "n_heads": 2} | options
    model = BUILDERS[name](schema, **options)
    shift_every_weight(model)
    return model


def ids_of(*histories, length=L, schema=None):
    frame = pd.DataFrame({"history": list(histories)})
    schema = schema or schema_of(length)
    return schema.encode(frame, labels=False).ids


FULL = ids_of([0, 1, 2, 3, 5, 6], [7, 8, 0, 0, 1, 2])
MIXED = ids_of([0, 1, 2, 3, 5, 6], [7], [8, 4, 1], [], [2, 2, 2, 2])


def states_before_the_catalogue(model, ids):
    state = model.get_layer("next_item").input[0]
    return np.asarray(keras.Model(model.inputs, state)({"ids": ids}))


# -- the future and the padding -------------------------------------------


@BOTH
@pytest.mark.parametrize("place", range(L - 1))
def test_changing_the_future_changes_nothing_before(name, place):
    model = built(name)
    rng = np.random.default_rng(place)
    changed = FULL.copy()
    changed[:, place + 1 :] = rng.integers(0, K, (2, L - 1 - place))
    before, after = states_of(model, FULL), states_of(model, changed)
    np.testing.assert_array_equal(
        before[:, : place + 1], after[:, : place + 1]
    )
    # and the change is seen where it may be
    assert np.abs(before[:, place + 1 :] - after[:, place + 1 :]).max() > 1e-3


@BOTH
def test_the_past_reaches_every_later_place(name):
    model = built(name)
    changed = FULL.copy()
    changed[:, 0] = ids_of([8], [3])[:, 0]
    moved = np.abs(states_of(model, FULL) - states_of(model, changed))
    assert (moved.max(axis=2) > 1e-6).all()


def test_attention_weighs_only_the_past():
    model = built("sasrec")
    layer = model.get_layer("attention_0")
    tokens = np.random.default_rng(0).normal(size=(2, L, 4)).astype("float32")
    places = np.ones((2, L), "float32")
    places[1, 4:] = 0
    weights = np.asarray(layer.weights_of([tokens, places]))
    assert (weights[..., np.triu_indices(L, 1)[0], :].shape)[-1] == L
    later = np.triu(np.ones((L, L)), 1) > 0
    assert (weights[:, :, later] == 0).all()
    assert (weights[1, :, :4, 4:] == 0).all()
    np.testing.assert_allclose(weights[0].sum(-1), 1, rtol=1e-5)
    assert (weights[:, :, np.arange(L), np.arange(L)][..., :4] > 0).all()


@BOTH
def test_more_padding_changes_nothing(name):
    short, long = built(name), built(name, schema_of(L + 5))
    for layer in short.layers:
        values = layer.get_weights()
        if layer.name == "places":
            longer = long.get_layer("places").get_weights()[0]
            longer[:L] = values[0]
            values = [longer]
        if values:
            long.get_layer(layer.name).set_weights(values)
    padded = np.pad(MIXED, [(0, 0), (0, 5)], constant_values=1)
    np.testing.assert_allclose(
        predict(short, {"ids": MIXED})["next_item"],
        predict(long, {"ids": padded})["next_item"],
        rtol=1e-5,
        atol=1e-7,
    )


@BOTH
def test_order_counts(name):
    model = built(name)
    found = predict(model, {"ids": np.stack([FULL[0], FULL[0][::-1]])})
    assert np.abs(np.diff(found["next_item"], axis=0)).max() > 1e-3


@BOTH
def test_unknown_items_and_empty_histories_are_finite(name):
    ids = ids_of([], [99, 100], [99] * L)
    found = predict(built(name), {"ids": ids})["next_item"]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@BOTH
def test_rows_do_not_know_each_other(name):
    model = built(name)
    alone = [
        predict(model, {"ids": row[None]})["next_item"][0] for row in MIXED
    ]
    together = predict(model, {"ids": MIXED})["next_item"]
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-7)


# -- what a lesson shows of a model ----------------------------------------


def test_attention_by_age_reads_the_last_place_backwards():
    model = built("sasrec", n_blocks=1, n_heads=1)
    inner = keras.Model(model.inputs, model.get_layer("norm_seen_0").output)
    tokens = np.asarray(inner({"ids": FULL}))
    query, key = (
        np.asarray(w) for w in model.get_layer("attention_0").weights[:2]
    )
    scores = ((tokens[:, -1:] @ query) * (tokens @ key)).sum(-1) / 2
    expected = softmax(scores, axis=1)[:, ::-1].mean(axis=0)
    # lists that are not full do not count
    found = attention_by_age(model, np.concatenate([FULL, MIXED[1:]]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(found) > 1e-3
    with pytest.raises(ValueError, match="None of 4 lists is full"):
        attention_by_age(model, MIXED[1:])


@BOTH
def test_states_are_those_the_catalogue_is_scored_with(name):
    model = built(name)
    np.testing.assert_array_equal(
        states_of(model, MIXED), states_before_the_catalogue(model, MIXED)
    )


def test_states_of_another_model():
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(1)(inputs)
    other = keras.Model(inputs, outputs, name="other")
    with pytest.raises(ValueError, match="gru4rec or a sasrec"):
        states_of(other, MIXED)


# -- the forward pass and the loss by hand --------------------------------


def normed(x, gamma, beta):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-3) * gamma + beta


def test_one_block_by_hand():
    model = built("sasrec", n_blocks=1, n_heads=1)

    def weights(name):
        return [np.asarray(w) for w in model.get_layer(name).weights]

    (table,), (places,) = weights("embedding"), weights("places")
    named = {
        w.name: np.asarray(w) for w in model.get_layer("attention_0").weights
    }
    (w1, b1), (w2, b2) = weights("hidden_0"), weights("back_0")
    row = FULL[0][:4]
    x = table[row] + places[:4]
    for t in range(4):
        assert t < len(x)
    h = normed(x, *weights("norm_seen_0"))
    q, k, v = (h @ named[name] for name in ("query", "key", "value"))
    seen = np.stack(
        [
            softmax(q[t] @ k[: t + 1].T / np.sqrt(4)) @ v[: t + 1]
            for t in range(4)
        ]
    )
    x = x + seen @ named["output"]
    h = np.maximum(normed(x, *weights("norm_hidden_0")) @ w1 + b1, 0)
    x = normed(x + h @ w2 + b2, *weights("norm"))
    kernel, bias = weights("next_item")
    ids = np.pad(row, (0, L - 4), constant_values=1)[None]
    np.testing.assert_allclose(
        predict(model, {"ids": ids})["next_item"][0],
        softmax(x[-1] @ kernel + bias),
        rtol=1e-4,
        atol=1e-6,
    )


def row_losses(model, ids, labels, training):
    losses = TaskLosses(model)
    mask = np.ones(len(labels), "float32")
    found = losses.per_row(
        {"ids": ids}, {"next_item": labels}, {"next_item": mask}, training
    )
    return np.asarray(found["next_item"])


def places_by_hand(model, ids, labels):
    """Log-probability of what follows each place; NaN where nobody knows."""
    kernel, bias = map(np.asarray, model.get_layer("next_item").weights)
    log_p = log_softmax(states_of(model, ids) @ kernel + bias, axis=-1)
    found = np.full(ids.shape, np.nan)
    items = [*SCHEMA.vocabulary("history").values]
    for n, row in enumerate(ids):
        last = max((row != 1).sum() - 1, 0)
        for t in range(last):
            if row[t + 1] >= 2:  # neither unknown nor padding
                found[n, t] = log_p[n, t, items[row[t + 1] - 2]]
        found[n, last] = log_p[n, last, labels[n]]
    return found


# 4 is in no list of the frame: unknown there, and a class all the same.
@BOTH
def test_in_training_every_place_predicts_its_follower(name):
    model, labels = built(name), np.array([4, 0, 1, 3, 8], "int32")
    ids = MIXED.copy()
    assert ids[2, 1] == 0
    wanted = -np.nanmean(places_by_hand(model, ids, labels), axis=1)
    np.testing.assert_allclose(
        row_losses(model, ids, labels, True), wanted, rtol=1e-4
    )


@BOTH
@pytest.mark.parametrize("every, training", [(True, False), (False, True)])
def test_else_the_label_alone_is_judged(name, every, training):
    model = built(name, every_position=every)
    labels = np.array([4, 0, 1, 3, 8], "int32")
    p = predict(model, {"ids": MIXED})["next_item"]
    np.testing.assert_allclose(
        row_losses(model, MIXED, labels, training),
        -np.log(p[np.arange(5), labels]),
        rtol=1e-4,
    )


@BOTH
def test_every_weight_learns(name):
    import tensorflow as tf

    model = built(name)
    losses, labels = TaskLosses(model), np.array([4, 0, 1, 3, 8], "int32")
    mask = np.ones(5, "float32")
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(
            losses.per_row(
                {"ids": MIXED}, {"next_item": labels}, {"next_item": mask},
                True,
            )["next_item"]
        )  # fmt: skip
    weights = model.trainable_weights
    for weight, gradient in zip(
        weights, tape.gradient(value, weights), strict=True
    ):
        assert gradient is not None, weight.path
        found = dense(gradient)
        assert np.isfinite(found).all() and np.abs(found).max() > 0
        if weight.name == "table":
            assert (found[1] == 0).all()  # padding learns nothing


@pytest.mark.parametrize("width, length", [(4, 6), (8, 3)])
def test_both_have_the_same_capacity(width, length):
    counts = {}
    for name, build in BUILDERS.items():
        model = build(schema_of(length), embedding_dimension=width, seed=0)
        counts[name] = model.count_params()
    between = counts["sasrec"] - 6 * width - length * width
    assert counts["gru4rec"] - between == 6 * width - 2 * width


# -- in the house ----------------------------------------------------------


@BOTH
def test_a_chain_is_learned(name):
    rows = pd.DataFrame(
        {
            "user": np.repeat(np.arange(60), 8),
            "item": (np.arange(8) * 2 + np.arange(60)[:, None]).ravel() % K,
        }
    )
    train = windows(rows, L)
    schema = Schema([Sequence("history", L)], [TASK]).fit(train)
    model = BUILDERS[name](schema, embedding_dimension=8, seed=0)
    examples = schema.encode(train)
    learning.fit(model, examples, epochs=25, batch_size=20, learning_rate=0.03)
    found = learning.evaluate(model, examples).set_index("metric")["value"]
    assert found["accuracy"] == 1


@BOTH
def test_a_saved_model_predicts_the_same(name, tmp_path):
    model = built(name)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        predict(model, {"ids": MIXED})["next_item"],
        predict(again, {"ids": MIXED})["next_item"],
    )
    labels = np.array([4, 0, 1, 3, 8], "int32")
    np.testing.assert_allclose(
        row_losses(model, MIXED, labels, True),
        row_losses(again, MIXED, labels, True),
        rtol=1e-6,
    )


# -- what does not fit -----------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (schema_of(tasks=[Task("click")]), "one multiclass task"),
        (schema_of(tasks=[TASK, Task("click")]), "one multiclass task"),
        (
            schema_of(features=[Sequence("history", L), Number("age")]),
            "one Sequence of items",
        ),
        (
            schema_of(tasks=[Task("next_item", "multiclass", classes=5)]),
            "classes 0 to 4",
        ),
    ],
)
def test_schemas_that_do_not_fit(name, schema, message):
    with pytest.raises(ValueError, match=message):
        BUILDERS[name](schema)


@BOTH
def test_items_must_be_numbered(name):
    frame = pd.DataFrame({"history": [["a", "b"]], "next_item": [1]})
    schema = Schema([Sequence("history", L)], [TASK]).fit(frame)
    with pytest.raises(ValueError, match="item number k"):
        BUILDERS[name](schema)


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="does not divide"):
        models.sasrec(SCHEMA, embedding_dimension=5, n_heads=2)


def test_a_layer_of_its_own_name_is_registered():
    config = keras.saving.serialize_keras_object(
        CausalSelfAttention(2, 3, seed=1)
    )
    assert config["registered_name"] == "mtlrec>CausalSelfAttention"
