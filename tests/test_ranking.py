"""Rankers: products by hand, limit cases, the eyes of the candidate."""

import dataclasses
import itertools
from functools import partial

import keras
import numpy as np
import pandas as pd
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
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from mtlrec_utils import learning, models
from mtlrec_utils.data import Categorical, Number, Schema, Sequence, Task
from mtlrec_utils.models.cross_layers import (
    CrossedIds,
    CrossLayer,
    PairwiseProducts,
)
from mtlrec_utils.models.interest import InterestAttention
from mtlrec_utils.models.ranking import dcn, deepfm, din, wide_and_deep

SCHEMA = small_schema()
INPUTS = random_inputs(SCHEMA)
LABELS = random_labels(SCHEMA)
SMALL = {
    "embedding_dimension": 3,
    "bottom_units": (5,),
    "tower_units": (4,),
}
BUILDERS = {
    "wide_and_deep": partial(wide_and_deep, crosses=[("user", "item")]),
    "deepfm": deepfm,
    "dcn": dcn,
    "dcn_low_rank": partial(dcn, rank=2),
    "din": partial(din, history="seen"),
    "din_normalised": partial(din, history="seen", normalised=True),
}
EACH = pytest.mark.parametrize("name", BUILDERS)


def built(name, schema=SCHEMA, **options):
    model = BUILDERS[name](schema, **(SMALL | {"seed": 1} | options))
    shift_every_weight(model)
    return model


def value_of(model, layer, inputs=INPUTS):
    output = model.get_layer(layer).output
    return np.asarray(keras.Model(model.inputs, output)(inputs))


# -- what all of them promise ----------------------------------------------


@EACH
def test_every_task_has_its_output(name):
    found = predict(built(name), INPUTS)
    assert set(found) == set(SCHEMA.task_names)
    for value in found.values():
        assert value.shape == (24, 1) and value.dtype == np.float32
    assert ((found["click"] > 0) & (found["click"] < 1)).all()


@EACH
def test_gradients_reach_every_weight(name):
    model = built(name)
    losses = losses_of(SCHEMA)
    found = gradients(
        model,
        INPUTS,
        lambda out: sum(losses[t](LABELS[t], out[t]) for t in losses),
    )
    for path, gradient in found.items():
        assert gradient is not None, path
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, path


@EACH
def test_rows_do_not_know_each_other(name):
    model = built(name)
    together = predict(model, INPUTS)
    part = predict(model, {k: v[5:9] for k, v in INPUTS.items()})
    assert_same_outputs(part, {t: v[5:9] for t, v in together.items()})


@EACH
def test_a_saved_model_predicts_the_same(name, tmp_path):
    model = built(name)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(model, INPUTS), predict(again, INPUTS), 1e-6)


@EACH
def test_same_seed_same_weights(name):
    one, two, other = (
        BUILDERS[name](SCHEMA, **SMALL, seed=seed) for seed in (3, 3, 4)
    )
    assert_same_outputs(predict(one, INPUTS), predict(two, INPUTS), 0)
    assert (
        np.abs(predict(one, INPUTS)["click"] - predict(other, INPUTS)["click"])
    ).max() > 1e-6


@EACH
def test_several_classes_and_one_task(name):
    schema = small_schema([Task("kind", "multiclass", classes=3)])
    found = predict(built(name, schema), random_inputs(schema))["kind"]
    assert found.shape == (24, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "name, task",
    [
        ("wide_and_deep", "wide"),
        ("wide_and_deep", "crossed_ids"),
        ("wide_and_deep", "terms_click"),
        ("deepfm", "products"),
        ("deepfm", "sum_click"),
        ("dcn", "cross_1"),
        ("din", "interest"),
        ("din", "tokens_item"),
        ("din_normalised", "vector_item"),
    ],
)
def test_a_task_named_like_a_layer(name, task):
    schema = small_schema([Task("click"), Task(task)])
    with pytest.raises(ValueError, match=f"cannot be called '{task}'"):
        BUILDERS[name](schema, **SMALL)


@pytest.mark.parametrize(
    "name, task",
    [
        ("wide_and_deep", "terms_and_conditions"),
        ("deepfm", "sum_of_all"),
        ("dcn", "cross_2"),
        ("dcn", "cross_sell"),
        ("din", "vector"),
    ],
)
def test_a_task_that_only_sounds_like_a_layer(name, task):
    schema = small_schema([Task("click"), Task(task)])
    assert set(built(name, schema).output_names) == {"click", task}


