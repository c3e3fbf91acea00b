"""Exploration: what to show while nobody knows what is good.

A policy chooses one of K arms (items, say) for each of R independent runs,
from how often each arm was shown and how often it was clicked so far. It is
a pure function of these counts and of the luck it is given; who remembers
the counts is ``play``. Everything is NumPy.

    def answer(t, arms):  # live, for visitors [T, R]
        shown = {"domain": "films", "rng": luck}
        return world.respond(visitors[t], arms, **shown)["click"]

    played = play(Thompson(), answer, n_arms=10, rounds=500, runs=100, rng=rng)
    regret(played.arms, chances)  # [runs, rounds]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Policy(Protocol):
    """What chooses an arm."""

    def choose(
        self, clicks: Ints, shown: Ints, rng: np.random.Generator
    ) -> Ints:
        """Return an arm per run, [R], from counts [R, K]."""
        ...


@dataclass(frozen=True)
class EpsilonGreedy:
    """Show the arm with the best click rate; now and then, any arm.

    Of arms that tie, one is drawn. An arm never shown has the rate
    ``untried``: 1 makes sure that each is tried early.

    Args:
        epsilon: chance, 0 ... 1, of an arm drawn from all K alike. Each arm
            but the best is thus shown with chance epsilon / K for ever: the
            regret grows without end, in proportion to the rounds.
        untried: rate, 0 ... 1, of an arm that was never shown.

    Raises:
        ValueError: a number outside its range.

    Source: Sutton and Barto, Reinforcement Learning, 2nd ed., section 2.2.
    """

    epsilon: float = 0.1
    untried: float = 1.0

    def __post_init__(self) -> None:
        for name in ("epsilon", "untried"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value!r} must lie in 0 ... 1.")

    def choose(
        self, clicks: Ints, shown: Ints, rng: np.random.Generator
    ) -> Ints:
        """Return an arm per run, [R], from counts [R, K]."""
        rates = np.where(
            shown > 0, clicks / np.maximum(shown, 1), self.untried
        )
        best = _drawn_maximum(rates, rng)
        n_runs, n_arms = shown.shape
        explores = rng.random(n_runs) < self.epsilon
        return np.where(explores, rng.integers(n_arms, size=n_runs), best)


@dataclass(frozen=True)
class UCB1:
    """Show the arm that could be best: rate plus sqrt(c ln t / n).

    t is the number of rounds so far and n how often the arm was shown; an
    arm never shown comes first. Of arms that tie, one is drawn.

    Args:
        width: c, at least 0. 2 is the paper's, for which the regret is
            proved to grow like ln t; less explores less.

    Raises:
        ValueError: a width below 0.

    Source: Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the
    Multiarmed Bandit Problem", Machine Learning 47, 2002, figure 1.
    """

    width: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.width < np.inf:
            raise ValueError(f"width={self.width!r} must be at least 0.")

    def indices(self, clicks: Ints, shown: Ints) -> Floats:
        """Return rate plus bonus of every arm, [R, K]; infinite if new."""
        rounds = np.maximum(shown.sum(axis=-1, keepdims=True), 1)
        n = np.maximum(shown, 1)
        bonus = np.sqrt(self.width * np.log(rounds) / n)
        return np.where(shown > 0, clicks / n + bonus, np.inf)

    def choose(
        self, clicks: Ints, shown: Ints, rng: np.random.Generator
    ) -> Ints:
        """Return an arm per run, [R], from counts [R, K]."""
        return _drawn_maximum(self.indices(clicks, shown), rng)


@dataclass(frozen=True)
class Thompson:
    """Show each arm as often as it is believed to be the best one.

    The belief about an arm's chance is Beta(clicks + prior clicks, misses +
    prior misses). One chance is drawn from each arm's belief, and the arm
    with the largest is shown.

    Args:
        prior_clicks: above 0; one number, or one per arm [K].
        prior_misses: the same. A chance of 0.2 that is worth 10 impressions
            is (2, 8).

    Raises:
        ValueError: a prior that is not above 0.

    Source: Thompson, "On the Likelihood that One Unknown Probability Exceeds
    Another in View of the Evidence of Two Samples", Biometrika 25, 1933.
    """

    prior_clicks: Any = 1.0
    prior_misses: Any = 1.0
    _priors: tuple[Floats, Floats] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        priors = []
        for name in ("prior_clicks", "prior_misses"):
            prior = np.asarray(getattr(self, name), dtype=np.float64)
            if prior.ndim > 1 or not (np.isfinite(prior) & (prior > 0)).all():
                raise ValueError(
                    f"{name}={getattr(self, name)!r} must be above 0: one "
                    "number, or one per arm."
                )
            priors.append(prior)
        object.__setattr__(self, "_priors", tuple(priors))

    def choose(
        self, clicks: Ints, shown: Ints, rng: np.random.Generator
    ) -> Ints:
        """Return an arm per run, [R], from counts [R, K]."""
        won, lost = self._priors
        drawn = rng.beta(clicks + won, shown - clicks + lost)
        return np.asarray(drawn.argmax(axis=-1), dtype=np.int64)


class Played(NamedTuple):
    """What came of ``play``."""

    arms: Ints  # [R, T], the arm shown in each round
    clicks: Ints  # [R, T], 0 or 1


def play(
    policy: Policy,
    answer: Callable[[int, Ints], npt.ArrayLike],
    *,
    n_arms: int,
    rounds: int,
    runs: int,
    rng: np.random.Generator,
) -> Played:
    """Let a policy choose, see the answer, and choose again.

    Args:
        policy: chooses the arms.
        answer: round and arms [R] in, clicks [R] (0 or 1) out.
        n_arms: K.
        rounds: T, how often each run shows one arm.
        runs: R independent repetitions, played side by side.
        rng: the luck of the policy.

    Raises:
        ValueError: a number below 1, or an answer that is not 0 or 1.
    """
    sizes = {"n_arms": n_arms, "rounds": rounds, "runs": runs}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size!r} must be at least 1.")
    shown = np.zeros((runs, n_arms), dtype=np.int64)
    clicks = np.zeros_like(shown)
    arms = np.empty((runs, rounds), dtype=np.int64)
    seen = np.empty_like(arms)
    every = np.arange(runs)
    for t in range(rounds):
        arms[:, t] = policy.choose(clicks, shown, rng)
        found = np.asarray(answer(t, arms[:, t]))
        if found.shape != (runs,) or not np.isin(found, (0, 1)).all():
            raise ValueError(
                f"answer must return {runs} clicks, each 0 or 1, one per "
                f"run; it returned shape {found.shape}."
            )
        seen[:, t] = found
        shown[every, arms[:, t]] += 1
        clicks[every, arms[:, t]] += seen[:, t]
    return Played(arms, seen)


def regret(arms: Ints, chances: npt.ArrayLike) -> Floats:
    """Return the clicks expected to be lost so far, [R, T].

    In each round: the chance of the best arm minus that of the arm shown
    (pseudo-regret: the luck of the clicks is left out). Never falls.

    Args:
        arms: [R, T], as ``play`` returns them.
        chances: the true chance of a click of each arm, [K].
    """
    true = np.asarray(chances, dtype=np.float64)
    return np.cumsum(true.max() - true[arms], axis=-1)


def _drawn_maximum(values: Floats, rng: np.random.Generator) -> Ints:
    """Return where each row is largest; among ties, draw."""
    tied = values == values.max(axis=-1, keepdims=True)
    found = np.where(tied, rng.random(values.shape), -1.0).argmax(axis=-1)
    return np.asarray(found, dtype=np.int64)
