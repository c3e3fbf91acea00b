"""Exercises of lesson 21: stub, wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("21.1", "21.2", "21.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def rounded(weights, scale, cut=np.rint, kind=np.int8):
    return cut(weights / scale).astype(kind), scale


def largest(weights):
    return np.abs(weights).max() / 127


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda w: np.rint(w / largest(w)), "Return two things"),
        (lambda w: rounded(w, largest(w), kind=int), "one byte each"),
        (lambda w: rounded(w, np.ptp(w) / 255), "the range over 255"),
        (lambda w: rounded(w, 0.1), "is 0.02, not 0.1"),
        (lambda w: rounded(w, largest(w), np.trunc), "cuts off"),
        (lambda w: rounded(w, largest(w)), "All weights 0"),
    ],
)
def test_wrong_integers(answer, hint):
    result = judge("21.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda i, t, q: t[i % len(t)], "that is hashing"),
        (lambda i, t, q: t[i % 3] + q[i // 3] - (i < 3)[:, None], "not added"),
        (lambda i, t, q: t[i // 3] * q[i % 3], "own rows"),
        (lambda i, t, q: t[i % 3] * q[(i // 3) % 2], "Ids 3, 5, 8"),
        (lambda i, t, q: (t[i % 3] * q[i // 3]).sum(axis=1), "3 ids give"),
    ],
)
def test_wrong_vectors(answer, hint):
    result = judge("21.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def loss(student, teacher, t, factor=2):
    x, q = student / t, 1 / (1 + np.exp(-teacher / t))
    return t**factor * (np.logaddexp(0, x) - q * x)


def naive(student, teacher, t):
    p, q = (1 / (1 + np.exp(-x / t)) for x in (student, teacher))
    return -(t**2) * (q * np.log(p) + (1 - q) * np.log(1 - p))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda s, v, t: loss(v, s, t), "At T = 1"),
        (lambda s, v, t: loss(s, v, t, 0), "T squared is missing"),
        (lambda s, v, t: loss(s, v, t, 1), "T squared, not T"),
        (lambda s, v, t: t**2 * loss(s, v, 1.0), "divided by 2 first"),
        (lambda s, v, t: loss(s, v, t).mean(), "One loss per row"),
        (naive, "does not overflow"),
    ],
)
def test_wrong_soft_losses(answer, hint):
    result = judge("21.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
