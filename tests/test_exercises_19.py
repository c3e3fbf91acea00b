"""Exercises of lesson 19: stub, wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("19.1", "19.2", "19.3")


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


def means_of(losses, domain, n, absent=np.nan):
    count = np.bincount(domain, minlength=n)
    total = np.bincount(domain, losses, minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), absent)


def weighted(losses, domain, rows, absent=np.nan, keep=False):
    means = means_of(losses, domain, len(rows), absent)
    there = np.isfinite(means)
    whole = rows.sum() if keep else rows[there].sum()
    return means, (rows[there] * means[there]).sum() / whole


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda v, d, r: (means_of(v, d, len(r)), v.mean()),
            "mean of the test rows",
        ),
        (
            lambda v, d, r: (
                means_of(v, d, len(r)),
                np.nanmean(means_of(v, d, len(r))),
            ),
            "every domain counts the same",
        ),
        (lambda v, d, r: weighted(v, d, r, absent=0.0), "nobody knows it"),
        (lambda v, d, r: weighted(v, d, r, keep=True), "takes its weight"),
        (
            lambda v, d, r: (
                means_of(v, d, len(r)),
                r @ means_of(v, d, len(r)) / r.sum(),
            ),
            "whole average NaN",
        ),
        (lambda v, d, r: means_of(v, d, len(r)), "two things"),
        (
            lambda v, d, r: (means_of(v, d, 9), 0.0),
            "so 3 means",
        ),
        (
            lambda v, d, r: (means_of(v**2, d, len(r)), 0.0),
            "domains' means are",
        ),
    ],
)
def test_wrong_averages(answer, hint):
    refused("19.1", answer, hint)


def table_of(domain, means):
    return (domain[:, None] == np.arange(len(means))).astype(float)


def batch_means(x, domain, means):
    own = table_of(domain, means)
    return own.T @ x / np.maximum(own.sum(axis=0), 1)[:, None]


def without_care(x, domain, means, momentum):
    own = table_of(domain, means)
    batch = own.T @ x / own.sum(axis=0)[:, None]
    return momentum * means + (1 - momentum) * batch


def steps(domain, means, momentum):
    there = table_of(domain, means).sum(axis=0)[:, None] > 0
    return (1 - momentum) * there


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (without_care, "NaN, for good"),
        (
            lambda x, d, m, k: k * m + (1 - k) * batch_means(x, d, m),
            "moves towards 0",
        ),
        (
            lambda x, d, m, k: m + steps(d, m, k) * (x.mean(axis=0) - m),
            "the mean of the whole batch",
        ),
        (
            lambda x, d, m, k: (
                m + steps(d, m, 1 - k) * (batch_means(x, d, m) - m)
            ),
            "share of the old mean",
        ),
        (lambda x, d, m, k: m + 1e-3, "keep its mean exactly"),
        (lambda x, d, m, k: m[:2], "Four domains"),
        (lambda x, d, m, k: m, "Domain 0 moves to"),
    ],
)
def test_wrong_moving_means(answer, hint):
    refused("19.2", answer, hint)


def served(x, domain, kernels, biases):
    parts = np.einsum("bi,dio->bdo", x, kernels) + biases
    return parts[np.arange(len(x)), domain]


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda x, d, w, b, ws, bs: served(x, d, w + ws, b + bs),
            "kernels are added",
        ),
        (
            lambda x, d, w, b, ws, bs: served(x, d, w * ws, b * bs),
            "Biases are added",
        ),
        (
            lambda x, d, w, b, ws, bs: served(x, d, w * ws, bs),
            "shared bias is missing",
        ),
        (
            lambda x, d, w, b, ws, bs: served(x, d * 0, w * ws, b + bs),
            "served by domain 0",
        ),
        (
            lambda x, d, w, b, ws, bs: (
                x @ (w * ws).mean(axis=0) + b + bs.mean(axis=0)
            ),
            "All domains serve",
        ),
        (
            lambda x, d, w, b, ws, bs: served(x, d, ws, b + bs),
            "The first row gives",
        ),
        (lambda x, d, w, b, ws, bs: x, "Six rows of two"),
    ],
)
def test_wrong_stars(answer, hint):
    refused("19.3", answer, hint)
