"""AITM: the attention's formula, who learns from whom, the calibrator."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from funnel_cases import (
    BOTH,
    BUY,
    CLICK,
    SCHEMA,
    STEPS,
    logit,
    losses_and_gradients,
    rows_of_a_funnel,
    set_bias,
)
from models_under_test import (
    TASKS,
    assert_same_outputs,
    gradients,
    predict,
    random_inputs,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils import learning, models
from mtlrec_utils.data.schema import Task
from mtlrec_utils.learning.losses import TaskLosses, tensors
from mtlrec_utils.learning.steps import TrainingProgram
from mtlrec_utils.models.information_transfer import (
    Calibrator,
    TransferAttention,
)

ROWS = rows_of_a_funnel()
MIXED = small_schema([*TASKS, Task("genre", "multiclass", classes=3)])


def aitm(**options):
    return models.aitm(SCHEMA, STEPS, **{"seed": 1, **options})


# -- the attention -------------------------------------------------------


def built_attention(width=5, n=2, seed=3):
    layer = TransferAttention(seed=seed)
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 7, width)).astype("float32")
    layer(list(vectors))
    return layer, vectors


def attention_by_hand(layer, vectors):
    """The formula, in float64 and by loops."""
    h1, h2, h3 = (
        np.asarray(w, "float64") for w in (layer.value, layer.key, layer.query)
    )
    n, rows, width = vectors.shape
    weights, mixture = np.zeros((rows, n)), np.zeros((rows, width))
    for row in range(rows):
        scores = [
            (u[row] @ h2) @ (u[row] @ h3) / np.sqrt(width) for u in vectors
        ]
        powers = np.exp(np.array(scores) - max(scores))
        weights[row] = powers / powers.sum()
        mixture[row] = sum(
            weight * (u[row] @ h1)
            for weight, u in zip(weights[row], vectors, strict=True)
        )
    return mixture, weights


@pytest.mark.parametrize("n", [1, 2, 3])
def test_attention_is_its_formula(n):
    layer, vectors = built_attention(n=n)
    mixture, weights = layer(list(vectors))
    by_hand = attention_by_hand(layer, vectors)
    np.testing.assert_allclose(mixture, by_hand[0], atol=1e-5)
    np.testing.assert_allclose(weights, by_hand[1], atol=1e-5)
    np.testing.assert_allclose(np.sum(weights, axis=1), 1, atol=1e-6)
    if n == 1:
        np.testing.assert_array_equal(weights, 1)
    else:
        assert np.min(weights) > 0
        assert np.max(weights) < 1
        assert np.abs(by_hand[1] - 1 / n).max() > 0.1


def test_attention_without_keys_averages():
    layer, vectors = built_attention()
    layer.key.assign(np.zeros((5, 5)))
    mixture, weights = layer(list(vectors))
    np.testing.assert_allclose(weights, 0.5)
    mean = vectors.mean(axis=0) @ np.asarray(layer.value)
    np.testing.assert_allclose(mixture, mean, atol=1e-6)


def test_attention_does_not_mind_the_order_of_its_vectors():
    layer, vectors = built_attention()
    mixture, weights = layer(list(vectors))
    swapped, other = layer(list(vectors[::-1]))
    np.testing.assert_allclose(mixture, swapped, atol=1e-6)
    np.testing.assert_allclose(weights, np.asarray(other)[:, ::-1], atol=1e-6)


def test_the_three_maps_start_unlike_each_other():
    layer, _ = built_attention()
    kernels = [np.asarray(w) for w in layer.weights]
    assert len(kernels) == 3
    for i in range(3):
        assert np.abs(kernels[i] - kernels[i - 1]).max() > 0.1


def test_attention_refuses_vectors_of_other_widths():
    with pytest.raises(ValueError, match="of one width"):
        TransferAttention()([np.zeros((2, 3)), np.zeros((2, 4))])


# -- the model -----------------------------------------------------------


def layer_output(model, name, inputs):
    found = keras.Model(model.inputs, model.get_layer(name).output)(inputs)
    return (
        [np.asarray(x) for x in found]
        if isinstance(found, list | tuple)
        else np.asarray(found)
    )


def test_each_step_attends_to_the_step_before_and_itself():
    model = models.aitm(MIXED, alpha=0.6, seed=1)
    shift_every_weight(model)
    inputs = random_inputs(MIXED)
    z = layer_output(model, "bottom_click", inputs)
    for name in MIXED.task_names[1:]:
        kernel, bias = model.get_layer(f"transferred_{name}").get_weights()
        handed = np.maximum(z @ kernel + bias, 0)
        own = layer_output(model, f"bottom_{name}", inputs)
        layer = model.get_layer(f"attention_{name}")
        by_hand = attention_by_hand(layer, np.stack([handed, own]))
        z, weights = layer_output(model, f"attention_{name}", inputs)
        np.testing.assert_allclose(z, by_hand[0], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(weights, by_hand[1], atol=1e-4)
        found = models.transfer_weights(model, inputs)[name]
        np.testing.assert_array_equal(found, weights[:, 0])
        tower = model.get_layer(f"tower_{name}")
        wanted = layer_output(model, f"tower_{name}", inputs)
        np.testing.assert_allclose(tower(z), wanted, rtol=1e-5)
    assert list(model.output) == list(MIXED.task_names)
    names = {layer.name for layer in model.layers}
    assert "attention_click" not in names
    # Minutes are no chance, and genres are none to compare.
    calibrators = {name for name in names if name.startswith("calibrator_")}
    assert calibrators == {"calibrator_click_long"}


def test_transfer_weights_in_pieces_and_without_any():
    model = aitm()
    shift_every_weight(model)
    whole = models.transfer_weights(model, ROWS)
    assert list(whole) == ["click_and_buy"]
    assert whole["click_and_buy"].shape == (24,)
    pieces = models.transfer_weights(model, ROWS.inputs, batch_size=7)
    np.testing.assert_allclose(
        pieces["click_and_buy"], whole["click_and_buy"], atol=1e-6
    )
    with pytest.raises(ValueError, match="hands nothing"):
        models.transfer_weights(models.aitm(SCHEMA, ["click"]), ROWS)


def test_one_task_is_a_plain_mlp():
    model = models.aitm(SCHEMA, ["click"], seed=1)
    plain = models.single_task(SCHEMA, "click", seed=2)
    shift_every_weight(plain)
    for layer in plain.layers:
        if layer.weights:
            name = "bottom_click" if layer.name == "bottom" else layer.name
            model.get_layer(name).set_weights(layer.get_weights())
    assert_same_outputs(
        predict(model, ROWS.inputs), predict(plain, ROWS.inputs)
    )
    ours, by_ours = losses_and_gradients(model, ROWS)
    theirs, by_theirs = losses_and_gradients(plain, ROWS)
    assert ours == pytest.approx(theirs)
    for path, gradient in by_theirs.items():
        mine = by_ours[path.replace("bottom/", "bottom_click/")]
        np.testing.assert_allclose(mine, gradient, atol=1e-6)
    assert len(model.weights) == len(plain.weights)


def test_knowledge_runs_down_the_funnel_only():
    model = models.aitm(SCHEMA, STEPS, alpha=0.0, seed=1)
    shift_every_weight(model)
    found = {
        task: gradients(
            model, ROWS.inputs, lambda y, task=task: tf.reduce_sum(y[task])
        )
        for task in STEPS
    }
    later = ("click_and_buy/", "click_and_buy")
    for path, gradient in found["click"].items():
        mine = not any(part in path for part in later)
        assert (gradient is not None) == mine, path
    for path, gradient in found["click_and_buy"].items():
        first_only = path.startswith(("tower_click/", "logit_click/"))
        assert (gradient is None) == first_only, path
        if gradient is not None:
            assert np.abs(gradient).max() > 0, path


# -- property 21: the calibrator -----------------------------------------


def penalty(later, earlier, alpha=1.0, training=True):
    layer = Calibrator(alpha)
    ends = [
        tf.constant(logit(np.array(p))[:, None], tf.float32)
        for p in (later, earlier)
    ]
    with tf.GradientTape() as tape:
        tape.watch(ends)
        returned = layer(ends, training=training)
        value = tf.add_n(layer.losses) if layer.losses else tf.zeros(())
    np.testing.assert_array_equal(returned, ends[0])
    slopes = tape.gradient(
        value, ends, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return float(value), [slope.numpy()[:, 0] for slope in slopes]


def test_calibrator_by_hand():
    value, slopes = penalty([0.5], [0.2])
    assert value == pytest.approx(0.3, rel=1e-5)
    assert slopes[0] == pytest.approx([0.25], rel=1e-5)
    assert slopes[1] == pytest.approx([-0.16], rel=1e-5)
    # A mean over rows, of which monotone ones add nothing.
    value, slopes = penalty([0.5, 0.1, 0.3, 0.3], [0.2, 0.4, 0.2, 0.3], 0.6)
    assert value == pytest.approx(0.6 * (0.3 + 0.1) / 4, rel=1e-5)
    np.testing.assert_array_equal(slopes[0] != 0, [1, 0, 1, 0])
    np.testing.assert_array_equal(slopes[1] != 0, [1, 0, 1, 0])


def test_calibrator_rests_when_monotone_or_not_training():
    value, slopes = penalty([0.2, 0.1], [0.5, 0.11])
    assert value == 0
    np.testing.assert_array_equal(slopes, 0)
    assert penalty([0.5], [0.2], training=False)[0] == 0
    assert penalty([0.5], [0.2], alpha=0.0)[0] == 0


@pytest.mark.parametrize("alpha", [-0.1, np.inf, np.nan])
def test_calibrator_refuses(alpha):
    with pytest.raises(ValueError, match="alpha must be finite"):
        Calibrator(alpha)
    with pytest.raises(ValueError, match="alpha must be finite"):
        aitm(alpha=alpha)


def upside_down(alpha):
    """A model that thinks buying (.8) likelier than clicking (.3)."""
    model = aitm(alpha=alpha)
    set_bias(model, click=logit(0.3), click_and_buy=logit(0.8))
    return model


def penalties(model, training):
    losses = TaskLosses(model)
    losses.per_row(**tensors(ROWS, losses), training=training)
    return [float(value) for value in losses.graph.losses]


def test_the_graph_of_the_losses_leads_through_the_calibrator(tmp_path):
    model = upside_down(0.6)
    assert penalties(model, True) == pytest.approx([0.6 * 0.5])
    assert penalties(model, False) == []
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert penalties(copy, True) == pytest.approx([0.6 * 0.5])
    assert copy.get_layer("calibrator_click_and_buy").alpha == 0.6


def test_alpha_zero_is_no_calibrator():
    with_it, without = upside_down(0.6), upside_down(0.0)
    names = {layer.name for layer in without.layers}
    assert "calibrator_click_and_buy" not in names
    assert penalties(without, True) == []
    for a, b in zip(with_it.weights, without.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert_same_outputs(
        predict(with_it, ROWS.inputs), predict(without, ROWS.inputs), 0
    )
    ours, theirs = (
        losses_and_gradients(model, ROWS) for model in (with_it, without)
    )
    assert ours[0] == theirs[0]
    for path, gradient in theirs[1].items():
        np.testing.assert_array_equal(ours[1][path], gradient)


def test_a_step_of_training_pays_for_the_violation():
    """One step of gradient descent, with the calibrator and without."""
    biases, losses = {}, {}
    for alpha in (0.0, 0.6):
        model = upside_down(alpha)
        history = learning.fit(
            model,
            ROWS,
            ROWS,
            batch_size=24,
            optimizer=keras.optimizers.SGD(1.0),
        )
        biases[alpha] = {
            t: float(model.get_layer(f"logit_{t}").bias.numpy()[0])
            for t in STEPS
        }
        losses[alpha] = history.losses("train", "total").to_numpy()[0]
    moved = {t: biases[0.6][t] - biases[0.0][t] for t in STEPS}
    assert moved["click_and_buy"] == pytest.approx(-0.6 * 0.8 * 0.2, abs=1e-5)
    assert moved["click"] == pytest.approx(0.6 * 0.3 * 0.7, abs=1e-5)
    # The report is of the tasks' losses alone.
    assert losses[0.6] == pytest.approx(losses[0.0], rel=1e-6)


def test_validation_does_not_pay():
    scores = []
    for alpha in (0.0, 0.6):
        program = TrainingProgram(
            upside_down(alpha), keras.optimizers.SGD(0.1), True
        )
        scores.append(program.score(program.load(ROWS), 24))
    np.testing.assert_array_equal(scores[0], scores[1])


def test_the_calibrator_brings_violations_down():
    """Labels that ask for the impossible: a purchase on every row."""
    rows = replace(
        rows_of_a_funnel(200, click=np.arange(200) < 60),
        labels={
            "click": (np.arange(200) < 60).astype("float32"),
            "buy": np.zeros(200, "float32"),
            "click_and_buy": (np.arange(200) < 120).astype("float32"),
        },
    )
    rows = replace(rows, ids=rows.ids * 0, numbers=rows.numbers * 0)
    found = {}
    for alpha in (0.0, 50.0):
        model = aitm(alpha=alpha, tower_units=(), bottom_units=(4,))
        adam = keras.optimizers.Adam(0.03)
        learning.fit(model, rows, epochs=150, batch_size=200, optimizer=adam)
        p = learning.predict(model, rows)
        found[alpha] = p["click_and_buy"][0] - p["click"][0]
    assert found[0.0] == pytest.approx(0.3, abs=0.02)
    assert abs(found[50.0]) < 0.03


def test_violations_are_counted():
    y = {
        "a": [0.5, 0.5, 0.5, 0.1],
        "b": [0.5, 0.6, 0.4, 0.2],
        "c": [0.1, 0.9, 0.2, 0.1],
    }
    assert models.count_violations(y, ["a", "b", "c"]) == {"b": 2, "c": 1}
    assert models.count_violations(y, ["a", "c"]) == {"c": 1}
    assert models.count_violations(y, ["c", "a"]) == {"a": 2}
    assert models.count_violations(y, ["b"]) == {}
    with pytest.raises(ValueError, match="No predictions of 'd'"):
        models.count_violations(y, ["a", "d"])
    with pytest.raises(ValueError, match="same rows"):
        models.count_violations({**y, "b": [0.1]}, ["a", "b"])
    for tasks in ([], ["a", "a"], "a"):
        with pytest.raises(ValueError, match="list of task names"):
            models.count_violations(y, tasks)


# -- learners' mistakes --------------------------------------------------


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["click_and_buy", "click"], "only after 'click', its sample space"),
        (["click", "order"], "Unknown task 'order'"),
        (["click", "click"], "none twice"),
        ([], "at least one"),
        ("click", "list of task names"),
        (["click", "buy"], "known on some rows only.*outside=0"),
    ],
)
def test_tasks_that_make_no_funnel(names, message):
    with pytest.raises(ValueError, match=message):
        models.aitm(SCHEMA, names)


def test_the_schema_gives_the_order_if_nobody_else_does():
    model = models.aitm(small_schema((CLICK, BOTH, BUY)), alpha=0.0)
    assert list(model.output) == ["click", "click_and_buy", "buy"]
    with pytest.raises(ValueError, match="only after 'click'"):
        models.aitm(small_schema((BUY, CLICK)), alpha=0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bottom_units": ()}, "its last width"),
        ({"bottom_units": (8, 0)}, "bottom_units holds 0"),
        ({"tower_units": 8}, r"write \(8,\)"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        aitm(**options)
