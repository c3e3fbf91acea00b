"""Models of many domains: what must hold exactly, whatever the weights."""

import json
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from jax_process import run_on_jax
from models_under_test import (
    DOMAIN_BUILDERS,
    assert_same_outputs,
    gradients,
    losses_of,
    predict,
    random_inputs,
    random_labels,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils import models
from mtlrec_utils.data import Categorical, Schema, Task
from mtlrec_utils.learning import fit
from mtlrec_utils.learning.transfer import carry_domains, freeze
from mtlrec_utils.models.star import PartitionedNorm

TASKS = (Task("click"), Task("kind", "multiclass", classes=3))
SCHEMA = small_schema(TASKS)
INPUTS = random_inputs(SCHEMA)
LABELS = random_labels(SCHEMA)
N_DOMAINS = 5  # values of "user"
OWN = INPUTS["ids"][:, 0] - 2  # domain of each row; row 0 is unknown: -2
SMALL = {"embedding_dimension": 3, "tower_units": (4,)}
EACH = pytest.mark.parametrize("name", DOMAIN_BUILDERS)
PER_DOMAIN = (
    "separate_domains",
    "shared_bottom_over_domains",
    "mmoe_over_domains",
    "star",
)
SHARED_AVERAGES = ("moving_mean", "moving_variance")


def built(name, schema=SCHEMA, shift=True, **options):
    widths = {} if name == "mmoe_over_domains" else {"bottom_units": (6,)}
    options = SMALL | widths | {"seed": 1} | options
    model = DOMAIN_BUILDERS[name](schema, **options)
    if shift:
        shift_every_weight(model)
        keep_variances_positive(model)
    return model


def keep_variances_positive(model):
    for weight in model.non_trainable_weights:
        if weight.path.endswith("moving_variance"):
            weight.assign(0.5 + np.abs(np.asarray(weight)))


@cache
def unchanged(name):
    """One model of each kind for tests that change no weight."""
    return built(name)


def rows_of(domain, inputs=INPUTS):
    kept = inputs["ids"][:, 0] == domain + 2
    return {name: x[kept] for name, x in inputs.items()}


def loss_of(labels, rows=slice(None)):
    losses = losses_of(SCHEMA)
    return lambda out: sum(
        losses[task](labels[task][rows], out[task]) for task in losses
    )


# -- what all of them promise ----------------------------------------------


@EACH
def test_every_task_has_its_output_and_layers(name):
    model = unchanged(name)
    found = predict(model, INPUTS)
    assert {task: value.shape for task, value in found.items()} == {
        "click": (24, 1),
        "kind": (24, 3),
    }
    np.testing.assert_allclose(found["kind"].sum(axis=1), 1, rtol=1e-5)
    names = {layer.name for layer in model.layers}
    wanted = {"tower_click", "logit_click", "click", "embedding"}
    assert wanted <= names


@EACH
def test_gradients_reach_every_weight(name):
    """A pre-trained table that a gate hides would show here."""
    model = unchanged(name)
    found = gradients(model, INPUTS, loss_of(LABELS))
    assert len(found) == len(model.trainable_weights)
    for path, gradient in found.items():
        assert gradient is not None, path
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path


@EACH
def test_rows_do_not_know_each_other(name):
    model = unchanged(name)
    whole = predict(model, INPUTS)
    for i in (0, 7, 23):
        alone = predict(model, {k: x[i : i + 1] for k, x in INPUTS.items()})
        for task, value in alone.items():
            np.testing.assert_allclose(value[0], whole[task][i], atol=1e-5)


@EACH
def test_a_saved_model_predicts_the_same(name, tmp_path):
    model = built(name, dropout=0.1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    configs = [
        json.dumps(m.get_config(), sort_keys=True) for m in (model, again)
    ]
    assert configs[0] == configs[1]
    assert_same_outputs(predict(model, INPUTS), predict(again, INPUTS), 1e-6)


@EACH
def test_same_seed_same_weights_other_seed_others(name):
    one, two, other = (
        built(name, shift=False, seed=seed) for seed in (3, 3, 4)
    )
    for a, b, c in zip(one.weights, two.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        if a.path.split("/")[-1].startswith(("kernel", "table")):
            assert np.abs(np.asarray(a) - np.asarray(c)).max() > 1e-4, a.path


@EACH
def test_no_domain_starts_as_another_does(name):
    """But for the weights that start as a plain layer's: ones and zeros."""
    for weight in built(name, shift=False).weights:
        value = np.asarray(weight)
        drawn = weight.path.split("/")[-1] == "kernel"
        if drawn and value.ndim == 3:
            gaps = np.abs(value[:, None] - value[None]).max(axis=(2, 3))
            assert (gaps[~np.eye(N_DOMAINS, dtype=bool)] > 0.1).all()


@EACH
def test_only_star_keeps_statistics(name):
    """Its partitioned norm is held to what follows, test by test."""
    kept = {
        variable.path.split("/")[-1]
        for variable in unchanged(name).non_trainable_variables
    }
    allowed = set(SHARED_AVERAGES) if name == "star" else set()
    assert kept - {"seed_generator_state"} == allowed


@pytest.mark.parametrize("name", ["separate_domains", "star", "pepnet"])
def test_mixed_precision_stays_near(name):
    exact = unchanged(name)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = built(name, shift=False)
    finally:
        keras.config.set_dtype_policy(before)
    for ours, theirs in zip(model.weights, exact.weights, strict=True):
        ours.assign(np.asarray(theirs) * 0.5)
    copy = built(name, shift=False)
    for ours, theirs in zip(copy.weights, model.weights, strict=True):
        ours.assign(np.asarray(theirs))
    outputs = model(INPUTS)
    assert all(value.dtype == "float32" for value in outputs.values())
    assert_same_outputs(predict(model, INPUTS), predict(copy, INPUTS), 0.05)


@EACH
def test_what_is_refused(name):
    build = DOMAIN_BUILDERS[name]
    with pytest.raises(ValueError, match="'shop', but the schema's"):
        build(SCHEMA, domain="shop")
    with pytest.raises(ValueError, match="must be a Categorical"):
        build(SCHEMA, domain="seen")
    with pytest.raises(ValueError, match="must be a Categorical"):
        build(SCHEMA, domain="price")
    with pytest.raises(ValueError, match="tower_units holds 0"):
        build(SCHEMA, tower_units=(0,))
    taken = small_schema([Task("domain_weights")])
    with pytest.raises(ValueError, match="cannot be called"):
        build(taken)


# -- a row's domain chooses its weights ------------------------------------


@pytest.mark.parametrize("name", PER_DOMAIN)
def test_rows_of_a_domain_leave_the_others_weights_alone(name):
    model = built(name)
    rows = rows_of(1)
    labels = random_labels(SCHEMA, len(rows["ids"]))
    found = gradients(model, rows, loss_of(labels))
    per_domain = {
        path: g
        for path, g in found.items()
        if g.ndim > 1 and len(g) == N_DOMAINS
    }
    assert len(per_domain) >= 4
    for path, gradient in per_domain.items():
        assert np.abs(gradient[1]).max() > 0, path
        np.testing.assert_array_equal(np.delete(gradient, 1, axis=0), 0)


@pytest.mark.parametrize("name", PER_DOMAIN)
def test_an_unknown_domain_has_the_mean_of_all_weights(name):
    if name in ("star", "separate_domains"):
        weights = models.DomainWeights(4)(np.array([[0], [1], [3]]))
        wanted = [[0.25] * 4, [0.25] * 4, [0, 1, 0, 0]]
        np.testing.assert_array_equal(np.asarray(weights), wanted)
        return
    model = built(name)
    unknown = {k: x.copy() for k, x in INPUTS.items()}
    unknown["ids"][:, 0] = 0
    served = predict(model, unknown)
    for weight in model.weights:
        value = np.asarray(weight)
        if value.ndim > 1 and len(value) == N_DOMAINS:
            weight.assign(np.broadcast_to(value.mean(axis=0), value.shape))
    assert_same_outputs(predict(model, INPUTS), served)


def domain_layer(star, units=6, seed=0, n_domains=3):
    layer = models.DomainDense(units, "tanh", star, seed)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(9, 4)).astype("float32")
    own = np.arange(9) % n_domains
    weights = np.eye(n_domains, dtype="float32")[own]
    layer.build((x.shape, weights.shape))
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer, x, own, weights


@pytest.mark.parametrize("star", [False, True])
def test_a_domain_layer_row_by_row(star):
    layer, x, own, weights = domain_layer(star)
    found = np.asarray(layer([x, weights]))
    kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    if star:
        kernel = kernel * np.asarray(layer.shared_kernel)
        bias = bias + np.asarray(layer.shared_bias)
    for row, d in enumerate(own):
        wanted = np.tanh(x[row] @ kernel[d] + bias[d])
        np.testing.assert_allclose(found[row], wanted, atol=1e-5)


def test_a_star_starts_with_the_spread_of_a_plain_layer():
    layer = models.DomainDense(64, star=True, seed=1)
    layer.build(((None, 200), (None, 3)))
    kernel = np.asarray(layer.shared_kernel) * np.asarray(layer.kernel)
    glorot = np.sqrt(2 / 264)
    assert kernel.std() == pytest.approx(glorot, rel=0.03)


# -- pooled, separate, shared bottom, MMoE ---------------------------------


def copy_namesakes(source, target):
    """Give each weight of the target its namesake's value."""
    values = {weight.path: np.asarray(weight) for weight in source.weights}
    for weight in target.weights:
        weight.assign(values[weight.path])


def test_pooled_with_the_domain_is_shared_bottom_of_the_schema():
    ours = built("pooled_domains", read_domain=True, shift=False)
    theirs = models.shared_bottom(SCHEMA, bottom_units=(6,), seed=1, **SMALL)
    assert_same_outputs(predict(ours, INPUTS), predict(theirs, INPUTS), 0)


@pytest.mark.parametrize("name", ["pooled_domains", "epnet"])
def test_pooled_does_not_know_the_domain_and_a_gate_does(name):
    model = unchanged(name)
    other = {k: x.copy() for k, x in INPUTS.items()}
    other["ids"][:, 0] = 2 + (other["ids"][:, 0] + 1) % N_DOMAINS
    moved = np.abs(
        predict(model, other)["click"] - predict(model, INPUTS)["click"]
    ).max()
    assert (moved == 0) == (name == "pooled_domains")


@pytest.mark.parametrize("name", ["separate_domains", "star"])
def test_a_domains_own_weights_make_a_plain_network(name):
    """STAR with shared weights of 1 and 0 is separate networks."""
    options = {"partitioned_norm": False} if name == "star" else {}
    model = built(name, **options)
    if name == "star":
        for layer in ("bottom", "tower_click", "logit_click"):
            for weight in model.get_layer(layer).weights:
                if not weight.path.split("/")[-1].startswith("domain_"):
                    one = 1.0 if weight.path.endswith("kernel") else 0.0
                    weight.assign(np.full(weight.shape, one))
        for layer in ("auxiliary_logit_click", "auxiliary_logit_kind"):
            layer = model.get_layer(layer)
            layer.set_weights([w * 0 for w in layer.get_weights()])
    found = predict(model, INPUTS)["click"][:, 0]
    features = "features"
    x = np.asarray(
        keras.Model(model.inputs, model.get_layer(features).output)(INPUTS)
    )
    star = "domain_" if name == "star" else ""
    for d in range(N_DOMAINS):
        rows = d == OWN
        h = x[rows]
        for path in ("bottom/dense_0", "tower_click/dense_0", "logit_click"):
            kernel, bias = (
                next(
                    np.asarray(w)[d]
                    for w in model.weights
                    if w.path == f"{path}/{star}{what}"
                )
                for what in ("kernel", "bias")
            )
            h = h @ kernel + bias
            h = np.maximum(h, 0) if path != "logit_click" else h
        np.testing.assert_allclose(
            found[rows], 1 / (1 + np.exp(-h[:, 0])), rtol=1e-4, atol=1e-6
        )


def test_separate_tables_belong_to_one_domain_each():
    model = built("separate_domains")
    rows = rows_of(2)
    labels = random_labels(SCHEMA, len(rows["ids"]))
    table = gradients(model, rows, loss_of(labels))["embedding/table"]
    parts = table.reshape(len(table), N_DOMAINS, 3)
    assert np.abs(parts[:, 2]).max() > 0
    np.testing.assert_array_equal(np.delete(parts, 2, axis=1), 0)


def test_with_equal_towers_domains_share_everything():
    model = built("shared_bottom_over_domains")
    pooled = built("pooled_domains")
    values = {w.path: np.asarray(w) for w in pooled.weights}
    for weight in model.weights:
        weight.assign(np.broadcast_to(values[weight.path], weight.shape))
    assert_same_outputs(predict(model, INPUTS), predict(pooled, INPUTS))


def test_gates_of_domains_are_softmaxes_of_their_own():
    model = built("mmoe_over_domains", n_experts=3)
    values = models.gate_values(model, INPUTS)
    features = keras.Model(model.inputs, model.get_layer("features").output)
    x = np.asarray(features(INPUTS))
    layer = model.get_layer("gate_logit_click")
    kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    for d in range(N_DOMAINS):
        rows = d == OWN
        powers = np.exp(x[rows] @ kernel[d] + bias[d])
        np.testing.assert_allclose(
            values["click"][rows],
            powers / powers.sum(axis=1, keepdims=True),
            atol=1e-5,
        )
    assert np.abs(values["click"] - values["kind"]).max() > 1e-3


# -- STAR ------------------------------------------------------------------


def test_star_with_domain_weights_of_one_is_a_shared_network():
    """At the start it is; and a batch of one domain cannot tell."""
    model = built("star", shift=False, partitioned_norm=False)
    other = {k: x.copy() for k, x in INPUTS.items()}
    for layer in ("auxiliary_logit_click", "auxiliary_logit_kind"):
        layer = model.get_layer(layer)
        layer.set_weights([w * 0 for w in layer.get_weights()])
    other["ids"][:, 0] = 3
    assert_same_outputs(predict(model, INPUTS), predict(model, other), 1e-6)
    pooled = built("pooled_domains", shift=False)
    copy_namesakes(model, pooled)
    assert_same_outputs(predict(model, INPUTS), predict(pooled, INPUTS))


def test_logits_of_both_parts_add_and_take_both_signs():
    model = built("star")
    names = [
        "logit_click",
        "auxiliary_logit_click",
        "auxiliary_sum_click",
    ]
    values = keras.Model(
        model.inputs, {n: model.get_layer(n).output for n in names}
    )(INPUTS)
    own, added, total = (np.asarray(values[n]) for n in names)
    np.testing.assert_allclose(own + added, total, rtol=1e-5)
    np.testing.assert_allclose(
        predict(model, INPUTS)["click"], 1 / (1 + np.exp(-total)), atol=1e-6
    )
    for value in (own, added):
        centred = value - value.mean()
        assert centred.min() < 0 < centred.max()
    layer = model.get_layer("logit_click")
    for sign in (-1.0, 1.0):
        layer.bias.assign(np.full(layer.bias.shape, 100 * sign))
        layer.shared_bias.assign([0.0])
        click = predict(model, INPUTS)["click"]
        assert ((click > 0.5) == (sign > 0)).all()


def normed(x, own, n_domains=3, training=True, layer=None, **options):
    """Normalise rows once; return the rows and the layer."""
    layer = layer or PartitionedNorm(**options)
    weights = np.eye(n_domains, dtype="float32")[own]
    y = layer([x.astype("float32"), weights], training=training)
    return np.asarray(y), layer


def drawn(n, seed=0, width=4):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, width)) * 3 + 2).astype("float32")


