"""Domain alignment: exact properties of reversal, distances and models."""

from functools import lru_cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from jax_process import run_on_jax
from keras import ops
from models_under_test import (
    assert_same_outputs,
    gradients,
    predict,
    random_inputs,
    random_labels,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils.data import Number, Schema, Task
from mtlrec_utils.data.two_domains import INPUTS, two_domains
from mtlrec_utils.evidence import auc
from mtlrec_utils.learning import fit
from mtlrec_utils.learning import predict as predictions
from mtlrec_utils.models import (
    GradientReversal,
    aligned,
    coral_loss,
    mmd_loss,
    reversal_schedule,
    single_task,
)

TASKS = (Task("label"), Task("domain"))
METHODS = ("dann", "coral", "mmd", "none")


def small(**options):
    return aligned(small_schema(TASKS), **{"seed": 1} | options)


def reversed_gradient(layer, x, training=True):
    """Return output and gradient of sum(output * weights)."""
    x = tf.constant(x)
    weights = tf.constant(np.arange(1.0, 1.0 + x.shape[1], dtype="float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        loss = tf.reduce_sum(y * weights)
    return y.numpy(), tape.gradient(loss, x).numpy(), weights.numpy()


# --- gradient reversal ---------------------------------------------------


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 7.0])
def test_reversal_is_identity_forward_and_minus_strength_backward(strength):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32") * 1e3
    y, gradient, weights = reversed_gradient(GradientReversal(strength), x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(
        gradient, np.tile(np.float32(-strength) * weights, (5, 1))
    )


def test_the_schedule_of_the_paper():
    values = np.asarray(reversal_schedule(np.array([0.0, 0.1, 0.5, 1.0])))
    np.testing.assert_allclose(
        values, [0.0, np.tanh(0.5), np.tanh(2.5), np.tanh(5.0)], rtol=1e-6
    )


def test_a_warm_up_counts_training_steps_only():
    layer = GradientReversal(2.0, warmup_steps=4)
    x = np.ones((2, 1), "float32")
    found = []
    for training in (True, False, True, True, True, True, True):
        found.append(-reversed_gradient(layer, x, training)[1][0, 0])
    steps = np.array([0, 1, 1, 2, 3, 4, 4])
    np.testing.assert_allclose(found, 2 * np.tanh(5 * steps / 4), rtol=1e-5)
    assert float(layer.step) == 6


def test_fit_counts_the_steps_of_a_warm_up():
    schema, train, _ = encoded(n_rows=60)
    model = aligned(schema, warmup_steps=8, seed=1)
    fit(model, train, epochs=2, batch_size=40, progress=False)
    assert float(model.get_layer("reversal").step) == 6


@pytest.mark.parametrize(
    "options",
    [{"strength": -1.0}, {"strength": np.inf}, {"warmup_steps": 0.5}],
)
def test_reversal_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        GradientReversal(**options)


# --- distances -----------------------------------------------------------


def two_samples(n=40, m=25, h=3, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, h)).astype("float32")
    b = (rng.normal(size=(m, h)) * [2, 1, 0.5] + 1).astype("float32")
    return a, b


def between(loss, a, b, **options):
    domain = np.r_[np.zeros(len(a)), np.ones(len(b))].astype("float32")
    return float(loss(np.concatenate([a, b]), domain, **options))


def test_coral_by_hand():
    a, b = two_samples()
    gap = np.cov(a, rowvar=False) - np.cov(b, rowvar=False)
    assert between(coral_loss, a, b) == pytest.approx(
        (gap**2).sum() / 36, rel=1e-4
    )


def test_coral_of_equal_covariances_is_zero_and_means_do_not_matter():
    a, b = two_samples()
    assert between(coral_loss, a, a) == 0
    assert between(coral_loss, a, a[::-1] + 5) == pytest.approx(0, abs=1e-9)
    assert between(coral_loss, a, b + 7) == pytest.approx(
        between(coral_loss, a, b), rel=1e-3
    )


def mmd_by_hand(a, b):
    x = np.concatenate([a, b]).astype("float64")
    d = ((x[:, None] - x[None]) ** 2).sum(-1)
    pairs = np.sort(d[np.triu_indices(len(x), 1)])
    k = np.exp(-d / pairs[len(pairs) // 2])
    n = len(a)
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


def test_mmd_by_hand():
    a, b = two_samples()
    assert between(mmd_loss, a, b) == pytest.approx(
        mmd_by_hand(a, b), rel=1e-4
    )


def test_mmd_of_one_sample_is_zero_and_never_negative():
    a, _ = two_samples()
    assert between(mmd_loss, a, a) == pytest.approx(0, abs=1e-6)
    for seed in range(5):
        x, _ = two_samples(30, seed=seed)
        assert between(mmd_loss, x[:15], x[15:]) >= 0


@pytest.mark.parametrize("loss", [coral_loss, mmd_loss])
def test_distances_are_symmetric(loss):
    a, b = two_samples()
    assert between(loss, a, b) == pytest.approx(between(loss, b, a), rel=1e-4)


def test_where_most_rows_are_alike_mmd_keeps_a_finite_slope():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 4)).astype("float32")
    rows[:50] = rows[0] + 1e-7 * rng.normal(size=(50, 4))
    domain = (np.arange(60) % 2).astype("float32")
    for vectors in (rows, np.full_like(rows, 0.1)):
        vectors = tf.constant(vectors)
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            found = mmd_loss(vectors, domain)
        # A row of 60 moves a mean over pairs by little.
        slope = np.abs(tape.gradient(found, vectors)).max()
        assert slope < 1e-3
        assert 0.0 <= float(found) < 0.1


@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_mmd_does_not_see_the_scale(scale):
    a, b = two_samples()
    scale = np.float32(scale)
    assert between(mmd_loss, scale * a, scale * b) == pytest.approx(
        between(mmd_loss, a, b), rel=1e-3
    )


@pytest.mark.parametrize("loss", [coral_loss, mmd_loss])
def test_rows_without_a_domain_are_left_out(loss):
    a, b = two_samples()
    x = np.concatenate([a, b])
    domain = np.r_[np.zeros(40), np.ones(25)].astype("float32")
    known = np.ones(65, "float32")
    known[[3, 50]] = 0
    if loss is coral_loss:  # the bandwidth of MMD still sees all rows
        expected = between(loss, np.delete(a, 3, 0), np.delete(b, 10, 0))
        assert float(loss(x, domain, known)) == pytest.approx(
            expected, rel=1e-4
        )
    flipped = domain.copy()
    flipped[[3, 50]] = 1 - flipped[[3, 50]]
    assert float(loss(x, domain, known)) == float(loss(x, flipped, known))


@pytest.mark.parametrize("loss", [coral_loss, mmd_loss])
@pytest.mark.parametrize("n_target", [0, 1, 6])
def test_a_missing_domain_costs_nothing_and_stays_finite(loss, n_target):
    x = tf.constant(two_samples(6)[0])
    domain = tf.constant([1.0] * n_target + [0.0] * (6 - n_target))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x, domain)
    gradient = tape.gradient(value, x)
    assert np.isfinite(gradient.numpy()).all()
    if n_target != 1 or loss is coral_loss:
        assert float(value) == 0
        assert not gradient.numpy().any()


