"""How much of a model can be had by asking it?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence.arrays import probabilities, same_length
from mtlrec_utils.evidence.attacks.membership import SMALLEST

Floats = NDArray[np.float64]


def extraction_fidelity(
    asked: ArrayLike,
    answers: ArrayLike,
    held_out: ArrayLike,
    truth: ArrayLike,
    *,
    ridge: float = 1.0,
) -> float:
    """How well a copy, fitted on answers, repeats the model elsewhere.

    The copy is a ridge regression of the answers' logits; a query budget is
    the number of rows asked (Tramèr et al., Stealing Machine Learning Models
    via Prediction APIs, USENIX Security 2016).

    Args:
        asked: features of the rows asked, [Q, F].
        answers: the model's probabilities for them, as it gave them, [Q].
        held_out: features of other rows, [N, F].
        truth: the model's probabilities for those, [N].
        ridge: above 0.

    Returns:
        R² of the copy's logits on the held-out rows: 1 is a perfect copy, 0
        or less no better than a constant.

    Raises:
        ValueError: shapes that do not fit, a ridge of 0, or a constant truth.
    """
    x = np.asarray(asked, np.float64)
    z = np.asarray(held_out, np.float64)
    y = _logits(answers, "answers")
    wanted = _logits(truth, "truth")
    if x.ndim != 2 or z.ndim != 2 or x.shape[1] != z.shape[1]:
        raise ValueError(
            f"asked {x.shape} and held_out {z.shape} must be matrices of the "
            "same features."
        )
    same_length(asked=len(x), answers=len(y))
    same_length(held_out=len(z), truth=len(wanted))
    if not ridge > 0:
        raise ValueError(f"ridge={ridge} must be above 0.")
    spread = float(np.square(wanted - wanted.mean()).sum())
    if spread == 0:
        raise ValueError("truth is constant: there is nothing to copy.")
    level, centre = y.mean(), x.mean(axis=0)
    x = x - centre
    weights = np.linalg.solve(
        x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - level)
    )
    error = wanted - level - (z - centre) @ weights
    return 1 - float(np.square(error).sum()) / spread


def _logits(values: ArrayLike, name: str) -> Floats:
    chance = np.asarray(probabilities(values, name), np.float64)
    chance = np.clip(chance, SMALLEST, 1 - SMALLEST)
    return np.log(chance) - np.log1p(-chance)
