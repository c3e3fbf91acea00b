"""Orthogonal Procrustes: turned copies, an oracle, chance."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from mtlrec_utils.evidence import chance_alignment, procrustes


def vectors(n=50, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_a_turned_scaled_and_moved_copy_is_recovered():
    truth = vectors()
    turn = ortho_group.rvs(4, random_state=1)
    found = 3 * truth @ turn.T + [1, 2, 3, 4]
    fit = procrustes(found, truth)
    assert fit.score == pytest.approx(1)
    assert fit.scale == pytest.approx(1 / 3)
    np.testing.assert_allclose(fit.rotation, turn, atol=1e-10)
    np.testing.assert_allclose(fit.aligned, truth, atol=1e-10)


def test_scipy_finds_the_same_rotation():
    found, truth = vectors(seed=2), vectors(seed=3)
    ours, theirs = found - found.mean(0), truth - truth.mean(0)
    rotation, total = orthogonal_procrustes(ours, theirs)
    fit = procrustes(found, truth)
    np.testing.assert_allclose(fit.rotation, rotation, atol=1e-10)
    size = np.linalg.norm(ours) * np.linalg.norm(theirs)
    assert fit.score == pytest.approx(total / size)


def test_the_squared_score_is_explained_variance():
    found, truth = vectors(seed=2), vectors(seed=3)
    fit = procrustes(found, truth)
    left = np.sum((truth - fit.aligned) ** 2)
    whole = np.sum((truth - truth.mean(0)) ** 2)
    assert fit.score**2 == pytest.approx(1 - left / whole)


def test_turning_either_side_leaves_the_score():
    found, truth = vectors(seed=2), vectors(seed=3)
    turn = ortho_group.rvs(4, random_state=5)
    score = procrustes(found, truth).score
    assert procrustes(found @ turn, truth).score == pytest.approx(score)
    assert procrustes(found, 7 * truth @ turn).score == pytest.approx(score)


def test_stretching_one_axis_does_not():
    truth = vectors()
    assert procrustes(truth * [5, 1, 1, 1], truth).score < 0.9


def test_more_dimensions_than_the_truth():
    truth = vectors(d=2)
    turn = ortho_group.rvs(5, random_state=1)[:2]
    fit = procrustes(truth @ turn, truth)
    assert fit.score == pytest.approx(1) and fit.rotation.shape == (5, 2)


def test_chance_lies_below_a_copy_and_above_zero():
    truth = vectors()
    chance = chance_alignment(truth, truth, n_shuffles=60)
    assert chance.shape == (60,) and chance.max() < 0.6 < 1
    assert chance.min() > 0.05  # four dimensions agree with anything
    again = chance_alignment(truth, truth, n_shuffles=60)
    np.testing.assert_array_equal(chance, again)
    assert (chance_alignment(truth, truth, 60, seed=1) != chance).any()


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (np.ones(3), vectors(), "found has shape"),
        (vectors(), vectors(40), "50 rows, truth 40"),
        (vectors() * np.nan, vectors(), "found holds NaN"),
        (vectors(), np.ones((50, 2)), "truth holds the same"),
    ],
)
def test_bad_vectors_are_explained(found, truth, message):
    with pytest.raises(ValueError, match=message):
        procrustes(found, truth)
