"""Checks of lesson 21: 8-bit weights, two short tables, soft targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "21.1",
    hints=[
        "The scale is the largest absolute value over 127.",
        "np.rint rounds to the nearest whole number; then .astype(np.int8).",
        "All weights 0: any scale above 0 will do, 1.0 for instance.",
    ],
)
def quantised(answer: Callable[..., Any]) -> None:
    """Check type, range, rounding, the sign of zero and the empty case."""

    def found(weights: list[float]) -> tuple[Any, float]:
        given = answer(np.array(weights))
        if not isinstance(given, tuple) or len(given) != 2:
            raise NotYet("Return two things: the integers and the scale.")
        whole = np.asarray(given[0])
        if whole.dtype != np.int8:
            raise NotYet(
                f"The integers must be stored as int8, one byte each, not "
                f"{whole.dtype}."
            )
        return whole.astype(int), float(given[1])

    whole, scale = found([-2.0, 0.0, 1.0, 2.54])
    if not np.isclose(scale, 0.02):
        if np.isclose(scale, 4.54 / 255) or np.isclose(scale, 4.54 / 254):
            raise NotYet(
                "That is the range over 255. Then 0.0 is no whole number of "
                "steps; take the largest absolute value over 127."
            )
        raise NotYet(f"The scale of [-2, 0, 1, 2.54] is 0.02, not {scale:g}.")
    if not np.array_equal(whole, [-100, 0, 50, 127]):
        raise NotYet(
            f"Expected -100, 0, 50, 127; got {', '.join(map(str, whole))}."
        )
    whole, scale = found([1.27, 0.017, -0.017])
    if not np.array_equal(whole, [127, 2, -2]):
        raise NotYet(
            "0.017 at a scale of 0.01 is 1.7 steps, so 2: round to the "
            "nearest step; .astype alone cuts off."
        )
    rng = np.random.default_rng(0)
    weights = rng.normal(size=500)
    whole, scale = found(list(weights))
    if np.abs(whole * scale - weights).max() > scale / 2 + 1e-12:
        raise NotYet("A weight is off by more than half a step.")
    with np.errstate(all="ignore"):
        whole, scale = found([0.0, 0.0])
    if not np.isfinite(scale) or scale <= 0 or whole.any():
        raise NotYet(
            "All weights 0: the integers are 0 and the scale must be a "
            "number above 0, or dividing by it gives NaN."
        )


@exercise(
    "21.2",
    hints=[
        "The remainder is ids % m, with m = len(table).",
        "The quotient is ids // m.",
        "Both look up a row; multiply the rows number by number.",
    ],
)
def vectors(answer: Callable[..., Any]) -> None:
    """Check both look-ups and that no two ids share a vector."""
    table = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    quotients = np.array([[1.0, 1.0], [5.0, 7.0], [11.0, 13.0]])

    def found(ids: list[int]) -> Floats:
        value = np.asarray(answer(np.array(ids), table.copy(), quotients))
        if value.shape != (len(ids), 2):
            raise NotYet(
                f"{len(ids)} ids give [{len(ids)}, 2], not {value.shape}."
            )
        return value

    first = found([0, 1, 2])
    if not np.allclose(first, table):
        raise NotYet(
            "Ids below m have quotient 0, whose row is ones here: their "
            f"vectors are the table's own rows. Got {first.tolist()}."
        )
    wanted = np.array([[5.0, 70.0], [15.0, 210.0], [33.0, 390.0]])
    value = found([3, 5, 8])
    if np.allclose(value, table[[0, 2, 2]]):
        raise NotYet(
            "Ids 5 and 8 have the same vector: that is hashing. Multiply by "
            "the row of the quotient."
        )
    if np.allclose(value, table[[0, 2, 2]] + quotients[[1, 1, 2]]):
        raise NotYet("The two rows are multiplied here, not added.")
    if not np.allclose(value, wanted):
        raise NotYet(
            f"Ids 3, 5, 8 have {wanted.tolist()}, not {value.tolist()}."
        )
    if len(np.unique(found(list(range(9))), axis=0)) != 9:
        raise NotYet("Two of the nine ids share a vector.")


@exercise(
    "21.3",
    hints=[
        "First soften both: q = sigmoid(teacher / T), and the student's "
        "logit over T.",
        "The cross-entropy of a logit x and a target q is "
        "log(1 + exp(x)) - q x; np.logaddexp(0, x) is its first part, "
        "without overflow.",
        "Times T squared, so that the gradient keeps its size.",
    ],
)
def soft_loss(answer: Callable[..., Any]) -> None:
    """Check hand values, both ends of the temperature, large logits."""

    def found(student: float, teacher: float, temperature: float) -> float:
        with np.errstate(all="ignore"):
            value = np.asarray(
                answer(np.array([student]), np.array([teacher]), temperature),
                dtype=float,
            )
        if value.shape != (1,):
            raise NotYet(
                f"One loss per row: shape (1,) here, not {value.shape}."
            )
        return float(value[0])

    three = np.log(3.0)
    cross = np.log(4.0) - three / 2  # its target is 1/2
    if not np.isclose(found(three, 0.0, 1.0), cross):
        raise NotYet(
            f"At T = 1, student ln 3, teacher 0, the loss is {cross:.4f}, "
            f"not {found(three, 0.0, 1.0):.4f}."
        )
    value = found(2 * three, 0.0, 2.0)
    if np.isclose(value, cross):
        raise NotYet(
            "The factor T squared is missing: without it a high temperature "
            "has next to no gradient."
        )
    if np.isclose(value, 2 * cross):
        raise NotYet("The factor is T squared, not T.")
    if not np.isclose(value, 4 * cross):
        raise NotYet(
            "At T = 2 both logits are divided by 2 first: expected "
            f"{4 * cross:.4f}, got {value:.4f}."
        )
    t, step = 200.0, 0.1
    slope = (found(1 + step, 0.2, t) - found(1 - step, 0.2, t)) / (2 * step)
    if not np.isclose(slope, 0.2, atol=1e-3):
        raise NotYet(
            "At a high temperature the slope is (student - teacher) / 4; "
            f"here 0.2, not {slope:.4f}."
        )
    if not np.isclose(found(800.0, 800.0, 1.0), 0.0, atol=1e-6):
        raise NotYet(
            "A logit of 800 gives no finite number: log(1 - 1) or exp(800). "
            "np.logaddexp(0, x) does not overflow."
        )
