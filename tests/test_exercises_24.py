"""Exercises of lesson 24: stub, wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("24.1", "24.2", "24.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def assert_not_yet(exercise, answer, hint):
    result = judge(exercise, answer)
    assert result.state == "not yet"
    assert hint in result.message


def places(k, first=0):
    return 1 / np.sqrt(1 + first + np.arange(k))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda c, li, f: (c * (1 + 3 * li + 2 * f)).sum(axis=1), "same"),
        (lambda c, li, f: c @ places(5, 1), "counted from 0"),
        (lambda c, li, f: (c + 3 * li + 2 * f) @ places(5), "after a click"),
        (lambda c, li, f: (c * (1 + 2 * li)) @ places(5), "3 points"),
        (lambda c, li, f: (c * (1 + 3 * li + f)) @ places(5), "2 points"),
        (lambda c, li, f: c * (1 + 3 * li + 2 * f), "four numbers"),
    ],
)
def test_wrong_points(answer, hint):
    assert_not_yet("24.1", answer, hint)


def per_user(user, points, arm, came=True, ddof=1, sign=1, power=0.5):
    total = np.bincount(user, points, minlength=len(arm))
    here = np.bincount(user, minlength=len(arm)) > 0
    here = here if came else np.ones_like(here)
    a, b = (total[here & (arm == value)] for value in (0, 1))
    error = a.var(ddof=ddof) / len(a) + b.var(ddof=ddof) / len(b)
    return sign * (b.mean() - a.mean()), error**power


def per_visit(user, points, arm):
    a, b = (points[arm[user] == value] for value in (0, 1))
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return b.mean() - a.mean(), error


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (per_visit, "points per visit"),
        (lambda *a: per_user(*a, came=False), "never came"),
        (lambda *a: per_user(*a, sign=-1), "arm 1 minus arm 0"),
        (lambda *a: per_user(*a, ddof=0), "ddof=1"),
        (lambda *a: per_user(*a, power=1), "take the root"),
        (lambda *a: per_user(*a)[0], "two numbers"),
    ],
)
def test_wrong_differences(answer, hint):
    assert_not_yet("24.2", answer, hint)


def scored(values):
    """A recommender whose chances of all tasks are a function of rows."""
    return lambda films, books: (
        lambda rows: dict.fromkeys(("click", "like", "finish"), values(rows))
    )


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda films, books: {"click": 0.5}, "return a function of rows"),
        (scored(lambda rows: np.full(len(rows), 0.3)), "the same chances"),
        (scored(lambda rows: rows["item"].to_numpy()), "0 ... 1"),
        (scored(lambda rows: rows["click"].to_numpy()), "no answers"),
        (
            scored(lambda rows: rows["item"].rank(pct=True).to_numpy()),
            "rows beside it",
        ),
        (lambda films, books: lambda rows: [0.5], "dictionary"),
    ],
)
def test_wrong_recommenders(answer, hint):
    assert_not_yet("24.3", answer, hint)
