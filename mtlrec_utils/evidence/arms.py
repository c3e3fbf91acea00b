"""Two arms of an A/B test: different users, so nothing is paired."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from mtlrec_utils.evidence import arrays
from mtlrec_utils.evidence.verdicts import verdict


class ArmDifference(NamedTuple):
    """Treatment minus control, with the ends of its interval."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "helps", "hurts" or "cannot tell", read off the interval."""
        return verdict(self.low, self.high)


def difference_of_means(
    treatment: ArrayLike, control: ArrayLike, *, confidence: float = 0.95
) -> ArmDifference:
    """Welch's interval of the difference of two independent means.

    Args:
        treatment: a value per user of this arm, [n], n >= 2.
        control: a value per user of the other arm, [m], m >= 2.
        confidence: between 0 and 1.

    Raises:
        ValueError: fewer than two users in an arm, NaN, or a confidence
            outside 0 ... 1.

    Source: Welch, "The generalization of 'Student's' problem when several
    different population variances are involved", Biometrika 34, 1947.
    """
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence is {confidence}; give a share such as 0.95."
        )
    means, errors, freedom = [], [], []
    for name, values in (("treatment", treatment), ("control", control)):
        arm = arrays.finite_column(values, name).astype(np.float64)
        if len(arm) < 2:
            raise ValueError(f"{name} has {len(arm)} users; it needs two.")
        means.append(arm.mean())
        errors.append(arm.var(ddof=1) / len(arm))
        freedom.append(len(arm) - 1)
    difference = float(means[0] - means[1])
    error = sum(errors)
    if error == 0:
        return ArmDifference(difference, difference, difference)
    parts = sum(e**2 / f for e, f in zip(errors, freedom, strict=True))
    quantile = -special.stdtrit(error**2 / parts, (1 - confidence) / 2)
    reach = float(quantile * np.sqrt(error))
    return ArmDifference(difference, difference - reach, difference + reach)


def users_needed(
    spread: float,
    difference: float,
    *,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Users that each of two equal arms needs to tell a difference.

    Args:
        spread: standard deviation of a user's value, in both arms.
        difference: that is to be told from 0.
        confidence: of the interval, between 0 and 1.
        power: chance that the interval leaves 0 on the right side.

    Returns:
        2 (spread (z_(1 + confidence) / 2 + z_power) / difference)^2, by the
        normal approximation.

    Raises:
        ValueError: a difference of 0, a negative spread, or a share outside
            0 ... 1.
    """
    if difference == 0 or spread < 0:
        raise ValueError(
            f"difference={difference} must not be 0, and spread={spread} "
            "not negative."
        )
    if not (0 < confidence < 1 and 0 < power < 1):
        raise ValueError(
            f"confidence={confidence} and power={power} are shares such as "
            "0.95 and 0.8."
        )
    reach = special.ndtri((1 + confidence) / 2) + special.ndtri(power)
    return float(2 * (spread * reach / difference) ** 2)
