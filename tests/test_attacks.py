"""Attacks on hand-made cases with known answers."""

import numpy as np
import pytest

from mtlrec_utils.evidence import attacks


def test_losses_are_cross_entropies():
    found = attacks.row_losses([1, 0, 1, 0], [0.5, 0.25, 0.0, 1.0])
    cap = -np.log(1e-7)
    np.testing.assert_allclose(found, [np.log(2), -np.log(0.75), cap, cap])


def test_alike_losses_tell_nothing_and_separated_ones_all():
    losses = np.array([0.1, 0.4, 0.9])
    assert attacks.membership_auc(losses, losses) == 0.5
    assert attacks.membership_auc(losses, losses + 1) == 1.0
    assert attacks.membership_auc(losses + 1, losses) == 0.0
    assert attacks.membership_auc([1.0, 2.0], [1.0, 3.0]) == 0.625


def test_a_shadow_takes_off_the_difficulty():
    hard_and_easy = np.array([2.0, 0.1])
    members, others = hard_and_easy - 0.05, hard_and_easy
    assert attacks.membership_auc(members, others) == 0.75
    found = attacks.membership_auc(
        members,
        others,
        shadow_members=hard_and_easy,
        shadow_others=hard_and_easy,
    )
    assert found == 1.0
    with pytest.raises(ValueError, match="come together"):
        attacks.membership_auc(members, others, shadow_members=members)


def test_a_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    members, others = rng.exponential(1, 40), rng.exponential(2, 60)
    threshold = attacks.shadow_threshold(members, others)
    best = attacks.membership_accuracy(members, others, threshold)
    for other in np.concatenate([members, others]):
        for nudged in (other - 1e-9, other + 1e-9):
            found = attacks.membership_accuracy(members, others, nudged)
            assert found <= best
    assert attacks.shadow_threshold([1.0, 2.0], [4.0, 5.0]) == 3.0
    assert attacks.membership_accuracy([1.0, 2.0], [4.0, 5.0], 3.0) == 1.0
    same = attacks.shadow_threshold([1.0, 1.0], [1.0, 1.0])
    assert attacks.membership_accuracy([1.0], [1.0], same) == 0.5


def test_a_linear_model_is_copied_exactly_and_not_from_nothing():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(50, 3)), rng.normal(size=(40, 3))
    weights = np.array([1.0, -2.0, 0.5])

    def chance(rows):
        return 1 / (1 + np.exp(-(rows @ weights + 0.3)))

    args = (x, chance(x), z, chance(z))
    assert attacks.extraction_fidelity(*args, ridge=1e-9) > 1 - 1e-9
    assert abs(attacks.extraction_fidelity(*args, ridge=1e12)) < 0.1
    few = attacks.extraction_fidelity(x[:2], chance(x[:2]), z, chance(z))
    assert few < 0.9
    rounded = attacks.extraction_fidelity(
        x, chance(x).round(), z, chance(z), ridge=1e-9
    )
    assert rounded < 0.9
    with pytest.raises(ValueError, match="constant"):
        attacks.extraction_fidelity(x, chance(x), z, np.full(40, 0.5))
    with pytest.raises(ValueError, match="same features"):
        attacks.extraction_fidelity(x, chance(x), z[:, :2], chance(z))
    with pytest.raises(ValueError, match="above 0"):
        attacks.extraction_fidelity(*args, ridge=0)


def test_expected_guesses_are_the_mean_over_all_orders():
    assert attacks.expected_guesses(1) == 1
    assert attacks.expected_guesses(9) == 5
    assert attacks.expected_guesses(9, 9) == 1
    from itertools import permutations

    orders = list(permutations([1, 1, 0, 0, 0]))  # 2 valid of 5
    mean = np.mean([order.index(1) + 1 for order in orders])
    assert attacks.expected_guesses(5, 2) == pytest.approx(mean)
    with pytest.raises(ValueError):
        attacks.expected_guesses(3, 0)