@EACH
def test_an_unfitted_schema_is_refused(name):
    with pytest.raises(ValueError, match="fit"):
        BUILDERS[name](Schema(SCHEMA.features, SCHEMA.tasks))


# -- wide & deep ------------------------------------------------------------


def test_wide_alone_is_logistic_regression():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "genre": rng.integers(0, 3, 400),
            "segment": rng.integers(0, 2, 400),
            "price": rng.normal(size=400),
        }
    )
    logit = frame["genre"] - 1 + (frame["segment"] - 0.5) * frame["price"]
    frame["click"] = (rng.random(400) < expit(logit)).astype(int)
    schema = Schema(
        [Categorical("genre"), Categorical("segment"), Number("price")],
        [Task("click")],
    ).fit(frame)
    examples = schema.encode(frame)
    model = wide_and_deep(
        schema, crosses=[("genre", "segment")], bottom_units=None, seed=0
    )
    learning.fit(
        model,
        examples,
        epochs=400,
        batch_size=400,
        optimizer=keras.optimizers.Adam(0.05),
        seed=0,
    )
    words = frame[["genre", "segment"]].astype(str)
    words["both"] = words["genre"] + "-" + words["segment"]
    columns = pd.get_dummies(words).assign(price=examples.numbers[:, 0])
    oracle = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8)
    wanted = oracle.fit(columns, frame["click"]).predict_proba(columns)[:, 1]
    found = learning.predict(model, examples)["click"]
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_wide_and_deep_adds_logits():
    model = built("wide_and_deep")
    total = value_of(model, "terms")[:, [0]] + value_of(model, "logit_click")
    np.testing.assert_allclose(
        predict(model, INPUTS)["click"], expit(total), rtol=1e-5
    )


def test_a_cross_of_small_columns_beside_a_large_one():
    """The check of ids in fit once read raw ids for crossed ones."""
    frame = pd.DataFrame({"user": np.arange(40), "sex": np.arange(40) % 2})
    frame["age"], frame["click"] = frame["user"] // 10, frame["sex"]
    names = ["user", "sex", "age"]
    schema = Schema([*map(Categorical, names)], [Task("click")]).fit(frame)
    model = wide_and_deep(schema, crosses=[("sex", "age")], **SMALL, seed=0)
    examples = schema.encode(frame)
    history = learning.fit(model, examples, epochs=2, batch_size=20, seed=0)
    assert history.steps == 4
    strange = dataclasses.replace(examples, ids=examples.ids + 50)
    with pytest.raises(ValueError, match="ids column 0 holds 52"):
        learning.fit(model, strange, epochs=1, seed=0)


def test_a_cross_is_one_row_per_pair():
    layer = CrossedIds([(0, 2, 4, 5)])
    ids = np.array([[2, 9, 3], [3, 9, 2], [0, 9, 2], [2, 9, 0], [7, 9, 8]])
    found = np.asarray(layer(ids.astype("int32")))[:, 0]
    # unknown with anything is unknown, ids out of range are the last ones
    assert found.tolist() == [2 * 5 + 3, 3 * 5 + 2, 0, 0, 3 * 5 + 4]


def test_all_pairs_have_rows_of_their_own():
    pairs = np.array(list(itertools.product(range(1, 4), range(1, 5))))
    found = np.asarray(CrossedIds([(0, 1, 4, 5)])(pairs.astype("int32")))
    assert len(np.unique(found)) == len(pairs) and found.max() < 4 * 5


@pytest.mark.parametrize("pair", [("user", "seen"), ("user",), "user"])
def test_what_cannot_be_crossed(pair):
    with pytest.raises(ValueError, match="cross two of the categorical"):
        wide_and_deep(SCHEMA, crosses=[pair])


# -- factorisation machine --------------------------------------------------


