"""Exercises of lesson 13: stub, plausible wrong answers, solution."""

import json
from pathlib import Path

import numpy as np
import pytest

from mtlrec_utils.classroom.check import judge

SOLUTIONS = (
    Path(__file__).parents[1] / "mtlrec_utils" / "classroom" / "solutions.json"
)
NAMES = {
    "13.1": "surgery",
    "13.2": "shortest_mixture",
    "13.3": "balanced",
}


def written_solution(exercise):
    """Run the solution that `solution()` shows; return its function."""
    names = {"np": np}
    exec(json.loads(SOLUTIONS.read_text("utf-8"))[exercise], names)
    return names[NAMES[exercise]]


@pytest.mark.parametrize("exercise", NAMES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", NAMES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def off(g, other):
    return g - g @ other / (other @ other) * other


def one_projected(jacobian):
    first, second = jacobian
    return off(first, second) + second


def by_the_projected(jacobian):
    first, second = jacobian
    first = off(first, second)
    return first + off(second, first)


def always(jacobian):
    first, second = jacobian
    return off(first, second) + off(second, first)


def not_squared(jacobian):
    first, second = jacobian
    inner, norms = first @ second, np.linalg.norm(jacobian, axis=1)
    return first + second - inner * (second / norms[1] + first / norms[0])


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda j: j.sum(axis=0), "plain sum, (2, 2, 2)"),
        (one_projected, "Only one of the two"),
        (by_the_projected, "along the other as it was"),
        (lambda j: always(j) / 2, "mean of the projections"),
        (lambda j: off(j[0], j[1]), "Only one gradient is returned"),
        (not_squared, "squared length"),
        (always, "These gradients agree"),
        (lambda j: None, "returns nothing"),
        (lambda j: j, "the shape (2, 3)"),
    ],
)
def test_wrong_surgery(answer, hint):
    result = judge("13.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def unclipped(jacobian):
    first, second = jacobian
    gap = second - first
    weight = second @ gap / (gap @ gap)
    return np.array([weight, 1 - weight])


def clipped(jacobian):
    return np.clip(unclipped(jacobian), 0, 1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda j: clipped(j)[::-1], "swapped"),
        (unclipped, "leaves the interval"),
        (clipped, "give NaN"),
        (lambda j: np.array([0.5, 0.5]), "must be (0.6, 0.4)"),
        (lambda j: 2 * clipped(j), "sum to 2"),
        (lambda j: clipped(j) @ j, "the shape (3,)"),
        (
            lambda j: np.nan_to_num(clipped(j), nan=1.0),
            "equal gradients return halves",
        ),
    ],
)
def test_wrong_mixtures(answer, hint):
    result = judge("13.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def scaled(jacobian, target, relax, length=None):
    norms = np.linalg.norm(jacobian, axis=1)
    goal = norms[target] if length is None else length
    return (relax * goal / norms + 1 - relax) @ jacobian


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda j, t, r: scaled(j, t, 1 - r), "Upside down"),
        (lambda j, t, r: scaled(j, t, r, 1.0), "length 1 now"),
        (lambda j, t, r: scaled(j, 0, r), "always row 0"),
        (lambda j, t, r: scaled(j, t, r**2), "half way"),
        (scaled, "stay 0"),
        (lambda j, t, r: j.sum(axis=0), "With r = 1"),
        (lambda j, t, r: j.mean(axis=0), "With r = 0"),
    ],
)
def test_wrong_balances(answer, hint):
    result = judge("13.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
