"""Weights made from losses: closed forms, invariances, limit cases."""

import copy
import math
import pickle

import numpy as np
import pytest
import tensorflow as tf
from loss_balancing_cases import (
    METHODS,
    OWN_SIZE,
    TASKS,
    ask,
    history,
    iterate,
    name,
    vector,
)

from mtlrec_utils.learning.balancing.learned_weights import (
    FAMO,
    IMTLL,
    UncertaintyWeights,
    follow_loss,
)
from mtlrec_utils.learning.balancing.loss_weights import (
    DynamicWeightAverage,
    GeometricMean,
    RandomWeights,
    StaticWeights,
)

LOSSES = [0.02, 0.5, 40.0]
DIRECTION_FREE_OF_SCALE = (GeometricMean(), UncertaintyWeights(), IMTLL())


def direction(weights, losses):
    """Weights of the gradients of log L, scaled to length 1."""
    parts = np.asarray(weights, "float64") * losses
    return parts / np.linalg.norm(parts, axis=-1, keepdims=True)


# -- static and random ------------------------------------------------------


def test_static_weights_go_by_name_and_default_to_one():
    method = StaticWeights({"buy": 5.0, "click": 0.0})
    state = method.initial_state(TASKS, 1)
    weights, _ = method.weights(vector(*LOSSES), state)
    assert weights.numpy().tolist() == [0.0, 1.0, 5.0]


def test_static_weights_keep_their_own_copy():
    given = {"buy": 5.0}
    method = StaticWeights(given)
    given["buy"] = 7.0
    assert method == StaticWeights({"buy": 5.0})


def test_random_weights_sum_to_the_number_of_tasks_and_average_one():
    draws, _ = iterate(RandomWeights(), LOSSES, 4000)
    np.testing.assert_allclose(draws.sum(1), 3, atol=1e-5)
    error = draws.std(0) / math.sqrt(len(draws))
    assert (abs(draws.mean(0) - 1) < 4 * error).all()
    assert (draws.std(0) > 0.3).all()  # softmax of N(0, 1), not of less


def test_random_weights_are_softmax_of_standard_normals():
    draws, _ = iterate(RandomWeights(), LOSSES, 4000)
    # log w_1 - log w_2 is a difference of two standard normals.
    gaps = np.log(draws[:, 0] / draws[:, 1])
    assert abs(gaps.mean()) < 4 * math.sqrt(2 / 4000)
    assert abs(gaps.var() - 2) < 4 * 2 * math.sqrt(2 / 4000)


def test_random_weights_depend_on_seed_and_step_alone():
    first, _ = iterate(RandomWeights(3), LOSSES, 5)
    again, _ = iterate(RandomWeights(3), [1.0, 1.0, 1.0], 5)
    other, _ = iterate(RandomWeights(4), LOSSES, 5)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first[:, 0])) == 5
    assert not np.isclose(first, other).any()


# -- dynamic weight average -------------------------------------------------


def dwa_weights(method, *epochs):
    state = method.initial_state(TASKS[: len(epochs[0])], 1)
    for losses in epochs:
        state = method.after_epoch(vector(*losses), state)
    return method.weights(vector(*epochs[0]), state)[0].numpy()


def test_dwa_weighs_one_in_the_first_two_epochs():
    method = DynamicWeightAverage()
    start = method.weights(vector(*LOSSES), method.initial_state(TASKS, 1))
    assert start[0].numpy().tolist() == [1, 1, 1]
    assert dwa_weights(method, LOSSES).tolist() == [1, 1, 1]
    assert dwa_weights(method, LOSSES, [0.01, 0.5, 40.0])[0] < 1


def test_dwa_hand_values():
    # Ratios 1/2 and 3/4 of the two latest epochs, temperature 2.
    weights = dwa_weights(
        DynamicWeightAverage(2.0), (9.0, 9.0), (4.0, 8.0), (2.0, 6.0)
    )
    parts = np.exp([0.25, 0.375])
    np.testing.assert_allclose(weights, 2 * parts / parts.sum(), rtol=1e-6)