def test_a_measured_run_meets_the_closed_form():
    rng = np.random.default_rng(0)
    found = [
        attacks.guess_token(lambda t: t == "ab", "abc", 2, rng)
        for _ in range(2000)
    ]
    assert set(found) == set(range(1, 10))
    # standard error of the mean: 2.58 / sqrt(2000) = 0.058
    assert abs(np.mean(found) - attacks.expected_guesses(9)) < 0.25
    assert attacks.guess_token(lambda t: False, "abc", 2, rng) is None
    tried = []
    attacks.guess_token(lambda t: bool(tried.append(t)), "abc", 2, rng, most=4)
    assert len(tried) == len(set(tried)) == 4
    with pytest.raises(ValueError, match="too many"):
        attacks.guess_token(lambda t: True, "0123456789", 8, rng)


@pytest.mark.parametrize(
    ("seconds", "guesses"),
    [(0, 3), (0.9, 3), (1, 4), (2.9, 4), (3, 5), (7, 6), (11, 7), (107, 31)],
)
def test_guesses_left_by_a_lock_out(seconds, guesses):
    # free 2, then locks of 1, 2, 4, 4, 4, ... seconds
    assert attacks.guesses_left(seconds, 2, 1, 4) == guesses


def test_guesses_left_agree_with_the_lock_itself():
    from mtlrec_utils.serving.limits import LockOut

    for seconds in (0, 5, 17.3, 100, 1000):
        now = 0.0
        lock = LockOut(3, 0.7, 9, clock=lambda: now)  # noqa: B023
        guesses = 0
        while now <= seconds:
            guesses += 1
            lock.wrong("a")
            now += max(lock.left("a"), 0)
            if guesses <= 3:
                continue
        assert guesses == attacks.guesses_left(seconds, 3, 0.7, 9)


def test_caps_bound_what_a_user_weighs():
    users = np.array([7, 7, 7, 7, 8, 9, 9])
    weights = attacks.weight_caps(users, 2)
    np.testing.assert_allclose(weights, [0.5] * 4 + [1, 1, 1])
    assert attacks.weight_caps(users, 100).tolist() == [1] * 7
    for user in (7, 8, 9):
        assert weights[users == user].sum() <= 2


def test_who_disagrees_is_trusted_less():
    users = np.repeat([0, 1, 2, 3], 2)
    items = np.tile([0, 1], 4)
    values = np.array([1, 0, 1, 0, 1, 0, 0, 1])  # user 3 says the opposite
    trust = attacks.trust_weights(users, items, values, 1.0)
    # the others are 1/3 away from the rest, user 3 is 1 away
    np.testing.assert_allclose(trust, [1, 1, 1, 1, 1, 1, 1 / 3, 1 / 3])
    squared = attacks.trust_weights(users, items, values, 2.0)
    np.testing.assert_allclose(squared[-1], 1 / 9)
    nobody = attacks.trust_weights(users, items, values, 0.0)
    assert nobody.tolist() == [1] * 8
    alone = attacks.trust_weights([0, 1], [0, 1], [1, 0], 1.0)
    assert alone.tolist() == [1, 1]


def test_weighted_means_by_hand():
    found = attacks.weighted_means(
        [0, 0, 1], [1, 0, 1], 3, weights=[1, 1, 2], damping=4
    )
    mean = 3 / 4
    np.testing.assert_allclose(
        found, [(1 + 4 * mean) / 6, (2 + 4 * mean) / 6, mean]
    )


def test_fake_users_push_an_item_and_a_cap_takes_it_back():
    users = np.r_[np.arange(20), np.full(40, 99)]
    items = np.r_[np.repeat([0, 1], 10), np.full(40, 1)]
    values = np.r_[np.ones(6), np.zeros(4), np.ones(2), np.zeros(8)]
    values = np.r_[values, np.ones(40)]
    means = attacks.weighted_means(items, values, 2, damping=1)
    assert attacks.rank_of(means, 1) == 1
    weights = attacks.weight_caps(users, 1)
    means = attacks.weighted_means(items, values, 2, weights, damping=1)
    assert attacks.rank_of(means, 1) == 2


def test_ranks():
    assert [attacks.rank_of([3, 1, 2], i) for i in range(3)] == [1, 3, 2]
    assert attacks.rank_of([1, 1, 1], 0) == 2
