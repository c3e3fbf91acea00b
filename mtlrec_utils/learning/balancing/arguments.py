"""Refuse arguments of balancing methods that make no sense."""

from __future__ import annotations

import math
from typing import Any


def check_number(
    owner: Any,
    name: str,
    low: float,
    high: float = math.inf,
    *,
    low_too: bool = False,
    high_too: bool = False,
) -> None:
    """Check that a number of a method lies between two bounds.

    Args:
        owner: the method.
        name: of its attribute.
        low: lower bound.
        high: upper bound.
        low_too: the lower bound itself is allowed.
        high_too: the upper bound itself is allowed.

    Raises:
        ValueError: it does not, or is no number.
    """
    value = getattr(owner, name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (
        low < value < high
        or (low_too and value == low)
        or (high_too and value == high)
    ):
        return
    bounds = f"{'at least' if low_too else 'above'} {low:g}"
    if high < math.inf:
        bounds += f" and {'at most' if high_too else 'below'} {high:g}"
    raise ValueError(
        f"{type(owner).__name__}({name}={value!r}): {name} must be a number "
        f"{bounds}."
    )


def check_seed(owner: Any) -> None:
    """Check that a method's seed is a whole number of at least 0.

    Raises:
        ValueError: it is not.
    """
    seed = owner.seed
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(
            f"{type(owner).__name__}(seed={seed!r}): the seed must be a "
            "whole number of at least 0."
        )
