"""Exercises of lesson 22: stub, wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("22.1", "22.2", "22.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments, **named):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def shares(gradients, mask, parts, known):
    masked = gradients * mask[:, None]
    return np.stack([masked[p].sum(axis=0) / known(mask, p) for p in parts])


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda g, m, p: shares(g, m, p, lambda m, q: m[q].sum()),
            "contributes NaN",
        ),
        (
            lambda g, m, p: shares(g, m, p, lambda m, q: max(m[q].sum(), 1)),
            "mean of means",
        ),
        (
            lambda g, m, p: (
                shares(g, m, p, lambda m, q: max(m[q].sum(), 1)) / len(p)
            ),
            "mean of means",
        ),
        (lambda g, m, p: shares(g, m, p, lambda m, q: len(m)), "rows, 7"),
        (
            lambda g, m, p: shares(g, np.ones(7), p, lambda m, q: 7),
            "mask is not used",
        ),
        (
            lambda g, m, p: shares(g, m, p, lambda m, q: m.sum()),
            "without a known label must give zeros",
        ),
        (
            lambda g, m, p: shares(g, m, p, lambda m, q: m.sum()).sum(axis=0),
            "[3, 3]",
        ),
        (
            lambda g, m, p: (
                np.ones((3, 1))
                * shares(g, m, p, lambda m, q: max(m.sum(), 1)).mean(axis=0)
            ),
            "own rows only",
        ),
    ],
)
def test_wrong_contributions(answer, hint):
    result = judge("22.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def left(order, size, done, cut, stop=None):
    stop = len(order) if stop is None else stop
    starts = range(done * size, stop, size)
    return [cut(order[start : start + size]) for start in starts]


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda o, s, d, w, n: left(
                o, s, d, lambda b: np.array_split(b, n)[w], len(o) // s * s
            ),
            "five batches",
        ),
        (
            lambda o, s, d, w, n: left(
                o, s, 0, lambda b: np.array_split(b, n)[w]
            ),
            "After 2 batches 3 are left",
        ),
        (
            lambda o, s, d, w, n: left(
                np.sort(o), s, d, lambda b: np.array_split(b, n)[w]
            ),
            "come sorted",
        ),
        (lambda o, s, d, w, n: left(o, s, d, lambda b: b[w::n]), "contiguous"),
        (
            lambda o, s, d, w, n: left(
                o, s, d, lambda b: b[w * (len(b) // n) :][: len(b) // n]
            ),
            "every row of every batch once",
        ),
        (
            lambda o, s, d, w, n: left(
                o,
                s,
                d,
                lambda b: np.split(b, [len(b) // 2])[w] if n == 2 else b,
            ),
            "worker 0 takes 3",
        ),
    ],
)
def test_wrong_rows(answer, hint):
    result = judge("22.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def plan(
    ids, dimension, slots, memory, rows, batch, fixed, per_row,
    value=4, up=np.ceil, steps_up=np.ceil,
):  # fmt: skip
    machines = up(value * ids * dimension * (1 + slots) / memory)
    steps = steps_up(rows / (machines * batch))
    return machines, steps * (fixed + per_row * batch) / 3600


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda **g: plan(**g, value=1), "a float32 has 4 bytes"),
        (lambda **g: plan(**{**g, "slots": 0}), "slots need room"),
        (lambda **g: plan(**g, up=lambda x: x), "round up"),
        (lambda **g: plan(**g, up=np.floor), "round up"),
        (lambda **g: plan(**g, steps_up=lambda x: x), "1,201 steps"),
        (lambda **g: plan(**{**g, "fixed": 0}), "steps of 1 second"),
        (lambda **g: plan(**g)[0], "two numbers"),
        (lambda **g: plan(**{**g, "slots": 2}), "Without slots"),
    ],
)
def test_wrong_plans(answer, hint):
    result = judge("22.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
