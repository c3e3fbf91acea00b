"""GradNorm, MetaBalance, and each method in a small training loop."""

import math

import numpy as np
import pytest
import tensorflow as tf
from loss_balancing_cases import TASKS, ask, iterate, name, vector

from mtlrec_utils.learning.balancing.learned_weights import (
    FAMO,
    IMTLL,
    UncertaintyWeights,
)
from mtlrec_utils.learning.balancing.loss_weights import (
    DynamicWeightAverage,
    GeometricMean,
    RandomWeights,
    StaticWeights,
)
from mtlrec_utils.learning.balancing.metabalance import MetaBalance
from mtlrec_utils.learning.balancing.method import direction
from mtlrec_utils.learning.balancing.norms import GradNorm

# -- GradNorm ---------------------------------------------------------------


def test_gradnorm_with_alpha_0_ends_with_gradients_of_equal_length():
    norms = np.array([0.3, 6.0])
    weights, _ = iterate(GradNorm(0.0), [1.0, 9.0], 600, norms)
    closed = 2 * (1 / norms) / (1 / norms).sum()
    np.testing.assert_allclose(weights[-1], closed, rtol=1e-5)
    assert weights[0].tolist() == [1, 1]


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5])
def test_gradnorm_uses_each_task_s_own_training_rate(alpha):
    """A mean ratio for all tasks would end where alpha = 0 does."""
    method, norms = GradNorm(alpha), np.array([0.3, 6.0, 1.0])
    _, state = iterate(method, [4.0, 4.0, 10.0], 1, norms)
    losses = [2.0, 1.0, 10.0]
    weights, _ = iterate(method, losses, 600, norms, state=state)
    r = np.array([0.5, 0.25, 1.0])
    r /= r.mean()
    closed = r**alpha / norms
    closed *= 3 / closed.sum()
    np.testing.assert_allclose(weights[-1], closed, rtol=1e-4)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_gradnorm_closes_a_share_of_the_gap_at_each_step(size):
    norms = np.array([1.0, 5.0, 40.0]) * size
    weights, _ = iterate(GradNorm(0.0, 0.1), [1, 1, 1], 30, norms)
    np.testing.assert_allclose(weights.sum(1), 3, rtol=1e-5)
    reached = np.log(weights[:, 0] / weights[:, 2])
    steps = np.arange(30)
    np.testing.assert_allclose(
        reached, (1 - 0.9**steps) * math.log(40), rtol=1e-4, atol=1e-6
    )


def test_gradnorm_without_a_gradient_keeps_the_weight():
    method = GradNorm(0.0)
    _, state = iterate(method, [1.0, 1, 1], 50, [1.0, 2, 3])
    kept = 3 * tf.nn.softmax(state["log_weights"]).numpy()[1]
    weights, _ = iterate(method, [1.0, 1, 1], 90, [4.0, 0, 1], state=state)
    np.testing.assert_allclose(weights[:, 1], kept, rtol=1e-5)
    assert weights[-1, 0] < weights[0, 0]
    np.testing.assert_allclose(weights.sum(1), 3, rtol=1e-5)


def test_gradnorm_takes_the_first_loss_when_there_is_one():
    method = GradNorm(1.0)
    state = method.initial_state(TASKS, 1)
    for losses in ([5.0, 0.0, 2.0], [1.0, 7.0, 1.0], [1.0, 1.0, 1.0]):
        _, state = method.weights_from_norms(
            vector(*losses), vector(1, 1, 1), state
        )
    np.testing.assert_allclose(np.exp(state["log_first"]), [5, 7, 2], 1e-6)


def test_gradnorm_refuses_to_work_without_norms():
    method = GradNorm()
    state = method.initial_state(TASKS, 1)
    with pytest.raises(TypeError, match="weights_from_norms"):
        method.weights(vector(1, 1, 1), state)


# -- MetaBalance ------------------------------------------------------------


