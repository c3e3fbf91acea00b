"""SSCDR: its loss by hand, its limits, what it reads, its neighbourhood."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import sparse

from mtlrec_utils.learning.transfer import semi_supervised
from mtlrec_utils.learning.transfer.mapping import mlp_bridge, tanh_layers
from mtlrec_utils.learning.transfer.semi_supervised import (
    PreferencePairs,
    neighbourhood,
    ranking_loss,
    semi_supervised_bridge,
)

BUDGET = {"epochs": 3, "batch_size": 8, "hidden": 5, "learning_rate": 1e-2}
N, N_ITEMS, K = 20, 12, 3


@pytest.fixture
def sides():
    rng = np.random.default_rng(0)
    users = rng.normal(size=(N, K))
    known = rng.integers(-1, 2, size=(N, N_ITEMS))
    return (
        users,
        users @ rng.normal(size=(K, K)),
        rng.normal(size=(N_ITEMS, K)),
        sparse.csr_array(known),
    )


# -- the loss --------------------------------------------------------------


def test_the_ranking_loss_by_hand():
    """Unit vectors a right angle apart are at a squared distance of 2."""
    anchor = np.array([[2.0, 0.0]] * 4)
    closer = np.array([[5.0, 0.0], [0.0, 1.0], [0.0, 3.0], [-1.0, 0.0]])
    farther = np.array([[0.0, 0.1], [7.0, 0.0], [0.0, -2.0], [1.0, 0.0]])
    found = np.asarray(ranking_loss(anchor, closer, farther, 0.5))
    np.testing.assert_allclose(found, [0.0, 2.5, 0.5, 4.5], atol=1e-6)


def test_the_ranking_loss_knows_directions_only_and_survives_a_zero():
    rng = np.random.default_rng(1)
    three = rng.normal(size=(3, 6, K))
    once = np.asarray(ranking_loss(*three, 0.5))
    scaled = three * np.array([0.1, 3.0, 20.0])[:, None, None]
    np.testing.assert_allclose(
        np.asarray(ranking_loss(*scaled, 0.5)), once, rtol=1e-5
    )
    zero = ranking_loss(np.zeros((1, K)), three[0, :1], three[1, :1], 0.5)
    np.testing.assert_allclose(np.asarray(zero), [0.5], atol=1e-6)


def test_the_whole_loss_is_the_mean_of_its_parts():
    """Two users; the second has no items, a third number is no distance."""
    wanted = np.array([[1.0, 0.0, 4.0, 1.0], [0.0, 1.0, 2.0, 0.0]], "float32")
    carried = np.array(
        [
            [[1.0, 0.0, 1.0], [0.0, 2.0, 9.0], [0.5, 0.0, -9.0]],
            [[0.0, 1.0, 2.0], [0.0, -1.0, 0.0], [0.0, 1.0, 0.0]],
        ],
        "float32",
    )
    loss = semi_supervised._Loss(weight=0.1, margin=0.5, n_compared=2)
    labelled, ranked = (9 / 3 + 0) / 2, 0.5 + 2 - 0
    assert float(loss(wanted, carried)) == pytest.approx(
        labelled + 0.1 * ranked, rel=1e-6
    )


def test_both_parts_reach_every_weight():
    """The level's weights have L_S alone; no other has a gradient of 0."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a gradient tape of TensorFlow")
    rng = np.random.default_rng(2)
    layers = tanh_layers(5, K + 1, seed=0)
    network = keras.Sequential([keras.Input((3, K)), *layers])
    given = rng.normal(size=(6, 3, K)).astype("float32")
    wanted = rng.normal(size=(6, K + 2)).astype("float32")
    wanted[:, -1] = 1.0

    def gradients(weight, labelled=True):
        loss = semi_supervised._Loss(weight, margin=4.0, n_compared=K)
        with tf.GradientTape() as tape:
            carried = network(given)
            if not labelled:
                carried = tf.concat(
                    [tf.stop_gradient(carried[:, :1]), carried[:, 1:]], 1
                )
            value = loss(wanted, carried)
        found = tape.gradient(value, network.trainable_variables)
        return [np.asarray(g) for g in found]

    for gradient in gradients(1.0):
        assert (gradient != 0).all()
    for gradient in gradients(1.0, labelled=False):
        assert (gradient[..., :K] != 0).all()
    unlabelled = gradients(1.0, labelled=False)
    assert (unlabelled[2][:, K] == 0).all()
    assert all((g == 0).all() for g in gradients(0.0, labelled=False))


# -- training --------------------------------------------------------------


def test_without_the_unlabelled_loss_it_is_the_network_of_emcdr(sides):
    users, target, items, known = sides
    settings = {**BUDGET, "seed": 3}
    plain = mlp_bridge(users, target, **settings)(users)
    found = semi_supervised_bridge(
        users, target, items, known, unlabelled_weight=0.0, **settings
    )(users)
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)
    other = semi_supervised_bridge(users, target, items, known, **settings)
    assert np.abs(other(users) - plain).max() > 1e-3


