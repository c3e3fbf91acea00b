"""Two towers without an id: what must hold exactly."""

import keras
import numpy as np
import pandas as pd
import pytest
from models_under_test import (
    assert_same_outputs,
    gradients,
    predict,
    shift_every_weight,
)

from mtlrec_utils import models
from mtlrec_utils.data import Categorical, Number, Schema, Task, Text
from mtlrec_utils.data.item_texts import past_texts
from mtlrec_utils.models.text_encoders import TEXT_ENCODERS

PAST = ["past_1", "past_2", "past_3"]
N = 40
NAMES = np.array(["ox", "bee", "cat", "dog", "eel", "fly", "gnu", "hen"])


def log(seed=0):
    """Rows of 9 users and 12 items in order of time, with some texts short."""
    rng = np.random.default_rng(seed)
    texts = pd.Series(
        [" ".join(rng.choice(NAMES, 1 + k % 4)) for k in range(12)]
    )
    rows = pd.DataFrame(
        {
            "user": rng.integers(9, size=N),
            "item": rng.integers(12, size=N),
            "price": rng.normal(size=N),
            "click": rng.integers(2, size=N),
            "minutes": rng.normal(size=N),
        }
    )
    return rows, texts


def with_texts(rows, texts):
    return rows.assign(
        words=rows["item"].map(texts),
        **past_texts(rows, texts, len(PAST), taken="click"),
    )


ROWS = with_texts(*log())


def schema_of(length=4, buckets=20):
    return Schema(
        [
            Categorical("user"),
            *(Text(name, buckets, length) for name in ("words", *PAST)),
            Categorical("item"),
            Number("price"),
        ],
        [Task("click"), Task("minutes", "regression")],
    ).fit(ROWS)


SCHEMA = schema_of()


def built(encoder="bag", schema=SCHEMA, shift=True, **options):
    options = {"seed": 1, "tower_units": (5,)} | options
    model = models.id_free_towers(
        schema, past=PAST, encoder=encoder, **options
    )
    if shift:
        shift_every_weight(model)
    return model


@pytest.fixture(params=TEXT_ENCODERS, name="model", scope="module")
def _model(request):
    return built(request.param)


def inputs_of(frame, schema=SCHEMA):
    return {"ids": schema.encode(frame).ids}


INPUTS = inputs_of(ROWS)


# Nothing belongs to one user or one item


@pytest.mark.parametrize("column", ["user", "item"])
def test_other_names_for_users_and_items_change_nothing(model, column):
    """The log under new ids, from the history to the prediction."""
    rows, texts = log()
    order = np.random.default_rng(1).permutation(12)
    if column == "item":
        texts = pd.Series(texts.to_numpy(), index=order)
    renamed = rows.assign(**{column: order[rows[column]]})
    again = with_texts(renamed, texts)
    assert (again[column] != ROWS[column]).any()
    ours = predict(model, inputs_of(again))
    for task, value in predict(model, INPUTS).items():
        np.testing.assert_array_equal(ours[task], value)


def test_unknown_ids_change_nothing(model):
    unseen = ROWS.assign(user=999, item=-5)
    ours = predict(model, inputs_of(unseen))
    for task, value in predict(model, INPUTS).items():
        np.testing.assert_array_equal(ours[task], value)


def test_no_weight_grows_with_users_or_items():
    rows, texts = log()
    more = rows.assign(user=np.arange(N), item=np.arange(N) % 12 + 100)
    texts.index = texts.index + 100
    schema = Schema(SCHEMA.features, SCHEMA.tasks).fit(with_texts(more, texts))
    assert schema.field_sizes != SCHEMA.field_sizes
    assert [w.shape for w in built(schema=schema).weights] == [
        w.shape for w in built().weights
    ]


def test_a_new_item_with_the_same_words_gets_the_same_score(model):
    two = pd.concat([ROWS.iloc[[7]], ROWS.iloc[[7]].assign(item=77)])
    for value in predict(model, inputs_of(two)).values():
        np.testing.assert_array_equal(value[0], value[1])


# Padding, order, limits


def test_longer_rows_of_padding_change_nothing(model):
    longer = schema_of(length=7)
    twin = built(model.name.removeprefix("id_free_"), longer)
    twin.set_weights(model.get_weights())
    assert_same_outputs(
        predict(twin, inputs_of(ROWS, longer)), predict(model, INPUTS), 1e-5
    )


