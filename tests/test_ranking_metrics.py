"""Metrics over whole catalogues: ties, exclusion, sampled metrics."""

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import metrics as sk

from mtlrec_utils import evidence as ev


def by_permutations(relevant, scores, k):
    """Means over all orders of the tied items, counted one by one."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    recall, hit, reciprocal, ndcg = [], [], [], []
    discount = 1 / np.log2(np.arange(2, len(scores) + 2))
    ideal = np.sort(relevant)[::-1][:k] @ discount[:k]
    for order in orders:
        gain = np.asarray(relevant)[list(order)]
        found = gain > 0
        recall.append(found[:k].sum() / found.sum())
        hit.append(found[:k].any())
        reciprocal.append(1 / (1 + found.argmax()))
        ndcg.append(gain[:k] @ discount[:k] / ideal)
    return [np.mean(m) for m in (recall, hit, reciprocal, ndcg)]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2)),
        min_size=1,
        max_size=6,
    ).filter(lambda items: any(gain for gain, _ in items)),
    st.integers(1, 8),
)
@settings(max_examples=100, deadline=None)
def test_ties_get_the_mean_over_all_orders(items, k):
    relevant, scores = map(list, zip(*items, strict=True))
    ranking = ev.full_ranking(np.array([relevant]), [scores])
    ours = [
        ranking.recall(k)[0],
        ranking.hit_rate(k)[0],
        ranking.reciprocal_rank()[0],
        ranking.ndcg(k)[0],
    ]
    expected = by_permutations(relevant, scores, k)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize("k", [1, 5, 20, 60])
@pytest.mark.parametrize("decimals", [1, 12])
def test_ndcg_equals_scikit_learn(k, decimals):
    rng = np.random.default_rng(k)
    scores = rng.normal(size=(30, 50)).round(decimals)
    gain = rng.integers(0, 4, (30, 50)) * (rng.random((30, 50)) < 0.2)
    gain[:, 0] = 1  # scikit-learn counts users without relevant items as 0
    assert ev.ndcg_at_k(gain, scores, k) == pytest.approx(
        sk.ndcg_score(gain, scores, k=k), abs=1e-12
    )


def test_an_all_equal_scorer_gets_what_chance_gives():
    n_items, k = 100, 10
    relevant = np.zeros((3, n_items))
    relevant[:, 7] = 1
    scores = np.zeros((3, n_items))
    assert ev.recall_at_k(relevant, scores, k) == pytest.approx(0.1)
    assert ev.hit_rate_at_k(relevant, scores, k) == pytest.approx(0.1)
    harmonic = (1 / np.arange(1, n_items + 1)).mean()
    assert ev.mean_reciprocal_rank(relevant, scores) == pytest.approx(harmonic)
    discount = 1 / np.log2(np.arange(2, k + 2))
    assert ev.ndcg_at_k(relevant, scores, k) == pytest.approx(
        discount.sum() / n_items
    )


def test_hit_rate_of_many_tied_relevant_items_is_hypergeometric():
    relevant = np.zeros((1, 50))
    relevant[0, :20] = 1
    value = ev.hit_rate_at_k(relevant, np.zeros((1, 50)), 4)
    assert value == pytest.approx(1 - comb(30, 4) / comb(50, 4))


def test_perfect_and_worst_ranking():
    relevant = np.array([[1, 1, 0, 0, 0]])
    best, worst = np.array([[5, 4, 3, 2, 1]]), np.array([[1, 2, 3, 4, 5]])
    for metric in (ev.recall_at_k, ev.hit_rate_at_k, ev.ndcg_at_k):
        assert metric(relevant, best, 2) == 1
        assert metric(relevant, worst, 2) == 0
    assert ev.recall_at_k(relevant, best, 1) == 0.5
    assert ev.mean_reciprocal_rank(relevant, worst) == 1 / 4


def test_the_three_forms_of_relevance_agree():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 30)).round(1)
    dense = (rng.random((20, 30)) < 0.1).astype(int)
    seen = (rng.random((20, 30)) < 0.2).astype(int)
    forms = [
        (dense, seen),
        (sparse.csr_array(dense), sparse.coo_matrix(seen)),
        (
            [np.flatnonzero(r) for r in dense],
            [list(np.flatnonzero(r)) for r in seen],
        ),
    ]
    values = [ev.ndcg_at_k(r, scores, 5, exclude=e) for r, e in forms]
    assert values[0] == values[1] == values[2]


def test_excluded_items_are_no_candidates():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(1, 12)).round(0)
    relevant = np.zeros((1, 12))
    relevant[0, [2, 5, 9]] = 1
    seen = [0, 4, 9]  # item 9 is relevant, but seen: it does not count
    kept = np.setdiff1d(np.arange(12), seen)
    for k in (1, 3, 6):
        ours = ev.full_ranking(relevant, scores, exclude=[seen])
        alone = ev.full_ranking(relevant[:, kept], scores[:, kept])
        assert ours.recall(k) == alone.recall(k)
        assert ours.hit_rate(k) == alone.hit_rate(k)
        assert ours.ndcg(k) == alone.ndcg(k)
        assert ours.reciprocal_rank() == alone.reciprocal_rank()


def test_users_without_positives_are_skipped_and_counted():
    scores = np.array([[3.0, 2, 1], [1, 2, 3], [3, 2, 1]])
    relevant = [[0], [], [2]]
    ranking = ev.full_ranking(relevant, scores)
    assert ranking.n_skipped == 1
    assert ranking.users.tolist() == [0, 2]
    assert ranking.recall(1).tolist() == [1, 0]
    assert ev.recall_at_k(relevant, scores, 1) == 0.5
    # Excluding a user's only relevant item leaves the user without one.
    assert ev.full_ranking(relevant, scores, [[0], [], []]).n_skipped == 2


def test_scores_are_left_as_they_were():
    scores = np.array([[3.0, 2, 1]])
    ev.recall_at_k([[0]], scores, 1, exclude=[[1]])
    assert scores.tolist() == [[3, 2, 1]]


# --- sampled metrics ----------------------------------------------------


def test_sampled_hit_rate_equals_the_formula():
    n, k = 40, 5
    for rank in (1, 7, 23, 40):
        for m in (1, 6, 20, 39):
            formula = sum(
                comb(rank - 1, j) * comb(n - rank, m - j)
                for j in range(k)
                if j <= m
            ) / comb(n - 1, m)
            ours = ev.sampled_hit_rate(rank, n, m, k)
            assert ours == pytest.approx(formula, abs=1e-12)


def test_sampled_hit_rate_has_its_limits():
    n = 30
    ranks = np.arange(1, n + 1)
    # One negative: the AUC.
    auc = [ev.auc(np.arange(n) == n - rank, np.arange(n)) for rank in ranks]
    one = ev.sampled_hit_rate(ranks, n, 1, 1)
    np.testing.assert_allclose(one, auc, atol=1e-12)
    # All negatives: the exact metric.
    exact = ev.sampled_hit_rate(ranks, n, n - 1, 10)
    np.testing.assert_allclose(exact, ranks <= 10, atol=1e-12)


def test_sampling_reverses_two_models():
    """Model A: 10 % of users at rank 1, 90 % at 500; model B: all at 30."""
    a = np.repeat([1, 500], [10, 90])
    expected = {100: (0.100, 1.000), 300: (0.100, 0.636), 999: (0.1, 0.0)}
    for m, (of_a, of_b) in expected.items():
        ours = ev.sampled_hit_rate(a, 1000, m, 10).mean()
        assert ours == pytest.approx(of_a, abs=6e-4)
        assert ev.sampled_hit_rate(30, 1000, m, 10) == pytest.approx(
            of_b, abs=6e-4
        )


def test_sampled_hit_rate_is_what_sampling_gives():
    rng = np.random.default_rng(3)
    n, rank, m, k = 50, 12, 10, 3
    others = np.delete(np.arange(1, n + 1), rank - 1)
    hits = [
        (rng.choice(others, m, replace=False) < rank).sum() < k
        for _ in range(4000)
    ]
    expected = ev.sampled_hit_rate(rank, n, m, k)
    error = np.sqrt(expected * (1 - expected) / 4000)
    assert abs(np.mean(hits) - expected) < 4 * error


# --- bad input ----------------------------------------------------------

SCORES = np.arange(6.0).reshape(2, 3)
ONES = np.ones((2, 3))
BAD = {
    "nan": ((ONES, ONES * np.nan), "scores holds 6 NaN"),
    "one dimension": ((ONES, [1, 2]), r"\[users, items\]"),
    "shape": ((np.ones((3, 2)), SCORES), r"\(3, 2\), scores \(2, 3\)"),
    "negative": ((-ONES, SCORES), "negative"),
    "sparse": ((sparse.csr_array(np.ones((1, 3))), SCORES), "shape"),
    "users": (([[0]], SCORES), "1 lists"),
    "item": (([[0], [3]], SCORES), "item 3"),
    "minus": (([[0], [-1]], SCORES), "item -1"),
    "nested matrix": (([[0, 1, 1], [1, 0, 0]], SCORES), "NumPy array"),
    "fractions": (([[0.5], [1]], SCORES), "NumPy array"),
    "nobody": ((0 * ONES, SCORES), "no user"),
    "all seen": ((ONES, SCORES, ONES), "no user"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_and_where(case):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        ev.full_ranking(*arguments)


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_a_cut_is_a_whole_number(k):
    with pytest.raises(ValueError, match="whole number"):
        ev.recall_at_k(ONES, SCORES, k)


def test_sampled_hit_rate_refuses_impossible_draws():
    with pytest.raises(ValueError, match="n_negatives is 10"):
        ev.sampled_hit_rate(1, 10, 10, 1)
    for rank in (0, 11, 1.5):
        with pytest.raises(ValueError, match="rank"):
            ev.sampled_hit_rate(rank, 10, 5, 1)
