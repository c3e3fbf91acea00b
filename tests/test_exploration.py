"""Exploration: hand values, closed forms, and what regret must do."""

import numpy as np
import pytest
from scipy import stats

from mtlrec_utils.data import World
from mtlrec_utils.models.classic.exploration import (
    UCB1,
    EpsilonGreedy,
    Thompson,
    play,
    regret,
)

POLICIES = [EpsilonGreedy(0.1), UCB1(), Thompson()]
CHANCES = np.array([0.2, 0.5, 0.8])


def counts(*pairs, runs=1):
    """Clicks and shows of each arm, the same in every run."""
    clicks, shown = np.array(pairs).T
    return np.tile(clicks, (runs, 1)), np.tile(shown, (runs, 1))


def shares(policy, clicks, shown, seed=0):
    """How often each arm is chosen over the runs, [K]."""
    rng = np.random.default_rng(seed)
    arms = policy.choose(clicks, shown, rng)
    return np.bincount(arms, minlength=clicks.shape[1]) / len(arms)


def bernoulli(chances=CHANCES, seed=7):
    rng = np.random.default_rng(seed)
    return lambda t, arms: rng.random(len(arms)) < chances[arms]


def played(policy, rounds=400, runs=100, seed=1, chances=CHANCES):
    return play(
        policy,
        bernoulli(chances),
        n_arms=len(chances),
        rounds=rounds,
        runs=runs,
        rng=np.random.default_rng(seed),
    )


def test_ucb_index_by_hand():
    # ten rounds: 3 of 4, 1 of 5, 0 of 1
    clicks, shown = counts((3, 4), (1, 5), (0, 1))
    expected = [
        0.75 + np.sqrt(2 * np.log(10) / 4),  # 1.823
        0.20 + np.sqrt(2 * np.log(10) / 5),  # 1.160
        0.00 + np.sqrt(2 * np.log(10) / 1),  # 2.146: tried least
    ]
    np.testing.assert_allclose(UCB1().indices(clicks, shown)[0], expected)
    rng = np.random.default_rng(0)
    assert UCB1().choose(clicks, shown, rng)[0] == 2
    # Half the width, and what is known wins: 1.511 against 1.517 ...
    assert UCB1(width=1.0).choose(clicks, shown, rng)[0] == 2
    # ... and without any, the best rate so far.
    assert UCB1(width=0.0).choose(clicks, shown, rng)[0] == 0


def test_ucb_tries_every_arm_first():
    arms = played(UCB1(), rounds=3).arms
    assert (np.sort(arms, axis=1) == [0, 1, 2]).all()


def test_epsilon_greedy_shows_arms_as_often_as_it_says():
    clicks, shown = counts((5, 10), (9, 10), (1, 10), (0, 10), runs=40_000)
    found = shares(EpsilonGreedy(0.2), clicks, shown)
    np.testing.assert_allclose(found, [0.05, 0.85, 0.05, 0.05], atol=0.006)
    assert shares(EpsilonGreedy(0.0), clicks, shown)[1] == 1


def test_ties_are_drawn():
    clicks, shown = counts((2, 4), (3, 6), (0, 5), runs=10_000)
    for policy in (EpsilonGreedy(0.0), UCB1(width=0.0)):
        np.testing.assert_allclose(
            shares(policy, clicks, shown), [0.5, 0.5, 0], atol=0.02
        )


@pytest.mark.parametrize(("untried", "chosen"), [(1.0, 1), (0.0, 0)])
def test_an_untried_arm_has_the_rate_it_is_given(untried, chosen):
    clicks, shown = counts((5, 10), (0, 0))
    policy = EpsilonGreedy(0.0, untried=untried)
    assert shares(policy, clicks, shown)[chosen] == 1


def test_thompson_shows_an_arm_with_the_chance_that_it_is_best():
    clicks, shown = counts((3, 10), (6, 12), runs=40_000)
    # P(X > Y) of two Beta beliefs, by integration of one's density times
    # the other's distribution.
    x = np.linspace(0, 1, 20_001)
    first, second = stats.beta(4, 8), stats.beta(7, 7)
    expected = np.trapezoid(first.pdf(x) * second.cdf(x), x)
    found = shares(Thompson(), clicks, shown)
    np.testing.assert_allclose(found[0], expected, atol=0.01)