@pytest.mark.parametrize("loss", [coral_loss, mmd_loss])
def test_equal_rows_have_no_gap_and_a_finite_gradient(loss):
    x = tf.ones((4, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x, tf.constant([0.0, 0.0, 1.0, 1.0]))
    assert float(value) == 0
    assert np.isfinite(tape.gradient(value, x).numpy()).all()


# --- models --------------------------------------------------------------


def bce(outputs, labels, task):
    return ops.mean(
        ops.binary_crossentropy(
            labels[task], ops.cast(outputs[task], "float32")
        )
    )


def bottom_gradients(model, task):
    schema = small_schema(TASKS)
    inputs, labels = random_inputs(schema), random_labels(schema)
    found = gradients(
        model,
        inputs,
        lambda o: sum(bce(o, labels, t) for t in np.atleast_1d(task)),
    )
    return {path: g for path, g in found.items() if "bottom" in path}


def test_all_methods_start_from_the_same_weights():
    reference = [w.numpy() for w in small().weights]
    for method in METHODS[1:]:
        for a, b in zip(reference, small(method=method).weights, strict=True):
            np.testing.assert_array_equal(a, b.numpy())


@pytest.mark.parametrize(
    "options", [{"method": "none"}, {"strength": 0.0}], ids=["none", "zero"]
)
def test_without_strength_the_bottom_learns_from_the_label_alone(options):
    both = bottom_gradients(small(**options), ["label", "domain"])
    alone = single_task(small_schema(TASKS), "label", seed=1)
    expected = bottom_gradients(alone, ["label"])
    assert both and set(both) == set(expected)
    for path in both:
        np.testing.assert_allclose(both[path], expected[path], atol=1e-7)


def test_the_bottom_gets_minus_strength_of_the_domain_gradient():
    plain = bottom_gradients(small(strength=1.0), ["domain"])
    third = bottom_gradients(small(strength=0.3), ["domain"])
    for path in plain:
        assert np.abs(plain[path]).max() > 0
        np.testing.assert_allclose(third[path], 0.3 * plain[path], atol=1e-7)
    # Against a model without the reversal: the opposite.
    schema = small_schema(TASKS)
    model = small(strength=1.0)
    bottom = model.get_layer("bottom").output
    hidden = model.get_layer("tower_domain")(bottom)
    logit = model.get_layer("logit_domain")(hidden)
    direct = keras.Model(model.inputs, {"domain": ops.sigmoid(logit)})
    labels = random_labels(schema)
    found = gradients(
        direct, random_inputs(schema), lambda o: bce(o, labels, "domain")
    )
    for path in plain:
        np.testing.assert_allclose(plain[path], -found[path], atol=1e-6)


@lru_cache
def encoded(**options):
    domains = two_domains(**{"n_rows": 1000, "seed": 3, **options})
    schema = Schema(
        features=[Number(x) for x in INPUTS],
        tasks=[Task("label", sample_space="labelled"), Task("domain")],
    ).fit(domains.train)
    return schema, schema.encode(domains.train), schema.encode(domains.test)


def trained(method, strength, epochs=20, **options):
    schema, train, test = encoded(**options)
    model = aligned(
        schema, method=method, strength=strength, bottom_units=(16,), seed=1
    )
    history = fit(
        model,
        train,
        epochs=epochs,
        batch_size=200,
        learning_rate=5e-3,
        progress=False,
    )
    return model, train, test, history


def accuracy(model, rows, task):
    found = predictions(model, rows)[task].ravel() > 0.5
    return float((found == rows.labels[task]).mean())


def test_target_labels_are_never_read():
    schema, train, _ = encoded()
    target = train.labels["domain"] == 1
    assert not train.masks["label"][target].any()
    assert train.masks["label"][~target].all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_with_one_domain_missing_from_batches(method):
    schema, train, _ = encoded(n_rows=60)
    source = train.subset(train.labels["domain"] == 0)
    model = aligned(schema, method=method, seed=1)
    history = fit(model, source, epochs=2, batch_size=7, progress=False)
    assert np.isfinite(history.losses("train", "domain")).all()
    assert all(np.isfinite(w.numpy()).all() for w in model.weights)


def test_the_domain_tower_learns_though_the_bottom_does_not():
    model, train, _, _ = trained("none", 1.0)
    assert accuracy(model, train, "domain") > 0.85


def test_domains_of_one_distribution_stay_at_chance():
    model, train, _, history = trained("dann", 1.0, shift=0.0)
    assert abs(accuracy(model, train, "domain") - 0.5) < 0.06
    last = history.losses("train", "domain").iloc[-1]
    assert last == pytest.approx(np.log(2), abs=0.02)


def test_reversal_gains_where_the_nuisance_is_spurious():
    """The gain: the nuisance must be given up."""
    scores = {}
    for strength in (0.0, 1.0):
        model, _, test, _ = trained("dann", strength, spurious=1.0)
        found = predictions(model, test)["label"].ravel()
        scores[strength] = auc(test.labels["label"], found)
    assert scores[1.0] > scores[0.0] + 0.05


def test_alignment_forces_errors_where_priors_differ():
    """The harm: the share of predicted ones is pulled to the source's."""
    share = {}
    for method, strength in (("none", 0.0), ("dann", 1.0)):
        model, _, test, _ = trained(
            method, strength, epochs=80, target_prior=0.1
        )
        found = predictions(model, test)["label"].ravel() > 0.5
        share[method] = found.mean()
    assert share["dann"] > share["none"] + 0.1


@pytest.mark.parametrize("method", METHODS)
def test_save_and_load(method, tmp_path):
    options = {"warmup_steps": 5} if method == "dann" else {}
    model = small(method=method, strength=0.7, **options)
    shift_every_weight(model)
    inputs = random_inputs(small_schema(TASKS))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, inputs), predict(model, inputs))
    for ours, theirs in zip(model.layers, again.layers, strict=True):
        assert ours.get_config() == theirs.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gan"}, "choose one of"),
        ({"domain": "shop"}, "no binary task 'shop'"),
        ({"bottom_units": ()}, "bottom_units is empty"),
        ({"method": "mmd", "warmup_steps": 5}, "'dann' only"),
        ({"method": "coral", "strength": -1.0}, "strength"),
    ],
)
def test_aligned_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_a_domain_alone_is_refused():
    with pytest.raises(ValueError, match="no task to learn"):
        aligned(small_schema([Task("domain")]))


