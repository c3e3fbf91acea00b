"""Visitors come, an arm of the test serves them, points are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.capstone.brief import (
    CANDIDATES,
    SHOPS,
    SLATE,
    TASKS,
    WORTH,
    Floats,
    Score,
    checked_chances,
    expected_points,
)
from mtlrec_utils.data import World
from mtlrec_utils.evidence import difference_of_means

Ints = npt.NDArray[np.int64]
NOW = 60.0  # days: the moment the logs end


@dataclass(frozen=True)
class Visits:
    """Who comes, where, and what the recall stage offers.

    Attributes:
        user: [n].
        domain: "films" or "books", [n].
        candidates: items of that shop, all different in a row, [n, m].
    """

    user: Ints
    domain: npt.NDArray[np.str_]
    candidates: Ints

    def __len__(self) -> int:
        return len(self.user)


def draw_visits(
    world: World,
    n_visits: int,
    *,
    books_share: float = 0.3,
    n_candidates: int = CANDIDATES,
    seed: int = 0,
) -> Visits:
    """Draw visitors who are at home in the shop, and candidates at random.

    Args:
        world: the platform.
        n_visits: how many come.
        books_share: share of visits to books, 0 ... 1.
        n_candidates: items offered to each.
        seed: another seed, other visits.

    Raises:
        ValueError: a share outside 0 ... 1, or more candidates than items.
    """
    if not 0 <= books_share <= 1:
        raise ValueError(f"books_share={books_share} must lie in 0 ... 1.")
    if not SLATE <= n_candidates <= world.n_items:
        raise ValueError(
            f"n_candidates={n_candidates} must lie in {SLATE} ... "
            f"{world.n_items}, the items of a shop."
        )
    rng = np.random.default_rng([seed, 24])
    users, items = world.users(), world.items()
    shop = (rng.random(n_visits) < books_share).astype(int)
    user = np.empty(n_visits, np.int64)
    candidates = np.empty((n_visits, n_candidates), np.int64)
    for number, name in enumerate(SHOPS):
        here = np.flatnonzero(shop == number)
        at_home = users.loc[users[f"in_{name}"], "user"].to_numpy()
        user[here] = rng.choice(at_home, len(here))
        stock = items.loc[items["domain"] == name, "item"].to_numpy()
        order = rng.random((len(here), len(stock))).argsort(axis=1)
        candidates[here] = stock[order[:, :n_candidates]]
    return Visits(user, np.array(SHOPS)[shop], candidates)


def shown_rows(
    world: World, visits: Visits, items: Ints, position: npt.ArrayLike
) -> pd.DataFrame:
    """Return one row per visit and item of `items` [n, k], visit by visit."""
    n, k = items.shape
    rows = pd.DataFrame(
        {
            "time": NOW,
            "domain": np.repeat(visits.domain, k),
            "user": np.repeat(visits.user, k),
            "item": items.reshape(-1),
            "position": np.broadcast_to(position, (n, k)).reshape(-1),
            "last_clicked": -1,
        }
    )
    return world.with_features(rows)


def ranked(world: World, visits: Visits, score: Score) -> Ints:
    """Rank each visit's candidates by expected points; return the best.

    All candidates are scored at position 0, the top.

    Returns:
        Items, best first, [n, 5]. Ties keep the order of the candidates.
    """
    rows = shown_rows(world, visits, visits.candidates, 0)
    points = expected_points(checked_chances(score(rows), len(rows)))
    points = points.reshape(visits.candidates.shape)
    best = np.argsort(-points, axis=1, kind="stable")[:, :SLATE]
    return np.take_along_axis(visits.candidates, best, axis=1)


def oracle(world: World) -> Score:
    """Return the score function of somebody who knows the truth."""

    def score(rows: pd.DataFrame) -> dict[str, Floats]:
        truth = world.truth(rows)
        return {
            "click": truth["click"].to_numpy(),
            "like": truth["like_given_click"].to_numpy(),
            "finish": truth["finish_given_click"].to_numpy(),
        }

    return score


def true_points(world: World, visits: Visits, shown: Ints) -> Floats:
    """Points that each visit is expected to bring, [n]: no luck in it."""
    places = np.arange(shown.shape[1])
    rows = shown_rows(world, visits, shown, places)
    points = expected_points(oracle(world)(rows))
    return points.reshape(shown.shape).sum(axis=1)


def ab_test(
    world: World,
    visits: Visits,
    shown: Mapping[str, Ints],
    *,
    control: str,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Serve every user by one arm, drawn at random, and count the points.

    Args:
        world: answers live.
        visits: who comes.
        shown: arm -> items of every visit, [n, 5], as from ``ranked``.
        control: the arm that the others are held against.
        seed: of the draw of arms and of the answers.
        confidence: of all intervals together: each of the m others gets
            1 - (1 - confidence) / m (Bonferroni).

    Returns:
        One row per arm, control first: arm, users, visits, click, like,
        finish (answers per visit), points (per user, mean), spread (their
        standard deviation), difference, low, high (against control; NaN for
        itself), verdict.

    Raises:
        ValueError: an unknown control, or no other arm.
    """
    if control not in shown or len(shown) < 2:
        raise ValueError(
            f"control={control!r} must be one of two or more arms: "
            f"{', '.join(map(repr, shown))}."
        )
    rng = np.random.default_rng([seed, 61])
    names = [control, *(name for name in shown if name != control)]
    arm_of_user = rng.permutation(world.n_users) % len(names)
    arm = arm_of_user[visits.user]
    items = np.empty_like(shown[control])
    for number, name in enumerate(names):
        items[arm == number] = shown[name][arm == number]
    answers = _answers(world, visits, items, rng)
    points = sum(WORTH[task] * answers[task] for task in TASKS)
    per_user = np.bincount(visits.user, points, minlength=world.n_users)
    came = np.bincount(visits.user, minlength=world.n_users) > 0
    level = 1 - (1 - confidence) / (len(names) - 1)
    rows = []
    for number, name in enumerate(names):
        served = arm == number
        mine = per_user[came & (arm_of_user == number)]
        row = {"arm": name, "users": len(mine), "visits": int(served.sum())}
        row |= {task: answers[task][served].mean() for task in TASKS}
        row |= {"points": mine.mean(), "spread": mine.std(ddof=1)}
        if number == 0:
            base = mine
            row |= dict.fromkeys(("difference", "low", "high"), np.nan)
            row |= {"verdict": "control"}
        else:
            found = difference_of_means(mine, base, confidence=level)
            row |= {
                "difference": found.mean,
                "low": found.low,
                "high": found.high,
                "verdict": found.verdict,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _answers(
    world: World, visits: Visits, items: Ints, rng: np.random.Generator
) -> dict[str, Floats]:
    """Answers per visit, summed over its slate: task -> [n]."""
    n, k = items.shape
    answers = world.respond(
        np.repeat(visits.user, k),
        items.reshape(-1),
        domain=np.repeat(visits.domain, k),
        position=np.tile(np.arange(k), n),
        rng=rng,
    )
    return {
        task: answers[task].fillna(0).to_numpy().reshape(n, k).sum(axis=1)
        for task in TASKS
    }
