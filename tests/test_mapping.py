"""Factors of ratings, bridges between domains, cold users: limit cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import Ridge

from mtlrec_utils.data.cold_users import cold_start, numbered
from mtlrec_utils.data.opposite_groups import opposite_groups
from mtlrec_utils.models.classic import (
    ColdBridges,
    CollectiveFactors,
    RatingFactors,
    damped_means,
    described,
    mean_history,
    orthogonal_bridge,
    rating_bridge,
    ridge_bridge,
)

N_USERS, N_ITEMS = 30, 20
SETTINGS = {"n_factors": 3, "regularisation": 2.0, "n_sweeps": 6, "seed": 1}


def ratings(seed, users=range(N_USERS), n_items=N_ITEMS, share=0.4):
    rng = np.random.default_rng(seed)
    users = np.asarray(users)
    chosen = rng.random((len(users), n_items)) < share
    row, item = np.nonzero(chosen)
    return pd.DataFrame(
        {
            "user": users[row],
            "item": item,
            "rating": rng.integers(1, 6, size=len(row)).astype(float),
        }
    )


# -- factors ---------------------------------------------------------------


def test_damped_means_by_hand():
    means = damped_means([0, 0, 1], [5.0, 3.0, 1.0], 3, damping=2.0)
    np.testing.assert_allclose(means, [(8 + 6) / 4, (1 + 6) / 3, 3.0])
    np.testing.assert_allclose(damped_means([0], [4.0], 2, 0.0), [4.0, 4.0])


def objective(model, frame):
    error = frame["rating"] - model.predict(frame["user"], frame["item"])
    lengths = np.sum(model.user_vectors**2)
    lengths += np.sum(model.item_vectors[:, :-1] ** 2)
    return float(np.sum(error**2) + model.regularisation * lengths)


def test_no_small_change_of_users_or_items_lowers_the_objective():
    frame = ratings(0)
    model = RatingFactors(**{**SETTINGS, "n_sweeps": 200})
    model.fit(frame, N_USERS, N_ITEMS)
    least = objective(model, frame)
    rng = np.random.default_rng(2)
    for name in ("user_vectors", "item_vectors"):
        kept = getattr(model, name).copy()
        for _ in range(20):
            step = 0.01 * rng.normal(size=kept.shape)
            if name == "item_vectors":
                step[:, -1] = 0
            setattr(model, name, kept + step)
            assert objective(model, frame) > least - 1e-6
        setattr(model, name, kept)


def test_a_user_is_the_ridge_solution_of_scikit_learn():
    frame = ratings(0)
    model = RatingFactors(**SETTINGS).fit(frame, N_USERS, N_ITEMS)
    mine = frame[frame["user"] == 4]
    oracle = Ridge(alpha=2.0, fit_intercept=False).fit(
        model.item_vectors[mine["item"]],
        mine["rating"] - model.item_mean[mine["item"]],
    )
    np.testing.assert_allclose(model.user_vectors[4], oracle.coef_)


def test_a_user_without_ratings_gets_the_items_means():
    frame = ratings(0, users=range(N_USERS - 1))
    model = RatingFactors(**SETTINGS).fit(frame, N_USERS, N_ITEMS)
    assert (model.user_vectors[-1] == 0).all()
    found = model.predict(np.full(N_ITEMS, N_USERS - 1), np.arange(N_ITEMS))
    np.testing.assert_array_equal(found, model.item_mean)


def test_a_pair_given_twice_counts_once_with_its_mean():
    once = ratings(0)
    twice = pd.concat([once, once], ignore_index=True)
    a, b = (
        RatingFactors(**SETTINGS).fit(frame, N_USERS, N_ITEMS)
        for frame in (once, twice)
    )
    # Only the damping of the items' means tells them apart.
    b_rest = b.predict(once["user"], once["item"]) - b.item_mean[once["item"]]
    a_rest = a.predict(once["user"], once["item"]) - a.item_mean[once["item"]]
    assert np.abs(a_rest - b_rest).max() < 0.4
    assert np.abs(a_rest - b_rest).max() > 0


def test_cmf_without_the_source_is_factorisation_of_the_target():
    source, target = ratings(1), ratings(2)
    alone = RatingFactors(**SETTINGS).fit(target, N_USERS, N_ITEMS)
    both = CollectiveFactors(0.0, **SETTINGS)
    both.fit(source, target, N_USERS, (N_ITEMS, N_ITEMS))
    np.testing.assert_allclose(both.user_vectors, alone.user_vectors)
    np.testing.assert_allclose(both.domains["target"][1], alone.item_vectors)
    with_source = CollectiveFactors(1.0, **SETTINGS)
    with_source.fit(source, target, N_USERS, (N_ITEMS, N_ITEMS))
    assert np.abs(with_source.user_vectors - alone.user_vectors).max() > 0.1


def test_cmf_of_the_same_data_twice_is_half_the_regularisation_of_users():
    # Both domains stay equal, so a user sees each rating twice: 2 A + lambda
    # instead of A + lambda.
    frame = ratings(3)
    both = CollectiveFactors(1.0, **SETTINGS)
    both.fit(frame, frame, N_USERS, (N_ITEMS, N_ITEMS))
    base, vectors = both.domains["source"]
    np.testing.assert_array_equal(vectors, both.domains["target"][1])
    mine = frame[frame["user"] == 7]
    oracle = Ridge(alpha=1.0, fit_intercept=False).fit(
        vectors[mine["item"]], mine["rating"] - base[mine["item"]]
    )
    np.testing.assert_allclose(both.user_vectors[7], oracle.coef_)


def test_cmf_without_shared_users_is_two_factorisations():
    half = N_USERS // 2
    source, target = ratings(4, range(half)), ratings(5, range(half, N_USERS))
    both = CollectiveFactors(1.0, **SETTINGS)
    both.fit(source, target, N_USERS, (N_ITEMS, N_ITEMS))
    for frame, users in (
        (source, slice(0, half)),
        (target, slice(half, None)),
    ):
        alone = RatingFactors(**SETTINGS).fit(frame, N_USERS, N_ITEMS)
        np.testing.assert_allclose(
            both.user_vectors[users], alone.user_vectors[users]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rating": np.nan}, "missing or infinite"),
        ({"user": N_USERS}, "numbers from 0 to 29"),
        ({"item": -1}, "numbers from 0 to 19"),
    ],
)
def test_bad_ratings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        RatingFactors().fit(ratings(0).assign(**change), N_USERS, N_ITEMS)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        RatingFactors(regularisation=0.0)
    with pytest.raises(ValueError, match="n_factors is 0"):
        RatingFactors(n_factors=0)
    with pytest.raises(ValueError, match="source_weight"):
        CollectiveFactors(-1.0)
    with pytest.raises(ValueError, match="no ratings"):
        RatingFactors().fit(ratings(0).iloc[:0], N_USERS, N_ITEMS)
    with pytest.raises(ValueError, match="no column item"):
        RatingFactors().fit(ratings(0)[["user", "rating"]], 30, 20)


# -- bridges ---------------------------------------------------------------


@pytest.fixture
def linked():
    rng = np.random.default_rng(0)
    return rng.normal(size=(9, 4)), rng.normal(size=(4, 4))


def test_enough_users_without_noise_give_the_map_back(linked):
    x, w = linked
    np.testing.assert_allclose(ridge_bridge(x, x @ w, 0.0), w, atol=1e-13)
    few = x[:3]  # one user fewer than dimensions
    assert np.abs(ridge_bridge(few, few @ w, 0.0) - w).max() > 0.1
    np.testing.assert_allclose(ridge_bridge(x, x, 0.0), np.eye(4), atol=1e-13)


def test_the_ridge_bridge_is_scikit_learns(linked):
    x, w = linked
    y = x @ w + np.random.default_rng(1).normal(size=x.shape)
    oracle = Ridge(alpha=3.0, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(ridge_bridge(x, y, 3.0), oracle.coef_.T)


def test_a_rotation_is_found_and_stays_one(linked):
    x, w = linked
    rotation = np.linalg.qr(w)[0]
    found = orthogonal_bridge(x, x @ rotation)
    np.testing.assert_allclose(found, rotation, atol=1e-12)
    y = x @ w  # no rotation
    found = orthogonal_bridge(x, y)
    np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(found, orthogonal_procrustes(x, y)[0])


def test_an_infinite_ridge_falls_back_to_the_items_mean(linked):
    x, w = linked
    assert np.abs(ridge_bridge(x, x @ w, 1e14)).max() < 1e-10
    items = np.random.default_rng(1).normal(size=(9, 4))
    assert np.abs(rating_bridge(x, items, np.ones(9), 1e14)).max() < 1e-10


def test_ratings_without_noise_give_the_map_back(linked):
    _, w = linked
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 60, 4))
    rest = np.einsum("nk,kl,nl->n", x, w, y)
    np.testing.assert_allclose(rating_bridge(x, y, rest, 0.0), w, atol=1e-12)


def test_equal_descriptions_make_a_personal_bridge_a_common_one():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 200, 3))
    rest = rng.normal(size=200)
    common = x @ rating_bridge(x, y, rest, 0.0)
    same = np.full((200, 2), 0.7)
    personal = described(x, same)
    found = personal @ rating_bridge(personal, y, rest, 0.0)
    np.testing.assert_allclose(found, common, atol=1e-8)


def test_a_personal_bridge_follows_the_description():
    # W_u = W_0 + c_u W_1, without noise
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 300, 3))
    c = rng.normal(size=(300, 1))
    maps = rng.normal(size=(2, 3, 3))
    wanted = x @ maps[0] + c * (x @ maps[1])
    rest = np.einsum("nk,nk->n", wanted, y)
    personal = described(x, c)
    found = personal @ rating_bridge(personal, y, rest, 0.0)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    common = x @ rating_bridge(x, y, rest, 0.0)
    assert np.abs(common - wanted).max() > 0.5


def test_a_history_is_a_mean_in_any_order():
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]])
    users, items = np.array([0, 0, 2]), np.array([0, 1, 2])
    wanted = [[0.5, 1.0], [0.0, 0.0], [4.0, 4.0]]
    for order in ([0, 1, 2], [2, 1, 0]):
        found = mean_history(users[order], items[order], vectors, 3)
        np.testing.assert_allclose(found, wanted)


def test_bridges_refuse_what_does_not_pair_up(linked):
    x, w = linked
    poisoned = np.where(np.arange(9)[:, None] == 2, np.nan, x)
    with pytest.raises(ValueError, match="second vectors hold NaN"):
        ridge_bridge(x, poisoned, 1.0)
    with pytest.raises(ValueError, match="do not pair up"):
        ridge_bridge(x, x[:4], 1.0)
    with pytest.raises(ValueError, match="take ridge_bridge"):
        orthogonal_bridge(x, x[:, :2])
    with pytest.raises(ValueError, match="ridge is -1"):
        ridge_bridge(x, x, -1.0)
    with pytest.raises(ValueError, match="one per rating"):
        rating_bridge(x, x, np.ones(4), 1.0)


# -- cold users ------------------------------------------------------------


def test_cold_users_leave_no_row_behind():
    source, target = ratings(0), ratings(1, range(5, N_USERS))
    split = cold_start(source, target, 0.4, seed=3)
    cold = {*split.validation["user"], *split.test["user"]}
    assert len(cold) == 10
    assert not cold & set(split.target["user"])
    assert not cold & set(split.linked)
    assert not set(split.validation["user"]) & set(split.test["user"])
    assert cold <= set(split.source["user"])
    parts = [split.target, split.validation, split.test]
    assert sum(map(len, parts)) == len(target)
    again = cold_start(source, target, 0.4, seed=3)
    pd.testing.assert_frame_equal(split.test, again.test)


def test_what_is_learned_does_not_change_when_cold_rows_are_poisoned():
    source, target = ratings(0), ratings(1)
    split = cold_start(source, target, 0.4, seed=3)
    cold = {*split.validation["user"], *split.test["user"]}
    poisoned = target.assign(
        rating=target["rating"].mask(target["user"].isin(list(cold)))
    )
    assert poisoned["rating"].isna().sum() > 50
    found = []
    for rows in (target, poisoned):
        part = cold_start(source, rows, 0.4, seed=3)
        films = RatingFactors(**SETTINGS).fit(source, N_USERS, N_ITEMS)
        books = RatingFactors(**SETTINGS).fit(part.target, N_USERS, N_ITEMS)
        bridge = ridge_bridge(
            films.user_vectors[part.linked],
            books.user_vectors[part.linked],
            1.0,
        )
        mapped = films.user_vectors @ bridge
        found.append(
            books.predict(part.test["user"], part.test["item"], mapped)
        )
    assert np.isfinite(found[1]).all()
    np.testing.assert_array_equal(found[0], found[1])


def test_numbers_count_users_over_both_domains():
    source = pd.DataFrame({"user": ["b", "c"], "item": ["x", "y"]})
    target = pd.DataFrame({"user": ["a", "c"], "item": ["x", "x"]})
    first, second, sizes = numbered(source, target)
    assert sizes == (3, 2, 1)
    assert first["user"].tolist() == [1, 2]
    assert second["user"].tolist() == [0, 2]
    assert second["item"].tolist() == [0, 0]


def test_bad_shares_are_refused():
    with pytest.raises(ValueError, match="cold_share is 0"):
        cold_start(ratings(0), ratings(1), 0)
    with pytest.raises(ValueError, match="leaves nobody linked"):
        cold_start(ratings(0, [1, 2]), ratings(1, [1, 2]), 0.5)


# -- opposite groups -------------------------------------------------------


def test_only_a_personal_bridge_serves_opposite_groups():
    world = opposite_groups(n_users=400, n_items=120, seed=0)
    again = opposite_groups(n_users=400, n_items=120, seed=0)
    pd.testing.assert_frame_equal(world.target, again.target)
    split = cold_start(world.source, world.target, 0.3, seed=0)
    films, books = (
        RatingFactors(4, 1.0, 10).fit(rows, 400, 120)
        for rows in (split.source, split.target)
    )
    x = films.user_vectors
    history = mean_history(
        split.source["user"], split.source["item"], films.item_vectors, 400
    )
    rows = split.target[split.target["user"].isin(split.linked)]
    rest = rows["rating"] - books.item_mean[rows["item"]]
    errors = {}
    for name, given in (
        ("common", x),
        ("personal", described(x, history[:, :-1])),
    ):
        bridge = rating_bridge(
            given[rows["user"]], books.item_vectors[rows["item"]], rest, 30.0
        )
        found = books.predict(
            split.test["user"], split.test["item"], given @ bridge
        )
        errors[name] = np.sqrt(np.mean((found - split.test["rating"]) ** 2))
    means = books.item_mean[split.test["item"]]
    errors["mean"] = np.sqrt(np.mean((means - split.test["rating"]) ** 2))
    assert errors["common"] > 0.97 * errors["mean"]
    assert errors["personal"] < 0.7 * errors["mean"]
    assert errors["personal"] > world.best_rmse


def test_every_method_at_once_agrees_with_one_by_one():
    world = opposite_groups(n_users=200, n_items=60, turn=1.0, seed=1)
    split = cold_start(world.source, world.target, 0.3, seed=1)
    bridges = ColdBridges(split, (200, 60, 60), seed=4, n_factors=6)
    found = bridges.methods(split.linked)
    test = split.test
    np.testing.assert_allclose(
        found["item mean"][0], bridges.target.item_mean[test["item"]]
    )
    predicted, ridge = found["EMCDR"]
    bridge = ridge_bridge(
        bridges.source.user_vectors[split.linked],
        bridges.target.user_vectors[split.linked],
        ridge,
    )
    np.testing.assert_allclose(
        predicted,
        bridges.predict(test, bridges.source.user_vectors @ bridge),
    )
    errors = {
        name: np.sqrt(np.mean((p - test["rating"]) ** 2))
        for name, (p, _) in found.items()
    }
    assert errors["EMCDR"] < 0.9 * errors["item mean"]
    assert errors["identity"] > errors["EMCDR"]
    with pytest.raises(ValueError, match="'mean' is no method"):
        bridges.methods(split.linked, ["mean"])


def test_without_links_cmf_knows_nothing_of_cold_users():
    world = opposite_groups(n_users=200, n_items=60, turn=1.0, seed=1)
    split = cold_start(world.source, world.target, 0.3, seed=1)
    bridges = ColdBridges(split, (200, 60, 60), n_factors=6)
    # Unlinked, a cold user's vector is of the source's axes: no better.
    nobody, _ = bridges.methods([], ["CMF"])["CMF"]
    everybody, _ = bridges.methods(split.linked, ["CMF"])["CMF"]
    error = [
        np.mean((p - split.test["rating"]) ** 2) for p in (nobody, everybody)
    ]
    assert error[1] < 0.9 * error[0]


def test_bad_dials_of_the_groups_are_refused():
    with pytest.raises(ValueError, match="turn is 2"):
        opposite_groups(turn=2)
