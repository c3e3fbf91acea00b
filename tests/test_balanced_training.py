"""One balanced step: who gets what, against a tape that fills tables."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradient_oracles import (
    batch_of,
    descent,
    jacobian,
    moved,
    task_gradients,
    values,
)
from learning_cases import SIZES, column, examples, small_model
from small_methods import Adding, Given, GramOf, Largest, Norms

from mtlrec_utils.learning import fit
from mtlrec_utils.learning.balanced_steps import BalancedStep
from mtlrec_utils.learning.balancing.loss_weights import StaticWeights
from mtlrec_utils.learning.balancing.projections import PCGrad
from mtlrec_utils.models import FusedEmbedding

TWO = ("click", "minutes")
RATE = 0.5
ONE_STEP = {"epochs": 1, "batch_size": 64}


def two_tasks(seed=2):
    """A model whose two tasks conflict, and rows with repeated ids."""
    rows = examples(40, seed=1, tasks=TWO)
    rows = replace(
        rows, labels={**rows.labels, "minutes": -rows.labels["minutes"]}
    )
    return small_model(seed, TWO), rows


SHARED = ["embedding/table", "bottom/kernel", "bottom/bias"]
DENSE = SHARED[1:]


def one_step(method, at="parameters", model=None, rows=None, **options):
    """Return the gradients that one step took, and the tasks' own."""
    if model is None:
        model, rows = two_tasks()
    expected = task_gradients(model, batch_of(model, rows))
    before = values(model)
    history = fit(
        model,
        rows,
        optimizer=descent(RATE),
        balancing=method,
        balance_at=at,
        **ONE_STEP,
        **options,
    )
    return moved(before, model, RATE), expected, history


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-6)


def assert_own_gradients(found, expected, factors=(1.0, 1.0)):
    for (task, gradients), factor in zip(
        expected.items(), factors, strict=True
    ):
        for part in ("kernel", "bias"):
            path = f"logit_{task}/{part}"
            assert np.abs(gradients[path]).max() > 1e-3
            close(found[path], factor * gradients[path])


def test_pcgrad_of_two_tasks_by_hand():
    """Gradients are projected before they meet; a sum has no conflict."""
    found, expected, _ = one_step(PCGrad())
    g1, g2 = jacobian(expected, DENSE)
    product, a, b = g1 @ g2, g1 @ g1, g2 @ g2
    assert product < -0.05 * np.sqrt(a * b), "the tasks must conflict"
    w1, w2 = 1 - product / a, 1 - product / b
    for path in SHARED:
        close(
            found[path],
            w1 * expected["click"][path] + w2 * expected["minutes"][path],
        )
    assert_own_gradients(found, expected)


@pytest.mark.parametrize("at", ["parameters", "representation"])
def test_the_found_weights_reach_every_shared_weight(at):
    found, expected, history = one_step(Given((0.3, 2.0)), at)
    for path in SHARED:
        click, minutes = (expected[task][path] for task in TWO)
        assert np.abs(click).max() > 1e-3
        close(found[path], 0.3 * click + 2.0 * minutes)
    assert_own_gradients(found, expected)
    assert history.weights["weight"].tolist() == pytest.approx([0.3, 2.0])
    assert history.weights["task"].tolist() == list(TWO)


def test_the_gram_matrix_is_that_of_dense_shared_weights():
    for row in (0, 1):
        _, expected, history = one_step(GramOf(row))
        rows = jacobian(expected, DENSE)
        close(history.weights["weight"], rows @ rows[row])


def test_the_gram_matrix_at_the_representation():
    model, rows = two_tasks()
    front = keras.Model(model.inputs, model.get_layer("bottom").output)
    hidden = tf.constant(front([rows.inputs["ids"], rows.inputs["numbers"]]))
    known = {t: rows.masks[t] / rows.masks[t].sum() for t in TWO}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(hidden)
        logit = model.get_layer("logit_click")(hidden)[:, 0]
        value = model.get_layer("logit_minutes")(hidden)[:, 0]
        y = rows.labels
        click = tf.nn.sigmoid_cross_entropy_with_logits(y["click"], logit)
        losses = [
            tf.reduce_sum(known["click"] * click),
            tf.reduce_sum(known["minutes"] * (value - y["minutes"]) ** 2),
        ]
    g = np.stack([np.ravel(tape.gradient(x, hidden)) for x in losses])
    _, _, history = one_step(GramOf(0), "representation", model, rows)
    close(history.weights["weight"], g @ g[0])


def test_entries_of_a_table_are_compared_after_merging_repeated_ids():
    found, expected, history = one_step(Largest(), loss_weights={"click": 3.0})
    for path in SHARED:
        click, minutes = 3 * expected["click"][path], expected["minutes"][path]
        larger = np.where(np.abs(click) > np.abs(minutes), click, minutes)
        if path != "bottom/bias":
            assert not np.allclose(larger, click)
            assert not np.allclose(larger, minutes)
        close(found[path], larger)
    assert_own_gradients(found, expected, (3.0, 1.0))
    assert history.weights.empty


