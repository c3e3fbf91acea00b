"""Jacobians of many kinds, and a method's direction through tf.function."""

from functools import cache

import numpy as np
import tensorflow as tf

from mtlrec_utils.learning.balancing import (
    DBMTL,
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    FairGrad,
    GradDrop,
    GradVac,
    Mean,
    NashMTL,
    PCGrad,
    Sum,
    UPGrad,
)

REFERENCE = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
DETERMINISTIC = (
    Sum(),
    Mean(),
    MGDA(),
    UPGrad(),
    CAGrad(0.5),
    CAGrad(2.0),
    IMTLG(),
    NashMTL(),
    FairGrad(2.0),
    AlignedMTL(),
    DBMTL(),
)
METHODS = (*DETERMINISTIC, PCGrad(), GradVac(), GradDrop())


@cache
def _step(method, n_tasks):
    def step(jacobian, losses, state):
        found, state = method.combine([jacobian], losses, state)
        return found[0], state

    return tf.function(step, autograph=False)


def step(method, jacobian, losses=None, state=None):
    """One step inside a tf.function: direction [P] and the new state."""
    n_tasks = len(jacobian)
    if state is None:
        state = method.initial_state([f"t{t}" for t in range(n_tasks)], 1)
    losses = np.ones(n_tasks) if losses is None else losses
    jacobian = np.asarray(jacobian)
    padded = np.zeros((n_tasks, 12), jacobian.dtype)  # one trace for all P
    padded[:, : jacobian.shape[1]] = jacobian
    found, state = _step(method, n_tasks)(
        tf.constant(padded), tf.constant(losses, tf.float32), state
    )
    return found.numpy()[: jacobian.shape[1]], state


def found(method, jacobian, losses=None):
    """Return the direction of the first step, [P]."""
    return step(method, jacobian, losses)[0]


def norms(jacobian):
    return np.linalg.norm(jacobian, axis=1)


def jacobians(n, seed=0, tasks=(2, 3, 5), singular=True, scales=6.0):
    """Yield n Jacobians: random, parallel, nearly opposite, dependent ...

    Every second one has each row on a scale of its own, 10^-scales to
    10^scales.
    """
    rng = np.random.default_rng(seed)
    for k in range(n):
        n_tasks = int(rng.choice(tasks))
        low = 1 if singular else n_tasks + 1
        width = int(rng.integers(low, low + 7))
        rows = rng.normal(size=(n_tasks, width))
        kind = k // 2 % (7 if singular else 3)
        if kind == 1:  # all nearly one
            rows = rng.normal(size=width) + 10 ** rng.uniform(-2, 0) * rows
        if kind == 2:  # two nearly opposite
            rows[1] = -rows[0] + 10 ** rng.uniform(-2, 0) * rows[1]
        if kind == 3:  # duplicates
            rows[1] = rows[0]
        if kind == 4:  # low rank
            rank = max(1, width // 3)
            factor = rng.normal(size=(n_tasks, rank))
            rows = factor @ rng.normal(size=(rank, width))
        if kind == 5:
            rows[0] = 0
        if kind == 6:  # 0 in the convex hull
            rows -= rows.mean(axis=0)
        if k % 2:
            rows *= 10 ** rng.uniform(-scales, scales, (n_tasks, 1))
        yield rows


def close(a, b, rtol=1e-7, atol=0.0, message=""):
    """Vectors equal up to a part of the larger one's length."""
    size = max(np.linalg.norm(a), np.linalg.norm(b))
    error = np.linalg.norm(np.asarray(a) - np.asarray(b))
    assert error <= rtol * size + atol, f"{message}: {a} is not {b}"