def test_dwa_equal_ratios_give_equal_weights():
    weights = dwa_weights(DynamicWeightAverage(), LOSSES, [0.01, 0.25, 20.0])
    np.testing.assert_allclose(weights, 1, atol=1e-6)


@pytest.mark.parametrize("temperature", [1e6, math.inf])
def test_dwa_forgets_the_ratios_at_high_temperature(temperature):
    method = DynamicWeightAverage(temperature)
    weights = dwa_weights(method, LOSSES, [2.0, 0.5, 4.0])
    np.testing.assert_allclose(weights, 1, atol=1e-4)


def test_dwa_takes_an_epoch_without_rows_as_an_unknown_ratio():
    epoch = [0.02, math.nan, 40.0]
    for epochs in ([LOSSES, epoch], [epoch, LOSSES]):
        weights = dwa_weights(DynamicWeightAverage(), *epochs)
        np.testing.assert_allclose(weights, 1, atol=1e-6)


def test_dwa_survives_a_ratio_beyond_float32():
    weights = dwa_weights(
        DynamicWeightAverage(1e-3), (1e-30, 1.0), (1e30, 1.0)
    )
    np.testing.assert_allclose(weights, [2, 0])


# -- equilibria -------------------------------------------------------------


def test_uncertainty_ends_at_the_logarithm_of_the_loss():
    weights, state = iterate(UncertaintyWeights(), LOSSES, 2500)
    s = state["log_scale"].numpy()
    np.testing.assert_allclose(s, np.log(LOSSES), atol=1e-3)
    np.testing.assert_allclose(weights[-1], 1 / (2 * np.array(LOSSES)), 1e-3)
    objective = LOSSES / (2 * np.exp(s)) + s / 2
    np.testing.assert_allclose(objective, (1 + np.log(LOSSES)) / 2, atol=1e-6)
    nearby = s + np.array([[-0.1], [0.1]])
    assert (LOSSES / (2 * np.exp(nearby)) + nearby / 2 > objective).all()
    assert weights[0].tolist() == [0.5, 0.5, 0.5]


def test_imtl_ends_at_the_inverse_loss_and_is_uncertainty_twice():
    weights, state = iterate(IMTLL(), LOSSES, 2500)
    scale = np.exp(state["log_weight"].numpy())
    np.testing.assert_allclose(scale, 1 / np.array(LOSSES), rtol=1e-3)
    np.testing.assert_allclose(weights[-1] * LOSSES, 1, rtol=1e-3)
    uncertain, _ = iterate(UncertaintyWeights(), LOSSES, 2500)
    np.testing.assert_allclose(weights, 2 * uncertain, rtol=1e-5)


def test_the_step_follows_the_analytic_gradient():
    s = tf.constant([-1.0, 0.0, 2.0], tf.float32)
    losses = vector(*LOSSES)
    with tf.GradientTape() as tape:
        tape.watch(s)
        objective = tf.reduce_sum(losses / (2 * tf.exp(s)) + s / 2)
    gradient = tape.gradient(objective, s).numpy()
    for rate in (1e-5, 0.01, 0.5):
        moved = follow_loss(s, losses, rate).numpy()
        closed = s.numpy() + np.log1p(-2 * rate * gradient)
        np.testing.assert_allclose(moved, closed, atol=2e-6)


@pytest.mark.parametrize("start", [-20.0, 0.0, 20.0])
def test_each_step_closes_the_same_share_of_the_gap(start):
    s, losses = tf.fill([3], start), vector(*LOSSES)
    moved = follow_loss(s, losses, 0.1).numpy().astype("float64")
    before = math.exp(start) - np.array(LOSSES)
    after = np.exp(moved) - np.array(LOSSES)
    np.testing.assert_allclose(after, 0.9 * before, rtol=2e-5)


def test_losses_that_vary_end_at_their_mean_not_their_log_mean():
    rng = np.random.default_rng(0)
    losses = tf.constant(rng.exponential(2.0, (8000, 1)), tf.float32)
    s = tf.zeros(1)

    @tf.function(autograph=False)
    def run(s):
        return tf.foldl(lambda s, row: follow_loss(s, row, 0.002), losses, s)

    # The log of the mean is log 2 = 0.69, the mean of the log is 0.12.
    assert abs(float(run(s)[0]) - math.log(2)) < 0.1


