"""Exercises of lesson 07: stub, plausible wrong answers, solution."""

import numpy as np
import pandas as pd
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom import sequence_figures
from mtlrec_utils.classroom.check import judge

NAMES = ("07.1", "07.2", "07.3")


@pytest.mark.parametrize("exercise", NAMES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", NAMES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def weights(scores, places, *, triangle=np.tril, axis=1, shift=True):
    visible = triangle(np.ones(scores.shape)) * places
    hidden = np.where(visible > 0, scores, -np.inf)
    high = hidden.max(axis=1, keepdims=True)
    high = np.where(np.isfinite(high), high, 0) if shift else 0
    powers = np.exp(hidden - high)
    total = powers.sum(axis=axis, keepdims=True)
    return powers / np.where(total > 0, total, 1)


def padding_seen(scores, places):
    return weights(scores, np.ones(len(scores)))


def empty_is_nan(scores, places):
    found = weights(scores, places)
    return found if places.any() else np.full(scores.shape, np.nan)


def masked_after(scores, places):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.tril(powers / powers.sum(axis=1, keepdims=True)) * places


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda s, p: weights(s, p, triangle=np.triu), "lower triangle"),
        (lambda s, p: weights(s, p, triangle=lambda x: x), "after it"),
        (lambda s, p: weights(s, p, axis=0), "Rows must sum to 1"),
        (masked_after, "after the mask"),
        (padding_seen, "Empty places are weighed"),
        (empty_is_nan, "0 / 0 is NaN"),
        (lambda s, p: weights(s, p, shift=False), "np.exp overflows"),
        (lambda s, p: weights(2 * s, p), "0.25 and 0.75"),
        (lambda s, p: weights(s, p)[0], "shape (4,)"),
    ],
)
def test_wrong_masks(answer, hint):
    result = judge("07.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def shifted(items, label, *, last="item", step=1):
    mask = (items >= 0).astype(int)
    found = np.full(items.shape, -1)
    found[:, : items.shape[1] - step] = items[:, step:]
    if last == "column":
        found[:, -1] = label
        return found, mask
    place = mask.sum(axis=1) - 1
    rows = np.flatnonzero(place >= 0)
    found[rows, place[rows]] = label[rows]
    return found, mask


def no_label_in_mask(items, label):
    found, mask = shifted(items, label)
    shorter = np.zeros_like(mask)
    shorter[:, :-1] = mask[:, 1:]
    return found, shorter


def in_place(items, label):
    found, mask = shifted(items, label)
    items[:] = found
    return items, mask


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda i, y: shifted(i, y, step=0), "Shift by one"),
        (lambda i, y: shifted(i, y, last="column"), "last *item*"),
        (no_label_in_mask, "left out of the mask"),
        (lambda i, y: (shifted(i, y)[0], np.ones_like(i)), "asks nothing"),
        (lambda i, y: shifted(i, y)[0], "two arrays"),
        (in_place, "work on a copy"),
        (lambda i, y: shifted(i, y + 1), "3 1 and 0"),
    ],
)
def test_wrong_targets(answer, hint):
    result = judge("07.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def table(visits, items, n_items, prior, *, sort=True, cut=True, repeat=True):
    order = np.argsort(visits, kind="stable") if sort else slice(None)
    visit, item = visits[order], items[order]
    same = (visit[1:] == visit[:-1]) | (not cut)
    counts = np.zeros((n_items, n_items))
    before, after = item[:-1][same], item[1:][same]
    if repeat:
        np.add.at(counts, (before, after), 1)
    else:
        counts[before, after] += 1
    share = np.bincount(items, minlength=n_items) / len(items)
    total = counts.sum(axis=1, keepdims=True)
    return counts, share, total, (counts + prior * share) / (total + prior)


def turned(visits, items, n_items, prior):
    counts, share, _, _ = table(visits, items, n_items, prior)
    total = counts.T.sum(axis=1, keepdims=True)
    return (counts.T + prior * share) / (total + prior)


def without_prior(visits, items, n_items, prior):
    counts, _, total, _ = table(visits, items, n_items, prior)
    return counts / total


def prior_above_only(visits, items, n_items, prior):
    counts, share, total, _ = table(visits, items, n_items, prior)
    return (counts + prior * share) / (total + 1)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda *a: table(*a, sort=False, cut=False)[-1], "visits are mixed"),
        (lambda *a: table(*a, cut=False)[-1], "the beginning of the next"),
        (lambda *a: table(*a, repeat=False)[-1], "counts once"),
        (turned, "turned round"),
        (without_prior, "0 / 0"),
        (prior_above_only, "sum to 1"),
        (lambda v, i, n, c: table(v, i, n, 2 * c)[-1], "(3 + 2 x 3/8)"),
    ],
)
def test_wrong_transitions(answer, hint):
    result = judge("07.3", answer)
    assert result.state == "not yet"
    assert hint in result.message


# -- figures ---------------------------------------------------------------


def results():
    rows = []
    for memory in (0.0, 1.0):
        for model, order in [
            ("best", "true"),
            ("sasrec", "true"),
            ("sasrec", "shuffled"),
        ]:
            for measure in ("recall", "ndcg"):
                rows.append(
                    {
                        "part": "popular",
                        "session_memory": memory,
                        "model": model,
                        "order": order,
                        "measure": measure,
                        "scores": "0.3" if model == "best" else "0.1 0.3",
                        "baseline": 0.05,
                    }
                )
    return pd.DataFrame(rows)


def test_scores_are_read_by_seed():
    found = sequence_figures.scores_of(results(), "recall")
    row = found.set_index(["session_memory", "model"]).loc[
        (1.0, "sasrec, shuffled")
    ]
    assert row.tolist() == pytest.approx([0.2, 0.1, 0.3])
    assert (found.loc[found["model"] == "popular", "mean"] == 0.05).all()
    assert len(found) == 8


def test_figures_say_what_they_show():
    _, alt = sequence_figures.shop_figure(results(), 1.0, "NDCG@20")
    assert "sasrec" in alt and "0.300" in alt
    _, alt = sequence_figures.attention_figure(
        {"memory 1": np.array([0.5, 0.3, 0.2])}, "The last click"
    )
    assert "0.50" in alt and "0.33" in alt
    assert "sees" in sequence_figures.looking_back_figure()[1]
