"""Exercises of lesson 03: stub, plausible wrong answers, solution."""

import numpy as np
import pytest
from scipy.special import ndtri
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge
from mtlrec_utils.evidence import auc

EXERCISES = ("03.1", "03.2", "03.3")


def written(exercise):
    return written_solution(exercise, ndtri=ndtri)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments, **options):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def grouped(labels, scores, users, *, tie=0.5, lone=None, weigh=True):
    values, weights = [], []
    for user in np.unique(users):
        rows = users == user
        positive = scores[rows & (labels == 1)]
        negative = scores[rows & (labels == 0)]
        if len(positive) and len(negative):
            won = (positive[:, None] > negative) * 1.0
            values.append((won + tie * (positive[:, None] == negative)).mean())
        elif lone is None:
            continue
        else:
            values.append(lone)
        weights.append(rows.sum() if weigh else 1)
    return np.average(values, weights=weights)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda y, s, u: auc(y, s), "different users"),
        (lambda *a: grouped(*a, weigh=False), "weigh a user by their rows"),
        (lambda *a: grouped(*a, lone=0.5), "counts as one half"),
        (lambda *a: grouped(*a, lone=0.0), "still in the denominator"),
        (lambda *a: grouped(*a, lone=np.nan), "skip it"),
        (lambda *a: grouped(*a, tie=0), "must get 0.5"),
        (lambda *a: grouped(*a, tie=1), "must get 0.5"),
        (lambda *a: 1 - grouped(*a), "user 3 is skipped"),
        (lambda y, s, u: s, "one number"),
    ],
)
def test_wrong_gaucs(answer, hint):
    result = judge("03.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def needed(d, smallest, power=0.8, *, ddof=1, level=0.975, z=None, up=True):
    z = ndtri(level) + ndtri(power) if z is None else z
    n = (z * np.std(d, ddof=ddof) / smallest) ** 2
    return int(np.ceil(n)) if up else int(n)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda d, s, power=0.8: needed(d, s, power, ddof=0), "ddof=1"),
        (lambda d, s, power=0.8: needed(d, s, z=ndtri(0.975)), "add ndtri"),
        (lambda d, s, power=0.8: needed(d, s, power, level=0.95), "two ends"),
        (lambda d, s, power=0.8: needed(d, s, power, up=False), "Round up"),
        (lambda d, s, power=0.8: needed(d, s), "use the argument"),
        (
            lambda d, s, power=0.8: np.ceil(np.sqrt(needed(d, s, power))),
            "square is missing",
        ),
        (lambda d, s, power=0.8: 2 * needed(d, s, power), "This pilot needs"),
    ],
)
def test_wrong_numbers_of_users(answer, hint):
    result = judge("03.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def through_odds(p, kept):
    odds = kept * p / np.maximum(1 - p, 1e-3)
    return odds / (1 + odds)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda p, kept: p * kept, "it is the odds that are off"),
        (lambda p, kept: p / (p + kept * (1 - p)), "went up"),
        (lambda p, kept: kept * p / (1 - p), "turn them back"),
        (lambda p, kept: p, "0.5 becomes 0.20"),
        (through_odds, "1 stay 1"),
        (lambda p, kept: p.mean(), "one probability per row"),
    ],
)
def test_wrong_ways_back(answer, hint):
    result = judge("03.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
