"""Exercises of lesson 04: stub, plausible wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("04.1", "04.2", "04.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def gradients(p, q, r, *, sign=1, share=None, of_p=None, third=-1):
    x = p @ q - p @ r
    weight = -1 / (1 + np.exp(x))
    if share == "sigma":
        weight = -1 / (1 + np.exp(-x))
    weight *= sign
    return (
        weight * (q - r if of_p is None else q),
        weight * p,
        (third * weight * p),
    )


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *v: gradients(*v, sign=-1), "the loss *falls*"),
        (lambda *v: gradients(*v, share="sigma"), "1 - sigma(x)"),
        (lambda *v: gradients(*v, third=1), "sign of that of q"),
        (lambda *v: gradients(*v, of_p="q"), "p is in both products"),
        (lambda *v: gradients(*v)[:2], "three gradients"),
        (lambda *v: [g[:2] for g in gradients(*v)], "shape (2,)"),
        (lambda *v: gradients(*v, sign=2), "gradient of p is"),
    ],
)
def test_wrong_gradients(answer, hint):
    result = judge("04.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def turned(found, truth, *, centred=True, twist=lambda left, right: 0):
    if centred:
        found, truth = found - found.mean(0), truth - truth.mean(0)
    left, _, right = np.linalg.svd(found.T @ truth)
    return twist(left, right)


def least_squares(found, truth):
    found, truth = found - found.mean(0), truth - truth.mean(0)
    return np.linalg.lstsq(found, truth, rcond=None)[0]


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (least_squares, "it stretches too"),
        (
            lambda f, t: turned(f, t, twist=lambda a, b: (a @ b).T),
            "turns the truth",
        ),
        (
            lambda f, t: turned(f, t, twist=lambda a, b: a @ b.T),
            "transposed already",
        ),
        (
            lambda f, t: turned(f, t, centred=False, twist=lambda a, b: a @ b),
            "means are still in",
        ),
        (lambda f, t: f.T @ t, "no turn or mirror"),
        (lambda f, t: np.eye(3), "Another turn lies nearer"),
        (lambda f, t: np.eye(2), "shape (2, 2)"),
    ],
)
def test_wrong_turns(answer, hint):
    result = judge("04.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda p, q, a: (p @ a, q @ a), "need its inverse"),
        (lambda p, q, a: (p @ a, q @ np.linalg.inv(a)), "be transposed"),
        (lambda p, q, a: (p @ a, q @ a.T), "of a turn only"),
        (lambda p, q, a: (p, q), "P @ A, as the text asks"),
        (lambda p, q, a: (p @ a, 2 * q), "A score moved"),
        (lambda p, q, a: (p @ a).sum(), "two sets of vectors"),
        (lambda p, q, a: (p @ a, q.T), "The shapes are"),
    ],
)
def test_wrong_bases(answer, hint):
    result = judge("04.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