def jacobian(seed=0, sizes=(4, 7)):
    """Two shared tensors' gradients; each task is 10 times the one before.

    Task t lives in columns of its own, so that its part of a sum shows.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        rows = 10.0 ** np.arange(3)[:, None] * rng.normal(size=(3, size))
        parts.append((np.eye(3)[:, :, None] * rows[:, None]).reshape(3, -1))
    return [tf.constant(part, tf.float32) for part in parts]


def combine(method, *jacobians, tasks=TASKS):
    """Return the last of several steps' directions, and the state."""
    state = method.initial_state(tasks, len(jacobians[0]))
    run = tf.function(method.combine, autograph=False)
    for parts in jacobians:
        direction, state = run(parts, tf.ones(len(tasks)), state)
    return [part.numpy() for part in direction], state


def lengths(part):
    """Norm of each task's part of a direction of ``jacobian``."""
    return np.linalg.norm(part.reshape(3, -1), axis=1)


def test_metabalance_relaxed_to_0_is_the_plain_sum():
    summed, _ = combine(MetaBalance("like", relax=0.0), jacobian())
    for part, rows in zip(summed, jacobian(), strict=True):
        np.testing.assert_array_equal(part, tf.reduce_sum(rows, 0))


@pytest.mark.parametrize("target", range(3))
def test_metabalance_fully_makes_all_as_long_as_the_target(target):
    """In each tensor by itself, whatever the norms of steps before."""
    method = MetaBalance(TASKS[target], relax=1.0, averaging=0.0)
    summed, _ = combine(method, jacobian(1), jacobian(2))
    goals = []
    for part, rows in zip(summed, jacobian(2), strict=True):
        goals.append(np.linalg.norm(rows[target]))
        np.testing.assert_allclose(lengths(part), goals[-1], rtol=1e-5)
    assert abs(goals[0] / goals[1] - 1) > 0.1  # else "by itself" is idle


@pytest.mark.parametrize("relax", [0.3, 0.7])
@pytest.mark.parametrize("target", range(3))
def test_metabalance_hand_formula(relax, target):
    method = MetaBalance(TASKS[target], relax)
    summed, _ = combine(method, jacobian(3))
    for part, rows in zip(summed, jacobian(3), strict=True):
        norms = np.linalg.norm(rows, axis=1)
        factors = relax * norms[target] / norms + 1 - relax
        factors[target] = 1
        closed = (factors[:, None] * rows).numpy().sum(0)
        np.testing.assert_allclose(part, closed, rtol=1e-5)