def test_one_domain_is_batch_normalisation():
    ours = PartitionedNorm(momentum=0.8)
    theirs = keras.layers.BatchNormalization(momentum=0.8)
    for seed in range(4):
        x = drawn(20, seed)
        y, _ = normed(x, np.zeros(20, int), 1, layer=ours)
        np.testing.assert_allclose(
            y, np.asarray(theirs(x, training=True)), atol=1e-4
        )
    for a, b in (
        (ours.moving_mean, theirs.moving_mean),
        (ours.moving_variance, theirs.moving_variance),
    ):
        np.testing.assert_allclose(np.asarray(a)[0], np.asarray(b), rtol=1e-4)
    y, _ = normed(x, np.zeros(20, int), 1, training=False, layer=ours)
    np.testing.assert_allclose(
        y, np.asarray(theirs(x, training=False)), atol=1e-4
    )


def test_each_domain_is_normalised_as_if_alone():
    x, own = drawn(60), np.arange(60) % 3
    x[own == 1] = x[own == 1] * 10 - 50
    y, layer = normed(x, own)
    for d in range(3):
        alone, single = normed(x[own == d], np.zeros(20, int), 1)
        np.testing.assert_allclose(y[own == d], alone, atol=1e-4)
        for mine, its in (
            (layer.moving_mean, single.moving_mean),
            (layer.moving_variance, single.moving_variance),
        ):
            np.testing.assert_allclose(
                np.asarray(mine)[d], np.asarray(its)[0], rtol=1e-4
            )


