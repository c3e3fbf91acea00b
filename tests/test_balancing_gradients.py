"""Gradient-level balancing: closed forms, hand values, SciPy as oracle."""

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
    DBMTL,
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    FairGrad,
    GradVac,
    Mean,
    NashMTL,
    PCGrad,
    Sum,
    UPGrad,
    direction,
)
from mtlrec_utils.learning.balancing.exact_solvers import supports, sweep


def method_weights(method, jacobian, losses=None):
    """Weights of the first step, from the exact Gram matrix."""
    state = method.initial_state(["t"] * len(jacobian), 1)
    losses = np.ones(len(jacobian)) if losses is None else losses
    gram = tf.constant(jacobian @ jacobian.T)
    chosen, _ = method.weights(gram, tf.constant(losses, tf.float32), state)
    return chosen.numpy()


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Sum(), (2, 2, 2)),
        (Mean(), (1, 1, 1)),
        (MGDA(), (0, 1, 1)),
        (PCGrad(), (0.58480, 3.80117, 3.80117)),
        (GradVac(), (0.58480, 3.80117, 3.80117)),
        (IMTLG(), (0.07670, 1, 1)),
        (NashMTL(), (0.07658, 0.99853, 0.99853)),
        (FairGrad(1.0), (0.07658, 0.99853, 0.99853)),
        (AlignedMTL(), (0.21328, 0.96733, 0.96733)),
        (CAGrad(0.5), (0.18350, 1.20412, 1.20412)),
        (UPGrad(), (0.29240, 1.90058, 1.90058)),
        (DBMTL(), (0.18813, 2.45297, 2.45297)),
    ],
)
def test_reference_jacobian(method, expected):
    np.testing.assert_allclose(
        direction(method, REFERENCE), expected, atol=6e-6
    )


def test_reference_weights():
    for method, expected in (
        (MGDA(), (0.6, 0.4)),
        (PCGrad(), (1 + 22 / 18, 1 + 22 / 38)),
        (IMTLG(), (0.5923, 0.4077)),
        (NashMTL(), (0.5915, 0.4071)),
        (AlignedMTL(), (0.5591, 0.4083)),
    ):
        np.testing.assert_allclose(
            method_weights(method, REFERENCE), expected, atol=6e-5
        )


def test_mgda_of_two():
    for rows in jacobians(30, tasks=(2,)):
        (a, b), d = norms(rows), rows[0] @ rows[1]
        apart = np.sum((rows[0] - rows[1]) ** 2)
        w = np.clip((b**2 - d) / apart, 0, 1) if apart else 0.5
        expected = w * rows[0] + (1 - w) * rows[1]
        rounding = 1e-8 * min(a, b) + 1e-15 * max(a, b)
        close(found(MGDA(), rows), expected, 1e-7, rounding)


