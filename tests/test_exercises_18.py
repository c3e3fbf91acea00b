"""Exercises of lesson 18: stub, wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("18.1", "18.2", "18.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda y, d, t, s: (y + s * d, t), "Mind the sign"),
        (lambda y, d, t, s: (y - d, t), "`strength` is not used"),
        (lambda y, d, t, s: (-s * d, t), "lost the gradient of the label"),
        (lambda y, d, t, s: (y - s * d, -s * t), "reversed too"),
        (lambda y, d, t, s: (y - s * d, s * t), "no part in it"),
        (lambda y, d, t, s: y - s * d, "two arrays"),
        (lambda y, d, t, s: (y - s * d, y - s * d), "The shapes"),
    ],
)
def test_wrong_gradients(answer, hint):
    result = judge("18.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def kernel(x, y, width):
    return np.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / width)


def mmd(x, y, width, twice=2.0, own=np.mean):
    return (
        own(kernel(x, x, width))
        + own(kernel(y, y, width))
        - twice * kernel(x, y, width).mean()
    )


def unbiased(k):
    return (k.sum() - len(k)) / (len(k) * (len(k) - 1))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x, y, w: mmd(x, y, w, 1.0), "counts twice"),
        (lambda x, y, w: mmd(x, y, w, own=unbiased), "unbiased"),
        (lambda x, y, w: mmd(x, y, 2.0), "`width` is not used"),
        (lambda x, y, w: np.sqrt(abs(mmd(x, y, w))), "Leave it squared"),
        (lambda x, y, w: mmd(x, y, w) + 0.1, "with itself it is 0"),
        (lambda x, y, w: mmd(x, y, w**2), "Expected"),
        (lambda x, y, w: kernel(x, y, w), "one number"),
    ],
)
def test_wrong_distances(answer, hint):
    result = judge("18.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def em(p, s, rounds=500, whole=True, source=True):
    t, s = s, s if source else 0.5
    for _ in range(rounds):
        ones, zeros = p * t / s, (1 - p) * (1 - t) / (1 - s)
        t = (ones / (ones + zeros) if whole else ones).mean()
    return t


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda p, s: p.mean(), "only the first round"),
        (lambda p, s: em(p, s, 1), "only the first round"),
        (lambda p, s: (p > 0.5).mean(), "classifier's errors"),
        (lambda p, s: em(p, s, 3), "until it stays"),
        (lambda p, s: em(p, s, whole=False), "sum of both classes"),
        (lambda p, s: em(p, s, source=False), "`source_prior` used"),
    ],
)
def test_wrong_priors(answer, hint):
    result = judge("18.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