def test_a_domain_that_is_absent_keeps_its_statistics_to_the_bit():
    x, own = drawn(60), np.arange(60) % 3
    _, layer = normed(x, own)
    before = [np.asarray(w) for w in layer.weights]
    normed(drawn(40, 5), np.repeat([0, 2], 20), layer=layer)
    normed(np.zeros((0, 4)), np.zeros(0, int), layer=layer)
    for weight, value in zip(layer.weights, before, strict=True):
        now = np.asarray(weight)
        assert np.isfinite(now).all()
        if "moving" in weight.path:
            np.testing.assert_array_equal(now[1], value[1])
            assert (now[[0, 2]] != value[[0, 2]]).all()


def test_inference_reads_the_averages_and_moves_nothing():
    x, own = drawn(60), np.arange(60) % 3
    _, layer = normed(x, own, momentum=0.5)
    rng = np.random.default_rng(3)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    before = [np.asarray(w) for w in layer.weights]
    y, _ = normed(x, own, training=False, layer=layer)
    gamma, beta, own_gamma, own_beta, mean, variance = before
    wanted = gamma * own_gamma[own] * (x - mean[own]) / np.sqrt(
        variance[own] + 1e-3
    ) + (beta + own_beta[own])
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), value)


def test_few_rows_are_normalised_by_the_averages_and_move_them_a_little():
    layer = PartitionedNorm(momentum=0.9, fewest_rows=16)
    normed(drawn(32), np.zeros(32, int), 2, layer=layer)
    layer.moving_mean.assign([[1.0] * 4, [2.0] * 4])
    layer.moving_variance.assign([[4.0] * 4, [9.0] * 4])
    x = np.full((1, 4), 5.0, "float32")
    y, _ = normed(x, np.array([1]), 2, layer=layer)
    np.testing.assert_allclose(y, 3 / np.sqrt(9.001), rtol=1e-5)
    step = 0.1 / 16
    np.testing.assert_allclose(
        np.asarray(layer.moving_mean)[1], 2 + step * 3, rtol=1e-6
    )
    np.testing.assert_allclose(
        np.asarray(layer.moving_variance)[1], 9 + step * (9 - 9), rtol=1e-6
    )
    np.testing.assert_array_equal(np.asarray(layer.moving_mean)[0], 1.0)


