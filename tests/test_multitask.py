"""Multi-task models: what must hold exactly, whatever the weights."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from models_under_test import (
    BUILDERS,
    TASKS,
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
from mtlrec_utils.data.schema import Schema, Task

SCHEMA = small_schema()
INPUTS = random_inputs(SCHEMA)
LABELS = random_labels(SCHEMA)
MIXTURES = {name: BUILDERS[name] for name in ("omoe", "mmoe")}


@pytest.fixture
def policy():
    """Set a dtype policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@functools.cache
def unchanged(name):
    """One model of each kind for the tests that change no weight."""
    return BUILDERS[name](SCHEMA, seed=1)


@pytest.fixture(params=BUILDERS, name="model")
def _model(request):
    return unchanged(request.param)


@pytest.fixture(params=BUILDERS, name="build")
def _build(request):
    return BUILDERS[request.param]


@pytest.fixture(params=MIXTURES, name="build_mixture")
def _build_mixture(request):
    return MIXTURES[request.param]


def masked_loss(schema, labels, masks=None, weights=None):
    """Sum over tasks of weight times mean loss over the task's mask."""

    def total(outputs):
        return sum(
            (weights or {}).get(name, 1.0)
            * loss(labels[name], outputs[name], (masks or {}).get(name))
            for name, loss in losses_of(schema).items()
            if name in outputs
        )

    return total


def assert_same_gradients(ours, theirs, tolerance=1e-5):
    assert set(ours) == set(theirs)
    for path, gradient in ours.items():
        np.testing.assert_allclose(
            gradient, theirs[path], rtol=tolerance, atol=tolerance
        )


def copy_layers(source, target):
    """Give each layer of the target the weights of its namesake."""
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


# -- shape of every model -----------------------------------------------


def test_inputs_outputs_and_layer_names(build):
    model = build(SCHEMA, seed=1)
    outputs = predict(model, INPUTS)
    assert [x.name for x in model.inputs] == ["ids", "numbers"]
    assert {x.name: x.dtype for x in model.inputs} == {
        "ids": "int32",
        "numbers": "float32",
    }
    names = {layer.name for layer in model.layers}
    assert {"embedding", "features"} <= names
    for task in outputs:
        assert {f"tower_{task}", f"logit_{task}", task} <= names
        assert outputs[task].shape == (24, 1)
    assert model.get_layer("embedding").output.shape == (None, 4 * 16)
    numbers = 1 if model.name == "mmoe_with_position_bias" else 2
    assert model.get_layer("features").output.shape == (None, 64 + numbers)


def test_no_model_keeps_statistics_of_its_batches(model):
    """Of rows that are not there they become NaN, for good."""
    kept = {v.path.split("/")[-1] for v in model.non_trainable_variables}
    assert kept <= {"seed_generator_state"}


def test_layers_between_front_and_towers():
    def between(model):
        shared = ("tower_", "logit_")
        ends = {"ids", "numbers", "embedding", "features"}
        return {
            layer.name
            for layer in model.layers
            if not layer.name.startswith(shared)
            and layer.name not in ends
            and layer.name not in SCHEMA.task_names
        }

    assert between(models.shared_bottom(SCHEMA)) == {"bottom"}
    assert between(models.single_task(SCHEMA, "click")) == {"bottom"}
    assert between(models.omoe(SCHEMA)) == {
        "experts",
        "gate_shared",
        "mixture_shared",
    }
    assert between(models.mmoe(SCHEMA)) == {
        "experts",
        *(f"gate_{task}" for task in SCHEMA.task_names),
        *(f"mixture_{task}" for task in SCHEMA.task_names),
    }


def test_experts_reach_the_mixture_whole():
    model = models.mmoe(SCHEMA, n_experts=5, expert_units=(7, 6))
    assert model.get_layer("experts").output.shape == (None, 5, 6)
    assert model.get_layer("gate_click").output.shape == (None, 5)
    assert model.get_layer("mixture_click").output.shape == (None, 6)


def test_gates_read_the_raw_features():
    model = models.mmoe(SCHEMA)
    features = model.get_layer("features").output
    for task in SCHEMA.task_names:
        assert model.get_layer(f"gate_{task}").input is features
    assert model.get_layer("experts").input is features


