"""Neighbours: against dense products and scikit-learn."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity

from mtlrec_utils.models.classic import (
    ItemNeighbours,
    UserNeighbours,
    nearest,
    neighbours,
)


def counts(n, m, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    return (rng.random((n, m)) < share) * rng.integers(1, 4, (n, m))


def all_pairs(rows, similarity, shrinkage=0.0):
    """Similarities of all pairs, dense, straight from the definition."""
    rows = np.asarray(rows, dtype=float)
    if similarity == "jaccard":
        rows = (rows > 0) * 1.0
        common = rows @ rows.T
        size = rows.sum(1)[:, None] + rows.sum(1) - common
    else:
        common = rows @ rows.T
        size = np.outer(*2 * [np.linalg.norm(rows, axis=1)])
    size = size + shrinkage
    found = np.divide(common, size, out=np.zeros_like(size), where=size > 0)
    np.fill_diagonal(found, 0)
    return found


def cut(similarities, n):
    """Keep the n largest of each row, the lower number of equals."""
    kept = np.zeros_like(similarities)
    for i, row in enumerate(similarities):
        first = np.lexsort((np.arange(len(row)), -row))[:n]
        kept[i, first] = row[first]
    return kept


def test_cosine_equals_scikit_learn():
    rows = counts(20, 15)
    wanted = cosine_similarity(rows)
    np.fill_diagonal(wanted, 0)
    found = nearest(rows, 20).toarray()
    np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
@pytest.mark.parametrize("n", [1, 4, 60])
@pytest.mark.parametrize("share", [0.02, 0.5])  # sparse and dense products
def test_nearest_equals_dense_products(similarity, shrinkage, n, share):
    rows = counts(60, 25, share=share)
    found = nearest(rows, n, similarity, shrinkage).toarray()
    wanted = cut(all_pairs(rows, similarity, shrinkage), n)
    # Equal similarities may differ in the last digit: compare what is kept.
    np.testing.assert_allclose(
        np.sort(found, axis=1), np.sort(wanted, axis=1), atol=1e-6
    )
    every = all_pairs(rows, similarity, shrinkage)
    np.testing.assert_allclose(found[found > 0], every[found > 0], atol=1e-6)


def test_both_ways_of_multiplying_are_used():
    def ways(share):
        rows = sparse.csr_array(counts(60, 25, share=share).astype(float))
        return {len(other) for other, _ in neighbours._products(rows)}

    assert ways(0.5) == {60}  # all others, in a dense block
    assert ways(0.02) != {60}


def test_blocks_do_not_matter(monkeypatch):
    for share in (0.02, 0.5):
        rows = counts(60, 25, share=share)
        whole = nearest(rows, 5).toarray()
        with monkeypatch.context() as patch:
            patch.setattr(neighbours, "_AT_ONCE", 130)
            in_blocks = nearest(rows, 5).toarray()
        np.testing.assert_allclose(in_blocks, whole, atol=1e-7)


def test_of_equal_neighbours_the_lower_numbers_stay():
    rows = np.ones((6, 3))
    found = nearest(rows, 2).toarray() > 0
    assert np.flatnonzero(found[0]).tolist() == [1, 2]
    assert np.flatnonzero(found[5]).tolist() == [0, 1]


def test_hand_values():
    seen = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    by_set = nearest(seen.T, 3, "jaccard").toarray()
    np.testing.assert_allclose(by_set[0], [0, 2 / 3, 1 / 3])
    drawn = nearest(seen.T, 3, "jaccard", shrinkage=1).toarray()
    np.testing.assert_allclose(drawn[0], [0, 2 / 4, 1 / 4])
    by_angle = nearest(seen.T, 3).toarray()
    np.testing.assert_allclose(
        by_angle[0], [0, 2 / np.sqrt(6), 1 / 2], atol=1e-7
    )


@pytest.mark.parametrize("n", [3, 30])
def test_item_scores_sum_similarities_of_what_the_user_has(n):
    seen = counts(30, 12)
    model = ItemNeighbours(n, shrinkage=1.0).fit(seen)
    wanted = seen @ cut(all_pairs(seen.T, "cosine", 1.0), n)
    np.testing.assert_allclose(model.scores(), wanted, atol=1e-5)


@pytest.mark.parametrize("n", [3, 30])
def test_user_scores_sum_what_near_users_have(n):
    seen = counts(30, 50)
    model = UserNeighbours(n).fit(seen)
    wanted = cut(all_pairs(seen, "cosine"), n) @ seen
    np.testing.assert_allclose(model.scores(), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"similarity": "pearson"}, "'pearson' is unknown"),
        ({"n_neighbours": 0}, "at least 1"),
        ({"shrinkage": -1}, "shrinkage is -1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ItemNeighbours(**settings).fit(np.eye(3))
