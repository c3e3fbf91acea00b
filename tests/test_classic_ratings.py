"""Baselines for ratings: hand values and plain loops."""

import numpy as np
import pytest

from mtlrec_utils.models.classic import RatingBiases, SlopeOne


def stars(n=20, m=9, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((n, m)) < 0.5) * rng.integers(1, 6, (n, m))


def test_biases_by_hand():
    ratings = np.array([[5, 3, 0], [4, 0, 0]])
    model = RatingBiases(item_shrinkage=0, user_shrinkage=0).fit(ratings)
    assert model.mean == 4
    np.testing.assert_allclose(model.item_bias, [0.5, -1, 0])
    np.testing.assert_allclose(model.user_bias, [0.25, -0.5])
    assert model.predict([1], [1]) == pytest.approx([4 - 0.5 - 1])


def test_shrinkage_divides_by_the_count_and_itself():
    ratings = np.array([[5, 3, 0], [4, 0, 0]])
    model = RatingBiases(item_shrinkage=2, user_shrinkage=1).fit(ratings)
    np.testing.assert_allclose(model.item_bias, [1 / 4, -1 / 3, 0])
    rest = (5 - 4 - 1 / 4) + (3 - 4 + 1 / 3)
    np.testing.assert_allclose(model.user_bias, [rest / 3, -0.25 / 2])


def test_additive_ratings_on_a_full_matrix_are_met_exactly():
    users, items = np.array([0, 1, -1]), np.array([0.5, -0.5, 1, -1])
    ratings = 3 + users[:, None] + items
    model = RatingBiases(0, 0).fit(ratings)
    np.testing.assert_allclose(model.scores(), ratings, atol=1e-6)


def slope_one_by_loops(ratings, u, j):
    total = weight = 0.0
    for i in np.flatnonzero(ratings[u]):
        both = (ratings[:, i] > 0) & (ratings[:, j] > 0)
        if i == j or not both.any():
            continue
        deviation = (ratings[both, j] - ratings[both, i]).mean()
        total += both.sum() * (ratings[u, i] + deviation)
        weight += both.sum()
    own = ratings[u][ratings[u] > 0]
    if weight:
        return total / weight
    return own.mean() if len(own) else ratings[ratings > 0].mean()


def test_slope_one_equals_plain_loops():
    ratings = stars()
    ratings[4] = 0  # nothing known of this user
    ratings[:, 8] = 0  # nor of this item
    scores = SlopeOne().fit(ratings).scores()
    for u in range(20):
        for j in range(9):
            wanted = slope_one_by_loops(ratings, u, j)
            assert scores[u, j] == pytest.approx(wanted, abs=1e-5)


def test_the_example_of_the_slope_one_paper():
    # User A rates item I 1 and J 1.5; user B rates I 2: J gets 2.5.
    ratings = np.array([[1, 1.5], [2, 0]])
    assert SlopeOne().fit(ratings).predict([1], [1]) == pytest.approx([2.5])


@pytest.mark.parametrize("model", [RatingBiases(), SlopeOne()])
def test_predictions_are_single_scores(model):
    model.fit(stars())
    users, items = np.array([3, 0, 3]), np.array([1, 8, 2])
    found = model.predict(users, items)
    np.testing.assert_allclose(found, model.scores()[users, items], rtol=1e-6)
    with pytest.raises(ValueError, match="one item number per user"):
        model.predict(users, items[:2])
    with pytest.raises(ValueError, match="0 to 8"):
        model.predict([0], [9])


def test_bad_shrinkage_is_refused():
    with pytest.raises(ValueError, match="give 0 or more"):
        RatingBiases(-1)
