"""Relations of item pairs: probabilities, symmetry, dials, stability."""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from mtlrec_utils.data import World
from mtlrec_utils.data.world_catalogue import GENRES, vocabulary
from mtlrec_utils.data.world_relations import (
    RELATIONS,
    _rules,
    _uniform,
    best_class_metrics,
    genre_truth,
    item_relations,
    relation_of,
    relation_truth,
)

WORLD = World(n_users=50, n_items=400, seed=5)


@pytest.fixture(scope="module")
def pairs():
    return item_relations(WORLD, 8000)


def swapped(pairs):
    return pairs[["other_item", "item"]].set_axis(
        ["item", "other_item"], axis=1
    )


def test_a_pair_shows_both_items(pairs):
    items = WORLD.items()
    for prefix in ("", "other_"):
        of = items.loc[pairs[f"{prefix}item"]]
        for column in ("genre", "minutes", "price", "words"):
            assert list(pairs[prefix + column]) == list(of[column])
    assert set(pairs["domain"]) == {"films"}
    books = item_relations(WORLD, 50, domain="books")
    both = books[["item", "other_item"]].to_numpy()
    assert set(books["domain"]) == {"books"} and both.min() >= 400


def test_pairs_are_distinct_and_half_share_a_shelf(pairs):
    low = pairs[["item", "other_item"]].min(axis=1)
    high = pairs[["item", "other_item"]].max(axis=1)
    assert (low < high).all()
    assert not pd.DataFrame({"a": low, "b": high}).duplicated().any()
    shelves = WORLD.items()["genre"][:400].value_counts(normalize=True)
    by_chance = (shelves**2).sum()
    few = pairs[:2000]  # later ones are rarer: those of a shelf run out
    alike = (few["genre"] == few["other_genre"]).mean()
    assert abs(alike - (0.5 + 0.5 * by_chance)) < 0.04


def test_same_seed_same_bytes_and_fewer_are_the_first_of_more(pairs):
    again = item_relations(replace(WORLD), 8000)
    digests = {
        hashlib.sha256(f.to_csv().encode()).hexdigest() for f in (pairs, again)
    }
    assert len(digests) == 1
    pd.testing.assert_frame_equal(item_relations(WORLD, 300), pairs.iloc[:300])
    for other in (
        item_relations(WORLD, 300, draw=1),
        item_relations(replace(WORLD, seed=6), 300),
    ):
        assert (other["item"] != pairs["item"][:300]).mean() > 0.9


def test_bytes_never_move():
    small = item_relations(World(n_users=10, n_items=40, seed=1), 30)
    columns = small[["item", "other_item", "relation"]].to_csv()
    digest = hashlib.sha256(columns.encode()).hexdigest()
    assert digest[:16] == "26b6189a0bc1be9b"


def test_a_relation_has_no_direction_and_is_a_fact_of_the_pair(pairs):
    back = swapped(pairs)
    assert list(relation_of(WORLD, back)) == list(pairs["relation"])
    np.testing.assert_allclose(
        relation_truth(WORLD, back), relation_truth(WORLD, pairs), atol=1e-12
    )
    # Another draw that meets the same pair finds the same relation.
    first = pairs.set_index(["item", "other_item"])["relation"]
    second = item_relations(WORLD, 8000, draw=1)
    second = second.set_index(["item", "other_item"])["relation"]
    met = first.index.intersection(second.index)
    assert len(met) > 300
    assert first[met].equals(second[met])


def test_probabilities_follow_the_formula_by_hand(pairs):
    matrices = _rules(WORLD.seed).matrices
    one = pairs.iloc[[7]]
    t = WORLD.topics()[one[["item", "other_item"]].to_numpy().ravel()]
    a, b = t / np.linalg.norm(t, axis=1, keepdims=True)
    series, together, substitute = (7 * a @ m @ b for m in matrices)
    odds = np.exp([0, series - 2.2, together - 2.0, substitute - 2.2])
    expected = odds / odds.sum()
    np.testing.assert_allclose(relation_truth(WORLD, one).iloc[0], expected)


@pytest.mark.parametrize("seed", range(4))
def test_rules_are_three_series_topics_three_pairs_and_the_rest(seed):
    series, together, substitute = _rules(seed).matrices
    assert np.trace(series) == np.trace(substitute) == 3
    np.testing.assert_array_equal(series + substitute, np.eye(6))
    np.testing.assert_array_equal(together, together.T)
    np.testing.assert_array_equal(together @ together, np.eye(6))
    assert np.trace(together) == 0


def test_relations_happen_as_often_as_they_should(pairs):
    truth = relation_truth(WORLD, pairs)
    np.testing.assert_allclose(truth.sum(axis=1), 1)
    for relation in RELATIONS:
        p, happened = truth[relation], pairs["relation"] == relation
        error = np.sqrt((p * (1 - p)).sum())
        assert abs(happened.sum() - p.sum()) < 4 * error
        assert 0.12 < happened.mean() < 0.4
        # Also where it is likely, and where it is not.
        for part in (p > 0.6, p < 0.1):
            error = np.sqrt((p * (1 - p))[part].sum())
            gap = happened[part].sum() - p[part].sum()
            assert abs(gap) < 4 * error