def test_rows_that_come_in_small_parts_move_the_averages_as_far():
    """Eight times two rows count like sixteen rows do, to first order."""
    x = drawn(16)
    layer, whole = (PartitionedNorm(momentum=0.999) for _ in range(2))
    for part in np.split(x, 8):
        normed(part, np.zeros(2, int), 1, layer=layer)
    normed(x, np.zeros(16, int), 1, layer=whole)
    np.testing.assert_allclose(
        np.asarray(layer.moving_mean),
        np.asarray(whole.moving_mean),
        rtol=2e-3,
    )


def test_an_unknown_domain_moves_no_average():
    layer = PartitionedNorm()
    weights = np.full((20, 2), 0.5, "float32")
    y = layer([drawn(20), weights], training=True)
    assert np.isfinite(np.asarray(y)).all()
    np.testing.assert_array_equal(np.asarray(layer.moving_mean), 0.0)


@pytest.mark.parametrize(
    "options", [{"momentum": 1.0}, {"fewest_rows": 1}, {"momentum": -0.1}]
)
def test_norms_that_are_refused(options):
    with pytest.raises(ValueError, match="momentum is"):
        PartitionedNorm(**options)


# -- PEPNet ----------------------------------------------------------------


def gates_of(model):
    return [x for x in model.layers if isinstance(x, models.PriorGate)]