def test_mgda_at_the_boundary_is_exact():
    weights = method_weights(MGDA(), np.array([[1.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(weights, [1, 0])
    opposite = found(MGDA(), [[2.0, 1.0], [-2.0, -1.0]])
    np.testing.assert_allclose(opposite, 0, atol=1e-15)


def test_mgda_kkt():
    for rows in jacobians(42):
        n = norms(rows)
        d, weights = found(MGDA(), rows), method_weights(MGDA(), rows)
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1)
        shortest = n.min() if n.min() > 0 else 1
        gains = (rows @ d - d @ d) / (np.where(n > 0, n, 1) * shortest)
        assert (gains > -1e-7).all()
        assert abs(gains[weights > 1e-6]).max() < 1e-6


def test_bisector():
    """Two tasks: IMTL-G, Nash and MGDA of unit gradients agree."""
    for rows in jacobians(20, 1, tasks=(2,), singular=False):
        unit = rows / norms(rows)[:, None]
        bisector = unit.sum(axis=0) / np.linalg.norm(unit.sum(axis=0))
        for result in (
            found(IMTLG(), rows),
            found(NashMTL(), rows),
            found(MGDA(), unit),
        ):
            close(result / np.linalg.norm(result), bisector, 1e-6)
        a, b = norms(rows)
        chosen = method_weights(IMTLG(), rows)
        np.testing.assert_allclose(chosen, [b / (a + b), a / (a + b)], 1e-6)


def test_imtlg_projects_equally():
    for rows in jacobians(30, 2, singular=False, scales=2):
        weights = method_weights(IMTLG(), rows)
        assert weights.sum() == pytest.approx(1)
        projections = rows @ (weights @ rows) / norms(rows)
        assert np.ptp(projections) < 1e-8 * abs(weights * norms(rows)).sum()


def test_imtlg_without_an_answer():
    u = np.array([[1.0, 0, 0], [0, 1.0, 0], [0.7, 0.7, 0.1]])
    u[2] /= np.linalg.norm(u[2])
    x = np.linalg.solve(u @ u.T, np.ones(3))
    assert x[0] > 0 > x[2]
    lengths = np.array([1, 1, -x[2] / (x[0] + x[1])])
    np.testing.assert_array_equal(found(IMTLG(), u * lengths[:, None]), 0)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_fair_equation(alpha):
    method = NashMTL() if alpha == 1 else FairGrad(alpha)
    scales = 6 if alpha == 1 else 2
    for rows in jacobians(40, 3, singular=False, scales=scales):
        weights = method_weights(method, rows)
        assert (weights > 0).all()
        right = weights ** (-1 / alpha)
        gains = (rows @ rows.T @ weights) / right
        # Where gradients nearly cancel, large products make small gains.
        rounding = 5e-14 * (abs(rows @ rows.T) @ weights) / right
        assert (abs(gains - 1) < 1e-10 + rounding).all()
        if alpha == 1:
            assert np.sum(found(method, rows) ** 2) == pytest.approx(len(rows))


def test_nash_of_two_and_of_orthogonal_gradients():
    for rows in jacobians(20, 4, tasks=(2,), singular=False):
        (a, b), d = norms(rows), rows[0] @ rows[1]
        root = math.sqrt(1 + d / (a * b))
        expected = [1 / (a * root), 1 / (b * root)]
        np.testing.assert_allclose(
            method_weights(NashMTL(), rows), expected, rtol=1e-8
        )
    chosen = method_weights(NashMTL(), np.diag([1e-6, 1.0, 1e6]))
    np.testing.assert_allclose(chosen, [1e6, 1, 1e-6], rtol=1e-10)


def test_fairgrad_of_a_large_alpha_turns_to_mgda():
    result, expected = found(FairGrad(200.0), REFERENCE), (0, 1, 1)
    cosine = result @ expected / np.linalg.norm(result) / math.sqrt(2)
    assert cosine == pytest.approx(1, abs=1e-4)


def test_aligned_has_equal_singular_values():
    for rows in jacobians(42, 5, scales=3):
        left, values, right = np.linalg.svd(rows, full_matrices=False)
        rank = np.linalg.matrix_rank(
            rows / np.maximum(norms(rows), 1e-9)[:, None]
        )
        aligned = values[rank - 1] * left[:, :rank] @ right[:rank]
        product = aligned @ aligned.T
        np.testing.assert_allclose(
            product @ product,
            values[rank - 1] ** 2 * product,
            atol=1e-9 * values[rank - 1] ** 4,
        )
        expected, size = aligned.mean(axis=0), values[rank - 1]
        close(found(AlignedMTL(), rows), expected, 1e-5, 1e-9 * size)
    close(found(AlignedMTL(), 3 * np.eye(4)), np.full(4, 0.75))


def best_worst_gain(rows, c):
    """CAGrad's optimum from its dual, min over the simplex, by SciPy."""
    mean = rows.mean(axis=0)
    radius, n_tasks = c * np.linalg.norm(mean), len(rows)

    def dual(w):
        g = w @ rows
        return g @ mean + radius * math.sqrt(g @ g + 1e-30)

    starts = [np.full(n_tasks, 1 / n_tasks)]
    starts += list(0.9 * np.eye(n_tasks) + 0.1 / n_tasks)
    return min(
        optimize.minimize(
            dual,
            start,
            bounds=[(0, 1)] * n_tasks,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 300},
        ).fun
        for start in starts
    )


@pytest.mark.parametrize("c", [0.3, 1.0, 3.0])
def test_cagrad_is_optimal(c):
    for rows in jacobians(14, 6, tasks=(2, 3, 5), scales=0.5):
        result, mean = found(CAGrad(c), rows), rows.mean(axis=0)
        size = np.linalg.norm(mean)
        if size < 1e-9:  # then d = 0 is all there is
            np.testing.assert_allclose(result, 0, atol=1e-12)
            continue
        assert np.linalg.norm(result - mean) <= c * size * (1 + 1e-6)
        scale = size * norms(rows).max()
        gap = best_worst_gain(rows, c) - (rows @ result).min()
        assert abs(gap) < 1e-5 * scale


def test_cagrad_limits():
    for rows in jacobians(20, 7, singular=False):
        close(found(CAGrad(0.0), rows), rows.mean(axis=0), 1e-12)
    for rows in jacobians(10, 8, singular=False, scales=0.5):
        far, shortest = found(CAGrad(1e7), rows), found(MGDA(), rows)
        unit = shortest / np.linalg.norm(shortest)
        close(far / np.linalg.norm(far), unit, 1e-4)


def test_cagrad_prefers_the_mean_among_equally_good():
    """0 is in the hull, and every direction (0, y) near the mean helps none.

    The third gradient's gain is then the only one left free, up to y.
    """
    rows = np.array([[1.0, 0.0], [-2.0, 0.0], [0.4, 1.0]])
    close(found(CAGrad(2.0), rows), [0, 1 / 3])


def test_dbmtl_gives_all_the_length_of_the_longest():
    rows, losses = np.array([[3.0, 0, 0], [0, 0.5, 0], [0, 0, 2]]), [6, 0.1, 1]
    found_first = found(DBMTL(), rows, losses)
    np.testing.assert_allclose(found_first, [5, 5, 5], rtol=1e-6)
    # A loss times 1000 has a gradient times 1000, and changes nothing.
    larger = found(DBMTL(), rows * [[1000], [1], [1]], [6000, 0.1, 1])
    np.testing.assert_allclose(larger, found_first, rtol=1e-6)


def test_dbmtl_averages_norms():
    method = DBMTL(averaging=0.75)
    first, second = np.diag([1.0, 4.0]), np.diag([3.0, 0.0])
    _, state = step(method, first)
    _, state = step(method, second, state=state)
    third, _ = step(method, first, state=state)
    # Exact means: weights .75^2, .75, 1 of steps 1 to 3; task 2 was absent
    # in the second, which leaves its average alone.
    mean = (1 * 0.5625 + 3 * 0.75 + 1) / (0.5625 + 0.75 + 1)
    np.testing.assert_allclose(third, [4 / mean, 4], rtol=1e-7)


def test_a_sweep_solves_with_every_support():
    rng = np.random.default_rng(21)
    rows, columns = rng.normal(size=(4, 6)), rng.normal(size=(4, 2))
    rows[3] = rows[0] - 0.7 * rows[1]
    matrix = rows @ rows.T
    swept, regular = sweep(tf.constant(matrix), tf.constant(columns))
    both = np.hstack([matrix, columns])
    for b, inside in enumerate(supports(4)):
        on, off = np.flatnonzero(inside), np.flatnonzero(inside == 0)
        assert bool(regular[b]) == (not {0, 1, 3} <= set(on))
        if regular[b]:
            right = both[on][:, [*off, 4, 5]]
            solved = np.linalg.solve(matrix[np.ix_(on, on)], right)
            rest = both[off][:, [*off, 4, 5]] - matrix[off][:, on] @ solved
            found_here = swept[b].numpy()[:, [*off, 4, 5]]
            np.testing.assert_allclose(found_here[on], solved, atol=1e-9)
            np.testing.assert_allclose(found_here[off], rest, atol=1e-9)
