"""Exercises of lesson 01: stub, plausible wrong answers, solution."""

import numpy as np
import pandas as pd
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("01.1", "01.2", "01.3")


def written(exercise):
    return written_solution(exercise, pd=pd)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments, **options):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def numbers(rows, *, cells=None, pairs=None, head=None, repeats=None):
    distinct = len(rows[["user", "item"]].drop_duplicates())
    found = rows["user"].nunique() * rows["item"].nunique()
    return {
        "density": (pairs or distinct) / (cells or found),
        "repeats": repeats or 1 - distinct / len(rows),
        "head": head or rows["item"].value_counts().iloc[0] / len(rows),
    }


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda rows: numbers(rows, pairs=len(rows)), "counts rows"),
        (lambda rows: numbers(rows, cells=90), "users and items that occur"),
        (lambda rows: numbers(rows, repeats=4 / 6), "after the first"),
        (lambda rows: numbers(rows, head=2 / 4), "do not drop pairs there"),
        (lambda rows: numbers(rows, head=0.9), "head is 0.667"),
        (lambda rows: list(numbers(rows).values()), "dictionary"),
    ],
)
def test_wrong_numbers(answer, hint):
    result = judge("01.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def rates(rows, prior, base, *, keys=("user", "genre"), own=0, counted=0):
    rows = rows.sort_values("time")
    groups = rows.groupby(list(keys))["click"]
    before = groups.cumsum() - (1 - own) * rows["click"]
    return (before + prior * base) / (groups.cumcount() + counted + prior)


def own_click(rows, prior, base):
    return rates(rows, prior, base, own=1, counted=1).reindex(rows.index)


def own_row(rows, prior, base):
    return rates(rows, prior, base, counted=1).reindex(rows.index)


def whole_group(rows, prior, base):
    clicks = rows.groupby(["user", "genre"])["click"]
    total = clicks.transform("sum") + prior * base
    return total / (clicks.transform("size") + prior)


def any_genre(rows, prior, base):
    return rates(rows, prior, base, keys=["user"]).reindex(rows.index)


def any_user(rows, prior, base):
    return rates(rows, prior, base, keys=["genre"]).reindex(rows.index)


def not_sorted(rows, prior, base):
    found = rates(rows.assign(time=range(len(rows))), prior, base)
    return found.reindex(rows.index)


def no_prior_below(rows, prior, base):
    return rates(rows, prior, base) + 0.01


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (own_click, "knows its own click"),
        (own_row, "`cumcount()` begins at 0"),
        (whole_group, "that is the future"),
        (any_genre, "counts other genres"),
        (any_user, "counts other users"),
        (not_sorted, "sort by time first"),
        (no_prior_below, "row 1 of six has the rate 0.300"),
        (lambda rows, prior, base: rows["click"].to_numpy(), "a Series"),
        (
            lambda *arguments: rates(*arguments).reset_index(drop=True),
            "another index",
        ),
    ],
)
def test_wrong_interests(answer, hint):
    result = judge("01.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def sums(item, click, examination, n_items, smallest=0.1):
    weight = click / np.maximum(examination, smallest)
    return np.bincount(item, weight, minlength=n_items)


def shown(item, n_items):
    return np.bincount(item, minlength=n_items)


def correct(item, click, examination, n_items, smallest=0.1):
    total = sums(item, click, examination, n_items, smallest)
    return total / shown(item, n_items)


def ratio_of_sums(item, click, examination, n_items, smallest=0.1):
    looked = np.bincount(item, examination, minlength=n_items)
    return np.bincount(item, click, minlength=n_items) / looked


def per_click(item, click, examination, n_items, smallest=0.1):
    clicks = np.bincount(item, click, minlength=n_items)
    return sums(item, click, examination, n_items) / clicks


def plain_rate(item, click, examination, n_items, smallest=0.1):
    clicks = np.bincount(item, click, minlength=n_items)
    return clicks / shown(item, n_items)


def unknown_is_zero(*arguments, **options):
    return np.nan_to_num(correct(*arguments, **options))


def not_clipped(item, click, examination, n_items, smallest=0.1):
    return correct(item, click, examination, n_items, 0.0)


def too_short(item, click, examination, n_items, smallest=0.1):
    return correct(item, click, examination, 0, smallest)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (plain_rate, "plain click rate"),
        (sums, "This is a sum"),
        (per_click, "divide by all impressions"),
        (ratio_of_sums, "divide each click by its own"),
        (unknown_is_zero, "never shown"),
        (not_clipped, "clip with"),
        (too_short, "one number per item"),
        (lambda *a, **o: correct(*a, **o) * 5, "not 10.000"),
    ],
)
def test_wrong_preferences(answer, hint):
    result = judge("01.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