@pytest.mark.parametrize("name", ["epnet", "ppnet", "pepnet"])
def test_a_gate_that_says_nothing_is_no_gate(name):
    model = built(name)
    for gate in gates_of(model):
        kernel, bias = gate.dense[1].kernel, gate.dense[1].bias
        kernel.assign(np.zeros(kernel.shape))
        bias.assign(np.zeros(bias.shape))
    pooled = built("pooled_domains")
    copy_namesakes(model, pooled)
    assert_same_outputs(predict(model, INPUTS), predict(pooled, INPUTS))


def test_factors_lie_between_0_and_2():
    model = unchanged("pepnet")
    gates = gates_of(model)
    assert len(gates) == 1 + 2 * len(TASKS)
    outputs = keras.Model(model.inputs, [g.output for g in gates])(INPUTS)
    for value in outputs:
        value = np.asarray(value)
        assert ((value > 0) & (value < 2)).all()
        assert np.abs(value - 1).max() > 0.1


def test_a_gate_by_hand():
    gate = models.PriorGate(3, 2, seed=1)
    prior, context = drawn(5, 1, 2), drawn(5, 2, 4)
    found = np.asarray(gate([prior, context]))
    u, a, v, b = (np.asarray(w) for w in gate.weights)
    hidden = np.maximum(np.hstack([prior, context]) @ u + a, 0)
    np.testing.assert_allclose(
        found, 2 / (1 + np.exp(-(hidden @ v + b))), rtol=1e-5
    )


