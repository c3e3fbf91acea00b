"""Classic recommenders: interactions, lists, popularity, words."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from mtlrec_utils.models.classic import (
    ContentProfiles,
    ImplicitALS,
    ItemNeighbours,
    Popularity,
    RatingBiases,
    SlopeOne,
    UserNeighbours,
    decay_weights,
    interaction_matrix,
    tf_idf,
    top_items,
)

TEXTS = [
    "red green",
    "green blue green",
    "Blue sky!",
    "",
    "red sky green red",
]


def some_interactions(n_users=30, n_items=5, seed=0, share=0.4):
    rng = np.random.default_rng(seed)
    taken = rng.random((n_users, n_items)) < share
    taken[0, 0] = True
    return taken * rng.integers(1, 6, (n_users, n_items))


def every_model():
    return [
        Popularity(),
        Popularity(segments=np.arange(30) % 3),
        ItemNeighbours(3),
        UserNeighbours(4, similarity="jaccard", shrinkage=2),
        ContentProfiles(TEXTS),
        ImplicitALS(3, n_sweeps=2),
        RatingBiases(),
        SlopeOne(),
    ]


def test_a_pair_seen_twice_is_one_interaction_without_weights():
    matrix = interaction_matrix([0, 0, 1], [2, 2, 0], (2, 3))
    assert matrix.toarray().tolist() == [[0, 0, 1], [1, 0, 0]]


def test_weights_of_a_repeated_pair_add_up():
    matrix = interaction_matrix([0, 0, 1], [2, 2, 0], (2, 3), [1.5, 2, 4])
    assert matrix.toarray().tolist() == [[0, 0, 3.5], [4, 0, 0]]


def test_an_interaction_weighs_half_after_a_half_life():
    weights = decay_weights([10, 7, 4], half_life=3)
    assert weights.tolist() == [1, 0.5, 0.25]
    assert decay_weights([10.0], 3, now=13).tolist() == [0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interaction_matrix([0, 3], [0, 0], (3, 1)), "users holds 3"),
        (lambda: interaction_matrix([0], [-1], (3, 1)), "items holds -1"),
        (lambda: interaction_matrix([0.0], [0], (3, 1)), "whole number"),
        (lambda: interaction_matrix([0], [0, 0], (3, 1)), "1 entries"),
        (lambda: interaction_matrix([0], [0], (1, 1), [0]), "positive"),
        (lambda: decay_weights([1, 2], 1, now=1), "1 times lie after now"),
        (lambda: decay_weights([1, 2], 0), "half_life is 0"),
        (lambda: Popularity().fit([[0, -1]]), "must be positive"),
        (lambda: Popularity().fit([[0, 0]]), "no entry"),
        (lambda: Popularity().fit([["a", "b"]]), "pass a matrix"),
        (lambda: Popularity().scores(), "call fit"),
        (lambda: Popularity([0, 1]).fit(np.eye(3)), "segments names 2"),
        (lambda: Popularity([0, None, 1]), "missing for user 1"),
        (lambda: ContentProfiles(["a word"]).fit(np.eye(3)), "1 texts"),
        (lambda: tf_idf(["fine", None]), "text 1 is None"),
        (lambda: tf_idf(["a", "!"]), "no words"),
        (lambda: top_items([[1.0, np.nan]], 1), "NaN in row 0"),
        (lambda: top_items([[1.0, 2.0]], 3), "k is 3"),
        (lambda: Popularity().fit(np.eye(3)).scores([3]), "0 to 2"),
    ],
)
def test_bad_input_is_refused_with_its_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "model", every_model(), ids=lambda m: type(m).__name__
)
def test_what_all_models_promise(model):
    seen = some_interactions()
    seen[7] = 0  # a user without a history
    assert model.fit(sparse.csr_array(seen)) is model
    scores = model.scores()
    assert scores.shape == seen.shape
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    # Users are scored one like the other, in the order asked for.
    some = np.array([9, 7, 0])
    np.testing.assert_allclose(model.scores(some), scores[some], atol=1e-6)
    lists = model.recommend(some, k=3)
    for user, listed in zip(some, lists, strict=True):
        kept = listed[listed >= 0]
        assert len(set(kept)) == len(kept)
        assert not seen[user, kept].any()
        assert len(kept) == min(3, (seen[user] == 0).sum())
        left_out = (seen[user] == 0) & ~np.isin(np.arange(5), kept)
        if left_out.any():
            assert scores[user, kept].min() >= scores[user, left_out].max()


def test_seen_items_are_listed_on_request():
    model = Popularity().fit([[1, 1, 0], [1, 0, 0]])
    assert model.recommend(k=2, exclude_seen=False).tolist() == [[0, 1]] * 2
    assert model.recommend(k=2).tolist() == [[2, -1], [1, 2]]


def test_lists_equal_a_full_sort_with_ties_by_number():
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 6, (40, 17)).astype(np.float32)
    exclude = sparse.csr_array(rng.random((40, 17)) < 0.3)
    hidden = np.where(exclude.toarray(), -np.inf, scores)
    wanted = np.lexsort((np.tile(np.arange(17), (40, 1)), -hidden))[:, :6]
    assert top_items(scores, 6, exclude).tolist() == wanted.tolist()


def test_popularity_counts_users():
    seen = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]])
    scores = Popularity().fit(seen).scores([2])
    assert scores.tolist() == [[3, 1, 2]]


def test_popularity_of_a_segment_counts_its_members_only():
    seen = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]])
    model = Popularity(segments=["a", "b", "a", "b"]).fit(seen)
    assert model.scores([0, 3]).tolist() == [[2, 1, 1], [1, 0, 1]]


def test_a_large_prior_makes_segments_alike_a_small_one_leaves_them():
    seen = some_interactions()
    segments = np.arange(30) % 3
    everybody = Popularity().fit(seen).scores([0])[0]
    far = Popularity(segments, prior=1e9).fit(seen).scores()
    np.testing.assert_allclose(
        far, np.tile(everybody / seen.sum(), (30, 1)), rtol=1e-5
    )
    raw = Popularity(segments).fit(seen).scores()
    near = Popularity(segments, prior=1e-9).fit(seen).scores()
    np.testing.assert_allclose(
        near, raw / raw.sum(axis=1, keepdims=True), rtol=1e-5
    )


def test_tf_idf_equals_scikit_learn():
    oracle = TfidfVectorizer()
    wanted = oracle.fit_transform(TEXTS).toarray()
    weights, words = tf_idf(TEXTS)
    assert words == oracle.get_feature_names_out().tolist()
    np.testing.assert_allclose(weights.toarray(), wanted, atol=1e-12)


def test_a_profile_of_one_item_scores_cosines():
    model = ContentProfiles(TEXTS).fit(np.eye(5)[[0, 1]])
    weights = tf_idf(TEXTS).weights.toarray()
    np.testing.assert_allclose(
        model.scores(), weights[[0, 1]] @ weights.T, atol=1e-6
    )


def test_a_profile_adds_up_what_was_taken():
    weights = tf_idf(TEXTS).weights.toarray()
    model = ContentProfiles(TEXTS).fit(np.array([[1, 0, 3, 0, 0]]))
    profile = weights[0] + 3 * weights[2]
    wanted = profile / np.linalg.norm(profile)
    np.testing.assert_allclose(model.profiles.toarray()[0], wanted)
    np.testing.assert_allclose(
        model.scores([0])[0], weights @ wanted, atol=1e-6
    )


def test_words_reach_an_item_nobody_took():
    model = ContentProfiles(TEXTS).fit(np.eye(5)[[0]])
    assert model.scores()[0, 4] > 0 == model.scores()[0, 2]