def test_outputs_follow_the_kind_of_the_task(build):
    kinds = [
        Task("yes"),
        Task("amount", "regression"),
        Task("genre", "multiclass", classes=4),
    ]
    for kind in kinds:
        schema = small_schema([kind])
        model = build(schema, seed=1)
        shift_every_weight(model)
        # Both signs of a logit must be reachable, so widen it.
        logit_layer = model.get_layer(f"logit_{kind.name}")
        kernel, bias = logit_layer.get_weights()
        logit_layer.set_weights([kernel * 5, bias * 0])
        logits = np.asarray(
            keras.Model(model.inputs, logit_layer.output)(INPUTS)
        )
        out = predict(model, INPUTS)[kind.name]
        if kind.kind == "binary":
            expected = 1 / (1 + np.exp(-logits))
        elif kind.kind == "regression":
            expected = logits
        else:
            assert out.shape == (24, 4)
            expected = np.exp(logits)
            expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(out, expected, atol=1e-6)


def test_an_input_that_would_be_empty_is_left_out(build):
    numbers_only = small_schema(ids=False)
    model = build(numbers_only, seed=1)
    assert [x.name for x in model.inputs] == ["numbers"]
    assert "embedding" not in {layer.name for layer in model.layers}
    predict(model, random_inputs(numbers_only))
    ids_only = small_schema(numbers=False)
    model = build(ids_only, seed=1)
    assert [x.name for x in model.inputs] == ["ids"]
    predict(model, random_inputs(ids_only))


# -- properties 1 to 4: shared bottom, masks, names ----------------------


