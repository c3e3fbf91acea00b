"""Exercises of lesson 06: stub, wrong answers, solution."""

import numpy as np
import pandas as pd
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("06.1", "06.2", "06.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    answer = written_solution(exercise, pd=pd)
    assert judge(exercise, answer).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def share(users, genres, clicks, own=0, least=1, by=("user",), counted=None):
    rows = pd.DataFrame({"user": users, "genre": genres, "click": clicks})
    rows["all"] = 0
    counted = clicks if counted is None else counted
    rows["counted"] = counted
    take = (1 - own) * rows["click"]
    of_user = rows.groupby(list(by))["click"].cumsum() - take
    of_both = rows.groupby([*by, "genre"])["counted"].cumsum()
    of_both -= (1 - own) * rows["counted"]
    return (of_both / of_user.clip(lower=least)).to_numpy()


def with_the_future(users, genres, clicks):
    rows = pd.DataFrame({"user": users, "genre": genres, "click": clicks})
    of_both = rows.groupby(["user", "genre"])["click"].transform("sum")
    return (of_both / rows.groupby("user")["click"].transform("sum")).array


def of_rows(users, genres, clicks):
    """Earlier clicks of the genre by earlier rows."""
    rows = pd.DataFrame({"user": users, "genre": genres, "click": clicks})
    of_both = rows.groupby(["user", "genre"])["click"].cumsum() - clicks
    return (of_both / rows.groupby("user").cumcount().clip(lower=1)).array


def all_rows(users, genres, clicks):
    """Earlier rows of the genre by earlier rows: no clicks at all."""
    rows = pd.DataFrame({"user": users, "genre": genres})
    of_both = rows.groupby(["user", "genre"]).cumcount()
    return (of_both / rows.groupby("user").cumcount().clip(lower=1)).array


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *a: share(*a, own=1), "the label is in the feature"),
        (with_the_future, "has seen the future"),
        (lambda *a: share(*a, least=0), "gives NaN"),
        (lambda *a: share(*a, by=("all",)), "other users' clicks"),
        (of_rows, "of the rows they were shown"),
        (all_rows, "Count clicks, not rows"),
        (lambda *a: share(*a)[1:], "7 rows"),
    ],
)
def test_wrong_shares(answer, hint):
    result = judge("06.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def squares(factors):
    return factors.sum(axis=1) ** 2, (factors**2).sum(axis=1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda v: np.subtract(*squares(v)).sum(axis=-1), "counted twice"),
        (lambda v: squares(v)[0].sum(axis=-1) / 2, "paired with itself"),
        (lambda v: squares(v)[0].sum(axis=-1), "paired with itself"),
        (
            lambda v: (
                0.5 * (v.sum(axis=(1, 2)) ** 2 - (v**2).sum(axis=(1, 2)))
            ),
            "Entries k",
        ),
        (lambda v: np.subtract(*squares(v)) / 2, "5 rows give 5 numbers"),
        (lambda v: v.sum(axis=(1, 2)), "has no partner"),
        (lambda v: 0 * v.sum(axis=(1, 2)), "Two loops give"),
    ],
)
def test_wrong_pairs(answer, hint):
    result = judge("06.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda f, x, d, u, b: f * (x @ d @ u + b), "add it at the end"),
        (lambda f, x, d, u, b: f * (x @ d @ u + b) + f, "hand x_l on"),
        (lambda f, x, d, u, b: f * (x @ d @ u) + b + x, "outside the product"),
        (lambda f, x, d, u, b: x * (x @ d @ u + b) + x, "x_l multiplies here"),
        (lambda f, x, d, u, b: f * (f @ d @ u + b) + x, "The first row"),
        (lambda f, x, d, u, b: x @ d, "[4, 5]"),
        (lambda f, x, d, u, b: 2 * x, "x_l as it is"),
    ],
)
def test_wrong_crosses(answer, hint):
    result = judge("06.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