def test_places_of_pairs_are_uniform_and_forget_their_neighbours():
    item = np.repeat(np.arange(300), 300)
    other = np.tile(np.arange(300, 600), 300)
    key = _rules(3).key
    place = _uniform(key, item, other)
    assert stats.kstest(place, "uniform").pvalue > 1e-3
    grid = place.reshape(300, 300)
    for a, b in ((grid[:, 1:], grid[:, :-1]), (grid[1:], grid[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.015
    assert place.min() >= 0 and place.max() < 1
    elsewhere = _uniform(_rules(4).key, item, other)
    assert abs(np.corrcoef(place, elsewhere)[0, 1]) < 0.015


def test_best_scores_are_what_the_truth_scores(pairs):
    truth = relation_truth(WORLD, pairs)
    best = best_class_metrics(truth).set_index("metric")["value"]
    labels = pairs["relation"]
    found = log_loss(labels, truth[sorted(RELATIONS)])
    assert abs(found - best["log_loss"]) < 0.03
    hits = (truth.idxmax(axis=1) == labels).mean()
    assert abs(hits - best["accuracy"]) < 0.02
    assert 0.7 < best["accuracy"] < 0.85
    sure = best_class_metrics(pd.DataFrame([[0.0, 1.0], [0.5, 0.5]]))
    np.testing.assert_allclose(sure["value"], [np.log(2) / 2, 0.75])


def word_counts(words):
    place = {w: t for t, row in enumerate(vocabulary()) for w in row}
    counts = np.zeros((len(words), 6))
    for row, text in enumerate(words):
        for word in text.split():
            counts[row, place[word]] += 1
    return counts


def told_by_words(world, n=6000):
    """Log loss saved, in nats, by a model that reads topics of words."""
    pairs = item_relations(world, n)
    a, b = (word_counts(pairs[c]) for c in ("words", "other_words"))
    features = np.einsum("ni,nj->nij", a, b).reshape(n, -1)
    labels, half = pairs["relation"], n // 2
    model = LogisticRegression(C=0.01, max_iter=200)
    model.fit(features[:half], labels[:half])
    rates = labels[:half].value_counts(normalize=True)[model.classes_]
    guess = np.tile(rates, (n - half, 1))
    return log_loss(labels[half:], guess) - log_loss(
        labels[half:], model.predict_proba(features[half:])
    )


def test_text_signal_moves_what_words_tell_and_nothing_else():
    silent, clear = (
        World(n_users=10, n_items=400, seed=2, text_signal=s) for s in (0, 1)
    )
    same = ["item", "other_item", "relation", "genre", "price"]
    a, b = (item_relations(w, 2000) for w in (silent, clear))
    pd.testing.assert_frame_equal(a[same], b[same])
    assert (a["words"] != b["words"]).mean() > 0.99
    assert told_by_words(silent) < 0.01
    assert told_by_words(clear) > 0.3


def test_genre_probabilities_against_many_draws():
    world = World(n_users=10, n_items=400, seed=8)
    truth = genre_truth(world, np.arange(40))
    np.testing.assert_allclose(truth.sum(axis=1), 1, atol=1e-6)
    random = np.random.default_rng(0)
    noisy = world.topics()[:40] + 0.5 * random.normal(size=(8000, 40, 6))
    won = (noisy.argmax(axis=2)[..., None] == np.arange(6)).mean(axis=0)
    np.testing.assert_allclose(truth, won, atol=0.03)
    everything = genre_truth(world, np.arange(800))
    genres = world.items()["genre"]
    for genre in GENRES:
        p = everything[genre]
        gap = (genres == genre).sum() - p.sum()
        assert abs(gap) < 4 * np.sqrt((p * (1 - p)).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": [3.5]}, "holds 3.5"),
        ({"item": [800]}, "0 to 799"),
        ({"item": [-1]}, "holds -1"),
        ({"item": [np.nan]}, "holds nan"),
        ({"item": [4]}, "with itself"),
        ({"item": [401]}, "mixes shops"),
        ({"item": None}, "no column 'item'"),
    ],
)
def test_pairs_that_are_none(change, message):
    pairs = pd.DataFrame({"item": [1], "other_item": [4]})
    if change["item"] is None:
        pairs = pairs.drop(columns="item")
    else:
        pairs = pairs.assign(**change)
    with pytest.raises(ValueError, match=message):
        relation_of(WORLD, pairs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_rows": 0}, "from 1 up"),
        ({"n_rows": 2.5}, "whole number"),
        ({"n_rows": True}, "whole number"),
        ({"n_rows": 20_000}, "at most a quarter of them: 19950"),
        ({"n_rows": 5, "domain": "music"}, "films"),
        ({"n_rows": 5, "draw": -1}, "draw must be"),
    ],
)
def test_draws_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        item_relations(WORLD, **options)
