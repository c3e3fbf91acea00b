"""Networks beside the bridges in closed form: what they read and say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_mapping import N_ITEMS, N_USERS, SETTINGS, ratings

from mtlrec_utils.data.cold_users import cold_start
from mtlrec_utils.learning.transfer import emcdr_network, personal_network
from mtlrec_utils.learning.transfer.mapping import mlp_bridge
from mtlrec_utils.models import histories, ptupcdr, rating_examples
from mtlrec_utils.models.classic import ColdBridges

BUDGETS = {
    emcdr_network: {"epochs": 2, "batch_size": 8},
    personal_network: {"epochs": 2, "batch_size": 32, "learning_rate": 1e-2},
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
    [(emcdr_network, "per linked user"), (personal_network, "split.linked")],
)
def test_no_linked_user_is_refused(bridges, network, message):
    none = np.array([], dtype=int)
    with pytest.raises(ValueError, match=message):
        network(bridges, none, **BUDGETS[network])
