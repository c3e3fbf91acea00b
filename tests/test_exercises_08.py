"""Exercises of lesson 08: stub, plausible wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("08.1", "08.2", "08.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def in_place(vectors, ids, lost):
    vectors[(ids == 0) | lost] = 0
    return vectors


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda v, ids, lost: v * ~lost[:, None], "noise of day one"),
        (lambda v, ids, lost: v * (ids != 0)[:, None], "Lost ids still"),
        (
            lambda v, ids, lost: v * ((ids == 0) | lost)[:, None],
            "changed places",
        ),
        (
            lambda v, ids, lost: v * ((ids != 0) & ~lost)[:, None] / 0.5,
            "scaled up",
        ),
        (in_place, "itself was changed"),
        (lambda v, ids, lost: v[(ids != 0) & ~lost], "Shape"),
        (lambda v, ids, lost: v, "other than zeros"),
    ],
)
def test_wrong_dropout(answer, hint):
    result = judge("08.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def ucb(clicks, shown, *, bonus="root", own=False, new=np.inf):
    t = shown if own else max(shown.sum(), 1)
    n = np.maximum(shown, 1)
    square = 2 * np.log(np.maximum(t, 1)) / n
    add = {"root": np.sqrt(square), "none": 0, "square": square}[bonus]
    return int(np.argmax(np.where(shown == 0, new, clicks / n + add)))


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ({"bonus": "none"}, "where is the bonus"),
        ({"bonus": "square"}, "square root"),
        ({"own": True}, "the arm's own count"),
        ({"new": 0.0}, "never shown comes first"),
    ],
)
def test_wrong_ucb(fault, hint):
    result = judge("08.2", lambda *counts: ucb(*counts, **fault))
    assert result.state == "not yet"
    assert hint in result.message


def test_ucb_returns_one_arm():
    result = judge("08.2", lambda clicks, shown: clicks / shown)
    assert "an integer" in result.message
    assert "another arm" in judge("08.2", lambda *counts: 0).message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda c, n, p, w: (c + p) / (n + w), "worth * p"),
        (lambda c, n, p, w: c / n, "NaN"),
        (
            lambda c, n, p, w: np.where(
                n > 0, (c / np.maximum(n, 1) + p) / 2, p
            ),
            "plain mean",
        ),
        (
            lambda c, n, p, w: np.where(n > 0, c / np.maximum(n, 1), p),
            "the words are forgotten",
        ),
        (lambda c, n, p, w: (c + 1) / (n + 2), "must be p"),
        (lambda c, n, p, w: p, "the weights are off"),
        (lambda c, n, p, w: 0.5, "must be an array"),
    ],
)
def test_wrong_rates(answer, hint):
    result = judge("08.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
