"""Checks of lesson 24: points of a list, a test per user, a recommender."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtlrec_utils.classroom.checks import NotYet, exercise


@exercise(
    "24.1",
    hints=[
        "An item brings click * (1 + 3 * like + 2 * finish), if looked at.",
        "np.arange(k) counts the places from 0.",
        "Multiply by 1 / sqrt(1 + place), then sum over places (axis 1).",
    ],
)
def points_of_lists(answer: Callable[..., Any]) -> None:
    """Check the worth of an item, the places, and the sum over places."""
    rng = np.random.default_rng(0)
    click, like, finish = rng.random((3, 4, 5))

    def found(*chances: Any) -> Any:
        values = np.asarray(answer(*(c.copy() for c in chances)), float)
        if values.shape != (4,):
            raise NotYet(
                f"Four lists, so four numbers, [4]; the shape is "
                f"{values.shape}."
            )
        return values

    zero, looked_at = np.zeros((4, 5)), 1 / np.sqrt(1 + np.arange(5))
    value = found(click, zero, zero)
    if np.allclose(value, click.sum(axis=1)):
        raise NotYet(
            "Every place counts the same: multiply by the chance that it "
            "is looked at."
        )
    if not np.allclose(value, click @ looked_at):
        raise NotYet(
            "With clicks alone a list is worth the sum of click / "
            "sqrt(1 + place), places counted from 0."
        )
    value = found(click, like, zero)
    if np.allclose(value, (click + 3 * like) @ looked_at):
        raise NotYet("A like comes after a click: P(click) times P(like).")
    if not np.allclose(value, (click * (1 + 3 * like)) @ looked_at):
        raise NotYet("A like is worth 3 points on top of its click.")
    wanted = (click * (1 + 3 * like + 2 * finish)) @ looked_at
    if not np.allclose(found(click, like, finish), wanted):
        raise NotYet("A finish is worth 2 points on top of its click.")


@exercise(
    "24.2",
    hints=[
        "Totals per user: np.bincount(user, points, minlength=n_users).",
        "np.bincount without weights says who came at all.",
        "var(ddof=1) / n of each arm; add both, then take the root.",
    ],
)
def difference_per_user(answer: Callable[..., Any]) -> None:
    """Check the unit of analysis, absent users, sign and error."""
    rng = np.random.default_rng(0)
    arm = np.array([0, 1, 0, 1, 0, 1, 1, 0])
    user = np.r_[np.repeat([0, 1, 2, 3, 4, 5], [9, 1, 2, 4, 1, 6])]
    points = rng.integers(0, 7, len(user)).astype(float)
    total = np.bincount(user, points, minlength=8)
    here = [total[:6][arm[:6] == a] for a in (0, 1)]
    wanted = here[1].mean() - here[0].mean()
    error = np.sqrt(sum(h.var(ddof=1) / len(h) for h in here))
    found = answer(user.copy(), points.copy(), arm.copy())
    if np.shape(found) != (2,):
        raise NotYet("Return two numbers: the difference and its error.")
    difference, spread = (float(x) for x in found)
    visits = [points[arm[user] == a] for a in (0, 1)]
    if np.isclose(difference, visits[1].mean() - visits[0].mean()):
        raise NotYet(
            "These are points per visit. The arms were drawn for users: add "
            "up each user's points first."
        )
    everybody = [total[arm == a] for a in (0, 1)]
    if np.isclose(difference, everybody[1].mean() - everybody[0].mean()):
        raise NotYet("Users 6 and 7 never came; leave them out.")
    if np.isclose(difference, -wanted):
        raise NotYet("It is arm 1 minus arm 0.")
    if not np.isclose(difference, wanted):
        raise NotYet(f"The difference is {wanted:.3f}, not {difference:.3f}.")
    biased = np.sqrt(sum(h.var() / len(h) for h in here))
    if np.isclose(spread, biased):
        raise NotYet("Divide by n - 1 in the variance: var(ddof=1).")
    if np.isclose(spread, error**2):
        raise NotYet("That is the squared error; take the root.")
    if not np.isclose(spread, error):
        raise NotYet(f"The standard error is {error:.3f}, not {spread:.3f}.")


@exercise(
    "24.3",
    hints=[
        "Start from what the lesson shows: a rate per item is a recommender.",
        "mtlrec_utils.capstone.worked.one_model_per_task has the frame: "
        "Schema, fit, predict, and encode(rows, labels=False) in `score`.",
        "Let the tasks share a bottom, and weigh likes below clicks.",
    ],
)
def recommender(answer: Callable[..., Any]) -> None:
    """Check that it works on two tiny logs, row by row, without answers."""
    from mtlrec_utils.capstone import Brief
    from mtlrec_utils.capstone.brief import TASKS
    from mtlrec_utils.capstone.grading import check_rows_alone

    brief = Brief(seed=7, film_rows=1200, book_rows=300)
    score = answer(*brief.past)
    if not callable(score):
        raise NotYet(
            "recommender must return a function of rows, not "
            f"{type(score).__name__}."
        )
    try:
        check_rows_alone(score, brief)
    except ValueError as error:
        raise NotYet(str(error)) from error
    except KeyError as error:
        raise NotYet(
            f"score(rows) looks for the column {error}. Rows to score have "
            "no answers: neither click nor like nor finish."
        ) from error
    rows = brief.logs["films"][1].head(60)
    found = score(rows.drop(columns=list(TASKS)))
    if all(np.ptp(np.asarray(found[task])) == 0 for task in TASKS):
        raise NotYet(
            "Every row gets the same chances, so any order is as good as "
            "another. Let them depend on the item at least."
        )