def table_only(seed=0):
    """The tasks share a table and nothing else."""
    ids = keras.Input((2,), dtype="int32", name="ids")
    vectors = FusedEmbedding(
        SIZES, [column(0), column(1)], 3, seed=seed, name="embedding"
    )(ids)
    outputs = {}
    for k, task in enumerate(TWO):
        logit = keras.layers.Dense(
            1,
            name=f"logit_{task}",
            kernel_initializer=keras.initializers.GlorotUniform(seed + k),
        )(vectors)
        kind = "sigmoid" if task == "click" else "linear"
        outputs[task] = keras.layers.Activation(kind, name=task)(logit)
    return keras.Model({"ids": ids}, outputs)


def test_where_only_a_table_is_shared_its_rows_are_the_gram_matrix():
    _, rows = two_tasks()
    found, expected, history = one_step(
        GramOf(1), model=table_only(), rows=rows
    )
    g = jacobian(expected, ["embedding/table"])
    w = g @ g[1]
    close(history.weights["weight"], w)
    click, minutes = (expected[task]["embedding/table"] for task in TWO)
    close(found["embedding/table"], w[0] * click + w[1] * minutes)


def test_loss_weights_come_before_the_method():
    factors = {"click": 3.0, "minutes": 0.5}
    found, expected, history = one_step(GramOf(0), loss_weights=factors)
    g = jacobian(expected, DENSE) * [[3.0], [0.5]]
    close(history.weights["weight"], g @ g[0])
    assert_own_gradients(found, expected, (3.0, 0.5))


def test_a_method_that_weighs_losses_reaches_the_towers():
    method = StaticWeights({"click": 3.0, "minutes": 0.5})
    found, expected, history = one_step(method)
    assert_own_gradients(found, expected, (3.0, 0.5))
    for path in SHARED:
        click, minutes = (expected[task][path] for task in TWO)
        close(found[path], 3 * click + 0.5 * minutes)
    assert history.weights["weight"].tolist() == [3.0, 0.5]


def test_norms_are_those_at_the_last_shared_kernel():
    found, expected, history = one_step(Norms())
    norms = [np.linalg.norm(expected[t]["bottom/kernel"]) for t in TWO]
    assert abs(norms[0] / norms[1] - 1) > 0.1
    close(history.weights["weight"], norms)
    assert_own_gradients(found, expected, norms)
    for path in SHARED:
        click, minutes = (expected[task][path] for task in TWO)
        close(found[path], norms[0] * click + norms[1] * minutes)


def test_penalties_are_added_once_and_unbalanced():
    model, rows = two_tasks()
    regular = small_model(2, TWO)
    table = regular.get_layer("embedding")
    bottom = regular.get_layer("bottom")
    bottom.kernel_regularizer = keras.regularizers.L2(0.1)
    bottom.kernel.regularizer = bottom.kernel_regularizer
    table.table.regularizer = keras.regularizers.L2(0.2)
    kernel, ids = bottom.kernel.numpy(), table.table.numpy()
    plain, _, _ = one_step(Given(), model=model, rows=rows)
    found, _, _ = one_step(Given(), model=regular, rows=rows)
    close(found["bottom/kernel"], plain["bottom/kernel"] + 0.2 * kernel)
    close(found["embedding/table"], plain["embedding/table"] + 0.4 * ids)
    close(found["logit_click/kernel"], plain["logit_click/kernel"])


def half_precision(method, scale=256.0, **options):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small_model(2, TWO)
    finally:
        keras.config.set_dtype_policy("float32")
    _, rows = two_tasks()
    before = values(model)
    optimizer = keras.optimizers.LossScaleOptimizer(
        descent(RATE), initial_scale=scale
    )
    history = fit(
        model,
        rows,
        optimizer=optimizer,
        balancing=method,
        **{**ONE_STEP, **options},
    )
    return moved(before, model, RATE), history


@pytest.mark.parametrize("method", [GramOf(0), Norms()], ids=["gram", "norms"])
def test_loss_scaling_is_taken_out_before_the_method(method):
    found, history = half_precision(method)
    plain, _, expected = one_step(method)
    np.testing.assert_allclose(
        history.weights["weight"], expected.weights["weight"], rtol=0.05
    )
    for path, gradient in plain.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(found[path], gradient, atol=0.05 * scale)


def test_a_step_that_overflows_is_forgotten(monkeypatch):
    """Half precision finds its scale by overflowing; the state survives."""
    states = []
    original = BalancedStep.after_epoch

    def spy(self, losses):
        original(self, losses)
        states.append({n: v.numpy() for n, v in self.state.items()})

    monkeypatch.setattr(BalancedStep, "after_epoch", spy)
    found, history = half_precision(Adding(), 2.0**19, batch_size=2)
    (state,) = states
    assert 0 < state["n"] < 20, "of 20 steps some must overflow, not all"
    assert np.isfinite(state["sum"]).all()
    assert history.weights["weight"].tolist() == [1.0, 1.0]
    for path in SHARED:
        assert 0 < np.abs(found[path]).max() < np.inf