@pytest.mark.parametrize(
    ("factor", "constant", "best", "weight"),
    [
        (0.5, 0.5, lambda x: math.log(x), lambda x: 1 / (2 * x)),
        (1.0, 0.5, lambda x: math.log(2 * x), lambda x: 1 / (2 * x)),
        (2.0, 1.0, lambda x: math.log(2 * x), lambda x: 1 / x),
    ],
)
def test_conventions_the_docstring_lists(factor, constant, best, weight):
    s = np.linspace(-8, 8, 160_001)
    for loss in LOSSES:
        found = s[np.argmin(factor * loss * np.exp(-s) + constant * s)]
        assert abs(found - best(loss)) < 2e-4
        assert abs(factor * math.exp(-found) / weight(loss) - 1) < 3e-4


def test_geometric_mean_weights_are_the_gradient_of_it():
    losses = vector(*LOSSES)
    with tf.GradientTape() as tape:
        tape.watch(losses)
        mean = tf.reduce_prod(losses) ** (1 / 3)
    weights, _ = GeometricMean().weights(losses, {})
    np.testing.assert_allclose(weights, tape.gradient(mean, losses), 1e-5)
    np.testing.assert_allclose(np.prod(weights) ** (1 / 3), 1 / 3, rtol=1e-5)


# -- FAMO -------------------------------------------------------------------


def test_famo_starts_at_the_inverse_losses_and_sums_to_one():
    weights, _ = iterate(FAMO(), LOSSES, 1)
    inverse = 1 / np.array(LOSSES)
    np.testing.assert_allclose(weights[0], inverse / inverse.sum(), rtol=1e-5)


def famo_logits(method, gains, steps):
    """Logits after steps in which log L_t falls by gain_t times z_t."""
    gains = vector(*gains)
    state = method.initial_state(TASKS[: len(gains)], 1)

    @tf.function(autograph=False)
    def run(state):
        def step(i, state):
            before = tf.ones_like(gains)
            z, state = method.weights(before, state)  # L = 1: w = z
            after = tf.exp(-gains * z)
            return i + 1, method.after_step(before, after, state)

        return tf.while_loop(lambda i, _: i < steps, step, (0, state))[1]

    return run(state)["logits"].numpy()


def test_famo_ends_where_all_log_losses_fall_alike():
    gains = np.array([0.01, 0.02, 0.05])
    x = famo_logits(FAMO(decay=0.0), gains, 3000)
    z = np.exp(x) / np.exp(x).sum()
    closed = (1 / gains) / (1 / gains).sum()
    np.testing.assert_allclose(z, closed, rtol=0.02)


def test_famo_step_by_hand():
    # delta = (log 2, 0), z = (1/2, 1/2): gradient (log 2 / 4)(1, -1).
    method = FAMO(learning_rate=0.1, decay=0.0)
    state = method.initial_state(TASKS[:2], 1)
    state = method.after_step(vector(2.0, 5.0), vector(1.0, 5.0), state)
    # Adam's first step is one learning rate against the sign.
    np.testing.assert_allclose(state["logits"], [-0.1, 0.1], rtol=1e-5)
    gradient = 10 * state["momentum"].numpy()
    np.testing.assert_allclose(gradient, [math.log(2) / 4, -math.log(2) / 4])
    velocity = 1000 * state["velocity"].numpy()
    np.testing.assert_allclose(velocity, gradient**2, rtol=1e-5)


def test_famo_agrees_with_adam_of_keras():
    optimizer = tf.keras.optimizers.Adam(0.025, epsilon=1e-8)
    x = tf.Variable(tf.zeros(3))
    rng = np.random.default_rng(1)
    state = FAMO(decay=0.01).initial_state(TASKS, 1)
    for _ in range(30):
        before = rng.uniform(1, 3, 3).astype("float32")
        after = before * rng.uniform(0.8, 1.1, 3).astype("float32")
        delta = np.log(before / after)
        with tf.GradientTape() as tape:
            pull = tf.reduce_sum(tf.nn.softmax(x) * delta)
            objective = pull + 0.005 * tf.reduce_sum(x**2)
        optimizer.apply_gradients([(tape.gradient(objective, x), x)])
        state = FAMO(decay=0.01).after_step(
            tf.constant(before), tf.constant(after), state
        )
    np.testing.assert_allclose(state["logits"], x, atol=2e-4)


