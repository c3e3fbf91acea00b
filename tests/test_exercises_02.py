"""Exercises of lesson 02: stub, plausible wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("02.1", "02.2", "02.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments, **options):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def similar(seen, shrinkage=0.0, *, union=1, diagonal=0, safe=True, power=1.0):
    both = seen.T @ seen
    taken = seen.sum(axis=0)
    size = taken[:, None] + taken - union * both + shrinkage
    if power != 1:
        size = np.sqrt(np.outer(taken, taken))
    found = both / (np.where(size > 0, size, 1) if safe else size)
    if diagonal == 0:
        np.fill_diagonal(found, 0)
    return found


def no_shrinkage(seen, shrinkage=0.0):
    return similar(seen)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (
            lambda seen, **o: similar(seen, **o, power=0.5),
            "This is the cosine",
        ),
        (lambda seen, **o: similar(seen, **o, union=0), "counted twice"),
        (lambda seen, **o: similar(seen, **o, diagonal=1), "its own nearest"),
        (lambda seen, **o: similar(seen, **o, safe=False), "0 / 0"),
        (lambda seen, **o: similar(seen.T, **o), "columns, not rows"),
        (lambda seen, **o: similar(seen, **o) / 2, "4 together"),
        (no_shrinkage, "add it to the union"),
    ],
)
def test_wrong_similarities(answer, hint):
    result = judge("02.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def nothing_hidden(scores, seen, k):
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def hidden_by_zero(scores, seen, k):
    return nothing_hidden(np.where(seen > 0, 0, scores), seen, k)


def turned_round(scores, seen, k):
    hidden = np.where(seen > 0, -np.inf, scores)
    return np.argsort(hidden, axis=1, kind="stable")[:, ::-1][:, :k]


def in_place(scores, seen, k):
    scores[seen > 0] = -np.inf
    return nothing_hidden(scores, seen, k)


def worst_first(scores, seen, k):
    hidden = np.where(seen > 0, -np.inf, scores)
    return nothing_hidden(hidden, seen, k)[:, ::-1]


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (nothing_hidden, "what they have already"),
        (hidden_by_zero, "not low enough"),
        (turned_round, "equal scores"),
        (in_place, "work on a copy"),
        (worst_first, "best comes first"),
        (
            lambda scores, seen, k: nothing_hidden(scores, seen, 1),
            "shape (2, 1)",
        ),
    ],
)
def test_wrong_lists(answer, hint):
    result = judge("02.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def shares(listed, relevant, bucket, *, mean=np.nanmean, size="bucket"):
    found = np.zeros(relevant.shape)
    np.put_along_axis(found, listed, 1, axis=1)
    values = []
    for b in range(2):
        wanted = relevant * (bucket == b)
        below = wanted if size == "bucket" else relevant
        hits = (wanted * found).sum(axis=1)
        present = wanted.sum(axis=1) > 0
        share = np.where(present, hits / below.sum(axis=1), np.nan)
        values.append(mean(share))
    return np.array(values)


def absent_is_zero(*arguments):
    return shares(*arguments, mean=lambda x: np.nan_to_num(x).mean())


def absent_is_nan(*arguments):
    return shares(*arguments, mean=np.mean)


def pooled(listed, relevant, bucket):
    found = np.zeros(relevant.shape)
    np.put_along_axis(found, listed, 1, axis=1)
    return np.array(
        [
            (relevant * found)[:, bucket == b].sum()
            / relevant[:, bucket == b].sum()
            for b in range(2)
        ]
    )


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (absent_is_zero, "count as 0"),
        (absent_is_nan, "0 / 0"),
        (lambda *a: shares(*a, size="all"), "by those of the bucket"),
        (pooled, "each user's share first"),
        (lambda *a: shares(*a)[:1], "shape (1,)"),
        (lambda *a: 1 - shares(*a), "one of two of bucket 1"),
    ],
)
def test_wrong_recalls(answer, hint):
    result = judge("02.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
