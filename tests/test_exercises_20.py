"""Exercises of lesson 20: stub, wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("20.1", "20.2", "20.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def bag(ids, table, absent=(1,), divide=None):
    there = ~np.isin(ids, absent)[..., None]
    count = there.sum(axis=1) if divide is None else divide(ids)
    return (table[ids] * there).sum(axis=1) / count


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda i, t: t[i].mean(axis=1), "part of the mean"),
        (lambda i, t: bag(i, t, divide=lambda i: i.shape[1]), "short vector"),
        (bag, "gives NaN"),
        (lambda i, t: bag(i, t, (0, 1)), "Only 1 is none"),
        (lambda i, t: t[i].sum(axis=1), "without padding is the mean"),
        (lambda i, t: bag(i, t)[:3], "Four texts"),
    ],
)
def test_wrong_bags(answer, hint):
    result = judge("20.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda d, p: d @ p, "matrix product"),
        (lambda d, p: d[:, :, None] * p.T[None], "exchanged"),
        (lambda d, p: d[:, :, None] + p[None], "On one window"),
        (lambda d, p: (d[:, :, None] * p[None])[0], "[w, d, f] is"),
    ],
)
def test_wrong_kernels(answer, hint):
    result = judge("20.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def change(make, words, users, items, new_user, new_item, **parts):
    renamed = np.empty_like(words)
    renamed[new_item] = words
    renamed = parts.get("renamed", renamed)
    before = make(words)(users, items)
    after = make(renamed)(
        parts.get("who", new_user[users]),
        parts.get("what", new_item[items]),
    )
    return parts.get("largest", lambda x: np.abs(x).max())(after - before)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *a: change(*a, renamed=a[1]), "other words"),
        (lambda *a: change(*a, renamed=a[1][a[5]]), "other words"),
        (
            lambda *a: change(*a, renamed=a[1], what=a[3]),
            "adds the item's number goes unnoticed",
        ),
        (
            lambda *a: change(*a, who=a[2]),
            "adds the user's number goes unnoticed",
        ),
        (lambda *a: change(*a, largest=np.max), "take absolute values"),
        (lambda *a: change(*a, largest=np.abs), "Return one number"),
    ],
)
def test_wrong_tests(answer, hint):
    result = judge("20.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
