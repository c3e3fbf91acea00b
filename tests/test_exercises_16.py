"""Exercises of lesson 16: stub, wrong answers, solution; and the valley."""

import numpy as np
import pandas as pd
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom import transfer_figures
from mtlrec_utils.classroom.check import judge

EXERCISES = ("16.1", "16.2", "16.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def ridge(y, x, source, strength):
    n, k = x.shape
    return np.linalg.solve(x.T @ x / n + strength * np.eye(k), x.T @ y / n)


def summed(y, x, source, strength):
    return np.linalg.solve(
        x.T @ x + strength * np.eye(x.shape[1]), x.T @ y + strength * source
    )


def between(y, x, source, strength):
    plain = np.linalg.lstsq(x, y, rcond=None)[0]
    return (plain + strength * source) / (1 + strength)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (ridge, "that is weight decay"),
        (summed, "you have the sum"),
        (between, "the gradient must be 0"),
        (lambda y, x, s, a: s, "At strength 0 it is least squares"),
        (lambda y, x, s, a: 0.0, "three weights"),
    ],
)
def test_wrong_minima(answer, hint):
    result = judge("16.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def right(table, source_ids, fresh, target_ids):
    carried = fresh.copy()
    for row, value in enumerate(target_ids):
        if value in source_ids:
            carried[row] = table[source_ids.index(value)]
    return carried


def in_place(table, source_ids, fresh, target_ids):
    fresh[:] = right(table, source_ids, fresh, target_ids)
    return fresh


def zeros(table, source_ids, fresh, target_ids):
    return right(table, source_ids, np.zeros_like(fresh), target_ids)


def first_known(table, source_ids, fresh, target_ids):
    rows = [source_ids.index(v) if v in source_ids else 0 for v in target_ids]
    return table[rows]


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda t, s, f, i: t[: len(i)].copy(), "not to a place"),
        (in_place, "changed in place"),
        (zeros, "a row of zeros"),
        (first_known, 'never saw "x"'),
        (lambda t, s, f, i: t, "[3, 2]"),
        (lambda t, s, f, i: f.copy(), '"b" is row 3'),
    ],
)
def test_wrong_tables(answer, hint):
    result = judge("16.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def crossing(rows, scratch, frozen, scale=np.log, back=np.exp, last=False):
    behind = scratch - frozen
    if behind[0] <= 0:
        return rows[0]
    places = np.flatnonzero((behind[1:] <= 0) & (behind[:-1] > 0)) + 1
    if not len(places):
        return None
    i = places[-1 if last else 0]
    share = behind[i - 1] / (behind[i - 1] - behind[i])
    low, high = scale(rows[i - 1]), scale(rows[i])
    return back(low + share * (high - low))


def same(value):
    return value


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda r, s, f: crossing(r, s, f, same, same),
            "On the logarithm, half-way is 100",
        ),
        (
            lambda r, s, f: r[np.argmax(s <= f)],
            "first number measured after the crossing",
        ),
        (lambda r, s, f: crossing(r, s, f, last=True), "three times"),
        (lambda r, s, f: None, "Lower is better"),
        (
            lambda r, s, f: crossing(r, s, f) or r[-1],
            "return None",
        ),
        (
            lambda r, s, f: None if s[0] <= f[0] else crossing(r, s, f),
            "ahead from the first",
        ),
    ],
)
def test_wrong_crossings(answer, hint):
    result = judge("16.3", answer)
    assert result.state == "not yet"
    assert hint in result.message


# -- the figures -----------------------------------------------------------


def test_the_pull_leads_from_least_squares_to_the_source():
    parts = transfer_figures.valley()
    labels, inputs, source = (
        parts[name] for name in ("labels", "inputs", "source")
    )
    plain = np.linalg.lstsq(inputs, labels, rcond=None)[0]
    found = transfer_figures.pulled_minimum(labels, inputs, source, 0.0)
    np.testing.assert_allclose(found, plain)
    far = transfer_figures.pulled_minimum(labels, inputs, source, 1e9)
    np.testing.assert_allclose(far, source, atol=1e-6)


def test_the_words_follow_the_verdicts():
    table = pd.DataFrame(
        {
            "part": "curve",
            "method": "frozen",
            "task": "click",
            "metric": "log_loss",
            "similarity": 0.9,
            "rows": [50, 1000, 5000, 20_000],
            "verdict": ["helps", "helps", "cannot tell", "hurts"],
        }
    )
    words = transfer_figures.verdicts_by_rows
    asked = ("frozen", "click", "log_loss", 0.9)
    shuffled = table.iloc[[2, 0, 3, 1]]
    assert words(shuffled, *asked) == (
        "helps at 50 to 1,000 rows, cannot tell at 5,000, hurts at 20,000"
    )
    table["verdict"] = "cannot tell"
    assert words(table, *asked) == "cannot tell at 50 to 20,000 rows"
    table["verdict"] = ["hurts", "cannot tell", "hurts", "hurts"]
    assert words(table, *asked) == (
        "hurts at 50 rows, cannot tell at 1,000, hurts at 5,000 to 20,000"
    )
