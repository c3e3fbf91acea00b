"""Retrieval models: limit cases, training, saving, gradients."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from jax_process import run_on_jax
from models_under_test import assert_same_outputs, predict

from mtlrec_utils import learning, models
from mtlrec_utils.data import Categorical, Number, Schema, Task
from mtlrec_utils.learning.losses import TaskLosses, tensors

N_USERS, N_ITEMS = 6, 9


def log_of(n=40, seed=0):
    rng = np.random.default_rng(seed)
    item = rng.integers(N_ITEMS, size=n)
    item[:N_ITEMS] = np.arange(N_ITEMS)
    return pd.DataFrame(
        {
            "user": np.arange(n) % N_USERS,
            "age": rng.integers(3, size=n),
            "item": item,
            "genre": item % 3,
            "price": item * 1.5,
            "click": 1.0,
        }
    )


FRAME = log_of()
SCHEMA = Schema(
    [
        Categorical("user"),
        Categorical("age"),
        Categorical("item"),
        Categorical("genre"),
        Number("price"),
    ],
    [Task("click")],
).fit(FRAME)
ROWS = SCHEMA.encode(FRAME)
CATALOGUE = SCHEMA.encode(
    FRAME.drop_duplicates("item").sort_values("item"), labels=False
)
IDS = Schema([Categorical("user"), Categorical("item")], [Task("click")])
IDS.fit(FRAME)


def towers(**options):
    return models.two_towers(
        SCHEMA,
        user_features=["user", "age"],
        item_features=["item", "genre", "price"],
        **({"embedding_dimension": 4, "dimension": 5, "seed": 0} | options),
    )


def factorised(loss="labels", **options):
    if loss != "labels":
        options = {"catalogue": IDS.encode(FRAME, labels=False)} | options
    return models.matrix_factorisation(
        IDS, loss=loss, dimension=4, seed=0, **options
    )


CASES = {
    "labels": factorised,
    "labels, no biases": lambda: factorised(biases=False),
    "bpr": lambda: factorised("bpr", n_negatives=2, penalty=0.1),
    "softmax": lambda: factorised("softmax"),
    "sampled softmax": lambda: factorised("softmax", n_negatives=5),
    "in batch": towers,
    "corrected": lambda: towers(shares=models.item_shares(SCHEMA, ROWS)),
    "mixed": lambda: towers(catalogue=CATALOGUE, n_negatives=4),
    "hardest": lambda: towers(n_hardest=3, normalise=True, temperature=0.1),
    "linear": lambda: towers(tower_units=()),
}


def rows_of(model):
    examples = ROWS if model.name == "two_towers" else IDS.encode(FRAME)
    return examples, {x.name: examples.inputs[x.name] for x in model.inputs}


def loss_and_gradients(model, training=True):
    examples, _ = rows_of(model)
    losses = TaskLosses(model)
    data = tensors(examples, losses)
    with tf.GradientTape() as tape:
        value = losses.per_row(
            data["inputs"], data["labels"], data["masks"], training
        )["click"]
        total = tf.reduce_sum(value)
    return value.numpy(), {
        v.path: g
        for v, g in zip(
            model.trainable_variables,
            tape.gradient(total, model.trainable_variables),
            strict=True,
        )
    }


@pytest.mark.parametrize("case", CASES)
def test_every_weight_learns(case):
    value, found = loss_and_gradients(CASES[case]())
    assert np.isfinite(value).all() and value.shape == (len(FRAME),)
    for path, gradient in found.items():
        assert gradient is not None, path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, path


@pytest.mark.parametrize("case", ["bpr", "sampled softmax", "mixed"])
def test_fit_lowers_the_loss(case):
    model = CASES[case]()
    examples, _ = rows_of(model)
    history = learning.fit(
        model, examples, examples, epochs=8, batch_size=16,
        learning_rate=3e-2, progress=False,
    )  # fmt: skip
    losses = history.losses("validation", "click")
    assert losses.iloc[-1] < losses.iloc[0] - 0.01


@pytest.mark.parametrize("case", CASES)
def test_the_output_is_the_inner_product(case):
    model = CASES[case]()
    examples, inputs = rows_of(model)
    users = models.user_vectors(model, examples)
    items = models.item_vectors(model, examples)
    score = np.sum(users * items, axis=1, keepdims=True)
    last = model.get_layer("click")
    found = predict(model, inputs)["click"]
    expected = 1 / (1 + np.exp(-score / last.temperature))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("case", ["labels", "bpr", "mixed"])
def test_rows_do_not_see_their_batch_when_predicted(case):
    model = CASES[case]()
    _, inputs = rows_of(model)
    whole = predict(model, inputs)["click"]
    alone = predict(model, {k: v[7:8] for k, v in inputs.items()})["click"]
    np.testing.assert_allclose(alone, whole[7:8], rtol=1e-5)


@pytest.mark.parametrize("case", ["labels", "bpr", "corrected", "mixed"])
def test_a_saved_model_predicts_and_trains_alike(case, tmp_path):
    model = CASES[case]()
    _, inputs = rows_of(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, inputs), predict(model, inputs), 1e-6)
    ours, _ = loss_and_gradients(model, training=False)
    theirs, _ = loss_and_gradients(again, training=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_user_vector_knows_nothing_of_the_item():
    model = towers()
    changed = FRAME.assign(item=0, genre=0, price=0.0)
    users = models.user_vectors(model, ROWS)
    np.testing.assert_array_equal(
        users, models.user_vectors(model, SCHEMA.encode(changed))
    )
    changed = FRAME.assign(user=0, age=0)
    np.testing.assert_array_equal(
        models.item_vectors(model, ROWS),
        models.item_vectors(model, SCHEMA.encode(changed)),
    )


def test_squared_loss_recovers_a_low_rank_matrix():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 15))
    user, item = (a.ravel() for a in np.indices(truth.shape))
    frame = pd.DataFrame({"user": user, "item": item, "stars": truth.ravel()})
    task = Task("stars", "regression", scale="standard")
    schema = Schema([Categorical("user"), Categorical("item")], [task])
    rows = schema.fit(frame).encode(frame)
    model = models.matrix_factorisation(
        schema, dimension=3, biases=False, seed=0
    )
    learning.fit(
        model, rows, epochs=300, batch_size=300, learning_rate=0.05,
        decay="cosine", progress=False,
    )  # fmt: skip
    found = learning.predict(model, rows)["stars"]
    assert np.abs(found - truth.ravel()).max() < 0.02
    # Centred by the mean of the labels, the matrix has rank 3 at most.
    users = models.user_vectors(model, rows)
    assert users.shape == (300, 3)


def test_binary_labels_are_a_log_loss():
    frame = FRAME.assign(click=np.arange(len(FRAME)) % 2)
    schema = Schema(IDS.features, [Task("click")]).fit(frame)
    rows = schema.encode(frame)
    model = models.matrix_factorisation(schema, seed=0)
    losses = TaskLosses(model)
    data = tensors(rows, losses)
    found = losses.per_row(data["inputs"], data["labels"], data["masks"], True)
    p = learning.predict(model, rows)["click"]
    y = rows.labels["click"]
    expected = -np.where(y > 0, np.log(p), np.log(1 - p))
    np.testing.assert_allclose(found["click"], expected, rtol=1e-5)


def test_biases_are_parts_of_the_vectors():
    model = factorised()
    users = models.user_vectors(model, IDS.encode(FRAME))
    items = models.item_vectors(model, IDS.encode(FRAME))
    assert users.shape[1] == items.shape[1] == 4 + 2
    assert (users[:, 4] == 1).all() and (items[:, 5] == 1).all()
    bpr = factorised("bpr")
    assert (models.user_vectors(bpr, IDS.encode(FRAME))[:, 4] == 1).all()


def test_shares_count_what_was_taken():
    frame = FRAME.iloc[:4].assign(item=[3, 3, 5, 3], click=[1.0, 1, 1, 0])
    shares = models.item_shares(SCHEMA, SCHEMA.encode(frame))
    place = SCHEMA.vocabulary("item")
    counts = np.full(place.size, 0.5)
    ids = SCHEMA.encode(frame).ids[:, 2]
    counts[ids[0]], counts[ids[2]] = 2, 1
    np.testing.assert_allclose(shares, counts / counts.sum())


def test_draws_repeat_at_inference_and_differ_in_training():
    layer = models.NegativeItems(50, 1, 0, count=8, seed=1)
    layer.build((None, 1))
    layer.identity.assign(np.arange(50)[:, None])
    batch = tf.zeros((3, 1))
    still = [layer(batch, training=False)[2].numpy() for _ in range(2)]
    moved = [layer(batch, training=True)[2].numpy() for _ in range(2)]
    assert (still[0] == still[1]).all() and still[0].shape == (8, 1)
    assert (moved[0] != moved[1]).any()


def test_draws_are_uniform_and_rows_of_the_catalogue():
    layer = models.NegativeItems(5, 2, 1, count=2, per_row=True, seed=1)
    layer.build((None, 1))
    layer.identity.assign(np.arange(5)[:, None])
    layer.ids.assign(np.arange(10).reshape(5, 2))
    layer.numbers.assign(np.arange(5)[:, None] / 2)
    ids, numbers, own = layer(tf.zeros((5000, 1)), training=True)
    own = own.numpy()[:, 0]
    assert len(own) == 10_000
    assert (ids.numpy()[:, 0] == 2 * own).all()
    assert (numbers.numpy()[:, 0] == own / 2).all()
    # Five standard errors of a share of 1/5 among 10,000.
    assert np.abs(np.bincount(own) / 10_000 - 0.2).max() < 0.02


def test_rows_not_taken_cost_nothing():
    frame = FRAME.assign(click=(np.arange(len(FRAME)) % 2).astype(float))
    model = towers()
    losses = TaskLosses(model)
    data = tensors(SCHEMA.encode(frame), losses)
    found = losses.per_row(data["inputs"], data["labels"], data["masks"], True)
    value = found["click"].numpy()
    assert (value[::2] == 0).all() and (value[1::2] > 0).all()


def test_the_same_seed_trains_the_same_model():
    found = []
    for _ in range(2):
        model = CASES["mixed"]()
        learning.fit(model, ROWS, epochs=2, batch_size=16, progress=False)
        found.append(models.item_vectors(model, CATALOGUE))
    np.testing.assert_array_equal(*found)


def test_replicate_shares_one_trace():
    found = learning.replicate(
        {"towers": lambda seed: towers(seed=seed)},
        ROWS, None, SCHEMA.encode(FRAME.assign(
            click=(np.arange(len(FRAME)) % 2).astype(float))),
        seeds=(0, 1), epochs=2, batch_size=16, progress=False,
    )  # fmt: skip
    assert found.predictions["towers"]["click"].shape == (2, len(FRAME))
    assert np.ptp(found.predictions["towers"]["click"], axis=0).max() > 0


TWO = Schema(
    [Categorical("user"), Categorical("item")], [Task("click"), Task("like")]
).fit(FRAME.assign(like=1.0))

NAMED = Schema(
    [Categorical("user"), Categorical("item")],
    [Task("item_vector", label="click")],
).fit(FRAME)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.matrix_factorisation(TWO), "has one task"),
        (lambda: factorised("hinge"), "choose one of labels"),
        (lambda: models.matrix_factorisation(NAMED), "cannot be called"),
        (lambda: factorised("bpr", catalogue=None), "row per item"),
        (lambda: factorised(n_negatives=3), "draws no negatives"),
        (
            lambda: models.matrix_factorisation(SCHEMA, item="price"),
            "must be a Categorical",
        ),
        (lambda: factorised(penalty=-1.0), "penalty=-1.0"),
        (lambda: towers(temperature=0.0), "temperature=0.0"),
        (lambda: towers(item="price"), "no Categorical feature"),
        (lambda: towers(shares=np.ones(3)), "shares has shape"),
        (lambda: towers(catalogue=CATALOGUE), "draws no negatives"),
        (lambda: towers(n_negatives=3), "row per item"),
        (lambda: towers(n_hardest=0), "n_hardest"),
        (lambda: towers(dimension=0), "dimension"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_ids_out_of_range_are_found_behind_two_uses_of_a_table():
    ids = ROWS.ids.copy()
    ids[0, 2] = 99  # the item, which the second tower reads
    bad = type(ROWS)(
        ids, ROWS.numbers, ROWS.labels, ROWS.masks, None, ROWS.rows
    )
    with pytest.raises(ValueError, match="column 2 holds"):
        learning.fit(CASES["mixed"](), bad, progress=False)


ON_JAX = """
import sys
import keras, numpy as np
from mtlrec_utils import models
assert keras.backend.backend() == "jax"
models.two_towers
model = keras.saving.load_model(sys.argv[1] + "/model.keras")
data = dict(np.load(sys.argv[1] + "/inputs.npz"))
inputs = {k: data[k] for k in ("ids", "numbers")}
last = model.get_layer("click")
graph = keras.Model(model.inputs, last.input)
ends = graph(inputs, training=False)
ones = np.ones(len(data["ids"]), "float32")
ends = [keras.ops.cast(end, "float32") for end in ends]
np.savez(sys.argv[1] + "/jax.npz",
         click=np.asarray(model(inputs)["click"]),
         loss=np.asarray(last.row_loss(ends, ones, ones)))
"""


def test_jax_predicts_and_loses_the_same(tmp_path):
    model = towers(shares=models.item_shares(SCHEMA, ROWS), n_hardest=3)
    _, inputs = rows_of(model)
    loss, _ = loss_and_gradients(model, training=False)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    run_on_jax(ON_JAX, tmp_path)
    found = dict(np.load(tmp_path / "jax.npz"))
    np.testing.assert_allclose(
        found["click"], predict(model, inputs)["click"], rtol=1e-4
    )
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-4)


@pytest.mark.parametrize("build", ["two_towers", "matrix_factorisation"])
def test_columns_that_nobody_reads_are_no_input(build):
    """Keras 3.13 refuses an input that leads nowhere."""
    options = {"dimension": 4, "seed": 0}
    if build == "two_towers":
        options |= {"user_features": ["user"], "item_features": ["item"]}
    model = getattr(models, build)(SCHEMA, **options)
    assert [x.name for x in model.inputs] == ["ids"]
    before = learning.predict(model, ROWS)["click"]
    learning.fit(model, ROWS, epochs=1, batch_size=8, progress=False)
    assert (learning.predict(model, ROWS)["click"] != before).any()
