"""Cross-stitch and L2-constrained bottoms: from separate to one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from models_under_test import (
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

from mtlrec_utils import learning, models
from mtlrec_utils.data import Examples
from mtlrec_utils.data.schema import Task
from mtlrec_utils.models.l2_constrained import OneExpert

SCHEMA = small_schema(TASKS[:2])
INPUTS = random_inputs(SCHEMA)
LABELS = random_labels(SCHEMA)
SMALL = {"embedding_dimension": 3, "bottom_units": (6, 5), "tower_units": (4,)}
A, B = "click", "click_long"


def rows(n, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)).astype("float32")


def loss_of(*tasks):
    losses = losses_of(SCHEMA)
    return lambda outputs: sum(losses[t](LABELS[t], outputs[t]) for t in tasks)


def stitched(mixing=None, schema=SCHEMA, **options):
    """A cross-stitch model off its start, all its mixings set to one."""
    model = models.cross_stitch(schema, **(SMALL | {"seed": 1} | options))
    start = models.cross_stitch_values(model)
    shift_every_weight(model)
    for name, value in start.items():
        mixed = value if mixing is None else np.asarray(mixing)
        model.get_layer(name).mixing.assign(
            np.broadcast_to(
                mixed.reshape(mixed.shape + (1,) * (value.ndim - mixed.ndim)),
                value.shape,
            )
        )
    return model


def values_of(model, layer):
    output = model.get_layer(layer).output
    values = keras.Model(model.inputs, output)(INPUTS)
    return [np.asarray(value) for value in keras.tree.flatten(values)]


# -- the layer ------------------------------------------------------------


def test_cross_stitch_by_hand():
    layer = models.CrossStitch()
    a, b = (np.array([x], "float32") for x in ([1, 2, 3], [10, 20, 30]))
    layer([a, b])
    layer.mixing.assign([[0.5, 2.0], [-1.0, 0.1]])
    first, second = layer([a, b])
    np.testing.assert_allclose(first, [[20.5, 41, 61.5]], rtol=1e-6)
    np.testing.assert_allclose(second, [[0, 0, 0]], atol=1e-6)


def test_a_matrix_for_each_unit():
    layer = models.CrossStitch(per_unit=True)
    xs = [rows(4, 3, seed) for seed in range(2)]
    layer(xs)
    mixing = rows(4, 3, seed=9).reshape(2, 2, 3)
    layer.mixing.assign(mixing)
    expected = np.einsum("iju,jbu->ibu", mixing, np.stack(xs))
    np.testing.assert_allclose(np.stack(layer(xs)), expected, atol=1e-6)


@pytest.mark.parametrize("per_unit", [False, True])
@pytest.mark.parametrize("n_tasks", [1, 2, 5])
def test_rows_start_with_sum_one_and_keep_the_mean(n_tasks, per_unit):
    layer = models.CrossStitch(0.7, per_unit)
    xs = [np.abs(rows(50, 3, seed)) for seed in range(n_tasks)]
    outputs = np.stack(layer(xs))
    mixing = np.asarray(layer.mixing)
    assert mixing.shape == (n_tasks, n_tasks, *([3] if per_unit else []))
    np.testing.assert_allclose(mixing.sum(axis=1), 1, atol=1e-6)
    own = mixing[np.arange(n_tasks), np.arange(n_tasks)]
    np.testing.assert_allclose(own, 1 if n_tasks == 1 else 0.7, atol=1e-6)
    np.testing.assert_allclose(outputs.mean(), np.mean(xs), rtol=1e-5)
    # Equal inputs come out as they were: nothing doubles.
    same = layer([xs[0]] * n_tasks)
    for output in same:
        np.testing.assert_allclose(output, xs[0], rtol=1e-5)


def test_layers_survive_their_configuration():
    for layer, x in (
        (models.CrossStitch(0.6, True), [rows(4, 3), rows(4, 3, 1)]),
        (OneExpert(1), rows(4, 6).reshape(4, 2, 3)),
    ):
        saved = keras.saving.serialize_keras_object(layer)
        assert saved["registered_name"].startswith("mtlrec>")
        copy = keras.saving.deserialize_keras_object(saved)
        assert copy.get_config() == layer.get_config()
        np.testing.assert_array_equal(
            np.asarray(copy(x)), np.asarray(layer(x))
        )
    penalty = models.PairwiseDifference(0.25)
    saved = keras.saving.serialize_keras_object(penalty)
    assert keras.saving.deserialize_keras_object(saved).strength == 0.25


def test_bad_layers():
    with pytest.raises(ValueError, match=r"own_share must be in \[0, 1\]"):
        models.CrossStitch(1.5)
    with pytest.raises(ValueError, match="one width"):
        models.CrossStitch()([rows(4, 3), rows(4, 2)])
    for strength in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="strength"):
            models.PairwiseDifference(strength)


# -- property 16: cross-stitch --------------------------------------------


def test_an_identity_leaves_separate_nets():
    model = stitched(np.eye(2))
    for task in (A, B):
        alone = models.single_task(SCHEMA, task, **SMALL)
        for name in ("embedding", f"tower_{task}", f"logit_{task}"):
            weights = model.get_layer(name).get_weights()
            alone.get_layer(name).set_weights(weights)
        own = [model.get_layer(f"bottom_{task}_{i}") for i in (1, 2)]
        alone.get_layer("bottom").set_weights(
            [w for layer in own for w in layer.get_weights()]
        )
        assert_same_outputs(
            predict(alone, INPUTS), {task: predict(model, INPUTS)[task]}
        )
        ours = gradients(model, INPUTS, loss_of(task))
        theirs = gradients(alone, INPUTS, loss_of(task))
        for i in (0, 1):
            for kind in ("kernel", "bias"):
                np.testing.assert_allclose(
                    ours[f"bottom_{task}_{i + 1}/dense_0/{kind}"],
                    theirs[f"bottom/dense_{i}/{kind}"],
                    atol=1e-5,
                )
        np.testing.assert_allclose(
            ours["embedding/table"], theirs["embedding/table"], atol=1e-5
        )
        other = B if task == A else A
        for i in (1, 2):
            found = ours[f"bottom_{other}_{i}/dense_0/kernel"]
            assert found is None or np.abs(found).max() == 0


def test_equal_rows_give_all_tasks_the_same():
    model = stitched(np.full((2, 2), 0.5))
    for depth in (1, 2):
        first, second = values_of(model, f"cross_stitch_{depth}")
        np.testing.assert_array_equal(first, second)
        own = [values_of(model, f"bottom_{t}_{depth}")[0] for t in (A, B)]
        np.testing.assert_allclose(first, np.mean(own, axis=0), atol=1e-6)


def test_an_anti_diagonal_swaps_the_nets():
    swap = np.eye(2)[::-1]
    options = {"bottom_units": (5,)}
    model, plain = stitched(swap, **options), stitched(np.eye(2), **options)
    for layer in plain.layers:
        if layer.name.startswith("bottom_"):
            other = layer.name.replace(A, "x").replace("x_long", A)
            other = other.replace("x_1", f"{B}_1")
            assert other != layer.name
            layer.set_weights(model.get_layer(other).get_weights())
        elif layer.name.startswith(("tower", "logit", "embedding")):
            layer.set_weights(model.get_layer(layer.name).get_weights())
    assert_same_outputs(predict(model, INPUTS), predict(plain, INPUTS))
    # Swapped at both depths, each lower layer comes home.
    twice = stitched(swap)
    (_, first), (x, _) = (
        values_of(twice, "cross_stitch_1"),
        values_of(twice, "cross_stitch_2"),
    )
    np.testing.assert_array_equal(first, values_of(twice, f"bottom_{A}_1")[0])
    np.testing.assert_array_equal(x, values_of(twice, f"bottom_{B}_2")[0])


def test_cross_stitch_values_by_depth_and_after_saving(tmp_path):
    model = models.cross_stitch(
        SCHEMA, own_share=0.8, **(SMALL | {"bottom_units": (6, 5, 4)})
    )
    values = models.cross_stitch_values(model)
    assert list(values) == [f"cross_stitch_{i}" for i in (1, 2, 3)]
    for value in values.values():
        np.testing.assert_allclose(value, [[0.8, 0.2], [0.2, 0.8]], atol=1e-6)
    # Row: who reads. The first row is the first task's.
    model.get_layer("cross_stitch_3").mixing.assign([[1.0, 0.0], [0.3, 0.7]])
    before = predict(model, INPUTS)
    model.get_layer(f"bottom_{B}_3").set_weights(
        [w + 1 for w in model.get_layer(f"bottom_{B}_3").get_weights()]
    )
    after = predict(model, INPUTS)
    np.testing.assert_array_equal(after[A], before[A])
    assert np.abs(after[B] - before[B]).max() > 1e-3
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in models.cross_stitch_values(model).items():
        np.testing.assert_array_equal(
            models.cross_stitch_values(copy)[name], value
        )
    with pytest.raises(ValueError, match="no cross-stitch layers"):
        models.cross_stitch_values(models.mmoe(SCHEMA))


def test_number_of_parameters():
    d, t = 4 * 3 + 2, 2
    bottom = d * 6 + 6 + 6 * 5 + 5
    ends = sum(SCHEMA.field_sizes) * 3 + t * (5 * 4 + 4 + 4 + 1)
    count = models.count_parameters
    assert count(models.cross_stitch(SCHEMA, **SMALL)) == (
        t * bottom + 2 * t * t + ends
    )
    assert count(models.cross_stitch(SCHEMA, per_unit=True, **SMALL)) == (
        t * bottom + t * t * (6 + 5) + ends
    )
    assert count(models.l2_constrained(SCHEMA, **SMALL)) == t * bottom + ends


@pytest.mark.parametrize("pattern", ["cross_stitch", "l2_constrained"])
def test_bottoms_start_apart_and_as_wide_as_a_dense_layer(pattern):
    model = getattr(models, pattern)(
        small_schema(ids=False), bottom_units=(256, 512), seed=1
    )
    if pattern == "l2_constrained":
        kernels = list(np.asarray(model.get_layer("bottoms").kernels[1]))
    else:
        kernels = [
            model.get_layer(f"bottom_{task.name}_2").get_weights()[0]
            for task in TASKS
        ]
    glorot = np.sqrt(2 / (256 + 512))
    for i, kernel in enumerate(kernels):
        assert kernel.shape == (256, 512)
        np.testing.assert_allclose(kernel.std(), glorot, rtol=0.01)
        for other in kernels[:i]:
            assert np.abs(kernel - other)[:8, :8].max() > 1e-2


# -- property 16: L2 ------------------------------------------------------


def constrained(strength, schema=SCHEMA, **options):
    model = models.l2_constrained(
        schema, strength=strength, **(SMALL | {"seed": 1} | options)
    )
    shift_every_weight(model)
    return model


def distance(model):
    """Sum over pairs of tasks of squared differences, pair by pair."""
    total = 0.0
    for weight in model.get_layer("bottoms").weights:
        weight = np.asarray(weight, "float64")
        for i in range(len(weight)):
            for j in range(i):
                total += ((weight[i] - weight[j]) ** 2).sum()
    return total


def test_strength_zero_leaves_separate_nets():
    model = constrained(0.0)
    assert float(sum(model.losses)) == 0
    bottoms = model.get_layer("bottoms").get_weights()
    for i, task in enumerate((A, B)):
        alone = models.single_task(SCHEMA, task, **SMALL)
        for name in ("embedding", f"tower_{task}", f"logit_{task}"):
            weights = model.get_layer(name).get_weights()
            alone.get_layer(name).set_weights(weights)
        kernels, biases = bottoms[::2], bottoms[1::2]
        alone.get_layer("bottom").set_weights(
            [w[i] for pair in zip(kernels, biases, strict=True) for w in pair]
        )
        assert_same_outputs(
            predict(alone, INPUTS), {task: predict(model, INPUTS)[task]}
        )
        ours = gradients(model, INPUTS, loss_of(task))
        theirs = gradients(alone, INPUTS, loss_of(task))
        for depth in (0, 1):
            for kind in ("kernel", "bias"):
                found = ours[f"bottoms/{kind}_{depth}"]
                np.testing.assert_allclose(
                    found[i],
                    theirs[f"bottom/dense_{depth}/{kind}"],
                    atol=1e-5,
                )
                np.testing.assert_array_equal(found[1 - i], 0)


@pytest.mark.parametrize("n_tasks", [1, 2, 3])
def test_the_penalty_is_that_of_all_pairs(n_tasks, tmp_path):
    schema = small_schema(TASKS[:n_tasks])
    model = constrained(0.3, schema)
    assert (distance(model) > 1) == (n_tasks > 1)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, copy):
        np.testing.assert_allclose(
            float(sum(each.losses)), 0.3 * distance(model), rtol=1e-5
        )


def rows_of(labels):
    n = len(INPUTS["ids"])
    return Examples(
        **INPUTS,
        labels={task: label[:, 0] for task, label in labels.items()},
        masks={task: np.ones(n, "float32") for task in labels},
        users=None,
        rows=np.arange(n),
    )


@pytest.mark.parametrize("saved", [False, True])
def test_a_training_step_pays_the_penalty(saved, tmp_path):
    strength, rate = 0.3, 0.1
    model = constrained(strength)
    if saved:
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    task_part = gradients(model, INPUTS, loss_of(A, B))
    before = {w.path: np.asarray(w) for w in model.trainable_weights}
    learning.fit(
        model,
        rows_of(LABELS),
        batch_size=24,
        optimizer=keras.optimizers.SGD(rate),
    )
    moved = 0
    for weight in model.trainable_weights:
        start = before[weight.path]
        gradient = task_part[weight.path]
        if weight.path.startswith("bottoms/"):
            # d/dw_i of sum over pairs = 2 sum_j (w_i - w_j)
            pull = 2 * strength * (2 * start - start.sum(axis=0))
            assert np.abs(pull).max() > 0.1
            gradient = gradient + pull
            moved += 1
        np.testing.assert_allclose(
            np.asarray(weight), start - rate * gradient, atol=1e-5
        )
    assert moved == 4


def test_keras_own_training_pays_it_too():
    model = constrained(0.3)
    model.compile("sgd", loss=losses_of(SCHEMA), run_eagerly=True)
    result = model.evaluate(INPUTS, LABELS, return_dict=True, verbose=0)
    losses = losses_of(SCHEMA)
    outputs = predict(model, INPUTS)
    plain = sum(float(losses[t](LABELS[t], outputs[t])) for t in LABELS)
    np.testing.assert_allclose(
        result["loss"], plain + 0.3 * distance(model), rtol=1e-5
    )


@pytest.mark.parametrize("n_tasks", [2, 3])
def test_a_strong_constraint_makes_the_bottoms_one(n_tasks):
    schema = small_schema(TASKS[:n_tasks])
    strength = 1e6
    model = constrained(strength, schema)
    before = [np.asarray(w) for w in model.get_layer("bottoms").weights]
    # At rate 1 / (2 T strength) the pull alone ends at the mean.
    learning.fit(
        model,
        rows_of(random_labels(schema)),
        batch_size=24,
        optimizer=keras.optimizers.SGD(1 / (2 * n_tasks * strength)),
    )
    for weight, start in zip(
        model.get_layer("bottoms").weights, before, strict=True
    ):
        mean = start.mean(axis=0, keepdims=True)
        assert np.abs(start - mean).max() > 0.1
        np.testing.assert_allclose(
            np.asarray(weight), np.broadcast_to(mean, start.shape), atol=1e-5
        )
    assert distance(model) < 1e-8


def test_a_frozen_bottom_pays_nothing():
    model = constrained(0.3)
    model.get_layer("bottoms").trainable = False
    assert sum(model.losses) == 0


def test_the_penalty_moves_bottoms_and_nothing_else():
    model = constrained(0.3)
    with tf.GradientTape() as tape:
        penalty = sum(model.losses)
    for weight, gradient in zip(
        model.trainable_weights,
        tape.gradient(penalty, model.trainable_weights),
        strict=True,
    ):
        touched = gradient is not None and np.abs(gradient).max() > 0
        assert touched == weight.path.startswith("bottoms/"), weight.path


def test_each_task_reads_its_own_bottom():
    schema = small_schema([Task("b"), Task("a")])
    model = constrained(0.3, schema)
    bottoms = values_of(model, "bottoms")[0]
    for i, task in enumerate("ab"):  # alphabetical
        np.testing.assert_array_equal(
            values_of(model, f"bottom_{task}")[0], bottoms[:, i]
        )
        tower = model.get_layer(f"tower_{task}")
        assert tower.input is model.get_layer(f"bottom_{task}").output


@pytest.mark.parametrize("pattern", ["cross_stitch", "l2_constrained"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bottom_units": ()}, "bottom_units is empty"),
        ({"bottom_units": (3, 0)}, "bottom_units holds 0"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_options(pattern, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(models, pattern)(SCHEMA, **options)


def test_bad_options_of_one():
    with pytest.raises(ValueError, match="own_share"):
        models.cross_stitch(SCHEMA, own_share=-0.1)
    with pytest.raises(ValueError, match="strength"):
        models.l2_constrained(SCHEMA, strength=-1.0)
    for pattern in (models.cross_stitch, models.l2_constrained):
        with pytest.raises(ValueError, match="cannot be called 'bottom_a_1'"):
            pattern(small_schema([Task("a"), Task("bottom_a_1")]))