def test_users_without_items_leave_the_network_of_emcdr(sides):
    users, target, items, known = sides
    settings = {**BUDGET, "seed": 3}
    plain = mlp_bridge(users, target, **settings)(users)
    for poor in (known > 0, known < 0, known * 0):  # never one of each
        found = semi_supervised_bridge(
            users, target, items, sparse.csr_array(poor), **settings
        )
        np.testing.assert_allclose(found(users), plain, rtol=1e-4, atol=1e-5)


def test_one_seed_is_one_map(sides):
    maps = [
        semi_supervised_bridge(*sides, seed=seed, **BUDGET)(sides[0])
        for seed in (4, 4, 5)
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.abs(maps[0] - maps[2]).max() > 1e-3


def test_one_weight_means_the_same_at_every_scale():
    """The parts' ratio does not change when all target vectors double."""
    target = np.array([[1.0, 2.0], [3.0, 1.0]])
    users, items = np.eye(2), np.eye(2)
    known = sparse.csr_array(np.array([[1, -1], [1, -1]]))
    weights = []
    for scale in (1.0, 2.0):
        seen = []

        class Seen(semi_supervised._Loss):
            def __init__(self, weight, *rest):
                seen.append(weight)  # noqa: B023
                super().__init__(weight, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(semi_supervised, "_Loss", Seen)
            semi_supervised_bridge(
                users, scale * target, items, known, epochs=1
            )
        weights += seen
    np.testing.assert_allclose(weights, [15 / 4, 15], rtol=1e-6)


def test_items_teach_what_two_links_cannot():
    """A turn of the plane, two linked users on one line: EMCDR sees a line.

    The users' own target vectors say where their items are, and so where the
    other direction goes to.
    """
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    angles = np.array([0.3, 0.35])
    users = np.column_stack([np.cos(angles), np.sin(angles)])
    spread = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    items = np.column_stack([np.cos(spread), np.sin(spread)])
    known = sparse.csr_array(np.sign(users @ items.T))
    settings = {"epochs": 400, "hidden": 8, "seed": 0}
    error = {}
    for weight in (0.0, 1.0):
        carried = semi_supervised_bridge(
            users,
            users @ turn,
            items,
            known,
            unlabelled_weight=weight,
            **settings,
        )(items)
        along = np.sum(carried * (items @ turn), 1)
        error[weight] = 1 - np.mean(along / np.linalg.norm(carried, axis=1))
    assert error[1.0] < 0.7 * error[0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": np.ones((N_ITEMS, K + 1))}, f"n_items, {K}"),
        ({"items": np.full((N_ITEMS, K), np.nan)}, "items hold NaN"),
        ({"preferences": sparse.csr_array((N, 2))}, "row per linked user"),
        ({"target": np.full((N, K), np.nan)}, "linked users only"),
        ({"unlabelled_weight": -1.0}, "0 or more"),
        ({"margin": np.nan}, "0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(sides, change, message):
    names = ("source", "target", "items", "preferences")
    given = {**dict(zip(names, sides, strict=True)), **change}
    with pytest.raises(ValueError, match=message):
        semi_supervised_bridge(**given, **BUDGET)


def test_pairs_are_one_preferred_and_one_other_item_of_the_user():
    known = np.array([[1, -1, 0, 1], [0, 1, 0, 0], [0, 0, -1, 0], [0] * 4])
    pairs, rng = PreferencePairs(sparse.csr_array(known)), None
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        closer, farther, there = pairs.drawn(rng)
        assert list(there) == [True, False, False, False]
        seen.add((int(closer[0]), int(farther[0])))
    assert seen == {(0, 1), (3, 1)}


# -- the neighbourhood -----------------------------------------------------


def test_no_hop_changes_nothing(sides):
    users, _, items, known = sides
    own, theirs = neighbourhood(users, items, known, 0)
    np.testing.assert_array_equal(own, users)
    np.testing.assert_array_equal(theirs, items)


def test_two_hops_by_hand():
    """User 0 prefers items 0 and 1, user 1 item 1; user 2 none."""
    known = sparse.csr_array(np.array([[1, 1, -1], [0, 1, 0], [0, 0, -1]]))
    users, items = (
        np.array([[8.0], [0.0], [5.0]]),
        np.array([[4.0], [0.0], [7.0]]),
    )
    own, theirs = neighbourhood(users, items, known, 1)
    np.testing.assert_allclose(own[:, 0], [(8 + 2) / 2, 0.0, 5.0])
    np.testing.assert_allclose(theirs[:, 0], [(4 + 8) / 2, (0 + 4) / 2, 7.0])
    twice, _ = neighbourhood(users, items, known, 2)
    np.testing.assert_allclose(twice[:, 0], [(5 + (6 + 2) / 2) / 2, 1.0, 5.0])
    np.testing.assert_array_equal(users[:, 0], [8.0, 0.0, 5.0])


def test_a_neighbourhood_that_does_not_fit_is_refused(sides):
    users, _, items, known = sides
    with pytest.raises(ValueError, match="n_hops"):
        neighbourhood(users, items, known, -1)
    with pytest.raises(ValueError, match="preferences have shape"):
        neighbourhood(users[:3], items, known, 1)
