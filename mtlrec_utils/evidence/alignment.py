"""How far two sets of vectors agree, when each has axes of its own.

Vectors of a factorisation can be turned without changing any score, so their
single numbers mean nothing. What can be compared is their shape: turn one
set as near to the other as it goes, then look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """One set of vectors turned towards another.

    Attributes:
        score: in [0, 1]; 1 if one set is the other turned, mirrored, moved
            and scaled. Its square is the share of the truth's variance that
            the turned and scaled vectors explain.
        rotation: [d, t], its columns orthonormal if d >= t; else its rows.
        scale: factor on the turned vectors, from 0 up.
        aligned: the vectors, turned, scaled and moved, [n, t]: compare them
            with the truth number by number.
    """

    score: float
    rotation: Floats
    scale: float
    aligned: Floats


def procrustes(found: ArrayLike, truth: ArrayLike) -> Alignment:
    """Turn vectors as near to others as possible: orthogonal Procrustes.

    With both sets centred and F'T = A S B', the rotation is A B' and the
    score sum(S) / (|F| |T|), norms of Frobenius.

    Args:
        found: [n, d].
        truth: [n, t], row i about the same thing as row i of `found`.

    Raises:
        ValueError: not two matrices of finite numbers with as many rows, or
            vectors that are all the same.

    Source: Schoenemann, "A generalized solution of the orthogonal Procrustes
    problem", Psychometrika 31, 1966.
    """
    ours, theirs = _matrix(found, "found"), _matrix(truth, "truth")
    if len(ours) != len(theirs):
        raise ValueError(
            f"found has {len(ours)} rows, truth {len(theirs)}; row i of both "
            "must be about the same thing."
        )
    middle = theirs.mean(axis=0)
    ours, theirs = ours - ours.mean(axis=0), theirs - middle
    size, length = np.linalg.norm(ours), np.linalg.norm(theirs)
    for name, norm in (("found", size), ("truth", length)):
        if not norm > 0:
            raise ValueError(f"{name} holds the same vector in every row.")
    left, values, right = np.linalg.svd(ours.T @ theirs, full_matrices=False)
    rotation, total = left @ right, values.sum()
    scale = float(total / size**2)
    return Alignment(
        score=float(total / (size * length)),
        rotation=rotation,
        scale=scale,
        aligned=scale * ours @ rotation + middle,
    )


def chance_alignment(
    found: ArrayLike, truth: ArrayLike, n_shuffles: int = 200, seed: int = 0
) -> Floats:
    """Return alignment scores when rows are paired at random.

    Many dimensions agree with anything a little: this says how much.

    Args:
        found, truth: as for `procrustes`.
        n_shuffles: random orders of the rows of `found`.
        seed: of the orders.

    Returns:
        Scores, [n_shuffles].
    """
    ours = _matrix(found, "found")
    random = np.random.default_rng(seed)
    return np.array(
        [
            procrustes(ours[random.permutation(len(ours))], truth).score
            for _ in range(n_shuffles)
        ]
    )


def _matrix(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(
            f"{name} has shape {array.shape}; pass vectors, [n, d]."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity.")
    return array
