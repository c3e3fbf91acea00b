"""Checks of lesson 13: surgery, the shortest mixture, equal lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]

REFERENCE = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])


@exercise(
    "13.1",
    hints=[
        "The inner product of (-4, 1, 1) and (6, 1, 1) is -22, the squared "
        "lengths are 18 and 38.",
        "Keep both gradients as they were: project the first off the second "
        "and the second off the first, then add.",
        "`first - inner / (second @ second) * second`, the same with the "
        "names swapped, and their sum; only if `inner < 0`.",
    ],
)
def surgery(answer: Callable[..., Any]) -> None:
    """Check hand values, agreement, and the mistakes seen most."""
    found = _vector(answer(REFERENCE.copy()), 3)
    first, second = REFERENCE
    inner = first @ second
    own = first - inner / (second @ second) * second
    other = second - inner / (first @ first) * first
    if np.allclose(found, first + second):
        raise NotYet(
            "This is the plain sum, (2, 2, 2). The gradients conflict: their "
            "inner product is -22, so both must be projected."
        )
    if np.allclose(found, own) or np.allclose(found, other):
        raise NotYet("Only one gradient is returned; add both projections.")
    if np.allclose(found, own + second) or np.allclose(found, other + first):
        raise NotYet(
            "Only one of the two gradients is projected. Each loses its part "
            "along the other as it was: the projected one is at a right "
            "angle to the other, and nothing is left to take out."
        )
    if np.allclose(found, (own + other) / 2):
        raise NotYet("This is the mean of the projections; PCGrad adds them.")
    if not np.allclose(found, own + other):
        raise NotYet(
            "For (-4, 1, 1) and (6, 1, 1) the direction must be "
            f"(0.5848, 3.8012, 3.8012), not {_told(found)}. Divide by the "
            "squared length of the gradient you project off."
        )
    alike = np.array([[1.0, 2.0], [3.0, 0.5]])
    if not np.allclose(_vector(answer(alike), 2), [4.0, 2.5]):
        raise NotYet(
            "These gradients agree (inner product 4): nothing is projected, "
            "and the direction is the plain sum."
        )
    opposite = np.array([[1.0, 0.0], [-2.0, 0.0]])
    if not np.allclose(_vector(answer(opposite), 2), 0):
        raise NotYet("Opposite gradients leave nothing: the direction is 0.")


@exercise(
    "13.2",
    hints=[
        "The squared length of w g1 + (1 - w) g2 is least where the mixture "
        "is at a right angle to g1 - g2.",
        "w = g2 . (g2 - g1) / ||g2 - g1||^2, before you look at the interval.",
        "`np.clip(weight, 0, 1)`; and 0.5 where the gradients are equal.",
    ],
)
def shortest_mixture(answer: Callable[..., Any]) -> None:
    """Check the hand value, both ends, and equal gradients."""
    found = _vector(answer(REFERENCE.copy()), 2)
    if np.allclose(found, [0.4, 0.6]):
        raise NotYet("The two weights are swapped: the first is that of g1.")
    if not np.isclose(found.sum(), 1):
        raise NotYet(f"The weights sum to {found.sum():.3g}; they must to 1.")
    if not np.allclose(found, [0.6, 0.4]):
        raise NotYet(
            "For (-4, 1, 1) and (6, 1, 1) the weights must be (0.6, 0.4), "
            f"not {_told(found)}: the direction is (0, 1, 1)."
        )
    short_first = _vector(answer(np.array([[1.0, 0.0], [3.0, 0.0]])), 2)
    short_second = _vector(answer(np.array([[3.0, 1.0], [1.0, 0.0]])), 2)
    if (short_first > 1).any() or (short_second > 1).any():
        raise NotYet(
            "A weight leaves the interval from 0 to 1 where one gradient is "
            "already the shortest. Clip it."
        )
    if not np.allclose(short_first, [1, 0]):
        raise NotYet("Of parallel gradients the shorter one is the answer.")
    if not np.allclose(short_second, [0, 1]):
        raise NotYet("Here g2 is the shortest mixture: the weights are 0, 1.")
    with np.errstate(all="ignore"):
        same = _vector(answer(np.ones((2, 3))), 2)
    if not np.isfinite(same).all():
        raise NotYet("Equal gradients give NaN, 0 / 0. Return halves there.")
    if not np.allclose(same, 0.5):
        raise NotYet("For equal gradients return halves.")


@exercise(
    "13.3",
    hints=[
        "One factor per row: r m / length + 1 - r; the target's is 1.",
        "`norms = np.linalg.norm(jacobian, axis=1)` are the lengths; divide "
        "by 1 where a length is 0.",
        "The sum of rows times factors is `factors @ jacobian`.",
    ],
)
def balanced(answer: Callable[..., Any]) -> None:
    """Check r = 0 and 1, a value between, the target, and zero rows."""
    rows = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0], [8.0, 0.0, 6.0]])
    plain = _vector(answer(rows.copy(), 0, 0.0), 3)
    full = _vector(answer(rows.copy(), 0, 1.0), 3)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if np.allclose(plain, 5 * unit.sum(axis=0)):
        raise NotYet("Upside down: r = 0 is the plain sum, r = 1 balances.")
    if not np.allclose(plain, rows.sum(axis=0)):
        raise NotYet(
            f"With r = 0 nothing changes: the sum {_told(rows.sum(axis=0))}, "
            f"not {_told(plain)}."
        )
    if np.allclose(full, unit.sum(axis=0)):
        raise NotYet(
            "Every gradient has length 1 now. They must become as long as the "
            "target's, 5, which itself never changes."
        )
    if not np.allclose(full, 5 * unit.sum(axis=0)):
        raise NotYet(
            "With r = 1 all gradients are as long as the target's: "
            f"{_told(5 * unit.sum(axis=0))}, not {_told(full)}."
        )
    of_last = _vector(answer(rows.copy(), 2, 1.0), 3)
    if not np.allclose(of_last, 10 * unit.sum(axis=0)):
        raise NotYet(
            "With row 2 as the target, all must be 10 long. Is the target "
            "always row 0?"
        )
    half = _vector(answer(rows.copy(), 0, 0.5), 3)
    if not np.allclose(half, (plain + full) / 2):
        raise NotYet("r = 0.5 must lie half way between r = 0 and r = 1.")
    with np.errstate(all="ignore"):
        zero = _vector(answer(np.array([[3.0, 4.0], [0.0, 0.0]]), 0, 0.7), 2)
    if not np.isfinite(zero).all():
        raise NotYet("A gradient of 0 gives NaN, 0 / 0. It must stay 0.")
    if not np.allclose(zero, [3, 4]):
        raise NotYet("A gradient of 0 adds nothing; the target's stays.")


def _vector(value: Any, length: int) -> Floats:
    if value is None:
        raise NotYet("The function returns nothing; is a `return` missing?")
    found = np.asarray(value, dtype=np.float64)
    if found.shape != (length,):
        raise NotYet(
            f"The result has the shape {found.shape}; expected ({length},)."
        )
    return found


def _told(values: Floats) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"