def test_the_order_of_the_past_does_not_matter(model):
    turned = ROWS.rename(columns=dict(zip(PAST, PAST[::-1], strict=True)))
    assert_same_outputs(
        predict(model, inputs_of(turned)), predict(model, INPUTS), 1e-5
    )
    other = ROWS.assign(past_1="ox ox", past_2="hen", past_3=None)
    moved = predict(model, inputs_of(other))["click"]
    assert np.abs(moved - predict(model, INPUTS)["click"]).max() > 1e-3


def test_the_order_of_words_counts_in_the_convolution_only(model):
    turned = ROWS["words"].map(lambda text: " ".join(text.split()[::-1]))
    moved = predict(model, inputs_of(ROWS.assign(words=turned)))["click"]
    gap = np.abs(moved - predict(model, INPUTS)["click"]).max()
    assert (gap > 1e-4) == (model.name == "id_free_convolution")


def test_the_bag_by_hand():
    model = built(tower_units=())
    table = model.get_layer("words").get_weights()[0]
    item_kernel, item_bias = model.get_layer("item_vector").get_weights()
    user_kernel, user_bias = model.get_layer("user_vector").get_weights()
    kernel, bias = model.get_layer("logit_click").get_weights()
    found = predict(model, INPUTS)["click"]
    texts = INPUTS["ids"][:, 1:17].reshape(N, 4, 4)  # after the user's id
    without_past = 0
    for row in range(N):
        vectors = [
            table[words[words != 1]].mean(axis=0) @ item_kernel + item_bias
            for words in texts[row]
            if (words != 1).any()
        ]
        past = np.zeros(16)
        if len(vectors) > 1:
            past = np.mean(vectors[1:], axis=0)
        else:
            without_past += 1
        u = past @ user_kernel + user_bias
        logit = np.concatenate([u * vectors[0], u, vectors[0]]) @ kernel + bias
        np.testing.assert_allclose(
            found[row], 1 / (1 + np.exp(-logit)), atol=1e-5
        )
    assert 0 < without_past < N


# General properties


def test_rows_do_not_see_each_other(model):
    alone = [
        predict(model, {"ids": INPUTS["ids"][k : k + 1]})["click"]
        for k in range(5)
    ]
    np.testing.assert_allclose(
        np.concatenate(alone), predict(model, INPUTS)["click"][:5], atol=1e-6
    )


def test_every_weight_gets_a_gradient(model):
    def loss(outputs):
        return sum(keras.ops.mean(value) for value in outputs.values())

    for path, gradient in gradients(model, INPUTS, loss).items():
        assert gradient is not None and np.abs(gradient).max() > 0, path


def test_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, INPUTS), predict(model, INPUTS), 1e-6)


def test_one_seed_one_model():
    first, same, other = (
        built(seed=s, shift=False).get_weights() for s in (3, 3, 4)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("encoder", TEXT_ENCODERS)
def test_a_model_of_one_text(encoder):
    model = models.text_model(SCHEMA, text="words", encoder=encoder, seed=1)
    shift_every_weight(model)
    found = predict(model, INPUTS)
    changed = ROWS.assign(user=999, item=-5, past_1="gnu")
    assert_same_outputs(predict(model, inputs_of(changed)), found, 0)
    moved = predict(model, inputs_of(ROWS.assign(words="gnu gnu")))["click"]
    assert np.abs(moved - found["click"]).max() > 1e-3


# What goes wrong is said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item": "user"}, "'user' is no Text feature"),
        ({"past": []}, "past=.. must name at least one"),
        ({"past": "past_1"}, "past='past_1' must name"),
        ({"past": ["past_9"]}, "'past_9' is no Text feature"),
        ({"encoder": "lstm"}, "encoder='lstm' is unknown"),
        ({"dimension": 0}, "dimension holds 0"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        models.id_free_towers(SCHEMA, **({"past": PAST} | options))


def test_texts_of_two_kinds_are_refused():
    schema = Schema(
        [Text("words", 20, 4), Text("past_1", 30, 4)], [Task("click")]
    ).fit(ROWS)
    with pytest.raises(ValueError, match="words 20/4, past_1 30/4"):
        models.id_free_towers(schema, past=["past_1"])