def test_a_prior_is_the_same_as_having_seen_it():
    clicks, shown = counts((1, 4), (2, 3), runs=20_000)
    more = clicks + [2, 0], shown + [2, 5]
    prior = Thompson(prior_clicks=[3.0, 1.0], prior_misses=[1.0, 6.0])
    ours = shares(prior, clicks, shown)
    np.testing.assert_array_equal(ours, shares(Thompson(), *more))


def test_a_certain_prior_decides():
    clicks, shown = counts((0, 0), (0, 0), runs=500)
    sure = Thompson(prior_clicks=[1.0, 1e6], prior_misses=[1e6, 1.0])
    assert shares(sure, clicks, shown)[1] == 1


def test_regret_by_hand():
    arms = np.array([[0, 1, 2], [2, 2, 2]])
    np.testing.assert_allclose(
        regret(arms, CHANCES), [[0.6, 0.9, 0.9], [0, 0, 0]]
    )


def test_uniform_choice_has_the_regret_of_the_closed_form():
    rounds, runs = 200, 400
    arms = played(EpsilonGreedy(1.0), rounds, runs).arms
    found = regret(arms, CHANCES)[:, -1].mean()
    expected = rounds * (CHANCES.max() - CHANCES.mean())  # 60
    spread = CHANCES.std() * np.sqrt(rounds / runs)
    assert abs(found - expected) < 4 * spread


def test_regret_of_epsilon_greedy_goes_on_and_that_of_the_others_flattens():
    late = {}
    for policy in POLICIES:
        lost = regret(played(policy, rounds=2000).arms, CHANCES).mean(axis=0)
        late[type(policy)] = lost[-1] - lost[-501]
    # epsilon / K of each arm: 0.1 * mean gap 0.3 a round
    assert abs(late[EpsilonGreedy] / 500 - 0.03) < 0.006
    assert late[Thompson] < late[UCB1] < late[EpsilonGreedy]


def test_ucb_keeps_the_bound_of_its_theorem():
    rounds = 1000
    lost = regret(played(UCB1(), rounds).arms, CHANCES)[:, -1].mean()
    gaps = CHANCES.max() - CHANCES[:2]
    bound = 8 * (np.log(rounds) / gaps).sum() + (1 + np.pi**2 / 3) * gaps.sum()
    assert 0 < lost < bound


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_play(policy):
    ours, again = played(policy, rounds=50), played(policy, rounds=50)
    assert ours.arms.shape == ours.clicks.shape == (100, 50)
    np.testing.assert_array_equal(ours.arms, again.arms)
    assert (played(policy, rounds=50, seed=2).arms != ours.arms).any()
    # An arm that is always clicked among such that never are is found.
    sure = played(policy, rounds=300, chances=np.array([0.0, 1.0, 0.0]))
    assert (sure.arms[:, -50:] == 1).mean() > 0.85


def test_a_policy_sees_only_what_it_showed():
    seen = []

    class Watching:
        def choose(self, clicks, shown, rng):
            seen.append((clicks.copy(), shown.copy()))
            return np.zeros(len(shown), dtype=np.int64)

    found = played(Watching(), rounds=5, runs=3)
    clicks, shown = seen[-1]
    np.testing.assert_array_equal(shown, [[4, 0, 0]] * 3)
    np.testing.assert_array_equal(clicks[:, 0], found.clicks[:, :4].sum(1))


def test_it_plays_in_the_live_world():
    world = World(n_users=100, n_items=20, seed=3)
    users = world.users().query("in_films")["user"].to_numpy()
    luck = np.random.default_rng(0)
    visitors = luck.choice(users, (30, 8))

    def answer(t, arms):
        shown = {"domain": "films", "rng": luck}
        return world.respond(visitors[t], arms, **shown)["click"]

    found = play(
        Thompson(), answer, n_arms=4, rounds=30, runs=8, rng=luck
    )  # fmt: skip
    assert set(np.unique(found.clicks)) == {0, 1}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: EpsilonGreedy(1.5), "epsilon=1.5"),
        (lambda: EpsilonGreedy(0.1, untried=-1), "untried=-1"),
        (lambda: UCB1(-1.0), "width=-1.0"),
        (lambda: Thompson(prior_clicks=0), "prior_clicks=0"),
        (lambda: Thompson(prior_misses=[1.0, -2.0]), "prior_misses"),
        (lambda: played(UCB1(), rounds=0), "rounds=0"),
        (
            lambda: play(
                UCB1(), lambda t, arms: arms + 0.5, n_arms=2, rounds=1,
                runs=2, rng=np.random.default_rng(0),
            ),
            "each 0 or 1",
        ),
    ],
)  # fmt: skip
def test_bad_input(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
