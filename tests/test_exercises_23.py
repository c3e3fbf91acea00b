"""Exercises of lesson 23: stub, wrong answers, solution."""

import hashlib
import hmac

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("23.1", "23.2", "23.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def refused(exercise, answer, hint):
    result = judge(exercise, answer)
    assert result.state == "not yet"
    assert hint in result.message


def valid(kept, name, secret, now, *, equal=None, hashed=True, late=True):
    if name not in kept:
        return False
    digest = hashlib.sha256(secret.encode()).hexdigest()
    same = (equal or hmac.compare_digest)(
        digest if hashed else secret, kept[name]["sha256"]
    )
    return same and (not late or now < kept[name]["expires"])


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *a: valid(*a, equal=lambda x, y: x == y), "`==` stops"),
        (lambda *a: valid(*a, late=False), "has expired"),
        (lambda *a: valid(*a, hashed=False), "hash what is presented"),
        (lambda k, n, s, t: valid(k, "ada", s, t), "nobody has is let in"),
        (lambda k, n, s, t: k[n] and valid(k, n, s, t), "raises KeyError"),
        (lambda k, n, s, t: n in k and t < 100, "stored hash itself"),
        (lambda *a: None, "True or False"),
    ],
)
def test_wrong_tokens(answer, hint):
    refused("23.1", answer, hint)


def lock(n, free, first, longest, start=1):
    power = 2.0 ** min(n - free - start, 60)
    return 0.0 if n <= free else min(first * power, longest)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda n, *a: lock(n + 1, *a), "Guesses 1 to 3 are free"),
        (lambda *a: lock(*a, start=0), "the first that locks"),
        (lambda n, f, s, m: 0 if n <= f else min(s * (n - f), m), "double"),
        (lambda n, f, s, m: lock(n, f, s, 1e9), "longest lock"),
        (
            lambda n, f, s, m: 0 if n <= f else min(s * 2.0 ** (n - f - 1), m),
            "overflows",
        ),
    ],
)
def test_wrong_locks(answer, hint):
    refused("23.2", answer, hint)


def caps(users, cap, power=1.0):
    _, place, count = np.unique(users, return_inverse=True, return_counts=True)
    return np.minimum(1.0, (cap / count) ** power)[place]


def first_rows(users, cap):
    kept = np.zeros(len(users))
    for user in set(users):
        kept[np.flatnonzero(users == user)[:cap]] = 1
    return kept


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda u, c: np.minimum(np.ones(len(u)), c), "in all; the cap"),
        (first_rows, "depend on their order"),
        (lambda u, c: caps(u, c) * c / 2 / c, "keep the weight 1"),
        (lambda u, c: caps(u, c, 2.0), "yours weighs"),
        (lambda u, c: caps(u, c)[:3], "One weight per row"),
    ],
)
def test_wrong_caps(answer, hint):
    refused("23.3", answer, hint)
