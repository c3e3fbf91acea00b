"""Buckets of items, coverage and popularity of lists; fast paths."""

import numpy as np
import pytest

from mtlrec_utils import evidence as ev
from mtlrec_utils.evidence import ranking_metrics


def a_ranking(seed=0, n_users=12, n_items=90, share=0.4, **options):
    rng = np.random.default_rng(seed)
    relevant = rng.random((n_users, n_items)) < share
    exclude = rng.random((n_users, n_items)) < 0.2
    scores = rng.integers(0, 30, (n_users, n_items)).astype(np.float32)
    return relevant, scores, exclude


def test_sorting_and_comparing_count_alike(monkeypatch):
    arguments = a_ranking()
    counted = []
    for few in (0, 10_000):
        monkeypatch.setattr(ranking_metrics, "_FEW", few)
        counted.append(ev.full_ranking(*arguments))
    for name in ("user", "item", "above", "tied", "gain", "users"):
        first, second = (getattr(ranking, name) for ranking in counted)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("few", [0, 10_000])
def test_places_equal_plain_counting(monkeypatch, few):
    monkeypatch.setattr(ranking_metrics, "_FEW", few)
    relevant, scores, exclude = a_ranking()
    ranking = ev.full_ranking(relevant, scores, exclude)
    assert ranking.item.size == (relevant & ~exclude).sum()
    for place in range(0, ranking.item.size, 7):
        user, item = ranking.users[ranking.user[place]], ranking.item[place]
        assert relevant[user, item] and not exclude[user, item]
        others = scores[user][~exclude[user]]
        assert ranking.above[place] == (others > scores[user, item]).sum()
        assert ranking.tied[place] == (others == scores[user, item]).sum()


def test_scores_are_left_as_they_were():
    relevant, scores, exclude = a_ranking()
    before = scores.copy()
    ev.full_ranking(relevant, scores, exclude)
    np.testing.assert_array_equal(scores, before)


def test_a_bucket_is_ranked_among_all_items():
    relevant = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]])
    scores = np.array([[4.0, 3, 2, 1], [4, 3, 2, 1], [4, 3, 2, 1]])
    ranking = ev.full_ranking(relevant, scores)
    rare = ranking.among(np.array([False, True, True, True]))
    assert rare.users.tolist() == [0, 1, 2]
    assert rare.recall(2).tolist() == [0.5, 1, 0]
    last = ranking.among(np.array([False, False, False, True]))
    assert last.users.tolist() == [0, 2]
    assert last.n_skipped == 1
    assert last.recall(3).tolist() == [0, 0]
    assert last.recall(4).tolist() == [1, 1]


def test_buckets_share_out_the_recall():
    relevant, scores, exclude = a_ranking()
    ranking = ev.full_ranking(relevant, scores, exclude)
    first = np.arange(90) < 40
    found = np.zeros(12)
    for bucket in (first, ~first):
        part = ranking.among(bucket)
        n_relevant = np.bincount(part.user)
        found[part.users] += part.recall(10) * n_relevant
    whole = ranking.recall(10) * np.bincount(ranking.user)
    np.testing.assert_allclose(found, whole)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (np.zeros(90, dtype=bool), "none of the items"),
        (np.arange(90), "True or False"),
        (np.ones(3, dtype=bool), "items names 3 items"),
    ],
)
def test_among_refuses_what_is_no_bucket(items, message):
    with pytest.raises(ValueError, match=message):
        ev.full_ranking(*a_ranking()).among(items)


def test_coverage_counts_each_item_once_and_no_empty_place():
    assert ev.coverage([[0, 1], [1, 3], [1, -1]], 6) == 0.5


def test_gini_of_equal_and_of_single_exposure():
    assert ev.exposure_gini([[0, 1], [2, 3]], 4) == 0
    assert ev.exposure_gini([[2], [2], [2]], 4) == pytest.approx(3 / 4)
    # |x_i - x_j| over all pairs / (2 n sum x), by hand for 1, 0, 2
    assert ev.exposure_gini([[0], [2], [2]], 3) == pytest.approx(8 / 18)


def test_popularity_rank_shares_places():
    rank = ev.popularity_rank([5, 1, 5, 0])
    np.testing.assert_allclose(rank, [2.5 / 3, 1 / 3, 2.5 / 3, 0])
    rng = np.random.default_rng(0)
    assert ev.popularity_rank(rng.integers(0, 9, 50)).mean() == pytest.approx(
        0.5
    )


def test_popularity_bias_is_the_mean_rank_of_a_list():
    popularity = [50, 40, 3, 0, 1]
    bias = ev.popularity_bias([[0, 1], [3, -1], [-1, -1]], popularity)
    np.testing.assert_allclose(bias, [0.875, 0, np.nan])


def test_blind_lists_have_no_popularity_bias():
    rng = np.random.default_rng(0)
    popularity = rng.pareto(1, 300)
    blind = rng.permuted(np.tile(np.arange(300), (2000, 1)), axis=1)[:, :10]
    assert ev.popularity_bias(blind, popularity).mean() == pytest.approx(
        0.5, abs=0.01
    )
    best = np.argsort(-popularity)[None, :10]
    assert ev.popularity_bias(best, popularity)[0] > 0.98


def test_buckets_hold_equal_shares_of_interest():
    popularity = np.array([1, 1, 4, 2, 1, 1, 2])
    bucket = ev.popularity_buckets(popularity, 3)
    assert bucket.tolist() == [2, 2, 0, 1, 2, 2, 1]
    rng = np.random.default_rng(0)
    many = rng.integers(1, 100, 5000)
    shares = np.bincount(ev.popularity_buckets(many, 4), many) / many.sum()
    np.testing.assert_allclose(shares, 0.25, atol=0.001)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ev.coverage([0, 1], 3), r"shape \(2,\)"),
        (lambda: ev.coverage([[0, 3]], 3), "names item 3"),
        (lambda: ev.coverage([[0.0, 1.0]], 3), "float64"),
        (lambda: ev.exposure_gini([[-1]], 3), "lists are empty"),
        (lambda: ev.popularity_bias([[4]], [1, 2]), "names item 4"),
        (lambda: ev.popularity_rank([1]), "at least 2"),
        (lambda: ev.popularity_buckets([0, 0]), "some positive"),
        (lambda: ev.popularity_buckets([1, 2], 1), "at least 2"),
        (lambda: ev.popularity_buckets([98, 1, 1], 3), "leave one empty"),
    ],
)
def test_bad_input_is_refused_with_its_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()