def test_no_gradient_reaches_the_context_of_a_gate():
    gate = models.PriorGate(3, seed=1)
    prior, context = tf.constant(drawn(5, 1, 2)), tf.constant(drawn(5, 2, 4))
    with tf.GradientTape() as tape:
        tape.watch([prior, context])
        total = tf.reduce_sum(gate([prior, context]))
    to_prior, to_context = tape.gradient(total, [prior, context])
    assert to_context is None or not np.abs(to_context.numpy()).any()
    assert np.abs(to_prior.numpy()).max() > 0


@pytest.mark.parametrize("name", ["epnet", "ppnet", "pepnet"])
def test_embeddings_learn_what_they_would_if_gates_were_constants(name):
    """The gate's value scales the gradient, the gate's own path adds 0."""
    model = built(name)
    whole = gradients(model, INPUTS, loss_of(LABELS))["embedding/table"]
    outputs = {gate.name: gate.output for gate in gates_of(model)}
    gates = keras.Model(model.inputs, outputs)(INPUTS)
    config = model.get_config()
    fixed = keras.Model.from_config(config)
    fixed.set_weights(model.get_weights())
    for gate in gates_of(fixed):
        gate.call = lambda inputs, value=gates[gate.name]: value
    held = gradients(fixed, INPUTS, loss_of(LABELS))["embedding/table"]
    np.testing.assert_allclose(whole, held, atol=1e-6)
    assert np.abs(whole).max() > 0