@pytest.mark.parametrize("n_features, width", [(1, 4), (2, 3), (6, 5)])
def test_products_are_the_double_sum(n_features, width):
    rng = np.random.default_rng(n_features)
    v = rng.normal(size=(7, n_features, width)).astype("float32")
    wanted = np.zeros(7)
    for f, g in itertools.combinations(range(n_features), 2):
        wanted += (v[:, f] * v[:, g]).sum(axis=1)
    layer = PairwiseProducts(width)
    found = np.asarray(layer(v.reshape(7, -1)))[:, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_deepfm_by_hand():
    model = built("deepfm")
    table, wide = (value_of(model, name) for name in ("embedding", "wide"))
    factors = table.reshape(24, 4, 3)
    products = sum(
        (factors[:, f] * factors[:, g]).sum(axis=1)
        for f, g in itertools.combinations(range(4), 2)
    )
    weight = np.asarray(model.get_layer("weighed_products").kernel)[0]
    deep = value_of(model, "logit_click")[:, 0]
    np.testing.assert_allclose(
        predict(model, INPUTS)["click"][:, 0],
        expit(wide[:, 0] + weight[0] * products + deep),
        rtol=1e-4,
    )


def test_without_factors_deepfm_is_linear_and_deep():
    model = built("deepfm")
    table = model.get_layer("embedding")
    table.set_weights([np.zeros_like(table.get_weights()[0])])
    assert (value_of(model, "products") == 0).all()
    plain = wide_and_deep(SCHEMA, **SMALL)
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    assert_same_outputs(predict(model, INPUTS), predict(plain, INPUTS))


def test_deepfm_needs_ids():
    with pytest.raises(ValueError, match="numbers only"):
        deepfm(small_schema(ids=False))


# -- cross network ------------------------------------------------------------


@pytest.mark.parametrize("rank", [None, 2])
def test_one_cross_by_hand(rank):
    rng = np.random.default_rng(0)
    first, x = rng.normal(size=(2, 5, 4)).astype("float32")
    layer = CrossLayer(rank, seed=1)
    layer([first, x])
    weights = [rng.normal(size=w.shape) for w in layer.weights]
    layer.set_weights(weights)
    *kernels, bias = weights
    matrix = kernels[0] if rank is None else kernels[0] @ kernels[1]
    wanted = np.empty((5, 4))
    for n in range(5):
        for j in range(4):
            inner = sum(x[n, i] * matrix[i, j] for i in range(4)) + bias[j]
            wanted[n, j] = first[n, j] * inner + x[n, j]
    np.testing.assert_allclose(
        np.asarray(layer([first, x])), wanted, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("rank", [None, 2])
def test_zero_crosses_are_the_plain_network(rank):
    model = built("dcn", rank=rank, n_crosses=3)
    for layer in model.layers:
        if layer.name.startswith("cross_"):
            layer.set_weights([0 * w for w in layer.get_weights()])
    plain = models.shared_bottom(SCHEMA, **SMALL)
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    assert_same_outputs(predict(model, INPUTS), predict(plain, INPUTS))


@pytest.mark.parametrize("n_crosses", [1, 2, 3])
def test_crosses_are_polynomials_of_their_degree(n_crosses):
    """Finite differences: order degree + 1 vanishes, order degree not."""
    rng = np.random.default_rng(1)
    layers = [CrossLayer(seed=i) for i in range(n_crosses)]
    direction = rng.normal(size=4)
    steps = np.arange(n_crosses + 3)[:, None] * 0.5
    x = first = (steps * direction).astype("float32")
    for layer in layers:
        x = np.asarray(layer([first, x]))
    x = x.astype("float64")
    top = np.abs(np.diff(x, n_crosses + 1, axis=0)).max()
    assert np.abs(np.diff(x, n_crosses + 2, axis=0)).max() < 1e-3 * top


@pytest.mark.parametrize("rank", [0, 1.5, True])
def test_a_rank_that_is_none(rank):
    with pytest.raises(ValueError, match="rank="):
        dcn(SCHEMA, rank=rank)


# -- interest attention ------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["plain", "normalised"])
def attention(request):
    layer = InterestAttention((6,), normalised=request.param, seed=2)
    layer([np.zeros((1, 3)), np.zeros((1, 4, 3)), np.ones((1, 4))])
    shift_every_weight(layer)
    return layer


def a_history(n_rows=5, length=4, seed=3):
    rng = np.random.default_rng(seed)
    candidate = rng.normal(size=(n_rows, 3)).astype("float32")
    history = rng.normal(size=(n_rows, length, 3)).astype("float32")
    return candidate, history


def test_attention_by_hand(attention):
    candidate, history = a_history()
    places = np.array([[1, 1, 1, 0]] * 5, "float32")
    w1, b1 = (np.asarray(w) for w in attention.hidden.weights)
    kernel = np.asarray(attention.kernel)[:, 0]
    wanted = np.zeros((5, 3))
    for n in range(5):
        scores = []
        for t in range(3):
            q, h = candidate[n], history[n, t]
            pair = np.concatenate([q, h, q - h, q * h])
            scores.append(np.maximum(pair @ w1 + b1, 0) @ kernel)
        scores = np.array(scores)
        if attention.normalised:
            scores = softmax(scores)
        else:
            scores = scores + np.asarray(attention.bias)[0]
        wanted[n] = scores @ history[n, :3]
    found = np.asarray(attention([candidate, history, places]))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_padding_weighs_nothing(attention):
    candidate, history = a_history()
    places = np.array([[1, 1, 0, 0]] * 5, "float32")
    weights = np.asarray(attention.weights_of([candidate, history, places]))
    assert (weights[:, 2:] == 0).all() and (weights[:, :2] != 0).all()
    other = history.copy()
    other[:, 2:] = 100
    np.testing.assert_array_equal(
        np.asarray(attention([candidate, history, places])),
        np.asarray(attention([candidate, other, places])),
    )


def test_order_does_not_matter(attention):
    candidate, history = a_history()
    places = np.array([[1, 1, 1, 0]] * 5, "float32")
    order = [2, 3, 0, 1]
    np.testing.assert_allclose(
        np.asarray(attention([candidate, history, places])),
        np.asarray(
            attention([candidate, history[:, order], places[:, order]])
        ),
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_history_of_one_item(attention):
    candidate, history = a_history()
    places = np.array([[1, 0, 0, 0]] * 5, "float32")
    weight = np.asarray(attention.weights_of([candidate, history, places]))
    if attention.normalised:
        np.testing.assert_allclose(weight[:, 0], 1, rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(attention([candidate, history, places])),
        weight[:, [0]] * history[:, 0],
        rtol=1e-5,
    )


def test_no_history_is_zeros(attention):
    candidate, history = a_history()
    found = np.asarray(attention([candidate, history, np.zeros((5, 4))]))
    assert (found == 0).all()


@pytest.mark.parametrize("name", ["din", "din_normalised"])
def test_din_does_not_know_the_order_of_a_history(name):
    model = built(name)
    place = next(c for c in SCHEMA.id_columns if c.name == "seen")
    columns = slice(place.start, place.stop)
    turned = {k: v.copy() for k, v in INPUTS.items()}
    turned["ids"][:, columns] = turned["ids"][:, columns][:, ::-1]
    assert_same_outputs(predict(model, INPUTS), predict(model, turned))


@pytest.mark.parametrize("name", ["din", "din_normalised"])
def test_din_sees_the_history_through_the_candidate(name):
    """Without attention's candidate the item would only shift a logit."""
    model = built(name)
    columns = {c.name: c for c in SCHEMA.id_columns}
    ids = np.repeat(INPUTS["ids"][1:2], 2, axis=0)
    seen = columns["seen"]
    ids[:, seen.start : seen.stop] = [3, 4, 1]
    ids[1, columns["item"].start] = ids[0, columns["item"].start] % 7 + 2
    inputs = {"ids": ids, "numbers": np.repeat(INPUTS["numbers"][1:2], 2, 0)}
    found = value_of(model, "interest", inputs)
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize("name", ["din", "din_normalised"])
def test_weights_read_from_a_model_make_its_interest(name):
    model = built(name)
    weights = models.interest_weights(model, INPUTS, batch_size=7)
    place = next(c for c in SCHEMA.id_columns if c.name == "seen")
    ids = INPUTS["ids"][:, place.start : place.stop]
    assert weights.shape == ids.shape
    assert (weights[ids == 1] == 0).all() and (weights[ids != 1] != 0).all()
    layer = model.get_layer("tokens_seen")
    tokens = np.asarray(keras.Model(model.inputs, layer.output[0])(INPUTS))
    np.testing.assert_allclose(
        (weights[..., None] * tokens).sum(axis=1),
        value_of(model, "interest"),
        atol=1e-5,
    )


def test_users_without_a_history_are_finite():
    inputs = {k: v.copy() for k, v in INPUTS.items()}
    place = next(c for c in SCHEMA.id_columns if c.name == "seen")
    inputs["ids"][:, place.start : place.stop] = 1
    for name in ("din", "din_normalised"):
        for value in predict(built(name), inputs).values():
            assert np.isfinite(value).all()


def test_din_needs_a_history_of_candidates():
    with pytest.raises(ValueError, match="a Sequence feature called"):
        din(SCHEMA)
    with pytest.raises(ValueError, match="a Categorical feature called"):
        din(SCHEMA, history="seen", candidate="seen")
    frame = pd.DataFrame({"item": [1, 2], "history": [[1], [2]], "click": 0})
    schema = Schema(
        [Categorical("item"), Sequence("history", 3)], [Task("click")]
    ).fit(frame)
    with pytest.raises(ValueError, match="vocabularies of their own"):
        din(schema)
