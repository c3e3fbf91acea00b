"""Exercises of lesson 15: stub, plausible wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("15.1", "15.2", "15.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def attention(
    q, k, v, places, *, scale=True, axis=-1, mask="before", empty=-1e9,
    zeros=True, stable=True,
):  # fmt: skip
    """Attention with one fault."""
    scores = q @ k.transpose(0, 2, 1)
    if scale:
        scores = scores / np.sqrt(k.shape[-1])
    if mask == "before":
        scores = np.where(places[:, None, :] > 0, scores, empty)
    elif mask == "zero":
        scores = scores * places[:, None, :]
    if stable:
        scores = scores - scores.max(axis=axis, keepdims=True)
    powers = np.exp(scores)
    weights = powers / powers.sum(axis=axis, keepdims=True)
    if mask == "after":
        weights = weights * places[:, None, :]
    found = weights @ v
    return found * places[:, :, None] if zeros else found


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ({"scale": False}, "square root of k"),
        ({"axis": 1}, "the wrong axis"),
        ({"mask": "none"}, "The mask is ignored"),
        ({"mask": "zero"}, "A score of 0 is no mask"),
        ({"mask": "after"}, "cut off after the softmax"),
        ({"zeros": False}, "must return zeros"),
        ({"stable": False}, "Scores in the thousands"),
        ({"empty": -np.inf}, "0 / 0"),
    ],
)
def test_wrong_attention(fault, hint):
    result = judge("15.1", lambda *a: attention(*a, **fault))
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda q, k, v, places: v.mean(axis=1), "keeps it"),
        (lambda q, k, v, places: v, "softmax(Q K' / sqrt(k)) V"),
        (lambda q, k, v, places: 3, "must be an array"),
    ],
)
def test_no_attention(answer, hint):
    result = judge("15.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda a, b: np.concatenate([a, b], axis=1), "has a direction"),
        (lambda a, b: a - b, "has a direction"),
        (lambda a, b: a + b, "Pairs with the same sum"),
        (lambda a, b: np.abs(a - b), "Only the distance counts"),
        (lambda a, b: a * b, "Pairs with the same product"),
        (lambda a, b: 0 * a, "they tell nothing"),
        (lambda a, b: (a * b).sum(axis=1), "one row, (6, n)"),
        (lambda a, b: a * b - (a * b).mean(axis=0), "the other rows"),
    ],
)
def test_wrong_pairs(answer, hint):
    result = judge("15.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(
    "answer",
    [
        lambda a, b: np.concatenate([a + b, np.abs(a - b)], axis=1),
        lambda a, b: np.concatenate([a + b, a * b], axis=1),
        lambda a, b: np.concatenate(
            [np.minimum(a, b), np.maximum(a, b)], axis=1
        ),
    ],
)
def test_other_right_pairs(answer):
    assert judge("15.2", answer).state == "correct"


def pairs_of(rows):
    return list(zip(rows["added"], rows["task"], strict=True))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda rows: pairs_of(rows[rows["low"] > 0]), "less is better"),
        (
            lambda rows: pairs_of(rows[rows["difference"] < 0]),
            "Read `high`, not `difference`",
        ),
        (
            lambda rows: [(t, a) for a, t in pairs_of(rows[rows["high"] < 0])],
            "changed places",
        ),
        (
            lambda rows: pairs_of(
                rows[rows["high"] < 0].sort_values(
                    "difference", ascending=False
                )
            ),
            "their order is not",
        ),
        (lambda rows: rows[rows["high"] < 0], "Return a list"),
    ],
)
def test_wrong_readings(answer, hint):
    result = judge("15.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