# --- another backend -----------------------------------------------------

ON_JAX = """
import json, sys
import jax, keras, numpy as np
from mtlrec_utils import models

assert keras.backend.backend() == "jax"
data = np.load(sys.argv[1] + "/data.npz")
x, domain = data["x"], data["domain"]
layer = models.GradientReversal(0.3)
found = {
    "gradient": np.unique(jax.grad(lambda v: layer(v).sum())(x)).tolist(),
    "coral": float(jax.jit(models.coral_loss)(x, domain)),
}
value, slope = jax.jit(jax.value_and_grad(models.mmd_loss))(x, domain)
found |= {"mmd": float(value), "slope": float(np.abs(slope).sum())}
model = keras.saving.load_model(f"{sys.argv[1]}/mmd.keras")
inputs = {k: data[k] for k in ("ids", "numbers")}
found["model"] = {k: np.asarray(v).tolist() for k, v in model(inputs).items()}
print(json.dumps(found))
"""


def test_jax_finds_the_same(tmp_path):
    a, b = two_samples()
    x = np.concatenate([a, b])
    domain = np.r_[np.zeros(40), np.ones(25)].astype("float32")
    inputs = random_inputs(small_schema(TASKS))
    np.savez(tmp_path / "data.npz", x=x, domain=domain, **inputs)
    model = small(method="mmd")
    model.save(tmp_path / "mmd.keras")
    expected = predict(model, inputs)
    found = run_on_jax(ON_JAX, tmp_path)
    assert found["gradient"] == [pytest.approx(-0.3)]
    assert found["slope"] > 0
    for loss in (coral_loss, mmd_loss):
        assert found[loss.__name__[:-5]] == pytest.approx(
            between(loss, a, b), rel=1e-4
        )
    for task, value in expected.items():
        np.testing.assert_allclose(found["model"][task], value, atol=1e-5)