def test_personal_features_make_the_prior_of_the_towers():
    model = built("pepnet", personal=("item", "price"))
    table = model.get_layer("personal_embedding")
    assert table.field_sizes == (SCHEMA.field_sizes[1],)
    other = {k: x.copy() for k, x in INPUTS.items()}
    price = list(SCHEMA.number_names).index("price")
    other["numbers"][:, price] += 1
    gate = keras.Model(model.inputs, model.get_layer("gate_click_0").output)
    assert np.abs(np.asarray(gate(other)) - np.asarray(gate(INPUTS))).max() > 0
    with pytest.raises(ValueError, match="personal names 'age_group'"):
        built("ppnet", personal=("age_group",))


# -- training --------------------------------------------------------------


def domains_schema(values="abc", n=120, seed=0):
    """Two ids and a domain; clicks that depend on all of them."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "group": np.arange(n) % 4,
            "genre": (np.arange(n) // 4) % 3,
            "domain": [values[i % len(values)] for i in range(n)],
        }
    )
    frame["click"] = rng.integers(2, size=n)
    frame["like"] = rng.integers(2, size=n)
    features = [Categorical(c) for c in ("group", "genre", "domain")]
    schema = Schema(features, [Task("click"), Task("like")]).fit(frame)
    return schema, frame


def test_fit_carries_the_statistics_of_a_norm():
    """Its loop is compiled; the averages must move in it, and be kept."""
    schema, frame = domains_schema()
    train = schema.encode(frame)
    model = models.star(schema, **SMALL, bottom_units=(5,), seed=1)
    norm = model.get_layer("partitioned_norm")
    only_b = train.subset(frame["domain"].to_numpy() == "b")
    fit(model, only_b, epochs=3, batch_size=20, seed=1, progress=False)
    mean, variance = (
        np.asarray(norm.moving_mean),
        np.asarray(norm.moving_variance),
    )
    assert np.abs(mean[1]).min() > 0 and (variance[1] < 1).all()
    np.testing.assert_array_equal(mean[[0, 2]], 0.0)
    np.testing.assert_array_equal(variance[[0, 2]], 1.0)


@pytest.mark.parametrize("name", ["separate_domains", "star"])
def test_training_on_one_domain_leaves_the_others_to_the_bit(name):
    schema, frame = domains_schema()
    train = schema.encode(frame)
    widths = {"bottom_units": (6,)}
    build = getattr(models, name)
    model = build(schema, **SMALL, **widths, seed=1)
    before = {w.path: np.asarray(w) for w in model.weights}
    only_b = train.subset(frame["domain"].to_numpy() == "b")
    fit(model, only_b, epochs=2, batch_size=16, seed=1, progress=False)
    for weight in model.weights:
        value, was = np.asarray(weight), before[weight.path]
        if len(value) == 3 and "embedding" not in weight.path:
            np.testing.assert_array_equal(value[[0, 2]], was[[0, 2]])
            assert np.abs(value[1] - was[1]).max() > 0, weight.path


# -- a domain that joins late ----------------------------------------------

LATE = ("shared_bottom_over_domains", "mmoe_over_domains", "star", "epnet")


@pytest.mark.parametrize("name", LATE)
def test_a_late_domain_leaves_the_old_ones_as_they_were(name):
    old, old_frame = domains_schema("acd")
    new, frame = domains_schema("abcd")
    build = getattr(models, name)
    options = (
        SMALL
        if name == "mmoe_over_domains"
        else {**SMALL, "bottom_units": (5,)}
    )
    source, target = build(old, **options), build(new, **options)
    shift_every_weight(source)
    keep_variances_positive(source)
    assert carry_domains(source, old, target, new) == ["b"]
    rows = old.encode(old_frame)
    before = predict(source, rows.inputs)
    again = new.encode(old_frame).inputs
    assert_same_outputs(predict(target, again), before, 1e-6)
    if name in LATE[:2]:  # b begins as an unknown domain was served
        fresh = old_frame.assign(domain="b")
        assert_same_outputs(
            predict(target, new.encode(fresh).inputs),
            predict(source, old.encode(fresh).inputs),
        )
    shared = {
        "epnet": ["embedding", "bottom", "gate_embedding", "towers"],
        "mmoe_over_domains": ["embedding", "experts"],
        "shared_bottom_over_domains": ["embedding", "bottom"],
    }.get(name)
    if shared is None:
        return
    freeze(target, *shared)
    if name == "epnet":
        target.get_layer("domain_embedding").trainable = True
    before = predict(target, again)
    late = new.encode(frame[frame["domain"] == "b"])
    start = predict(target, late.inputs)
    fit(target, late, epochs=2, learning_rate=0.1, seed=1, progress=False)
    assert_same_outputs(predict(target, again), before, 0)
    moved = predict(target, late.inputs)["click"] - start["click"]
    assert np.abs(moved).max() > 1e-4


def test_what_cannot_be_carried():
    old, _ = domains_schema("abc")
    new, _ = domains_schema("abcd")
    few = domains_schema("abcd", n=4)[0]
    build = models.shared_bottom_over_domains
    source, target = build(old, **SMALL), build(new, **SMALL)
    with pytest.raises(ValueError, match="Fit the target's schema"):
        carry_domains(source, old, source, old)
    with pytest.raises(ValueError, match="Fit the target's schema"):
        carry_domains(target, new, source, old)
    with pytest.raises(ValueError, match="Fit the target's schema"):
        carry_domains(source, old, build(few, **SMALL), few)
    reads = [
        models.pooled_domains(s, read_domain=True, **SMALL) for s in (old, new)
    ]
    with pytest.raises(ValueError, match="no counterpart"):
        carry_domains(reads[0], old, reads[1], new)


# -- another backend -------------------------------------------------------

ON_JAX = """
import sys
from pathlib import Path
import keras, numpy as np
from mtlrec_utils import models

