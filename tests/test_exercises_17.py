"""Exercises of lesson 17: stub, wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("17.1", "17.2", "17.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def means(users, items, ratings, cold, n_items, fill=None, leak=False):
    known = ~np.isin(users, cold) | leak
    item, rating = items[known], ratings[known]
    count = np.bincount(item, minlength=n_items)
    total = np.bincount(item, rating, minlength=n_items)
    fill = rating.mean() if fill is None else fill(ratings)
    return np.where(count > 0, total / np.maximum(count, 1), fill)


def subtracted(users, items, ratings, cold, n_items):
    """Right numbers, but cold rows are read and taken off again."""
    found = means(users, items, ratings, cold, n_items)
    return found + 0 * ratings.sum()


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *a: means(*a, leak=True), "leaked into the mean"),
        (lambda *a: means(*a, fill=np.mean), "has seen the cold user"),
        (lambda *a: means(*a, fill=lambda r: 0.0), "Item 4 has no row"),
        (lambda *a: means(*a, fill=lambda r: np.nan), "Item 4 has no row"),
        (subtracted, "still read somewhere"),
        (lambda *a: means(*a)[:4], "5 items"),
    ],
)
def test_wrong_means(answer, hint):
    result = judge("17.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def ridge(x, y, strength, divide=1):
    left = x.T @ x / divide + strength * np.eye(x.shape[1])
    return np.linalg.solve(left, x.T @ y / divide)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda s, t, u, r: s @ ridge(s, t, r), "there is NaN"),
        (lambda s, t, u, r: s[u] @ ridge(s[u], t[u], r), "linked users only"),
        (
            lambda s, t, u, r: s @ ridge(s[u], t[u], r, len(u)),
            "sums over users",
        ),
        (lambda s, t, u, r: s @ ridge(s[u], t[u], 0.0), "At a huge ridge"),
        (lambda s, t, u, r: s @ ridge(s[u], t[u], r**2), "At ridge 2"),
        (
            lambda s, t, u, r: s @ ridge(s[u], np.nan_to_num(t)[u] + 1, r),
            "least squares on the linked",
        ),
    ],
)
def test_wrong_bridges(answer, hint):
    result = judge("17.2", answer)
    assert result.state == "not yet"
    assert hint.lower() in result.message.lower()


def weighted(powers, vectors):
    total = powers.sum(axis=1, keepdims=True)
    return ((powers / total)[..., None] * vectors).sum(axis=1)


def masked(scores, there):
    return np.where(there > 0, scores, -np.inf)


def after_the_softmax(scores, vectors, there):
    powers = np.exp(scores)
    powers = powers / powers.sum(axis=1, keepdims=True) * there
    return (powers[..., None] * vectors).sum(axis=1)


def without_care(scores, vectors, there):
    powers = np.exp(masked(scores, there))
    total = np.maximum(powers.sum(axis=1, keepdims=True), 1e-300)
    return ((powers / total)[..., None] * vectors).sum(axis=1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda s, v, t: weighted(np.exp(s), v), "`there` is not used"),
        (after_the_softmax, "after the softmax"),
        (lambda s, v, t: weighted(np.exp(s * t), v), "exp(0) is 1"),
        (lambda s, v, t: weighted(np.exp(masked(s, t)), v), "gives NaN"),
        (without_care, "overflow"),
        (lambda s, v, t: v.mean(axis=1), "softmax-weighted mean"),
    ],
)
def test_wrong_descriptions(answer, hint):
    result = judge("17.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
