"""CORAL in closed form: give the source the covariance of the target."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def recoloured(
    source: npt.ArrayLike, target: npt.ArrayLike, ridge: float = 1.0
) -> npt.NDArray[np.float64]:
    """Whiten the source's rows and colour them as the target's are.

        X_s (C_s + r I)^(-1/2) (C_t + r I)^(1/2)

    A model trained on the result has seen the target's covariance. Means
    are multiplied with the rest; centre both domains first.

    Args:
        source: [N, k], rows of the source.
        target: [M, k], rows of the target.
        ridge: r, from 0 up; 0 needs a source of full rank.

    Returns:
        [N, k]; with ridge 0 its covariance is the target's.

    Raises:
        ValueError: shapes that do not fit, a ridge below 0, or a source
            without full rank at ridge 0.

    Source: Sun, Feng & Saenko, "Return of Frustratingly Easy Domain
    Adaptation", AAAI 2016, algorithm 1 (with r = 1).
    """
    x = np.asarray(source, dtype=np.float64)
    y = np.asarray(target, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"source {x.shape} and target {y.shape} must be matrices of as "
            "many columns."
        )
    if not 0 <= ridge < np.inf:
        raise ValueError(f"ridge={ridge!r} must be a number from 0 up.")
    eye = ridge * np.eye(x.shape[1])
    values, axes = np.linalg.eigh(_covariance(x) + eye)
    if values.min() <= 1e-12 * max(values.max(), 1e-300):
        raise ValueError(
            "The source's covariance has no inverse: a column depends on "
            "the others. Take a ridge above 0."
        )
    whiten = axes / np.sqrt(values) @ axes.T
    values, axes = np.linalg.eigh(_covariance(y) + eye)
    colour = axes * np.sqrt(np.maximum(values, 0)) @ axes.T
    return x @ whiten @ colour


def _covariance(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.atleast_2d(np.cov(rows, rowvar=False))
