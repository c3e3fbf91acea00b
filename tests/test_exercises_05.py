"""Exercises of lesson 05: stub, plausible wrong answers, solution."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("05.1", "05.2", "05.3")


def written(exercise):
    return written_solution(exercise, pd=pd)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def losses(
    users, items, numbers, log_q, *, hide=-np.inf, sign=-1, axis=1,
    keep_diagonal=True, positive=True,
):  # fmt: skip
    scores = users @ items.T + sign * log_q[numbers]
    same = numbers[:, None] == numbers
    if keep_diagonal:
        np.fill_diagonal(same, False)
    raw = np.diag(scores if positive else users @ items.T).copy()
    if hide is not None:
        scores = np.where(same, hide, scores)
    if not keep_diagonal:
        raw = np.diag(scores)
    return logsumexp(scores, axis=axis) - raw


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *a: losses(*a, hide=None), "Hide it"),
        (lambda *a: losses(*a, hide=0.0), "A score of 0 is not hidden"),
        (lambda *a: losses(*a, axis=0), "runs over users"),
        (lambda *a: losses(*a, sign=0), "changes nothing"),
        (lambda *a: losses(*a, sign=1), "log Q is added"),
        (lambda *a: losses(*a, positive=False), "off the positive's"),
        (lambda *a: losses(*a, keep_diagonal=False), "not finite"),
        (lambda *a: losses(*a).mean(), "one loss per row"),
        (lambda *a: losses(*a) / 2, "With log Q = 0"),
    ],
)
def test_wrong_losses(answer, hint):
    result = judge("05.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def found_by(
    user, vectors, centres, cell, n_probe, k, *, how="product", places=False,
    turn=1,
):  # fmt: skip
    near = np.argsort(-centres @ user)[:n_probe]
    if how == "distance":
        near = np.argsort(np.linalg.norm(centres - user, axis=1))[:n_probe]
    if how == "all":
        near = np.arange(len(centres))
    if how == "worst":
        near = np.argsort(centres @ user)[:n_probe]
    candidates = np.flatnonzero(np.isin(cell, near))
    order = np.argsort(-turn * vectors[candidates] @ user)[:k]
    return order if places else candidates[order]


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *a: found_by(*a, turn=-1), "worst first"),
        (lambda *a: found_by(*a, how="all"), "every item"),
        (lambda *a: found_by(*a, how="distance"), "chosen by distance"),
        (lambda *a: found_by(*a, how="worst"), "In two cells the best"),
        (lambda *a: found_by(*a, places=True), "places among"),
        (lambda *a: found_by(*a)[:2], "shape (2,)"),
        (lambda *a: found_by(*a) + 1, "exact search"),
    ],
)
def test_wrong_searches(answer, hint):
    result = judge("05.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def leak(cart, test, *, by=("user", "item"), of="test", kept="others"):
    by = list(by)
    pairs = pd.MultiIndex.from_frame(cart[by])
    asked = pd.MultiIndex.from_frame(test[by])
    inside = pairs.isin(asked)
    share = asked.isin(pairs).mean() if of == "test" else inside.mean()
    return share, cart[inside if kept == "leaked" else ~inside]


def in_place(cart, test):
    share, clean = leak(cart, test)
    cart["leaks"] = ~cart.index.isin(clean.index)
    return share, clean


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *a: leak(*a, by=["item"]), "anybody's cart"),
        (lambda *a: leak(*a, by=["user"]), "the *user* has a cart"),
        (lambda *a: leak(*a, of="cart"), "share of the cart"),
        (lambda *a: leak(*a, kept="leaked"), "rows that leak"),
        (lambda *a: leak(*a)[0], "Return two things"),
        (
            lambda *a: (leak(*a)[0], leak(*a)[1].reset_index(drop=True)),
            "with their index",
        ),
        (lambda *a: (0.1, leak(*a)[1]), "Two of four"),
        (in_place, "work on a copy"),
    ],
)
def test_wrong_leaks(answer, hint):
    result = judge("05.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
