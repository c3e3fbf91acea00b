"""Exact algorithms on a T x T Gram matrix, inside the TensorFlow graph.

All work on cosines and norms rather than on the Gram matrix itself, so a
task whose gradient is a million times smaller counts like any other. T is a
handful, so what would be a search over supports (which tasks get a weight)
is done for all 2^T of them at once, and a Newton iteration costs less than
reading the gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# 2^10 supports of 10 x 10 numbers are 0.8 MB; every task more doubles it.
MOST_TASKS = 10
# A gradient whose squared distance from the others' span is below this part
# of its squared norm depends on them: float64 cannot tell it from zero.
DEPENDENT = 1e-13


def norms_and_cosines(gram: Any) -> tuple[Any, Any]:
    """Return norms [T] and cosines [T, T] of the rows behind a Gram matrix.

    A zero row has the norm 0 and the cosine 0 with every row, itself
    included. What is not finite counts as 0: such a gradient then reaches
    the direction as it is and the loop reports it, where a solver would fail
    with a message about matrices.
    """
    gram = tf.where(tf.math.is_finite(gram), gram, tf.zeros_like(gram))
    norms = tf.sqrt(tf.linalg.diag_part(gram))
    return norms, gram * reciprocal(norms)[:, None] * reciprocal(norms)


def reciprocal(values: Any) -> Any:
    """Return 1 / values, and 0 where a value is 0."""
    return tf.math.divide_no_nan(tf.ones_like(values), values)


def check_tasks(name: str, tasks: Sequence[str]) -> None:
    """Raise a ValueError where a method looks at all supports of too many."""
    if len(tasks) > MOST_TASKS:
        raise ValueError(
            f"{name} got {len(tasks)} tasks; it looks at all 2^T sets of "
            f"tasks, which is exact and fast up to {MOST_TASKS}. Use PCGrad, "
            "NashMTL or AlignedMTL, whose cost grows with T^2 or T^3."
        )


def supports(n_tasks: int) -> np.ndarray:
    """Return all subsets of T tasks, float64 [2^T, T] of 0 and 1."""
    bits = np.arange(2**n_tasks)[:, None] >> np.arange(n_tasks) & 1
    return bits.astype(np.float64)


def sweep(matrix: Any, columns: Any) -> tuple[Any, Any]:
    """Solve with every principal block of a positive semi-definite matrix.

    For the support S, N the tasks outside, M the matrix and B the columns,

        rows S:  M_S^-1 M_SN     and  M_S^-1 B_S
        rows N:  M_N - M_NS M_S^-1 M_SN  and  B_N - M_NS M_S^-1 B_S

    are what Gaussian elimination leaves. Each task doubles the batch: once
    left alone and once swept (Goodnight, "A tutorial on the SWEEP operator",
    The American Statistician 1979). Nothing is pivoted, which is stable for
    such matrices.

    Args:
        matrix: symmetric, float64 [T, T].
        columns: right-hand sides, float64 [T, R].

    Returns:
        float64 [2^T, T, T + R] in the order of ``supports``, and bool [2^T]:
        whether M_S is regular. Where it is not, the numbers mean nothing.
    """
    n_tasks = matrix.shape[0]
    check_tasks("A sweep", [""] * n_tasks)
    swept = tf.concat([matrix, columns], axis=1)[None]
    regular = tf.constant([True])
    width = swept.shape[2]
    for k in range(n_tasks):
        pivot = swept[:, k, k]
        sound = pivot > DEPENDENT * matrix[k, k]
        pivot = tf.where(sound, pivot, tf.ones_like(pivot))[:, None]
        here = tf.one_hot(k, n_tasks, dtype=tf.float64)
        there = tf.one_hot(k, width, dtype=tf.float64)
        row = (swept[:, k, :] * (1 - there) + there) / pivot
        factors = here - swept[:, :, k] * (1 - here)
        rest = swept * (1 - here)[:, None] * (1 - there)
        after = rest + factors[:, :, None] * row[:, None, :]
        swept = tf.concat([swept, after], axis=0)
        regular = tf.concat([regular, regular & sound], axis=0)
    return swept, regular


def minimum_norm_weights(gram: Any) -> Any:
    """Return the weights on the simplex that minimise ||w^T J||, [T].

    For u >= 0 with the sum s, ||u^T J||^2 + (1 - s)^2 is least at a multiple
    of these weights, and has no other constraint; so on the right support u
    solves (G + 1 1^T) u = 1. Rows are first measured in units of the
    shortest, to keep the two terms comparable. Unlike G itself, the blocks
    of G + 1 1^T are singular only for affinely dependent rows, which an
    optimum can always do without.
    """
    norms, cosines = norms_and_cosines(gram)
    shortest = tf.reduce_min(norms)
    norms = norms / tf.where(shortest > 0, shortest, tf.ones_like(shortest))
    # Divided by the root of its diagonal, so that no row drowns another.
    root = tf.sqrt(norms**2 + 1)
    share = norms / root
    matrix = cosines * share[:, None] * share + 1 / (root[:, None] * root)
    swept, regular = sweep(matrix, 1 / root[:, None])
    inside = supports(norms.shape[0])
    u = swept[:, :, -1] / root * inside
    feasible = regular & tf.reduce_all(u >= 0, axis=1)
    # At the solution on a support, the objective is 1 - sum u.
    total = tf.where(feasible, tf.reduce_sum(u, axis=1), -1)
    best = tf.argmax(total)
    return u[best] / total[best]


def dual_cone_weights(gram: Any) -> Any:
    """Project every row on {d: J d >= 0}: coefficients [T, T].

    The projection of g_i is g_i + u^T J, u >= 0 of least norm. Row i of the
    result is e_i + u.
    """
    norms, cosines = norms_and_cosines(gram)
    n_tasks = norms.shape[0]
    swept, regular = sweep(cosines, tf.zeros([n_tasks, 0], tf.float64))
    inside = supports(n_tasks)
    # u for the support b and the task i, in units of the norms: [2^T, T, T].
    u = -swept * inside[:, :, None]
    feasible = tf.reduce_all(u >= 0, axis=1) & regular[:, None]
    feasible &= inside == 0
    remaining = tf.linalg.diag_part(swept)
    infinite = tf.fill(tf.shape(remaining), np.float64(np.inf))
    best = tf.argmin(tf.where(feasible, remaining, infinite), axis=0)
    chosen = tf.gather_nd(
        tf.transpose(u, [0, 2, 1]),
        tf.stack([best, tf.range(n_tasks, dtype=tf.int64)], axis=1),
    )
    scale = norms[:, None] * reciprocal(norms)
    return tf.eye(n_tasks, dtype=tf.float64) + chosen * scale


def fixed_point(matrix: Any, factors: Any, power: float) -> Any:
    """Solve M x = p x^-q for x > 0, M positive definite: [T].

    Newton's method on M x = z, q log x + log z = log p from x = z = 1. The
    second equation is approached by at most a factor e^2 a step, and a step
    stops short of the boundary; a handful of steps suffices unless tasks
    nearly cancel or q is far from 1 and the factors are far apart.

    Args:
        matrix: float64 [T, T], unit diagonal.
        factors: p > 0, float64 [T].
        power: q > 0.
    """
    p, q = tf.math.log(factors), tf.constant(power, tf.float64)
    eye = tf.eye(matrix.shape[0], dtype=tf.float64)

    def errors(x: Any, z: Any) -> tuple[Any, Any]:
        linear = z - tf.linalg.matvec(matrix, x)
        return linear, p - q * tf.math.log(x) - tf.math.log(z)

    def unsolved(x: Any, z: Any) -> Any:
        linear, logarithmic = errors(x, z)
        size = z + tf.linalg.matvec(tf.abs(matrix), x)
        worst = tf.maximum(tf.abs(linear) / size, tf.abs(logarithmic))
        return tf.reduce_max(worst) > 1e-13

    def newton(x: Any, z: Any) -> tuple[Any, Any]:
        linear, target = errors(x, z)
        target *= 2 / tf.maximum(tf.reduce_max(tf.abs(target)), 2)
        # In relative changes of x, and scaled to a unit diagonal.
        diagonal = x * (x * tf.linalg.diag_part(matrix) + q * z)
        scale = x / tf.sqrt(diagonal)
        system = matrix * scale[:, None] * scale
        system += tf.linalg.diag(q * z * x / diagonal) + 1e-14 * eye
        right = scale * (linear + z * target)
        of_x = tf.linalg.solve(system, right[:, None])[:, 0] * scale / x
        of_z = target - q * of_x
        furthest = -tf.minimum(tf.reduce_min(of_x), tf.reduce_min(of_z))
        length = 0.9 / tf.maximum(furthest, 0.9)
        return x * (1 + length * of_x), z * (1 + length * of_z)

    one = tf.ones_like(factors)
    x, _ = tf.while_loop(unsolved, newton, (one, one), maximum_iterations=100)
    return x