def test_one_task_equals_a_plain_mlp():
    schema = small_schema(TASKS[:1], ids=False)
    inputs = random_inputs(schema)
    ours = models.shared_bottom(schema, seed=1)
    plain = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    plain.set_weights(ours.get_weights())
    labels = random_labels(schema)["click"]
    loss = keras.losses.BinaryCrossentropy()
    with tf.GradientTape(persistent=True) as tape:
        our_loss = loss(labels, ours(inputs)["click"])
        plain_loss = loss(labels, plain(inputs["numbers"]))
    np.testing.assert_allclose(our_loss, plain_loss, rtol=1e-6)
    for a, b in zip(
        tape.gradient(our_loss, ours.trainable_weights),
        tape.gradient(plain_loss, plain.trainable_weights),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_task_of_weight_zero_leaves_a_single_task_model():
    both = models.shared_bottom(SCHEMA, seed=1)
    alone = models.single_task(SCHEMA, "click", seed=1)
    shift_every_weight(both)
    copy_layers(both, alone)
    off = {"click_long": 0.0, "minutes": 0.0}
    ours = gradients(both, INPUTS, masked_loss(SCHEMA, LABELS, None, off))
    theirs = gradients(alone, INPUTS, masked_loss(SCHEMA, LABELS))
    assert_same_gradients({p: ours[p] for p in theirs}, theirs)
    others = set(ours) - set(theirs)
    assert len(others) == 8  # two towers and two logits
    for path in others:
        np.testing.assert_array_equal(ours[path], 0)


def test_with_one_seed_single_task_starts_where_shared_bottom_does():
    both = models.shared_bottom(SCHEMA, seed=1)
    alone = models.single_task(SCHEMA, "click_long", seed=1)
    assert_same_outputs(
        predict(alone, INPUTS),
        {"click_long": predict(both, INPUTS)["click_long"]},
    )


def test_a_mask_of_ones_is_no_mask(model):
    ones = {name: np.ones(24, "float32") for name in LABELS}
    assert_same_gradients(
        gradients(model, INPUTS, masked_loss(SCHEMA, LABELS, ones)),
        gradients(model, INPUTS, masked_loss(SCHEMA, LABELS)),
    )


def test_labels_under_a_mask_change_nothing(model):
    mask = (np.arange(24) % 3 != 0).astype("float32")
    masks = dict.fromkeys(LABELS, mask)
    theirs = gradients(model, INPUTS, masked_loss(SCHEMA, LABELS, masks))
    for filler in (-1.0, 0.0, 1e6):
        changed = {
            name: np.where(mask[:, None] == 0, filler, label)
            for name, label in LABELS.items()
        }
        ours = gradients(model, INPUTS, masked_loss(SCHEMA, changed, masks))
        assert_same_gradients(ours, theirs)


def test_an_all_masked_batch_has_loss_zero_and_finite_gradients(model):
    none = {name: np.zeros(24, "float32") for name in LABELS}
    loss = masked_loss(SCHEMA, LABELS, none)
    assert float(loss(model(INPUTS))) == 0
    for gradient in gradients(model, INPUTS, loss).values():
        np.testing.assert_array_equal(gradient, 0)


def test_a_batch_twice_over_leaves_loss_and_gradient(model):
    masks = {
        name: (np.arange(24) % (2 + i) == 0).astype("float32")
        for i, name in enumerate(LABELS)
    }

    def twice(arrays):
        return {name: np.concatenate([a, a]) for name, a in arrays.items()}

    once = masked_loss(SCHEMA, LABELS, masks)
    double = masked_loss(SCHEMA, twice(LABELS), twice(masks))
    np.testing.assert_allclose(
        once(model(INPUTS)), double(model(twice(INPUTS))), rtol=1e-5
    )
    assert_same_gradients(
        gradients(model, INPUTS, once),
        gradients(model, twice(INPUTS), double),
    )


def test_a_masked_loss_is_a_mean_over_the_mask():
    model = unchanged("shared_bottom")
    p = predict(model, INPUTS)["click"][:, 0].astype("float64")
    y = LABELS["click"][:, 0]
    mask = (np.arange(24) < 6).astype("float32")
    each = -y * np.log(p) - (1 - y) * np.log(1 - p)
    loss = losses_of(SCHEMA)["click"](
        LABELS["click"], model(INPUTS)["click"], mask
    )
    np.testing.assert_allclose(loss, each[:6].mean(), rtol=1e-5)
    assert abs(float(loss) - (each * mask).mean()) > 0.1


def test_the_order_of_tasks_changes_no_output(build):
    def built(tasks):
        schema = small_schema(tasks)
        if build is BUILDERS["single_task"]:
            return models.single_task(schema, "click", seed=1)
        return build(schema, seed=1)

    ours, theirs = built(TASKS), built(TASKS[::-1])
    assert_same_outputs(predict(ours, INPUTS), predict(theirs, INPUTS))


@pytest.mark.parametrize(
    ("first", "second"), [("a", "b"), ("b", "a"), ("click_long", "click")]
)
@pytest.mark.parametrize("name", sorted(set(BUILDERS) - {"single_task"}))
def test_each_metric_lands_under_its_own_name(name, first, second):
    schema = small_schema([Task(first), Task(second)])
    model = BUILDERS[name](schema, seed=1)
    for task, probability in ((first, 0.1), (second, 0.9)):
        layer = model.get_layer(f"logit_{task}")
        kernel, bias = layer.get_weights()
        logit = np.log(probability / (1 - probability))
        layer.set_weights([kernel * 0, bias * 0 + logit])
    model.compile(
        loss={first: "mae", second: "mae"},
        metrics={first: ["mae"], second: ["mae"]},
        run_eagerly=True,
    )
    zeros = {name: np.zeros((24, 1)) for name in (first, second)}
    result = model.evaluate(INPUTS, zeros, verbose=0, return_dict=True)
    np.testing.assert_allclose(result[f"{first}_mae"], 0.1, rtol=1e-5)
    np.testing.assert_allclose(result[f"{second}_mae"], 0.9, rtol=1e-5)
    predicted = model.predict_on_batch(INPUTS)
    np.testing.assert_allclose(predicted[first], 0.1, rtol=1e-5)
    np.testing.assert_allclose(predicted[second], 0.9, rtol=1e-5)


def test_names_with_a_common_prefix_stay_separate(build):
    model = build(SCHEMA, seed=1)
    shift_every_weight(model)
    before = predict(model, INPUTS)
    for layer in model.layers:
        if layer.name in ("gate_click", "tower_click", "logit_click"):
            for weight in layer.weights:
                weight.assign(-np.asarray(weight) + 0.2)
    after = predict(model, INPUTS)
    assert np.abs(after["click"] - before["click"]).max() > 1e-3
    for name in set(after) - {"click"}:
        np.testing.assert_array_equal(after[name], before[name])


# -- properties 5 to 12: mixtures of experts -----------------------------


def test_one_expert_equals_shared_bottom_whatever_the_gate(build_mixture):
    mixture = build_mixture(
        SCHEMA, n_experts=1, expert_units=(8, 6), gate_bias=True, seed=1
    )
    shift_every_weight(mixture)
    shared = models.shared_bottom(SCHEMA, bottom_units=(8, 6))
    for layer in shared.layers:
        if layer.weights and layer.name != "bottom":
            layer.set_weights(mixture.get_layer(layer.name).get_weights())
    kernels = mixture.get_layer("experts").kernels
    biases = mixture.get_layer("experts").biases
    shared.get_layer("bottom").set_weights(
        [
            np.asarray(weight)[0]
            for pair in zip(kernels, biases, strict=True)
            for weight in pair
        ]
    )
    assert_same_outputs(predict(mixture, INPUTS), predict(shared, INPUTS))
    loss = masked_loss(SCHEMA, LABELS)
    ours = gradients(mixture, INPUTS, loss)
    theirs = gradients(shared, INPUTS, loss)
    gate_paths = [path for path in ours if path.startswith("gate_")]
    assert gate_paths
    for path in gate_paths:
        np.testing.assert_array_equal(ours[path], 0)
    for depth in (0, 1):
        np.testing.assert_allclose(
            ours[f"experts/kernel_{depth}"][0],
            theirs[f"bottom/dense_{depth}/kernel"],
            atol=1e-5,
        )
    np.testing.assert_allclose(
        ours["embedding/table"], theirs["embedding/table"], atol=1e-5
    )


def expert_outputs(model, inputs):
    layer = model.get_layer("experts")
    return np.asarray(keras.Model(model.inputs, layer.output)(inputs))


def mixture_outputs(model, name, inputs):
    layer = model.get_layer(f"mixture_{name}")
    return np.asarray(keras.Model(model.inputs, layer.output)(inputs))


def test_zero_gates_average_and_a_large_bias_picks_an_expert():
    model = models.mmoe(SCHEMA, n_experts=5, gate_bias=True, seed=1)
    shift_every_weight(model)
    experts = expert_outputs(model, INPUTS)
    for task in SCHEMA.task_names:
        gate = model.get_layer(f"gate_{task}")
        gate.set_weights([np.zeros_like(w) for w in gate.get_weights()])
        np.testing.assert_allclose(
            mixture_outputs(model, task, INPUTS),
            experts.mean(axis=1),
            atol=1e-5,
        )
    for expert, task in enumerate(SCHEMA.task_names):
        gate = model.get_layer(f"gate_{task}")
        gate.bias.assign(50.0 * np.eye(5)[expert])
        np.testing.assert_allclose(
            mixture_outputs(model, task, INPUTS),
            experts[:, expert],
            atol=1e-6,
        )


def test_each_task_mixes_by_its_own_gate():
    model = models.mmoe(SCHEMA, n_experts=5, seed=1)
    shift_every_weight(model)
    values = models.gate_values(model, INPUTS)
    experts = expert_outputs(model, INPUTS)
    for task, gate in values.items():
        np.testing.assert_allclose(
            mixture_outputs(model, task, INPUTS),
            np.einsum("be,beo->bo", gate, experts),
            atol=1e-5,
        )


def test_gate_values_are_shares_per_row_task_and_expert(build_mixture):
    model = build_mixture(SCHEMA, n_experts=5, seed=1)
    shift_every_weight(model)
    values = models.gate_values(model, INPUTS)
    assert set(values) == set(SCHEMA.task_names)
    for gate in values.values():
        assert gate.shape == (24, 5)
        assert gate.dtype == np.float32
        np.testing.assert_allclose(gate.sum(axis=1), 1, atol=1e-6)
        assert (gate > 0).all()
        assert (gate < 1).all()
    in_pieces = models.gate_values(model, INPUTS, batch_size=7)
    for task, gate in values.items():
        np.testing.assert_allclose(in_pieces[task], gate, atol=1e-6)
    as_examples = type("Examples", (), {"inputs": INPUTS})()
    np.testing.assert_array_equal(
        models.gate_values(model, as_examples)["click"], values["click"]
    )
    none = {name: x[:0] for name, x in INPUTS.items()}
    assert models.gate_values(model, none)["click"].shape == (0, 5)
    same = values["click"] is values["minutes"]
    assert same == (model.name == "omoe")


@pytest.mark.parametrize(
    "name", ["single_task", "shared_bottom", "cross_stitch", "l2_constrained"]
)
def test_gate_values_of_a_model_without_gates(name):
    model = BUILDERS[name](SCHEMA)
    with pytest.raises(ValueError, match="has no gates"):
        models.gate_values(model, INPUTS)
    with pytest.raises(ValueError, match="has no gates"):
        models.gate_columns(model)


def test_all_experts_of_a_single_mixture_are_shared(build_mixture):
    model = build_mixture(SCHEMA, n_experts=3)
    assert models.gate_columns(model) == dict.fromkeys(
        SCHEMA.task_names, ("shared", "shared", "shared")
    )
    np.testing.assert_array_equal(
        models.gate_values(model, INPUTS, level=1)["click"],
        models.gate_values(model, INPUTS)["click"],
    )
    with pytest.raises(ValueError, match="level must be 1 to 1"):
        models.gate_values(model, INPUTS, level=2)


def test_omoe_is_mmoe_with_tied_gates():
    one = models.omoe(SCHEMA, seed=1)
    shift_every_weight(one)
    many = models.mmoe(SCHEMA, seed=2)
    for layer in many.layers:
        if layer.name.startswith("gate_"):
            source = one.get_layer("gate_shared")
        else:
            source = one.get_layer(layer.name) if layer.weights else layer
        layer.set_weights(source.get_weights())
    assert_same_outputs(predict(one, INPUTS), predict(many, INPUTS))
    loss = masked_loss(SCHEMA, LABELS)
    ours = gradients(one, INPUTS, loss)
    theirs = gradients(many, INPUTS, loss)
    tied = [g for path, g in theirs.items() if path.startswith("gate_")]
    theirs = {p: g for p, g in theirs.items() if not p.startswith("gate_")}
    theirs["gate_shared/kernel"] = sum(tied)
    assert_same_gradients(ours, theirs)


def test_permuting_experts_with_their_gate_columns_changes_nothing():
    model = models.mmoe(
        SCHEMA, n_experts=4, expert_units=(8, 6), gate_bias=True, seed=1
    )
    shift_every_weight(model)
    before = predict(model, INPUTS)
    order = [2, 0, 3, 1]
    experts = model.get_layer("experts")
    experts.set_weights([w[order] for w in experts.get_weights()])
    moved = predict(model, INPUTS)
    assert np.abs(moved["click"] - before["click"]).max() > 1e-4
    for task in SCHEMA.task_names:
        gate = model.get_layer(f"gate_{task}")
        gate.set_weights([w[..., order] for w in gate.get_weights()])
    assert_same_outputs(predict(model, INPUTS), before)


def make_experts_identical(model):
    experts = model.get_layer("experts")
    experts.set_weights(
        [np.repeat(w[:1], len(w), axis=0) for w in experts.get_weights()]
    )


def test_identical_experts_make_gates_irrelevant():
    model = models.mmoe(SCHEMA, n_experts=3, seed=1)
    shift_every_weight(model)
    make_experts_identical(model)
    before = predict(model, INPUTS)
    found = gradients(model, INPUTS, masked_loss(SCHEMA, LABELS))
    gate_gradients = [
        g for path, g in found.items() if path.startswith("gate_")
    ]
    assert len(gate_gradients) == 3
    for gradient in gate_gradients:
        np.testing.assert_allclose(gradient, 0, atol=1e-6)
    for task in SCHEMA.task_names:
        gate = model.get_layer(f"gate_{task}")
        gate.set_weights([w[:, ::-1] * 3 for w in gate.get_weights()])
    assert_same_outputs(predict(model, INPUTS), before)


@pytest.mark.parametrize("gates", ["zero", "random"])
def test_only_the_gates_break_the_symmetry_of_identical_experts(gates):
    schema = small_schema(TASKS[:2], ids=False)
    model = models.mmoe(
        schema, n_experts=4, expert_units=(6,), tower_units=(4,), seed=1
    )
    make_experts_identical(model)
    if gates == "zero":
        for task in schema.task_names:
            gate = model.get_layer(f"gate_{task}")
            gate.kernel.assign(np.zeros(gate.kernel.shape))
    model.compile(
        keras.optimizers.Adam(0.01),
        loss=dict.fromkeys(schema.task_names, "binary_crossentropy"),
        jit_compile=False,
    )
    n_rows = 500 * 8
    model.fit(
        random_inputs(schema, n_rows),
        random_labels(schema, n_rows),
        batch_size=8,
        verbose=0,
    )
    kernel = np.asarray(model.get_layer("experts").kernels[0])
    spread = np.abs(kernel - kernel[:1]).max()
    if gates == "zero":
        assert spread == 0
    else:
        assert spread > 0.05


def test_parameter_counts_follow_the_formula():
    e, h, t, tower = 5, 8, len(TASKS), 4
    ids = sum(SCHEMA.field_sizes) * 3
    d = 4 * 3 + 2
    towers = t * (h * tower + tower + tower + 1)
    sizes = {"embedding_dimension": 3, "tower_units": (tower,)}
    mixture = {"n_experts": e, "expert_units": (h,), **sizes}
    mmoe = models.mmoe(SCHEMA, **mixture)
    assert models.count_parameters(mmoe) == (
        e * (d * h + h) + t * d * e + ids + towers
    )
    omoe = models.omoe(SCHEMA, **mixture)
    assert models.count_parameters(omoe) == (
        e * (d * h + h) + d * e + ids + towers
    )
    shared = models.shared_bottom(SCHEMA, bottom_units=(h,), **sizes)
    assert models.count_parameters(shared) == d * h + h + ids + towers
    alone = models.single_task(SCHEMA, "click", bottom_units=(h,), **sizes)
    assert models.count_parameters(alone) == (d * h + h + ids + towers // t)


def test_a_frozen_layer_is_not_counted():
    model = models.shared_bottom(SCHEMA)
    full = models.count_parameters(model)
    model.get_layer("embedding").trainable = False
    assert models.count_parameters(model) == (
        full - sum(SCHEMA.field_sizes) * 16
    )


# -- property 25 and everything ------------------------------------------


def test_every_trainable_variable_has_a_gradient(build):
    schema = small_schema([*TASKS, Task("genre", "multiclass", classes=3)])
    model = build(schema, seed=1)
    shift_every_weight(model)
    loss = masked_loss(schema, random_labels(schema))
    found = gradients(model, INPUTS, loss)
    assert len(found) == len(model.trainable_weights)
    for path, gradient in found.items():
        assert gradient is not None, path
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path


def test_a_prediction_does_not_depend_on_its_batch(build):
    model = build(SCHEMA, dropout=0.3, seed=1)
    shift_every_weight(model)
    whole = predict(model, INPUTS)
    for i in range(0, 24, 5):
        row = {name: x[i : i + 1] for name, x in INPUTS.items()}
        alone = predict(model, row)
        for name, value in alone.items():
            np.testing.assert_allclose(value[0], whole[name][i], atol=1e-5)


def is_drawn(weight):
    """Whether a weight starts at random: no bias, no mixing matrix."""
    return weight.path.split("/")[-1].startswith(("kernel", "table"))


def test_same_seed_same_weights_and_other_seed_others(build):
    a, b, c = (build(SCHEMA, seed=seed) for seed in (1, 1, 2))
    for ours, same, other in zip(a.weights, b.weights, c.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(same))
        if is_drawn(ours):
            assert np.abs(np.asarray(ours) - np.asarray(other)).max() > 1e-3


def test_no_two_weights_start_alike(build):
    for seed in (None, 1):
        model = build(
            SCHEMA,
            tower_units=(16, 16),
            seed=seed,
            embedding_dimension=16,
        )
        drawn = {}
        for weight in model.weights:
            if is_drawn(weight):
                values = np.asarray(weight).ravel()
                drawn[weight.path] = (values / values.std())[:16]
        paths = sorted(drawn)
        for i, path in enumerate(paths):
            for other in paths[:i]:
                n = min(len(drawn[path]), len(drawn[other]))
                gap = np.abs(drawn[path][:n] - drawn[other][:n]).max()
                assert gap > 0.1, (path, other)


def test_without_a_seed_keras_decides(build):
    keras.utils.set_random_seed(3)
    first, second = build(SCHEMA), build(SCHEMA)
    keras.utils.set_random_seed(3)
    again = build(SCHEMA)
    a, b, c = (predict(m, INPUTS)["click"] for m in (first, second, again))
    np.testing.assert_array_equal(a, c)
    assert np.abs(a - b).max() > 1e-4


def test_dropout_is_repeatable_and_for_training_only(build_mixture):
    options = {"dropout": 0.5, "gate_dropout": 0.5, "seed": 1}
    a, b = (build_mixture(SCHEMA, **options) for _ in range(2))
    noisy = np.asarray(a(INPUTS, training=True)["click"])
    np.testing.assert_array_equal(
        noisy, np.asarray(b(INPUTS, training=True)["click"])
    )
    quiet = predict(a, INPUTS)["click"]
    assert np.abs(noisy - quiet).max() > 1e-4
    np.testing.assert_array_equal(quiet, predict(a, INPUTS)["click"])


def test_gate_options_reach_the_gates(build_mixture):
    model = build_mixture(
        SCHEMA, gate_temperature=0.5, gate_dropout=0.25, gate_bias=True
    )
    gates = [x for x in model.layers if isinstance(x, models.SoftmaxGate)]
    assert gates
    for gate in gates:
        assert (gate.temperature, gate.dropout) == (0.5, 0.25)
        assert gate.use_bias


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("pattern", BUILDERS)
def test_mixed_precision(policy, name, pattern):
    exact = unchanged(pattern)
    policy(name)
    model = BUILDERS[pattern](SCHEMA, seed=1)
    outputs = model(INPUTS)
    half = name.removeprefix("mixed_")
    hidden = {
        layer.name: layer.output
        for layer in model.layers
        if layer.name.startswith(
            ("embedding", "experts", "mixture", "tower", "bottom", "cross")
        )
        or layer.name.startswith("level")
        and "gate" not in layer.name
    }
    assert len(hidden) >= 3
    values = keras.Model(model.inputs, hidden)(INPUTS)
    for value in keras.tree.flatten(values):
        assert value.dtype == half
    assert all(value.dtype == "float32" for value in outputs.values())
    assert_same_outputs(predict(model, INPUTS), predict(exact, INPUTS), 0.02)
    gates = [x for x in model.layers if isinstance(x, models.SoftmaxGate)]
    for gate in gates and models.gate_values(model, INPUTS).values():
        np.testing.assert_allclose(gate.sum(axis=1), 1, atol=1e-6)
    model.compile("adam", loss=only_of(model), run_eagerly=True)
    labels = {task: LABELS[task] for task in outputs}
    losses = [model.train_on_batch(INPUTS, labels) for _ in range(5)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def only_of(model):
    """The losses of the tasks that a model has."""
    losses = losses_of(SCHEMA)
    return {task: losses[task] for task in model.output}


XLA_OPTIONS = {
    "mmoe": {"n_experts": 2, "gate_dropout": 0.1},
    "cross_stitch": {"bottom_units": (6,)},
    "l2_constrained": {"bottom_units": (6,)},
    "ple": {"n_task_experts": 1, "n_shared_experts": 1, "gate_dropout": 0.1},
    "mmoe_with_position_bias": {"n_experts": 2, "bias_dropout": 0.1},
}


@pytest.mark.parametrize("name", XLA_OPTIONS)
def test_compiled_by_xla(name):
    schema = small_schema(TASKS[:2])
    inputs, labels = random_inputs(schema), random_labels(schema)
    model = BUILDERS[name](
        schema, dropout=0.1, tower_units=(), seed=1, **XLA_OPTIONS[name]
    )
    model.compile("sgd", loss="binary_crossentropy", jit_compile=True)
    before = [np.asarray(weight) for weight in model.weights]
    model.train_on_batch(inputs, labels)
    for weight, start in zip(model.weights, before, strict=True):
        assert np.abs(np.asarray(weight) - start).max() > 0, weight.path


# -- saving and exporting ------------------------------------------------


def test_save_and_load_round_trip(build, tmp_path):
    options = {"dropout": 0.1}
    if build in MIXTURES.values():
        options.update(gate_dropout=0.1, gate_temperature=2.0)
    model = build(SCHEMA, seed=1, **options)
    shift_every_weight(model)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    # Through JSON, where tuples and lists are the same.
    ours, theirs = (
        json.dumps(m.get_config(), sort_keys=True) for m in (copy, model)
    )
    assert ours == theirs
    assert_same_outputs(predict(copy, INPUTS), predict(model, INPUTS), 1e-7)
    if build in MIXTURES.values():
        np.testing.assert_array_equal(
            models.gate_values(copy, INPUTS)["click"],
            models.gate_values(model, INPUTS)["click"],
        )


def test_exported_model_keeps_its_output_names(tmp_path):
    model = models.mmoe(SCHEMA, seed=1)
    shift_every_weight(model)
    model.export(tmp_path / "served", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "served")
    served = loaded.serve({k: tf.constant(x) for k, x in INPUTS.items()})
    served = {name: np.asarray(value) for name, value in served.items()}
    assert_same_outputs(served, predict(model, INPUTS))


# -- equal capacity ------------------------------------------------------


@pytest.mark.parametrize("bottom", [(8,), (64, 32), (20, 30, 10)])
@pytest.mark.parametrize("tasks", [None, ["click"]])
def test_equal_capacity_units_are_the_closest(bottom, tasks):
    model = models.mmoe(
        SCHEMA, n_experts=6, expert_units=(24,), embedding_dimension=4
    )
    target = models.count_parameters(model)
    options = {"embedding_dimension": 4, "tower_units": (8,)}
    units = models.equal_capacity_units(
        model, SCHEMA, tasks=tasks, bottom_units=bottom, **options
    )

    def size(units):
        if tasks:
            opponent = models.single_task(
                SCHEMA, tasks[0], bottom_units=units, **options
            )
        else:
            opponent = models.shared_bottom(
                SCHEMA, bottom_units=units, **options
            )
        return models.count_parameters(opponent)

    gap = abs(size(units) - target)
    widest = max(units)
    for other in (widest - 1, widest + 1):
        scale = other / max(bottom)
        near = tuple(max(1, round(scale * unit)) for unit in bottom)
        assert abs(size(near) - target) >= gap
    assert gap / target < 0.05


def test_equal_capacity_of_the_same_model_is_its_own_bottom():
    model = models.shared_bottom(SCHEMA, bottom_units=(40, 20))
    assert models.equal_capacity_units(model, SCHEMA) == (40, 20)


def test_equal_capacity_of_a_tiny_model_is_the_narrowest_bottom():
    model = models.single_task(
        SCHEMA, "click", bottom_units=(1,), tower_units=()
    )
    assert models.equal_capacity_units(model, SCHEMA, bottom_units=(8,)) == (
        1,
    )


def test_equal_capacity_refuses():
    model = models.mmoe(SCHEMA)
    with pytest.raises(ValueError, match="nothing to widen"):
        models.equal_capacity_units(model, SCHEMA, bottom_units=())
    with pytest.raises(ValueError, match="Unknown task 'buy'"):
        models.equal_capacity_units(model, SCHEMA, tasks=["buy"])


PATTERNS = {
    "shared_bottom": lambda units: models.shared_bottom(
        SCHEMA, bottom_units=units, embedding_dimension=4
    ),
    "mmoe": lambda units: models.mmoe(
        SCHEMA, expert_units=units, embedding_dimension=4
    ),
    "cross_stitch": lambda units: models.cross_stitch(
        SCHEMA, bottom_units=units, embedding_dimension=4
    ),
    "l2_constrained": lambda units: models.l2_constrained(
        SCHEMA, bottom_units=units, embedding_dimension=4
    ),
    "cgc": lambda units: models.cgc(
        SCHEMA, expert_units=units, embedding_dimension=4
    ),
    "ple": lambda units: models.ple(
        SCHEMA, expert_units=units, embedding_dimension=4
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_any_pattern_finds_the_width_of_equal_capacity(name):
    build, target = PATTERNS[name], 9000
    (width,) = models.units_of_equal_capacity(build, target)
    gaps = {
        w: abs(models.count_parameters(build((w,))) - target)
        for w in (width - 1, width, width + 1)
    }
    assert min(gaps, key=gaps.get) == width
    assert gaps[width] / target < 0.05


def test_widths_of_equal_capacity_keep_their_proportions():
    model = models.shared_bottom(SCHEMA, bottom_units=(40, 20))
    sizes = []

    def build(units):
        sizes.append(units)
        return models.shared_bottom(SCHEMA, bottom_units=units)

    found = models.units_of_equal_capacity(build, model, proportions=(64, 32))
    assert found == (40, 20)
    assert len(sizes) == len(set(sizes)) < 20
    # A model that is always too large gets the narrowest.
    assert models.units_of_equal_capacity(build, 1) == (1,)


def test_equal_capacity_of_a_model_that_ignores_its_units():
    with pytest.raises(ValueError, match="whatever the units"):
        models.units_of_equal_capacity(lambda units: models.mmoe(SCHEMA), 9)
    with pytest.raises(ValueError, match="nothing to widen"):
        models.units_of_equal_capacity(models.mmoe, 9, proportions=())


# -- friendly errors -----------------------------------------------------


def test_an_unfitted_schema_is_refused(build):
    with pytest.raises(ValueError, match="fit"):
        build(Schema(SCHEMA.features, TASKS))


def test_a_schema_without_tasks_is_refused():
    with pytest.raises(ValueError, match="no tasks"):
        models.mmoe(SCHEMA.with_tasks([]))
    with pytest.raises(ValueError, match="no tasks"):
        models.single_task(SCHEMA.with_tasks([]))


def test_a_schema_without_features_is_refused(build):
    class Bare:
        id_columns = field_sizes = number_names = ()
        tasks = TASKS

    with pytest.raises(ValueError, match="no features"):
        build(Bare())


def test_single_task_asks_which_task():
    with pytest.raises(ValueError, match="Say which task.*'click_long'"):
        models.single_task(SCHEMA)
    with pytest.raises(ValueError, match="Unknown task 'buy'.*'click'"):
        models.single_task(SCHEMA, "buy")
    only = models.single_task(SCHEMA.with_tasks(["minutes"]))
    assert list(only.output) == ["minutes"]


@pytest.mark.parametrize("name", ["bottom", "ids", "gate_x", "logit_click"])
def test_a_task_named_like_a_layer_is_refused(build, name):
    schema = small_schema([Task(name)])
    with pytest.raises(ValueError, match=f"cannot be called '{name}'"):
        build(schema)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_dimension": 0}, "embedding_dimension holds 0"),
        ({"tower_units": (0,)}, "tower_units holds 0"),
        ({"n_experts": 0}, "n_experts"),
        ({"expert_units": (8, -1)}, "expert_units holds -1"),
        ({"expert_units": ()}, "needs a layer"),
        ({"gate_temperature": 0.0}, "temperature"),
        ({"gate_dropout": 1.0}, "dropout"),
        ({"dropout": -0.5}, "dropout"),
    ],
)
def test_bad_options_of_a_mixture(build_mixture, options, message):
    with pytest.raises(ValueError, match=message):
        build_mixture(SCHEMA, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bottom_units": (16, 0)}, "bottom_units holds 0"),
        ({"bottom_units": 16}, r"write \(16,\)"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_options_of_a_bottom(options, message):
    with pytest.raises(ValueError, match=message):
        models.shared_bottom(SCHEMA, **options)
    with pytest.raises(ValueError, match=message):
        models.single_task(SCHEMA, "click", **options)