def test_famo_decay_pulls_the_logits_back():
    gains = [0.01, 0.02, 0.05]
    free = famo_logits(FAMO(decay=0.0), gains, 800)
    pulled = famo_logits(FAMO(decay=1.0), gains, 800)
    assert np.ptp(pulled) < 0.1 * np.ptp(free)


def test_famo_says_that_it_looks_twice():
    assert FAMO.looks_twice and FAMO().looks_twice


# -- what holds for all -----------------------------------------------------


@pytest.mark.parametrize("method", DIRECTION_FREE_OF_SCALE, ids=name)
@pytest.mark.parametrize("task", range(3))
def test_a_loss_times_1000_keeps_the_direction_in_equilibrium(method, task):
    scaled = np.array(LOSSES)
    scaled[task] *= 1000
    weights, _ = iterate(method, scaled, 2500)
    # The plain losses give the mean of the gradients of log L.
    np.testing.assert_allclose(
        direction(weights[-1], scaled), 1 / math.sqrt(3), rtol=3e-3
    )
    static, _ = iterate(StaticWeights(), scaled, 1)
    gap = direction(static[-1], scaled) - direction([1, 1, 1], LOSSES)
    assert abs(gap).max() > 0.01  # this test can fail, and here it does


@pytest.mark.parametrize("method", [GeometricMean(), FAMO()], ids=name)
def test_a_loss_times_1000_keeps_every_direction_of_a_run(method):
    rng = np.random.default_rng(2)
    losses = rng.uniform(0.1, 1, (12, 3))
    scaled = losses * [1, 1000, 1]
    gain = (0.9, 0.8, 0.99)
    np.testing.assert_allclose(
        direction(history(method, losses, gain=gain), losses),
        direction(history(method, scaled, gain=gain), scaled),
        atol=1e-4,
    )


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_the_order_of_tasks_does_not_matter(method):
    rng = np.random.default_rng(3)
    losses = rng.uniform(0.1, 3, (9, 3))
    gain = np.array([0.9, 0.7, 1.1])
    order = [2, 0, 1]
    plain = history(method, losses, gain=gain)
    other = history(
        method, losses[:, order], [TASKS[i] for i in order], gain[order]
    )
    np.testing.assert_allclose(other, plain[:, order], rtol=1e-5)


@pytest.mark.parametrize("method", METHODS[2:], ids=name)
def test_tasks_alike_get_equal_weights(method):
    log = history(method, np.full((6, 3), 0.3))
    np.testing.assert_allclose(log, log[:, :1] * np.ones(3), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=name)
@pytest.mark.parametrize("tiny_or_huge", [1e-12, 1e12])
def test_extreme_losses_give_finite_weights(method, tiny_or_huge):
    for losses in ([tiny_or_huge, 1, 1], [tiny_or_huge] * 3, [1e-12, 1, 1e12]):
        log = history(method, np.tile(losses, (8, 1)))
        assert np.isfinite(log).all()
        assert (log >= 0).all()
        assert (log.sum(1) > 0).all()


@pytest.mark.parametrize("method", [UncertaintyWeights(), IMTLL()], ids=name)
def test_extreme_losses_are_reached_too(method):
    losses = np.array([1e-12, 1.0, 1e12])
    weights, _ = iterate(method, losses, 5000)
    end = 0.5 if isinstance(method, UncertaintyWeights) else 1.0
    np.testing.assert_allclose(weights[-1] * losses, end, rtol=1e-3)


