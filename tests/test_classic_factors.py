"""Implicit ALS: dense solutions, the objective, new users."""

import numpy as np
import pytest
from scipy import sparse

from mtlrec_utils.models.classic import ImplicitALS, factors


def counts(n=25, m=14, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    taken = rng.random((n, m)) < share
    return taken * rng.integers(1, 6, (n, m)).astype(float)


def dense_solution(seen, fixed, alpha, regularisation):
    """Equation 4 of Hu et al., user by user, with whole matrices."""
    solved = []
    for r in seen:
        confidence = np.diag(1 + alpha * r)
        left = fixed.T @ confidence @ fixed
        left += regularisation * np.eye(fixed.shape[1])
        right = fixed.T @ confidence @ (r > 0)
        solved.append(np.linalg.solve(left, right))
    return np.array(solved)


def dense_objective(model, alpha, regularisation):
    r = model.seen.toarray()
    error = (r > 0) - model.user_vectors @ model.item_vectors.T
    vectors = (model.user_vectors, model.item_vectors)
    return ((1 + alpha * r) * error**2).sum() + regularisation * sum(
        (v**2).sum() for v in vectors
    )


@pytest.mark.parametrize("at_once", [100, 8_000_000])
def test_rows_are_solved_exactly(monkeypatch, at_once):
    monkeypatch.setattr(factors, "_AT_ONCE", at_once)
    seen = counts()
    seen[3] = 0
    seen[4] = 2
    fixed = np.random.default_rng(1).normal(size=(14, 4))
    found = factors.solve_rows(sparse.csr_array(seen), fixed, 7.0, 0.5)
    wanted = dense_solution(seen, fixed, 7.0, 0.5)
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-12)
    assert not found[3].any()


def test_one_sweep_is_two_dense_solutions():
    seen = counts()
    model = ImplicitALS(3, alpha=2, regularisation=0.3, n_sweeps=1, seed=4)
    start = np.random.default_rng(4).normal(scale=0.1, size=(14, 3))
    users = dense_solution(seen, start, 2, 0.3)
    items = dense_solution(seen.T, users, 2, 0.3)
    model.fit(seen)
    np.testing.assert_allclose(model.item_vectors, items, rtol=1e-7)
    np.testing.assert_allclose(model.scores(), users @ items.T, atol=1e-4)


def test_the_objective_is_the_sum_over_all_pairs():
    model = ImplicitALS(3, alpha=2, regularisation=0.3, n_sweeps=2)
    model.fit(counts())
    assert model.objective() == pytest.approx(dense_objective(model, 2, 0.3))


def test_each_sweep_lowers_the_objective_to_a_stationary_point():
    seen = counts()
    values = [
        ImplicitALS(3, n_sweeps=n).fit(seen).objective()
        for n in (1, 2, 3, 5, 8, 50)
    ]
    assert (np.diff(values) < 0).all()
    model = ImplicitALS(3, n_sweeps=3000).fit(seen)
    again = dense_solution(seen, model.item_vectors, 10.0, 1.0)
    np.testing.assert_allclose(model.user_vectors, again, atol=1e-3)


def test_a_new_user_like_an_old_one_gets_the_same_vector():
    seen = counts()
    model = ImplicitALS(3).fit(seen)
    model.user_vectors = model._solved(model.seen, model.item_vectors)
    np.testing.assert_allclose(
        model.vectors_of(seen[[5, 2]]), model.user_vectors[[5, 2]]
    )


def test_two_groups_of_users_are_told_apart():
    rng = np.random.default_rng(0)
    seen = np.kron(np.eye(2), np.ones((20, 10))) * (rng.random((40, 20)) < 0.5)
    model = ImplicitALS(2, regularisation=0.1).fit(seen)
    listed = model.recommend(k=1)
    assert (listed[:20] < 10).all()
    assert (listed[20:] >= 10).all()


def test_same_seed_same_vectors_another_seed_others():
    first, same, other = (
        ImplicitALS(3, n_sweeps=1, seed=s).fit(counts()).item_vectors
        for s in (0, 0, 1)
    )
    assert (first == same).all()
    assert np.abs(first - other).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_factors": 0}, "n_factors is 0"),
        ({"n_sweeps": 1.5}, "n_sweeps is 1.5"),
        ({"alpha": 0}, "alpha is 0"),
        ({"regularisation": 0}, "must be positive"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ImplicitALS(**settings)