assert keras.backend.backend() == "jax"
folder = Path(sys.argv[1])
inputs = dict(np.load(folder / "inputs.npz"))
labels = dict(np.load(folder / "labels.npz"))
for path in sorted(folder.glob("*.keras")):
    model = keras.saving.load_model(path)
    found = {k: np.asarray(v) for k, v in model(inputs).items()}
    np.savez(path.with_suffix(".jax.npz"), **found)
    if path.stem != "star":
        continue
    model.compile(
        keras.optimizers.SGD(0.1),
        loss="binary_crossentropy",
        run_eagerly=True,
    )
    before = {w.path: np.asarray(w) for w in model.weights}
    model.fit(inputs, labels, batch_size=24, verbose=0)
    for w in model.weights:
        assert np.abs(np.asarray(w) - before[w.path]).max() > 0, w.path
"""


def test_jax_predicts_the_same_and_moves_the_statistics(tmp_path):
    schema = small_schema([Task("click")])
    np.savez(tmp_path / "inputs.npz", **INPUTS)
    np.savez(tmp_path / "labels.npz", click=random_labels(schema)["click"])
    wanted = {}
    for name in ("separate_domains", "star", "pepnet"):
        model = built(name, schema)
        model.save(tmp_path / f"{name}.keras")
        wanted[name] = predict(model, INPUTS)
    run_on_jax(ON_JAX, tmp_path)
    for name, value in wanted.items():
        found = dict(np.load(tmp_path / f"{name}.jax.npz"))
        assert_same_outputs(found, value, 1e-5)