def test_metabalance_on_the_reference_jacobian():
    rows = [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    method = MetaBalance("task_0", relax=1.0)
    closed = np.array(rows[0]) + math.sqrt(18 / 38) * np.array(rows[1])
    np.testing.assert_allclose(direction(method, rows), closed, rtol=1e-6)


def test_metabalance_never_changes_the_target_s_gradient():
    summed, _ = combine(MetaBalance("like"), *map(jacobian, range(4)))
    for part, rows in zip(summed, jacobian(3), strict=True):
        own = np.flatnonzero(rows[1])
        np.testing.assert_array_equal(part[own], rows[1].numpy()[own])


def test_metabalance_averages_the_norms():
    """Bias-corrected: sum of beta^(n-k) |g_k| over sum of beta^(n-k)."""
    method = MetaBalance("like", relax=1.0, averaging=0.8)
    steps = [jacobian(seed) for seed in range(4)]
    summed, _ = combine(method, *steps)
    for j, part in enumerate(summed):
        norms = np.stack([np.linalg.norm(s[j], axis=1) for s in steps])
        powers = 0.8 ** np.arange(3, -1, -1)
        means = (powers[:, None] * norms).sum(0) / powers.sum()
        closed = norms[-1] * means[1] / means
        np.testing.assert_allclose(lengths(part), closed, rtol=1e-4)


@pytest.mark.parametrize("absent", range(3))
def test_metabalance_with_a_zero_gradient(absent):
    """No NaN, no trace in the averages, no effect on the other tasks."""
    gone = tf.constant(1.0 - np.eye(3)[[absent]].T, tf.float32)
    hidden = [gone * rows for rows in jacobian(1)]
    method = MetaBalance("like")
    summed, state = combine(method, jacobian(0), hidden)
    full, _ = combine(method, jacobian(0), jacobian(1))
    _, before = combine(method, jacobian(0))
    for j, part in enumerate(summed):
        assert np.isfinite(part).all()
        assert lengths(part)[absent] == 0
        assert state["norms"][j, absent] == before["norms"][j, absent]
        if absent != 1:
            others = [t for t in range(3) if t != absent]
            np.testing.assert_allclose(
                lengths(part)[others], lengths(full[j])[others], rtol=1e-6
            )


@pytest.mark.parametrize("relax", [0.5, 1.0])
def test_metabalance_leaves_a_tensor_alone_that_the_target_never_reaches(
    relax,
):
    first, second = jacobian()
    second *= [[1.0], [0.0], [1.0]]
    summed, _ = combine(MetaBalance("like", relax), [first, second])
    np.testing.assert_array_equal(summed[1], tf.reduce_sum(second, 0))
    zeros = [tf.zeros_like(first), tf.zeros_like(second)]
    summed, _ = combine(MetaBalance("like", relax), zeros)
    assert all((part == 0).all() for part in summed)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_metabalance_is_linear_in_the_scale_of_everything(scale):
    method = MetaBalance("like", 0.7)
    scaled, _ = combine(method, [scale * rows for rows in jacobian()])
    plain, _ = combine(method, jacobian())
    for a, b in zip(scaled, plain, strict=True):
        np.testing.assert_allclose(a / np.float32(scale), b, rtol=1e-4)


@pytest.mark.parametrize("factor", [1e-12, 1e-3, 1e3, 1e12])
def test_metabalance_fully_forgets_the_size_of_an_auxiliary_loss(factor):
    times = tf.constant([[1.0], [1.0], [factor]], tf.float32)
    method = MetaBalance("like", relax=1.0)
    scaled, _ = combine(method, [times * rows for rows in jacobian()])
    plain, _ = combine(method, jacobian())
    for a, b in zip(scaled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_metabalance_survives_norms_whose_ratio_leaves_float32():
    rows = [[1e10, 0.0], [0.0, 1e-30]]
    part = direction(MetaBalance("task_0", relax=1.0), rows)
    assert part[0] == 1e10
    assert 0 < part[1] <= 1e10


def test_metabalance_does_not_care_for_the_order_of_tasks():
    order = [2, 0, 1]
    turned = [tf.gather(rows, order) for rows in jacobian()]
    tasks = [TASKS[i] for i in order]
    other, _ = combine(MetaBalance("like"), turned, tasks=tasks)
    plain, _ = combine(MetaBalance("like"), jacobian())
    for a, b in zip(other, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


# -- training loops ---------------------------------------------------------

# Two quadratics, L_t = a_t (x - c_t)^2 / 2 + b_t + n_t y; y is a second
# shared weight, never moved, at which the gradient norms n_t are measured.
A, C, B = np.array([1.0, 30.0]), np.array([0.0, 1.0]), np.array([0.2, 5.0])
N = np.array([3.0, 0.5])
START = 0.4


def task_losses(x):
    return A * (x - C) ** 2 / 2 + B


def equilibrium(weights):
    """The x at which the weighted gradients cancel."""
    return (weights * A * C).sum() / (weights * A).sum()


def log_equilibrium():
    """The x of the smallest product of the losses."""
    grid = np.linspace(0, 1, 200_001)
    return grid[np.log(task_losses(grid[:, None])).sum(1).argmin()]


def gradnorm_equilibrium(alpha):
    x = START
    for _ in range(500):
        weights = (task_losses(x) / task_losses(START)) ** alpha / N
        x = (x + equilibrium(weights)) / 2
    return x


def train(method, rate, epochs=16, steps=250):
    """Return the mean of x over the last half of the epochs."""
    a, b, c, n = (vector(*v) for v in (A, B, C, N))
    looks_twice = getattr(method, "looks_twice", False)

    def losses_at(x, y):
        return a * (x - c) ** 2 / 2 + b + n * y

    def update(x, state):
        y = tf.constant(0.0)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([x, y])
            losses = losses_at(x, y)
            each = tf.unstack(losses)
        rows = [tf.stack(tape.gradient(loss, [x, y])) for loss in each]
        gradients = tf.stack(rows)  # [T, 2]
        if isinstance(method, MetaBalance):
            (step,), state = method.combine([gradients[:, :1]], losses, state)
            return x - rate * step[0], state
        norms = tf.abs(gradients[:, 1])
        weights, state = ask(method, losses, norms, state)
        x -= rate * tf.reduce_sum(weights * gradients[:, 0])
        if looks_twice:
            state = method.after_step(losses, losses_at(x, y), state)
        return x, state

    @tf.function(autograph=False)
    def epoch(x, state):
        def step(i, x, state, total, path):
            total += losses_at(x, 0.0)
            return i + 1, *update(x, state), total, path + x

        start = (0, x, state, tf.zeros(2), 0.0)
        _, x, state, total, path = tf.while_loop(
            lambda i, *_: i < steps, step, start
        )
        return x, method.after_epoch(total / steps, state), path / steps

    x, state = tf.constant(START), method.initial_state(TASKS[:2], 1)
    means = []
    for _ in range(epochs):
        x, state, mean = epoch(x, state)
        means.append(float(mean))
    return np.mean(means[epochs // 2 :])


@pytest.mark.parametrize(
    ("method", "rate", "oracle", "tolerance"),
    [
        (StaticWeights(), 0.01, lambda: equilibrium(np.ones(2)), 1e-5),
        (
            StaticWeights({"click": 9.0}),
            0.01,
            lambda: equilibrium(np.array([9.0, 1.0])),
            1e-5,
        ),
        (RandomWeights(), 0.003, lambda: equilibrium(np.ones(2)), 2e-3),
        (DynamicWeightAverage(), 0.01, lambda: equilibrium(np.ones(2)), 1e-4),
        (GeometricMean(), 0.01, log_equilibrium, 1e-4),
        (UncertaintyWeights(0.05), 0.01, log_equilibrium, 1e-4),
        (IMTLL(0.05), 0.01, log_equilibrium, 1e-4),
        (IMTLL(0.05, mean_one=True), 0.01, log_equilibrium, 1e-4),
        (FAMO(), 0.01, log_equilibrium, 1e-3),
        (GradNorm(0.0), 0.01, lambda: gradnorm_equilibrium(0.0), 1e-4),
        (GradNorm(1.5), 0.01, lambda: gradnorm_equilibrium(1.5), 1e-4),
        # With two tasks in one dimension the relaxed lengths cancel where
        # the plain gradients do: only the way there differs.
        (MetaBalance("like"), 0.01, lambda: equilibrium(np.ones(2)), 1e-4),
    ],
    ids=lambda value: name(value) if hasattr(value, "after_epoch") else "",
)
def test_training_ends_at_the_closed_form(method, rate, oracle, tolerance):
    assert abs(train(method, rate) - oracle()) < tolerance


def test_the_oracles_tell_the_methods_apart():
    ends = [
        equilibrium(np.ones(2)),
        equilibrium(np.array([9.0, 1.0])),
        log_equilibrium(),
        gradnorm_equilibrium(0.0),
        gradnorm_equilibrium(1.5),
    ]
    gaps = np.abs(np.subtract.outer(ends, ends))[~np.eye(5, dtype=bool)]
    assert gaps.min() > 0.01


# -- learners' mistakes -----------------------------------------------------


def test_metabalance_needs_its_target_among_the_tasks():
    with pytest.raises(ValueError, match="target='purchase'.*'click', 'like'"):
        MetaBalance("purchase").initial_state(TASKS, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MetaBalance("buy", relax=1.2), "at least 0 and at most 1"),
        (lambda: MetaBalance("buy", relax=-0.1), "relax"),
        (lambda: MetaBalance("buy", averaging=1.0), "at least 0 and below 1"),
        (lambda: GradNorm(alpha=-1.0), "GradNorm.alpha=-1.0.*at least 0"),
        (lambda: GradNorm(learning_rate=0.0), "above 0 and below 1"),
        (lambda: GradNorm(learning_rate=True), "must be a number"),
    ],
)
def test_arguments_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()
