"""From a recommender to points: does it work, is it right, does it pay?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mtlrec_utils.capstone.brief import (
    SHOPS,
    TASKS,
    Brief,
    Floats,
    Recommender,
    Score,
    checked_chances,
    without_answers,
)
from mtlrec_utils.capstone.online import (
    ab_test,
    draw_visits,
    oracle,
    ranked,
    true_points,
)
from mtlrec_utils.capstone.policies import given_policies
from mtlrec_utils.evidence import calibration_ratio, compare

# Points of the machine's part; the teacher's part is on paper.
WORKS, OFFLINE, CALIBRATED, ONLINE = 20, 24, 6, 50
FULL_SHARE = 0.3  # of the way from "popular" to the oracle
REFERENCE, CONTROL = "one model per task", "popular"
N_VISITS = 6000


@dataclass(frozen=True)
class Grade:
    """What a recommender reached.

    Attributes:
        points: part -> points, with their "total" (at most 100).
        offline: shop, task, auc, reference, difference, low, high, verdict,
            calibration (predicted over observed rate), on future rows.
        online: arms of the A/B test, as from ``ab_test``.
        truth: arm -> points per visit without luck, best last.
        share: how far the recommender came from "popular" (0) to the
            oracle (1).
    """

    points: dict[str, float]
    offline: pd.DataFrame
    online: pd.DataFrame
    truth: pd.Series
    share: float


def grade(
    recommender: Recommender,
    brief: Brief | None = None,
    *,
    given: Mapping[str, Score] | None = None,
) -> Grade:
    """Train a recommender on the brief's logs and grade it.

    Args:
        recommender: function of the films and the books log, see
            ``mtlrec_utils.capstone``.
        brief: the world; ``Brief()`` by default.
        given: the given policies, if they are trained already.

    Raises:
        ValueError: the score function returns something else than one
            probability per row and task, or the score of a row changes
            with the rows beside it.
    """
    brief = brief or Brief()
    given = given_policies(brief) if given is None else given
    score = recommender(*brief.past)
    check_rows_alone(score, brief)
    offline = offline_table(score, given[REFERENCE], brief)
    visits = draw_visits(brief.world, N_VISITS, seed=brief.seed)
    arms = {**given, "yours": score, "oracle": oracle(brief.world)}
    shown = {
        name: ranked(brief.world, visits, policy)
        for name, policy in arms.items()
    }
    truth = pd.Series(
        {
            name: true_points(brief.world, visits, items).mean()
            for name, items in shown.items()
        }
    ).sort_values()
    share = share_of_the_way(truth, "yours")
    tested = {name: shown[name] for name in (*given, "yours")}
    online = ab_test(
        brief.world, visits, tested, control=CONTROL, seed=brief.seed
    )
    return Grade(points_of(offline, share), offline, online, truth, share)


def share_of_the_way(
    truth: Mapping[str, float] | pd.Series, arm: str
) -> float:
    """Return (arm - popular) / (oracle - popular), in true points."""
    return float(
        (truth[arm] - truth[CONTROL]) / (truth["oracle"] - truth[CONTROL])
    )


def points_of(offline: pd.DataFrame, share: float) -> dict[str, float]:
    """Give the points of the machine's part.

    20 for a score function that works; 4 for each of six cells of the
    offline table that says "helps" against one model per task, 2 where we
    cannot tell; 1 for each whose mean prediction lies within a tenth of the
    observed rate; 50 for 0.3 of the way from "popular" to the oracle, less
    in proportion.
    """
    worth = {"helps": 4, "cannot tell": 2, "hurts": 0}
    near = offline["calibration"].between(0.9, 1.1)
    points = {
        "works": float(WORKS),
        "offline": float(offline["verdict"].map(worth).sum()),
        "calibrated": float(near.sum()),
        "online": ONLINE * float(np.clip(share / FULL_SHARE, 0, 1)),
    }
    return {**points, "total": sum(points.values())}


def check_rows_alone(score: Score, brief: Brief) -> None:
    """Check that a row's score does not depend on its neighbours.

    Raises:
        ValueError: it does, or the scores are no probabilities.
    """
    rows = without_answers(
        pd.concat([future.head(40) for _, future in brief.logs.values()])
    ).reset_index(drop=True)
    together = checked_chances(score(rows), len(rows))
    some = rows.iloc[::-7].reset_index(drop=True)
    alone = checked_chances(score(some), len(some))
    for task in TASKS:
        if not np.allclose(alone[task], together[task][::-7], atol=1e-4):
            raise ValueError(
                f"score(rows)[{task!r}] of a row changes with the rows "
                "beside it. Learn everything (means, ranks, vocabularies) "
                "inside recommender(films, books), nothing inside score."
            )


def offline_table(
    score: Score, reference: Score, brief: Brief
) -> pd.DataFrame:
    """Hold a score function against another on the future of both shops."""
    table = []
    for shop in SHOPS:
        future = brief.logs[shop][1]
        rows = without_answers(future)
        mine, theirs = (
            checked_chances(function(rows), len(rows))
            for function in (score, reference)
        )
        for task in TASKS:
            cell = _cell(future, task, mine[task], theirs[task])
            table.append({"shop": shop, "task": task, **cell})
    return pd.DataFrame(table)


def _cell(
    future: pd.DataFrame, task: str, mine: Floats, theirs: Floats
) -> dict[str, object]:
    known = future[task].notna().to_numpy()
    labels = future.loc[known, task].to_numpy()
    found = compare(
        labels,
        mine[known],
        theirs[known],
        groups=future.loc[known, "user"].to_numpy(),
    )
    return {
        "auc": found.candidate,
        "reference": found.baseline,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "verdict": found.verdict,
        "calibration": calibration_ratio(labels, mine[known]),
    }
