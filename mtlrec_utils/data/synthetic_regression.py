"""The synthetic regression of the MMoE paper, two tasks of known relation.

Ma, Zhao, Yi, Chen, Hong, Chi: "Modeling task relationships in multi-task
learning with multi-gate mixture-of-experts", KDD 2018, section 3.2. With
orthonormal u1, u2 and p = `correlation`, c = `scale`

    w_a = c u1,    w_b = c (p u1 + sqrt(1 - p^2) u2),    x ~ N(0, I)
    y_k = w_k.x + sum_i sin(a_i w_k.x + b_i) + e,        e ~ N(0, noise^2)

The paper does not state a_i and b_i. Drawn at random, they make the relation
of the labels vary wildly for one and the same p, so here they are arguments
with fixed values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

AMPLITUDES = (1.0, 2.0, 0.5, 1.5)
PHASES = (0.0, 1.0, 2.0, 0.5)


def synthetic_regression(
    n_rows: int,
    *,
    correlation: float,
    dimension: int = 100,
    scale: float = 1.0,
    amplitudes: Sequence[float] = AMPLITUDES,
    phases: Sequence[float] = PHASES,
    noise: float = 0.1,
    seed: int = 0,
    draw: int = 0,
) -> pd.DataFrame:
    """Draw rows of the two-task regression.

    Args:
        n_rows: Rows to draw, at least 1.
        correlation: Cosine p between the weights of the tasks, -1 ... 1.
        dimension: Inputs, at least 2.
        scale: Length c of both weight vectors.
        amplitudes: The a_i: factors *inside* the sines.
        phases: The b_i, as many.
        noise: Standard deviation of e; the floor of the mean squared error
            is its square.
        seed: Another seed gives other weights (and other rows).
        draw: Another number gives other rows for the same weights.

    Returns:
        A frame x_0 ... x_{dimension - 1}, task_a, task_b. Its `attrs` hold
        the weights: "weights_a", "weights_b" (lists of `dimension` numbers).

    Raises:
        ValueError: An argument is out of its range.
    """
    a, b = _curve(amplitudes, phases)
    _check(correlation, scale, noise)
    for name, value, low in (
        ("n_rows", n_rows, 1),
        ("dimension", dimension, 2),
        ("seed", seed, 0),
        ("draw", draw, 0),
    ):
        whole = isinstance(value, int | np.integer)
        if not whole or isinstance(value, bool) or value < low:
            raise ValueError(
                f"{name} must be a whole number from {low} up, not {value!r}."
            )
    weights = _weights(correlation, scale, dimension, seed)
    random = np.random.default_rng([seed, draw, 1])
    x = random.standard_normal((n_rows, dimension))
    t = x @ weights.T
    # einsum-free on purpose: n_rows x 2 x curves stays small.
    y = t + np.sin(t[:, :, None] * a + b).sum(axis=2)
    y += noise * random.standard_normal(y.shape)
    names = [f"x_{k}" for k in range(dimension)] + ["task_a", "task_b"]
    frame = pd.DataFrame(np.column_stack([x, y]), columns=names)
    frame.attrs["weights_a"] = weights[0].tolist()
    frame.attrs["weights_b"] = weights[1].tolist()
    return frame


def label_correlation(
    correlation: float,
    scale: float = 1.0,
    amplitudes: Sequence[float] = AMPLITUDES,
    phases: Sequence[float] = PHASES,
    noise: float = 0.1,
) -> float:
    """Return the Pearson correlation of the two labels, in closed form.

    With z, z' ~ N(0, c^2) of correlation p, E exp(i(az + a'z')) =
    exp(-c^2 (a^2 + a'^2 + 2 a a' p) / 2) gives, by sums of sines,

        Cov(z, sin(a z' + b)) = p c^2 a cos(b) exp(-a^2 c^2 / 2)
        E sin(az + b) sin(a'z' + b')
            = (cos(b - b') exp(-c^2 (a^2 + a'^2 - 2 a a' p) / 2)
             - cos(b + b') exp(-c^2 (a^2 + a'^2 + 2 a a' p) / 2)) / 2

    Args:
        correlation: Cosine p between the weights, -1 ... 1.
        scale: Length c of the weights.
        amplitudes: The a_i.
        phases: The b_i.
        noise: Standard deviation of the label noise.

    Returns:
        A number in -1 ... 1.

    Raises:
        ValueError: An argument is out of its range, or the labels do not
            vary at all.
    """
    a, b = _curve(amplitudes, phases)
    _check(correlation, scale, noise)
    variance = _covariance(1.0, scale, a, b) + noise**2
    if variance <= 0:
        raise ValueError(
            "With scale and noise 0 the labels do not vary: they have no "
            "correlation."
        )
    return float(_covariance(correlation, scale, a, b) / variance)


def _covariance(p: float, c: float, a: npt.NDArray, b: npt.NDArray) -> float:
    """Return the covariance of two noise-free labels."""
    line = p * c**2
    cross = p * c**2 * a * np.cos(b) * np.exp(-(a**2) * c**2 / 2)
    squares = a[:, None] ** 2 + a**2
    product = 2 * np.outer(a, a) * p
    minus = np.cos(b[:, None] - b) * np.exp(-(c**2) * (squares - product) / 2)
    plus = np.cos(b[:, None] + b) * np.exp(-(c**2) * (squares + product) / 2)
    mean = np.sum(np.sin(b) * np.exp(-(a**2) * c**2 / 2))
    return float(line + 2 * cross.sum() + (minus - plus).sum() / 2 - mean**2)


def _weights(p: float, c: float, dimension: int, seed: int) -> npt.NDArray:
    """Return both weight vectors, `[2, dimension]`.

    The orthonormal pair depends on the seed only, so turning p turns w_b in
    a fixed plane.
    """
    random = np.random.default_rng([seed, 0])
    pair = np.linalg.qr(random.standard_normal((dimension, 2)))[0].T
    return c * np.stack([pair[0], p * pair[0] + np.sqrt(1 - p**2) * pair[1]])


def _curve(
    amplitudes: Sequence[float], phases: Sequence[float]
) -> tuple[npt.NDArray, npt.NDArray]:
    a = np.asarray(amplitudes, dtype=np.float64)
    b = np.asarray(phases, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            "amplitudes and phases must be two lists of one length, but "
            f"their shapes are {a.shape} and {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("amplitudes and phases must be finite numbers.")
    return a, b


def _check(correlation: float, scale: float, noise: float) -> None:
    if not -1 <= correlation <= 1:
        raise ValueError(
            f"correlation must be a number from -1 to 1, not {correlation!r}."
        )
    for name, value in (("scale", scale), ("noise", noise)):
        if not 0 <= value < np.inf:
            raise ValueError(
                f"{name} must be a finite number from 0 up, not {value!r}."
            )
