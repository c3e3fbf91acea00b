"""Checks of lesson 03: GAUC, numbers of users, calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtlrec_utils.classroom.checks import NotYet, exercise
from mtlrec_utils.evidence import auc, gauc


@exercise(
    "03.1",
    hints=[
        "Loop over `np.unique(users)`; for each, compare every positive "
        "score with every negative one.",
        "`positive[:, None] > negative` is the table of pairs won; add half "
        "of those that are equal, and take the mean.",
        "Skip users without positives or negatives, and end with "
        "`np.average(values, weights=rows_of_each_user)`.",
    ],
)
def grouped_auc(answer: Callable[..., Any]) -> None:
    """Check against the package, by ties, one-class users and offsets."""
    labels = np.array([1, 0, 0, 0, 1, 0, 1, 1])
    scores = np.array([0.8, 0.9, 0.1, 0.3, 0.7, 0.2, 0.5, 0.6])
    users = np.array([1, 1, 1, 1, 2, 2, 3, 3])
    wanted = gauc(labels, scores, users)  # (4 * 2/3 + 2 * 1) / 6
    with np.errstate(all="ignore"):
        found = _number(answer(labels, scores, users))
    if np.isnan(found):
        raise NotYet("User 3 has no unclicked row and gives NaN: skip it.")
    if np.isclose(found, auc(labels, scores)):
        raise NotYet(
            "This is the AUC over all rows: it also compares rows of "
            "different users."
        )
    if np.isclose(found, (2 / 3 + 1) / 2):
        raise NotYet("Every user counts the same; weigh a user by their rows.")
    if np.isclose(found, (4 * 2 / 3 + 2 + 2 * 0.5) / 8):
        raise NotYet(
            "A user with one class only counts as one half; skip them, and "
            "leave their rows out of the weights."
        )
    if np.isclose(found, (4 * 2 / 3 + 2) / 8):
        raise NotYet(
            "The rows of the skipped user are still in the denominator."
        )
    if not np.isclose(found, wanted):
        raise NotYet(
            f"User 1 wins 2 of 3 pairs with 4 rows, user 2 all with 2 rows, "
            f"user 3 is skipped: {wanted:.3f}, not {found:.3f}."
        )
    constant = _number(answer(labels, np.zeros(8), users))
    if not np.isclose(constant, 0.5):
        raise NotYet(
            f"A constant score gets {constant:.3f}; ties count one half, so "
            "it must get 0.5."
        )


def _number(value: Any) -> float:
    if np.ndim(value):
        raise NotYet(
            f"The answer has shape {np.shape(value)}; it must be one number."
        )
    return float(value)


@exercise(
    "03.2",
    hints=[
        "`np.std(differences, ddof=1)` is the standard deviation over users.",
        "z is `ndtri(0.975) + ndtri(power)`: about 1.96 + 0.84.",
        "`int(np.ceil((z * sigma / smallest) ** 2))`.",
    ],
)
def users_needed(answer: Callable[..., Any]) -> None:
    """Check by hand values and by how it scales."""
    pilot = np.array([0.0, 0.2, -0.2, 0.4, -0.4, 0.3])
    sigma = pilot.std(ddof=1)
    found = answer(pilot, 0.05)
    wanted = int(np.ceil((2.8015851 * sigma / 0.05) ** 2))
    if np.isclose(float(found), np.ceil(2.8015851 * sigma / 0.05), atol=1):
        raise NotYet("The square is missing: users grow with its square.")
    if abs(float(found) - (1.959964 * sigma / 0.05) ** 2) <= 1:
        raise NotYet(
            "Without z of the power such an experiment finds the difference "
            "in every second case only; add ndtri(power)."
        )
    if abs(float(found) - (2.8015851 * pilot.std() / 0.05) ** 2) <= 1:
        raise NotYet(
            "The standard deviation divides by N; with few users divide by "
            "N - 1: ddof=1."
        )
    if abs(float(found) - (2.4864747 * sigma / 0.05) ** 2) <= 1:
        raise NotYet(
            "The interval has two ends: use ndtri(0.975), not ndtri(0.95)."
        )
    if float(found) == wanted - 1:
        raise NotYet("Round up: a part of a user is not enough.")
    if float(found) != int(found):
        raise NotYet(f"{found} is no number of users; round up.")
    if found != wanted:
        raise NotYet(f"This pilot needs {wanted} users, not {found}.")
    surer = answer(pilot, 0.05, power=0.95)
    if surer <= found:
        raise NotYet(
            f"To find it more surely, with power 0.95, takes more users, but "
            f"the answer is {surer}; use the argument `power`."
        )


@exercise(
    "03.3",
    hints=[
        "Go over to odds: p / (1 - p).",
        "The true odds are `kept` times the odds of the model.",
        "Back from odds o to a probability: o / (1 + o).",
    ],
)
def undo(answer: Callable[..., Any]) -> None:
    """Check by hand values, limits, and a simulated log."""
    p = np.array([0.5, 0.2, 0.8])
    found = np.asarray(answer(p, 0.25), dtype=float)
    if found.shape != (3,):
        raise NotYet(
            f"The answer has shape {found.shape}; one probability per row "
            "is (3,)."
        )
    if np.allclose(found, p * 0.25):
        raise NotYet(
            "This multiplies the probability; it is the odds that are off. "
            "A probability of 1 must stay 1."
        )
    if np.isclose(found[0], 0.8):
        raise NotYet(
            "The probabilities went up: unclicked rows are missing in "
            "training, so the model promises too much. Multiply the odds by "
            "`kept`, do not divide."
        )
    if np.isclose(found[0], 0.25) and np.isclose(found[1], 0.0625):
        raise NotYet("These are odds; turn them back: odds / (1 + odds).")
    wanted = 0.25 * p / (0.25 * p + 1 - p)
    if not np.allclose(found, wanted):
        raise NotYet(
            f"With a quarter kept, 0.5 becomes {wanted[0]:.2f}, not "
            f"{found[0]:.3f}: of five rows one was clicked."
        )
    ends = np.asarray(answer(np.array([0.0, 1.0]), 0.25), dtype=float)
    if not np.allclose(ends, [0, 1]):
        raise NotYet(
            "0 must stay 0 and 1 stay 1: write it without dividing by 1 - p."
        )
