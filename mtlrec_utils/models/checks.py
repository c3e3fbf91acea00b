"""Checks of a model's options: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Sequence


def positive_widths(name: str, units: Sequence[int]) -> tuple[int, ...]:
    """Return layer widths as a tuple, or say which one is wrong."""
    if isinstance(units, (int, float, str)):
        raise ValueError(
            f"{name} must be a sequence of widths such as (64, 32), not "
            f"{units!r}; write ({units!r},) for one layer."
        )
    widths = tuple(units)
    for width in widths:
        if isinstance(width, bool) or int(width) != width or width < 1:
            raise ValueError(
                f"{name} holds {width!r}; every width must be a whole "
                "number of at least 1."
            )
    return tuple(int(width) for width in widths)


def dropout_rate(name: str, value: float) -> float:
    """Return a share in [0, 1), or say that it is none."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be in [0, 1), not {value!r}.")
    return float(value)


def number_of_experts(n_experts: int) -> int:
    """Return a whole number of at least 1, or say that it is none."""
    if isinstance(n_experts, bool) or int(n_experts) != n_experts:
        raise ValueError(
            f"n_experts must be a whole number, not {n_experts!r}."
        )
    if n_experts < 1:
        raise ValueError(f"n_experts must be at least 1, not {n_experts}.")
    return int(n_experts)
