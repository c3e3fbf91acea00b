"""Masked task losses: hand values, closed forms and exact properties."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from learning_cases import KINDS, examples, same_weights, small_model, weights

from mtlrec_utils.learning import fit, predict
from mtlrec_utils.learning.losses import (
    TaskLosses,
    masked_mean,
    task_kind,
    task_weights,
    tensors,
    trained_tasks,
)
from mtlrec_utils.learning.steps import summed_gradients


@pytest.fixture(scope="module")
def model():
    return small_model()


def losses_and_gradients(model, rows, loss_weights=None):
    """One batch: mean losses, and the gradient of each weight by name."""
    losses = TaskLosses(model)
    data = tensors(rows, losses)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        per_row = losses.per_row(**data, training=True)
        means = {t: masked_mean(per_row[t], data["masks"][t]) for t in per_row}
    factors = task_weights(loss_weights, losses.tasks)
    gradients = summed_gradients(
        tape, means, factors, [v.value for v in variables]
    )
    return (
        {task: float(mean) for task, mean in means.items()},
        {
            v.path: tf.convert_to_tensor(g).numpy()
            for v, g in zip(variables, gradients, strict=True)
        },
    )


def close(a, b, atol=1e-6):
    for key in a:
        np.testing.assert_allclose(a[key], b[key], atol=atol, err_msg=key)


def test_hand_values():
    losses = masked_mean(
        tf.constant([1.0, 2.0, 60.0]), tf.constant([1.0, 1, 0])
    )
    assert float(losses) == 1.5  # not 3 / 3


def test_kinds_are_read_from_the_last_layers(model):
    assert TaskLosses(model).kinds == KINDS


def test_losses_are_those_of_the_predictions(model):
    rows = examples()
    found, _ = losses_and_gradients(model, rows)
    predicted = {
        t: p.numpy() for t, p in model(rows.inputs, training=False).items()
    }
    label = {t: rows.labels[t][m > 0] for t, m in rows.masks.items()}
    p = {t: predicted[t][m > 0].astype(float) for t, m in rows.masks.items()}
    y = label["click"]
    click = -(
        y * np.log(p["click"][:, 0]) + (1 - y) * np.log1p(-p["click"][:, 0])
    )
    minutes = (p["minutes"][:, 0] - label["minutes"]) ** 2
    mood = -np.log(p["mood"][np.arange(len(p["mood"])), label["mood"]])
    expected = {"click": click, "minutes": minutes, "mood": mood}
    close(found, {t: loss.mean() for t, loss in expected.items()})


def test_masked_labels_change_nothing(model):
    rows = examples()
    reference = losses_and_gradients(model, rows)
    for filler in (-1, 0, 10**6):
        labels = {
            t: np.where(rows.masks[t] > 0, y, filler).astype(y.dtype)
            for t, y in rows.labels.items()
        }
        other = losses_and_gradients(model, replace(rows, labels=labels))
        for a, b in zip(reference, other, strict=True):
            close(a, b, atol=0)


def test_even_a_masked_nan_changes_nothing(model):
    losses, rows = TaskLosses(model), examples()
    data = tensors(rows, losses)
    mask, label = (data[k]["minutes"] for k in ("masks", "labels"))
    spoilt = tf.where(mask > 0, label, np.nan)
    other = {**data, "labels": {**data["labels"], "minutes": spoilt}}
    found = []
    for each in (data, other):
        with tf.GradientTape() as tape:
            per_row = losses.per_row(**each, training=True)
            mean = masked_mean(per_row["minutes"], mask)
        bias = model.get_layer("logit_minutes").bias.value
        found.append((float(mean), tape.gradient(mean, bias).numpy()[0]))
    assert found[0] == found[1]
    assert np.isfinite(found[0]).all()


def test_mask_of_ones_is_the_plain_mean(model):
    rows = examples(hidden=0)
    found, _ = losses_and_gradients(model, rows)
    predicted = model(rows.inputs)["minutes"].numpy()[:, 0]
    expected = np.mean((predicted - rows.labels["minutes"]) ** 2)
    np.testing.assert_allclose(found["minutes"], expected, rtol=1e-6)


def test_all_masked_batch_has_loss_zero_and_zero_gradients(model):
    rows = examples()
    nobody = {t: np.zeros_like(m) for t, m in rows.masks.items()}
    means, gradients = losses_and_gradients(model, replace(rows, masks=nobody))
    assert means == dict.fromkeys(KINDS, 0.0)
    for gradient in gradients.values():
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def test_duplicated_batch_has_the_same_losses_and_gradients(model):
    rows = examples()
    twice = rows.subset(np.r_[np.arange(60), np.arange(60)])
    for a, b in zip(
        losses_and_gradients(model, rows),
        losses_and_gradients(model, twice),
        strict=True,
    ):
        close(a, b)


def test_weight_zero_leaves_the_other_task_alone():
    both, alone = small_model(tasks=("click", "minutes")), None
    alone = small_model(tasks=("click",))
    rows = examples()
    _, joint = losses_and_gradients(both, rows, {"minutes": 0.0})
    _, single = losses_and_gradients(alone, rows)
    close(single, joint, atol=1e-7)
    for path in ("logit_minutes/kernel", "logit_minutes/bias"):
        np.testing.assert_array_equal(joint[path], np.zeros_like(joint[path]))


def test_gradient_is_linear_in_the_weights(model):
    rows = examples()
    parts = {
        task: losses_and_gradients(
            model, rows, {t: float(t == task) for t in KINDS}
        )[1]
        for task in KINDS
    }
    factors = {"click": 0.5, "minutes": 2.0, "mood": 3.0}
    _, found = losses_and_gradients(model, rows, factors)
    expected = {
        path: sum(factors[t] * parts[t][path] for t in KINDS) for path in found
    }
    close(found, expected)


def one_logit(value, activation="sigmoid"):
    """A model whose logit is `value` times its one input, plus a bias."""
    numbers = keras.Input((1,), name="numbers")
    logit = keras.layers.Dense(
        1, kernel_initializer=keras.initializers.Constant(value)
    )(numbers)
    output = keras.layers.Activation(activation, name="click")(logit)
    return keras.Model({"numbers": numbers}, {"click": output})


@pytest.mark.parametrize("logit", [-100.0, -40.0, 40.0, 100.0])
def test_extreme_logits_keep_exact_loss_and_gradient(logit):
    rows = examples(n=1, tasks=("click",))
    wrong = float(logit < 0)
    rows = replace(
        rows,
        numbers=np.ones((1, 1)),
        labels={"click": np.array([wrong], "float32")},
    )
    means, gradients = losses_and_gradients(one_logit(logit), rows)
    assert means["click"] == pytest.approx(abs(logit), rel=1e-6)
    kernel = next(iter(gradients.values()))
    assert kernel[0, 0] == pytest.approx(np.sign(logit), abs=1e-6)


def test_probability_without_logits_is_clipped():
    base = one_logit(-100.0)
    twice = keras.layers.Multiply(name="twice")(
        [base.output["click"], base.output["click"]]
    )
    twice._keras_history.operation.kind = "binary"
    model = keras.Model(base.inputs, {"twice": twice})
    assert task_kind(model, "twice") == "binary"
    rows = examples(n=1, tasks=("click",))
    rows = replace(
        rows,
        numbers=np.ones((1, 1)),
        labels={"twice": np.ones(1, "float32")},
        masks={"twice": np.ones(1, "float32")},
    )
    means, _ = losses_and_gradients(model, rows)
    assert means["twice"] == pytest.approx(-np.log(1e-7), rel=1e-4)


def test_kind_that_cannot_be_told_is_an_error():
    numbers = keras.Input((2,), name="numbers")
    output = keras.layers.Dense(1, activation="relu", name="click")(numbers)
    with pytest.raises(ValueError, match="kind of task 'click'"):
        TaskLosses(keras.Model({"numbers": numbers}, {"click": output}))


def test_model_without_task_names_is_an_error():
    numbers = keras.Input((2,), name="numbers")
    model = keras.Model(numbers, keras.layers.Dense(1)(numbers))
    with pytest.raises(ValueError, match="without task names"):
        TaskLosses(model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clicks": 1.0}, "'clicks'"),
        ({"click": -1.0}, "at least 0"),
        ({"click": np.nan}, "finite"),
        ({"click": 0.0, "minutes": 0.0}, "all 0"),
    ],
)
def test_bad_loss_weights(given, message):
    with pytest.raises(ValueError, match=message):
        task_weights(given, ("click", "minutes"))


def test_tasks_with_a_common_prefix_stay_apart():
    """Each output is trained on its own labels, whatever the order."""
    names = {"click_long": 0.9, "click": 0.1}
    numbers = keras.Input((2,), name="numbers")
    outputs = {
        name: keras.layers.Activation("sigmoid", name=name)(
            keras.layers.Dense(1, name=f"logit_{name}")(numbers)
        )
        for name in names
    }
    model = keras.Model({"numbers": numbers}, outputs)
    rows = examples(n=100, tasks=("click",))
    rows = replace(
        rows,
        numbers=np.zeros((100, 2)),
        labels={
            name: (np.arange(100) < 100 * share).astype("float32")
            for name, share in reversed(names.items())
        },
        masks={name: np.ones(100) for name in reversed(names)},
    )
    fit(model, rows, epochs=60, batch_size=100, learning_rate=0.1)
    found = predict(model, rows)
    for name, share in names.items():
        np.testing.assert_allclose(found[name], share, atol=0.02)


def test_regularisers_of_the_model_are_part_of_the_step():
    def pulled(strength):
        numbers = keras.Input((2,), name="numbers")
        layer = keras.layers.Dense(
            1,
            name="logit_click",
            kernel_initializer="ones",
            kernel_regularizer=keras.regularizers.L2(strength),
        )
        output = keras.layers.Activation("sigmoid", name="click")(
            layer(numbers)
        )
        model = keras.Model({"numbers": numbers}, {"click": output})
        rows = replace(
            examples(n=8, tasks=("click",)), numbers=np.zeros((8, 2))
        )
        fit(model, rows, optimizer=keras.optimizers.SGD(0.1), batch_size=8)
        return layer.kernel.numpy()[:, 0]

    # The inputs are 0, so only the penalty s w^2 moves w: by .1 * 2 s.
    np.testing.assert_allclose(pulled(0.0), 1.0)
    np.testing.assert_allclose(pulled(0.5), 0.9, atol=1e-6)


def test_weights_helper_sees_a_difference():
    a, b = weights(small_model(0)), weights(small_model(1))
    with pytest.raises(AssertionError):
        same_weights(a, b)


# -- what a last layer may say about its training ------------------------


class Doubled(keras.layers.Layer):
    """The sum of two logits; its loss is label + known times the first."""

    kind = "binary"

    def call(self, inputs):
        return keras.ops.sigmoid(inputs[0] + inputs[1])

    def row_loss(self, ends, label, known):
        first, second = (keras.ops.squeeze(end, -1) for end in ends)
        return label + 10 * known + first * 100 + second * 0


class EveryRow(Doubled):
    every_row = True


class Untrained(Doubled):
    trained = False


def told_by(layer, **more):
    """A model whose numbers are the two logits of the task "click"."""
    numbers = keras.Input((2,), name="numbers")
    first, second = (
        keras.layers.Lambda(lambda x, k=k: x[:, k : k + 1])(numbers)
        for k in (0, 1)
    )
    outputs = {"click": layer(name="click")([first, second])}
    for name in more:
        outputs[name] = keras.layers.Activation("sigmoid", name=name)(first)
    return keras.Model({"numbers": numbers}, outputs)


def told_rows():
    rows = examples(n=4, tasks=("click",))
    return replace(
        rows,
        numbers=np.array([[1, 0], [2, 0], [3, 0], [4, 0]], "float32"),
        labels={"click": np.array([1.0, 0, 7, 1], "float32")},
        masks={"click": np.array([1.0, 1, 0, 1], "float32")},
    )


@pytest.mark.parametrize(
    ("layer", "counted"), [(Doubled, [1, 1, 0, 1]), (EveryRow, [1, 1, 1, 1])]
)
def test_a_last_layer_may_bring_its_own_loss(layer, counted):
    model = told_by(layer)
    losses, rows = TaskLosses(model), told_rows()
    data = tensors(rows, losses)
    np.testing.assert_array_equal(data["masks"]["click"], counted)
    per_row = losses.per_row(**data, training=True)["click"]
    # Unknown labels are 0 and said to be unknown, whatever they hold.
    np.testing.assert_array_equal(per_row, [111, 210, 300, 411])
    mean = masked_mean(per_row, data["masks"]["click"])
    total = 111 + 210 + 411
    expected = total / 3 if layer is Doubled else (total + 300) / 4
    assert float(mean) == pytest.approx(expected)


def test_an_own_loss_is_a_gradient_by_what_enters_the_layer():
    losses, rows = TaskLosses(told_by(EveryRow)), told_rows()
    data = tensors(rows, losses)
    with tf.GradientTape() as tape:
        tape.watch(data["inputs"]["numbers"])
        per_row = losses.per_row(**data, training=True)["click"]
        mean = masked_mean(per_row, data["masks"]["click"])
    slope = tape.gradient(mean, data["inputs"]["numbers"])
    np.testing.assert_array_equal(slope, [[25, 0]] * 4)


def test_an_untrained_output_has_a_kind_and_no_loss():
    model = told_by(Untrained, other=True)
    losses = TaskLosses(model)
    assert losses.tasks == trained_tasks(model) == ("other",)
    assert losses.kinds == {"click": "binary", "other": "binary"}
    with pytest.raises(ValueError, match="No output .* is trained"):
        TaskLosses(told_by(Untrained))


def test_every_row_is_for_binary_tasks_with_a_loss():
    lossless = {"every_row": True, "kind": "binary", "call": Doubled.call}
    for layer in (
        type("Amount", (EveryRow,), {"kind": "regression"}),
        type("Lossless", (keras.layers.Layer,), lossless),
    ):
        with pytest.raises(ValueError, match="is for binary tasks"):
            TaskLosses(told_by(layer))
