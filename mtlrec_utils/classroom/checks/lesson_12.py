"""Checks of lesson 12: dynamic weights, an equilibrium, a Pareto front."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "12.1",
    hints=[
        "Three steps: the ratios, a softmax, times the number of tasks.",
        "The ratio is `last / before`, each divided by the temperature.",
        "For tiny temperatures subtract the largest logit before `np.exp`.",
    ],
)
def dynamic_weights(answer: Callable[..., Any]) -> None:
    """Check equal paces, direction, sum, temperature and small ones."""
    before = np.array([1.0, 2.0, 4.0])
    last = np.array([0.5, 2.0, 5.0])
    equal = _weights(answer, before, 0.3 * before, 2.0)
    if np.allclose(equal, 1 / 3):
        raise NotYet(
            "The weights sum to 1. They must sum to the number of tasks: "
            "tasks of equal pace all weigh 1."
        )
    if not np.allclose(equal, 1):
        raise NotYet(
            "All losses fell to 30 %, so all weights must be 1, not "
            f"{equal.round(3)}. Only the ratio of the two epochs counts, "
            "not the size of a loss."
        )
    found = _weights(answer, before, last, 2.0)
    if found[0] > found[2]:
        raise NotYet(
            "The task that improves fastest gets the largest weight. The "
            "ratio is the last epoch over the one before."
        )
    wanted = _dynamic(before, last, 2.0)
    if np.allclose(found, _dynamic(before, last, 0.5)):
        raise NotYet(
            "Logits are multiplied by the temperature; divide by it. A high "
            "temperature makes weights equal."
        )
    if not np.allclose(found, wanted):
        raise NotYet(
            f"Ratios 0.5, 1 and 1.25 at temperature 2 give "
            f"{wanted.round(3)}, not {found.round(3)}. Is the softmax "
            "taken of r divided by the temperature?"
        )
    with np.errstate(all="ignore"):
        cold = _weights(answer, before, last, 1e-3)
    if not np.isfinite(cold).all():
        raise NotYet(
            "At a temperature of 0.001 the weights are not finite: exp() of "
            "1,250 is too large. Subtract the largest logit first."
        )
    if not np.allclose(cold, [0, 0, 3]):
        raise NotYet(
            "At a temperature of 0.001 the slowest task gets all the weight, "
            f"[0, 0, 3], not {cold.round(3)}."
        )


def _dynamic(before: Floats, last: Floats, temperature: float) -> Floats:
    powers = np.exp(last / before / temperature)
    return np.asarray(len(last) * powers / powers.sum())


def _weights(answer: Callable[..., Any], *arguments: Any) -> Floats:
    found = np.asarray(answer(*arguments), dtype=float)
    if found.shape != (3,):
        raise NotYet(
            f"Three tasks have three weights, [T]; the shape is {found.shape}."
        )
    return found


@exercise(
    "12.2",
    hints=[
        "Set the slope in s to 0.",
        "The slope is b minus a L exp(-s).",
        "At the minimum a L exp(-s) = b: read the weight a exp(-s) off it, "
        "then solve for s.",
    ],
)
def equilibrium(answer: Callable[..., Any]) -> None:
    """Check that s is a minimum and the weight belongs to it."""
    for loss, a, b in [(4.0, 0.5, 0.5), (0.25, 1.0, 0.5), (7.0, 2.0, 3.0)]:
        pair = answer(loss, a, b)
        if np.shape(pair) != (2,):
            raise NotYet("Return two numbers, (s, weight).")
        s, weight = (float(value) for value in pair)
        where = f"With L = {loss:g}, a = {a:g}, b = {b:g}"
        wanted = float(np.log(a * loss / b))
        if np.isclose(s, -wanted) and not np.isclose(s, wanted):
            raise NotYet(
                f"{where} the sign of s is wrong: a large loss needs a large "
                "s, since e^-s must be small."
            )
        if s == 0 and wanted < 0:
            raise NotYet(
                f"{where} the best s is negative, {wanted:.3f}. Do not clip "
                "at 0: a task with a small loss needs that."
            )
        if np.isclose(s, np.log(loss)) and not np.isclose(s, wanted):
            raise NotYet(
                f"{where}, s = log L holds only for a = b. Set the slope "
                "b - a L e^-s to 0."
            )
        if not np.isclose(s, wanted):
            raise NotYet(
                f"{where} the slope b - a L e^-s at s = {s:.3f} is "
                f"{b - a * loss * np.exp(-s):.3f}, not 0."
            )
        if np.isclose(weight, np.exp(-s)) and not np.isclose(a, 1):
            raise NotYet(
                f"{where} the weight is a e^-s; the a in front is missing."
            )
        if not np.isclose(weight, b / loss):
            raise NotYet(
                f"{where} the weight a e^-s is {b / loss:.4f}, not "
                f"{weight:.4f}."
            )


@exercise(
    "12.3",
    hints=[
        "Compare every row with every other: [N, 1, T] with [1, N, T].",
        "Row i dominates row j if `all` of its losses are at most as large "
        "and `any` is smaller.",
        "`as_good & better` is [N, N]; j is dominated if any i is True.",
    ],
)
def pareto_front(answer: Callable[..., Any]) -> None:
    """Check ties, duplicates, direction and three tasks."""
    chain = np.array([[1.0, 2.0], [2.0, 3.0], [0.5, 4.0]])
    found = _front(answer, chain)
    if np.array_equal(found, [False, True, True]):
        raise NotYet(
            "This is the front for higher is better; losses are better when "
            "lower."
        )
    if np.array_equal(found, [False, True, False]):
        raise NotYet(
            "These are the dominated settings; return those that are not."
        )
    _expect(found, [True, False, True], "Of (1, 2), (2, 3) and (0.5, 4)")
    _expect(
        _front(answer, np.array([[1.0, 3.0], [1.0, 2.0]])),
        [False, True],
        "A setting as good on one task and better on the other dominates. "
        "Of (1, 3) and (1, 2)",
    )
    _expect(
        _front(answer, np.array([[1.0, 2.0], [1.0, 2.0]])),
        [True, True],
        "Equal settings do not dominate each other. Of (1, 2) and (1, 2)",
    )
    three = np.array([[1.0, 5.0, 5.0], [2.0, 2.0, 2.0], [3.0, 3.0, 1.0]])
    _expect(
        _front(answer, np.vstack([three, [[2.0, 2.0, 3.0]]])),
        [True, True, True, False],
        "With three tasks every column counts. Of (1, 5, 5), (2, 2, 2), "
        "(3, 3, 1) and (2, 2, 3)",
    )


def _front(answer: Callable[..., Any], losses: Floats) -> Floats:
    found = np.asarray(answer(losses.copy()))
    if found.shape != (len(losses),) or found.dtype != bool:
        raise NotYet(
            f"For {len(losses)} settings return {len(losses)} truth values, "
            f"not an array of {found.dtype} with the shape {found.shape}."
        )
    return found


def _expect(found: Floats, wanted: list[bool], what: str) -> None:
    if not np.array_equal(found, wanted):
        raise NotYet(f"{what}, the answer is {wanted}, not {found.tolist()}.")
