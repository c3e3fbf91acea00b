"""The three policies a recommender is tested against; none is a trap."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mtlrec_utils.capstone.brief import Brief, Floats, Score
from mtlrec_utils.models.classic import ItemNeighbours, interaction_matrix

PRIOR_ROWS = 20  # impressions a rate is smoothed by


def given_policies(brief: Brief) -> dict[str, Score]:
    """Return the three policies, trained on the two logs.

    * "popular": every item by its smoothed rates, the same for all users;
    * "neighbours": clicks by item-based collaborative filtering within the
      shop, likes and finishes by the item's rates;
    * "one model per task": the first worked solution, a single-task network
      for each answer.
    """
    from mtlrec_utils.capstone.worked import one_model_per_task

    films, books = brief.past
    log = pd.concat([films, books], ignore_index=True)
    world, n_items = brief.world, 2 * brief.world.n_items
    return {
        "popular": popular(log, n_items),
        "neighbours": neighbours(log, world.n_users, n_items),
        "one model per task": one_model_per_task.recommender(films, books),
    }


def popular(log: pd.DataFrame, n_items: int) -> Score:
    """Rate items by how often they were clicked, liked and finished.

    Args:
        log: impressions of both shops, with answers.
        n_items: of both shops together.
    """
    clicked = log[log["click"] == 1]
    rates = {"click": _smoothed_rates(log, "click", n_items)} | {
        task: _smoothed_rates(clicked, task, n_items)
        for task in ("like", "finish")
    }

    def score(rows: pd.DataFrame) -> Mapping[str, Floats]:
        return {task: rates[task][rows["item"]] for task in rates}

    return score


def neighbours(log: pd.DataFrame, n_users: int, n_items: int) -> Score:
    """Rate items by their likeness to what the user has clicked."""
    by_rate = popular(log, n_items)
    clicked = log[log["click"] == 1]
    matrix = interaction_matrix(
        clicked["user"], clicked["item"], (n_users, n_items)
    )
    likeness = ItemNeighbours().fit(matrix).scores()
    likeness = likeness / max(float(likeness.max()), 1e-9)

    def score(rows: pd.DataFrame) -> Mapping[str, Floats]:
        found = dict(by_rate(rows))
        near = likeness[rows["user"], rows["item"]]
        # The rate decides between items that nothing speaks for.
        found["click"] = (near + 0.01 * found["click"]) / 1.01
        return found

    return score


def _smoothed_rates(rows: pd.DataFrame, task: str, n_items: int) -> Floats:
    """Return (answers + m p) / (rows + m) of every item; p is the mean."""
    shown = np.bincount(rows["item"], minlength=n_items)
    yes = np.bincount(rows["item"], rows[task], minlength=n_items)
    prior = PRIOR_ROWS * rows[task].mean()
    return np.asarray((yes + prior) / (shown + PRIOR_ROWS))
