"""Networks beside the bridges in closed form: what they read and say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_mapping import N_ITEMS, N_USERS, SETTINGS, ratings

from mtlrec_utils.data.cold_users import cold_start
from mtlrec_utils.learning.transfer import (
    emcdr_network,
    personal_network,
    semi_supervised_network,
)
from mtlrec_utils.learning.transfer.mapping import mlp_bridge
from mtlrec_utils.learning.transfer.network_bridges import (
    item_points,
    preferences,
)
from mtlrec_utils.models import histories, ptupcdr, rating_examples
from mtlrec_utils.models.classic import ColdBridges

BUDGETS = {
    emcdr_network: {"epochs": 2, "batch_size": 8},
    personal_network: {"epochs": 2, "batch_size": 32, "learning_rate": 1e-2},
    semi_supervised_network: {"epochs": 2, "batch_size": 8},
}


@pytest.fixture
def bridges():
    split = cold_start(ratings(1), ratings(2), 0.3, seed=3)
    sizes = (N_USERS, N_ITEMS, N_ITEMS)
    return ColdBridges(split, sizes, **SETTINGS)


@pytest.mark.parametrize("network", BUDGETS)
def test_only_rows_of_linked_users_are_read(bridges, network):
    linked = bridges.split.linked[:10]
    split, settings = bridges.split, BUDGETS[network]
    before = network(bridges, linked, seed=1, **settings)(split.test)
    assert before.shape == (len(split.test),)

    def poisoned(frame):
        other = ~frame["user"].isin(linked)
        return frame.assign(rating=frame["rating"].mask(other))

    bridges.split = replace(
        split,
        target=poisoned(split.target),
        validation=poisoned(split.validation),
        test=poisoned(split.test),
    )
    assert bridges.split.target["rating"].isna().any()
    vectors = bridges.target.user_vectors
    vectors[np.setdiff1d(np.arange(N_USERS), linked)] = np.nan
    after = network(bridges, linked, seed=1, **settings)(split.test)
    np.testing.assert_array_equal(after, before)


def test_emcdr_adds_the_carried_vectors_part_to_the_items_mean(bridges):
    linked, test = bridges.split.linked, bridges.split.test
    carried = mlp_bridge(
        bridges.source.user_vectors[linked],
        bridges.target.user_vectors[linked],
        seed=1,
        **BUDGETS[emcdr_network],
    )(bridges.source.user_vectors)
    part = np.sum(
        carried[test["user"]] * bridges.target.item_vectors[test["item"]], 1
    )
    network = emcdr_network(bridges, linked, seed=1, **BUDGETS[emcdr_network])
    np.testing.assert_allclose(
        network(test), bridges.target.item_mean[test["item"]] + part
    )


def test_sscdr_without_items_and_hops_is_emcdr(bridges):
    linked, test = bridges.split.linked, bridges.split.test
    settings = {"seed": 1, **BUDGETS[emcdr_network]}
    plain = emcdr_network(bridges, linked, **settings)(test)

    def sscdr(**more):
        found = semi_supervised_network(bridges, linked, **settings, **more)
        return found(test)

    found = sscdr(unlabelled_weight=0.0, n_hops=0)
    np.testing.assert_allclose(found, plain, rtol=1e-5)
    for more in ({"n_hops": 0}, {"unlabelled_weight": 0.0}):
        assert np.abs(sscdr(**more) - plain).max() > 1e-4


def test_a_hop_moves_the_order_of_items_and_leaves_the_level(bridges):
    """An item of no taste sees a user's level alone."""
    linked, test = bridges.split.linked, bridges.split.test
    bridges.target.item_vectors[:, :-1] = 0.0
    near, far = (
        semi_supervised_network(
            bridges, linked, n_hops=n, **BUDGETS[semi_supervised_network]
        )(test)
        for n in (0, 2)
    )
    np.testing.assert_array_equal(near, far)


def test_preferences_are_signs_against_the_items_mean(bridges):
    rows = bridges.split.source
    table = preferences(bridges).toarray()
    assert table.shape == bridges.sizes[:2]
    assert np.count_nonzero(table) <= len(rows)
    for user, item, rating in rows.head(20).to_numpy():
        above = rating - bridges.source.item_mean[int(item)]
        assert table[int(user), int(item)] == np.sign(above)


def test_items_are_as_long_as_users_and_have_no_level():
    users = np.array([[3.0, 4.0, 9.0], [0.0, 0.0, 9.0]])
    items = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    points = item_points(items, users)
    assert (points[:, 2] == 0).all()
    np.testing.assert_allclose(
        np.mean(points[:, :2] ** 2), np.mean(users[:, :2] ** 2)
    )
    assert not item_points(np.zeros((2, 3)), users).any()


def test_without_a_step_ptupcdr_is_the_model_as_it_was_built(bridges):
    split = bridges.split
    past = histories(split.source["user"], split.source["item"], N_USERS, 20)
    model = ptupcdr(
        bridges.source.user_vectors,
        bridges.target.item_vectors,
        bridges.target.item_mean,
        bridges.source.item_vectors,
        20,
        seed=4,
    )
    ids = rating_examples(split.test, past).ids
    network = personal_network(
        bridges, split.linked, seed=4, epochs=1, learning_rate=1e-12
    )
    np.testing.assert_allclose(
        network(split.test),
        np.asarray(model({"ids": ids})["rating"])[:, 0],
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (emcdr_network, "per linked user"),
        (personal_network, "split.linked"),
        (semi_supervised_network, "per linked user"),
    ],
)
def test_no_linked_user_is_refused(bridges, network, message):
    none = np.array([], dtype=int)
    with pytest.raises(ValueError, match=message):
        network(bridges, none, **BUDGETS[network])
