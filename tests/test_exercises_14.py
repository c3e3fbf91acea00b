"""Exercises of lesson 14: stub, plausible wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("14.1", "14.2", "14.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def is_wrong(exercise, answer, hint):
    result = judge(exercise, answer)
    assert result.state == "not yet"
    assert hint in result.message


def entropy(label, p):
    return -(label * np.log(p) + (1 - label) * np.log(1 - p))


def bought(click, purchase):
    return np.where(click == 1, purchase, 0.0)


def both_losses(second):
    def answer(p, q, click, purchase):
        label = bought(click, purchase)
        return entropy(click, p).mean(), second(p, q, click, label)

    return answer


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda p, q, c, y: (
                entropy(c, p).mean(),
                entropy(y, p * q).mean(),
            ),
            "A loss is NaN",
        ),
        (
            both_losses(lambda p, q, c, y: entropy(y, p * q)[c == 1].mean()),
            "clicked rows only",
        ),
        (
            both_losses(lambda p, q, c, y: entropy(y, q)[c == 1].mean()),
            "a model of clicked rows",
        ),
        (
            both_losses(lambda p, q, c, y: entropy(y, q).mean()),
            "p_purchase alone",
        ),
        (both_losses(lambda p, q, c, y: entropy(y, p * q)), "one number"),
        (
            both_losses(lambda p, q, c, y: entropy(y, p * q).sum()),
            "The second loss must be",
        ),
        (
            lambda p, q, c, y: (entropy(c, p).sum(), 0.0),
            "not the sum",
        ),
        (lambda p, q, c, y: entropy(c, p).mean(), "Return two numbers"),
    ],
)
def test_wrong_losses(answer, hint):
    is_wrong("14.1", answer, hint)


def weighted(weight, rows=len):
    def answer(click, purchase, propensity, floor=0.05):
        clicked = click == 1
        weights = weight(propensity[clicked], floor)
        return (weights * purchase[clicked]).sum() / rows(click)

    return answer


def inverse(q, floor):
    return 1 / np.maximum(q, floor)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda c, y, q, f=0.05: (c * y / np.maximum(q, f)).mean(),
            "The rate is NaN",
        ),
        (weighted(inverse, np.sum), "Divide by all rows"),
        (weighted(lambda q, f: 1.0, np.sum), "without weights"),
        (weighted(lambda q, f: q), "must count more"),
        (weighted(lambda q, f: 1 / q), "the floor is ignored"),
        (weighted(lambda q, f: 1 / np.maximum(q, 0.05)), "counts 10 times"),
        (weighted(lambda q, f: 1 / (q + f)), "(2 + 4) / 5"),
    ],
)
def test_wrong_rates(answer, hint):
    is_wrong("14.2", answer, hint)


def charged(charge, count=lambda e: (e > 0).sum(axis=1)):
    def answer(steps):
        excess = np.diff(steps, axis=0)
        return count(excess), charge(excess)

    return answer


def mean_excess(excess):
    return np.maximum(excess, 0).mean(axis=1)


def against_the_first(steps):
    excess = steps[1:] - steps[0]
    return (excess > 0).sum(axis=1), mean_excess(excess)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda s: charged(mean_excess)(s[::-1]), "Subtract the earlier"),
        (
            charged(mean_excess, lambda e: (e >= 0).sum(axis=1)),
            "Equal chances are no violation",
        ),
        (charged(lambda e: e.mean(axis=1)), "cut each difference"),
        (
            charged(lambda e: np.maximum(e, 0).sum(axis=1)),
            "number of all rows",
        ),
        (against_the_first, "right before it"),
        (charged(lambda e: np.maximum(e, 0).mean()), "Rows lie on axis 1"),
        (lambda s: (np.diff(s, axis=0) > 0).sum(axis=1), "Return two arrays"),
    ],
)
def test_wrong_violations(answer, hint):
    is_wrong("14.3", answer, hint)