def test_losses_of_extreme_size_change_no_direction():
    losses = [1e-12, 1.0, 1e12]
    for method in (GeometricMean(), FAMO()):
        weights, _ = iterate(method, losses, 1)
        np.testing.assert_allclose(
            direction(weights[0], losses), 1 / math.sqrt(3), rtol=1e-4
        )


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_batch_without_rows_of_a_task_leaves_no_trace(method):
    """Others' weights, and the task's own later on, are as without it."""
    rows = [1.0, 0.5, 2.0]
    state = method.initial_state(TASKS, 1)
    for _ in range(3):
        _, state = ask(method, vector(*rows), vector(*rows), state)
    before = state
    for _ in range(5):
        absent = vector(1.0, 0.0, 2.0)
        weights, state = ask(method, absent, absent, state)
        if isinstance(method, FAMO):
            state = method.after_step(absent, absent * 0.9, state)
        assert np.isfinite(weights).all()
    for key in set(state) - {"step"}:
        assert np.isfinite(np.asarray(state[key], "float64")).all()
        assert state[key][1] == before[key][1], key


@pytest.mark.parametrize("kind", OWN_SIZE)
def test_absent_tasks_do_not_count_in_the_weights_of_the_others(kind):
    method = kind()
    both, _ = iterate(method, [0.3, 2.0], 4, tasks=("click", "buy"))
    three, _ = iterate(method, [0.3, 0.0, 2.0], 4)
    np.testing.assert_allclose(three[:, [0, 2]], both, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_batch_without_any_label_changes_nothing(method):
    log = history(method, [[1, 2, 3], [0, 0, 0], [0, 0, 0], [1, 2, 3]])
    assert np.isfinite(log).all()


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_single_task_is_trained_as_if_alone(method):
    weights, _ = iterate(method, [0.7], 1, tasks=("like",))
    if isinstance(method, StaticWeights):
        weights /= 3
    half = 0.5 if isinstance(method, UncertaintyWeights) else 1.0
    np.testing.assert_allclose(weights, [[half]], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_weights_are_constants_to_the_gradient(method):
    losses = tf.constant([0.3, 1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(losses)
        state = method.initial_state(TASKS, 1)
        for _ in range(2):
            weights, state = ask(method, losses, losses, state)
    assert tape.gradient(weights, losses) is None


@pytest.mark.parametrize("kind", OWN_SIZE)
def test_mean_one_rescales_and_keeps_ratios(kind):
    losses = np.random.default_rng(5).uniform(0.1, 9, (6, 3))
    own, one = (history(kind(mean_one=x), losses) for x in (False, True))
    np.testing.assert_allclose(one.sum(1), 3, rtol=1e-5)
    np.testing.assert_allclose(one / one[:, :1], own / own[:, :1], rtol=1e-5)
    absent, _ = iterate(kind(mean_one=True), [0.5, 0.0, 2.0], 3)
    np.testing.assert_allclose(absent[:, [0, 2]].sum(1), 2, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_methods_are_descriptions(method):
    assert copy.deepcopy(method) == method
    assert pickle.loads(pickle.dumps(method)) == method
    assert hash(copy.copy(method)) == hash(method)


# -- learners' mistakes -----------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"like": -1.0}, r"\['like'\] = -1.0"),
        ({"like": math.nan}, "finite"),
        ({"lik": 1.0}, "names 'lik', but the model's tasks are 'click'"),
        ({"click": 0, "like": 0, "buy": 0}, "all 0"),
    ],
)
def test_static_weights_that_do_not_fit(weights, message):
    with pytest.raises(ValueError, match=message):
        StaticWeights(weights).initial_state(TASKS, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StaticWeights([1.0, 2.0]), "by name"),
        (lambda: RandomWeights(-1), r"RandomWeights\(seed=-1\)"),
        (lambda: RandomWeights(0.5), "whole number"),
        (lambda: DynamicWeightAverage(0), "temperature.* above 0"),
        (lambda: DynamicWeightAverage(-2.0), "above 0"),
        (lambda: DynamicWeightAverage(math.nan), "above 0"),
        (lambda: DynamicWeightAverage("2"), "must be a number"),
        (lambda: UncertaintyWeights(1.0), "above 0 and below 1"),
        (lambda: UncertaintyWeights(0.0), "above 0 and below 1"),
        (lambda: IMTLL(-0.1), "IMTLL.learning_rate=-0.1"),
        (lambda: FAMO(0.0), "above 0"),
        (lambda: FAMO(decay=-1.0), "at least 0"),
        (lambda: FAMO(math.inf), "above 0"),
    ],
)
def test_arguments_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()
