"""PCGrad, GradVac, UPGrad, GradDrop: hand values, every order, SciPy."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from balancing_cases import (
    REFERENCE,
    close,
    found,
    jacobians,
    norms,
    step,
)
from scipy import optimize

from mtlrec_utils.learning.balancing import (
    GradDrop,
    GradVac,
    PCGrad,
    UPGrad,
    direction,
)


def test_graddrop_on_the_reference_has_two_outcomes():
    seen = {tuple(direction(GradDrop(k), REFERENCE)) for k in range(20)}
    assert seen == {(6.0, 2.0, 2.0), (-4.0, 2.0, 2.0)}


def test_pcgrad_of_two():
    for rows in jacobians(30, tasks=(2,)):
        (a, b), d = norms(rows), rows[0] @ rows[1]
        expected = rows.sum(axis=0)
        if d < 0:
            expected = (1 - d / a**2) * rows[0] + (1 - d / b**2) * rows[1]
        result = found(PCGrad(), rows)
        close(result, expected, atol=1e-9 * max(a, b))
        assert (rows @ result >= -1e-9 * norms(rows) * max(a, b)).all()
        close(found(UPGrad(), rows), result / 2, atol=1e-9 * max(a, b))
    close(found(PCGrad(), [[1.0, 0], [-0.6, 0.8]]), 1.6 * np.array([0.4, 0.8]))


def surgeries(rows, running, target=None):
    """Every direction of PCGrad or GradVac over the tasks' orders."""

    def one(i, order):
        g = rows[i].copy()
        for j in order:
            by = g if running else rows[i]
            n, m = np.linalg.norm(by), np.linalg.norm(rows[j])
            c, s = by @ rows[j] / (n * m), 0 if target is None else target
            s = s if np.ndim(s) == 0 else s[i, j]
            if c < s:
                root = math.sqrt(1 - s**2)
                factor = n * (s * math.sqrt(1 - c**2) - c * root) / (m * root)
                g = g + factor * rows[j]
        return g

    tasks = range(len(rows))
    orders = [
        list(itertools.permutations([j for j in tasks if j != i]))
        for i in tasks
    ]
    return [
        sum(one(i, order) for i, order in enumerate(choice))
        for choice in itertools.product(*orders)
    ]


THREE = np.array([[1.0, 0.2, 0.1], [-1.0, 1.0, 0.3], [-0.4, -1.0, 1.0]])


def near(vector, candidates, atol=1e-9):
    return [k for k, c in enumerate(candidates) if max(abs(vector - c)) < atol]


def test_pcgrad_of_three_projects_the_running_gradient():
    right, wrong = surgeries(THREE, True), surgeries(THREE, False)
    reached = set()
    state = None
    for _ in range(120):
        result, state = step(PCGrad(3), THREE, state=state)
        assert near(result, right) and not near(result, wrong)
        reached.update(near(result, right))
    # An order of its own for each task, and another one each step.
    assert len(reached) == 2**3
    assert int(state["step"]) == 120


def test_draws_belong_to_the_seed_and_the_step():
    for kind in (PCGrad, GradDrop):
        rows = THREE if kind is PCGrad else np.vstack([THREE.T, -THREE.T]).T

        def course(method, rows=rows):
            state, results = None, []
            for _ in range(6):
                result, state = step(method, rows, state=state)
                results.append(result)
            return np.array(results)

        np.testing.assert_array_equal(course(kind(5)), course(kind(5)))
        assert (course(kind(5)) != course(kind(6))).any()


def test_gradvac_turns_to_its_target():
    targets = np.array([[0, 0.5, -0.2], [0.3, 0, 0.1], [-0.9, 0.4, 0]])
    right = surgeries(THREE, True, targets)
    state = {"step": tf.constant(0, tf.int64), "target": tf.constant(targets)}
    reached = set()
    for k in range(40):
        state["step"] = tf.constant(k, tf.int64)
        result, _ = step(GradVac(), THREE, state=state)
        assert near(result, right)
        reached.update(near(result, right))
    assert len(reached) > 3


def test_gradvac_target_is_a_moving_average_used_before_it_moves():
    rows = np.array([[1.0, 0.0], [0.6, 0.8]])
    result, state = step(GradVac(rate=0.1), rows)
    close(result, rows.sum(axis=0))
    expected = np.array([[0, 0.06], [0.06, 0]])
    np.testing.assert_allclose(state["target"], expected, atol=1e-15)
    opposed = np.array([[1.0, 0.0], [-0.6, 0.8]])
    result, state = step(GradVac(rate=0.1), opposed, state=state)
    close(result, surgeries(opposed, True, 0.06)[0])
    np.testing.assert_allclose(
        state["target"][0, 1], 0.9 * 0.06 - 0.1 * 0.6, atol=1e-12
    )


def test_gradvac_stays_finite_after_long_agreement():
    state = {"step": tf.constant(9, tf.int64), "target": tf.ones([2, 2])}
    state["target"] = tf.cast(state["target"], tf.float64)
    result, _ = step(GradVac(), REFERENCE, state=state)
    assert np.isfinite(result).all()


def test_upgrad_is_the_mean_of_projections_on_the_dual_cone():
    for rows in jacobians(42):
        n = np.where(norms(rows) > 0, norms(rows), 1)
        unit = rows / n[:, None]
        expected = 0
        for u, length in zip(unit, n, strict=True):
            factors, _ = optimize.nnls(unit.T, -u, maxiter=1000)
            expected = expected + (u + unit.T @ factors) * length / len(rows)
        close(found(UPGrad(), rows), expected, 0, 1e-7 * n.max())


def test_graddrop_keeps_one_sign_with_the_right_chance():
    rows = np.repeat([[3.0, 2.0], [-1.0, 1.0]], 20_000, axis=1)
    rows = rows.reshape(2, -1)
    mixed, agreed = np.split(direction(GradDrop(1), rows), 2)
    np.testing.assert_array_equal(agreed, 3)
    assert set(mixed) == {3.0, -1.0}
    # P = (1 + 2 / 4) / 2, with a standard error of .003.
    assert np.mean(mixed == 3) == pytest.approx(0.75, abs=0.012)


def test_graddrop_draws_anew_for_each_tensor():
    rows = tf.constant(np.repeat([[1.0], [-1.0]], 64, axis=1))
    state = GradDrop().initial_state(["a", "b"], 2)
    (a, b), state = GradDrop().combine([rows, rows], None, state)
    (c, _), _ = GradDrop().combine([rows, rows], None, state)
    assert (a.numpy() != b.numpy()).any() and (a.numpy() != c.numpy()).any()
