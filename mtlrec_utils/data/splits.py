"""Splits of a frame into training, validation and test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mtlrec_utils.data.columns import SchemaError, check_frame, column_of

THREE_WAYS = (0.8, 0.1, 0.1)


def split_by_time(
    frame: pd.DataFrame,
    fractions: Sequence[float] = THREE_WAYS,
    column: str = "time",
) -> tuple[pd.DataFrame, ...]:
    """Split by time: every part lies after the part before it.

    Rows with equal time stay in one part: a boundary that would fall among
    them moves to their nearer end. Only when there are fewer distinct times
    than parts must equal times be cut, in the frame's row order.

    Args:
        frame: rows to split, in any order.
        fractions: share of each part; positive, summing to 1.
        column: numbers or dates to order by.

    Returns:
        One frame per fraction, in time order (rows of equal time keep
        their order), with the original index.

    Raises:
        SchemaError: no such column, missing or unordered times, fractions
            that do not sum to 1, or fewer rows than parts.
    """
    purpose = "split_by_time"
    check_frame(frame, purpose)
    series = column_of(frame, column, purpose)
    if series.isna().any():
        raise SchemaError(
            f"{purpose}: column {column!r} is missing on "
            f"{int(series.isna().sum())} row(s). Drop or fill them: a row "
            "without a time belongs to no part."
        )
    ordered = (
        pd.api.types.is_numeric_dtype(series.dtype)
        or pd.api.types.is_datetime64_any_dtype(series.dtype)
        or pd.api.types.is_timedelta64_dtype(series.dtype)
    )
    if not ordered:
        raise SchemaError(
            f"{purpose}: column {column!r} holds {series.dtype} values, "
            "which have no time order. Convert it: "
            f"pd.to_datetime(frame[{column!r}])."
        )
    cuts = _cuts(len(frame), fractions, purpose)
    codes, _ = pd.factorize(series, sort=True)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))[:-1]  # where one time ends
    if len(ends) >= len(cuts):
        cuts = _between_times(cuts, ends)
    parts = np.split(order, cuts)
    return tuple(frame.iloc[part] for part in parts)


def _between_times(cuts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Move each cut to the nearest end that leaves no part empty."""
    moved: list[int] = []
    first = 0
    for k, cut in enumerate(cuts):
        last = len(ends) - (len(cuts) - k)
        place = first + np.abs(ends[first : last + 1] - cut).argmin()
        moved.append(int(ends[place]))
        first = int(place) + 1
    return np.array(moved)


def split_at_random(
    frame: pd.DataFrame,
    fractions: Sequence[float] = THREE_WAYS,
    seed: int = 0,
) -> tuple[pd.DataFrame, ...]:
    """Split at random, which promises what time takes away.

    Args:
        frame: rows to split.
        fractions: share of each part; positive, summing to 1. Part k ends
            at row round(n * (fractions[0] + ... + fractions[k])).
        seed: same seed, same parts.

    Returns:
        One frame per fraction; rows keep their order and index.

    Raises:
        SchemaError: fractions that do not sum to 1, or fewer rows than
            parts.
    """
    check_frame(frame, "split_at_random")
    cuts = _cuts(len(frame), fractions, "split_at_random")
    order = np.random.default_rng(seed).permutation(len(frame))
    parts = np.split(order, cuts)
    return tuple(frame.iloc[np.sort(part)] for part in parts)


def _cuts(n: int, fractions: Sequence[float], purpose: str) -> np.ndarray:
    """Return the inner boundaries of the parts, each part non-empty."""
    shares = np.asarray(fractions, dtype=np.float64)
    if (
        shares.ndim != 1
        or len(shares) < 1
        or not (shares > 0).all()
        or abs(shares.sum() - 1) > 1e-6
    ):
        raise SchemaError(
            f"{purpose}: fractions={tuple(fractions)!r} must be positive "
            "and sum to 1, for example (0.8, 0.1, 0.1)."
        )
    cuts = np.rint(np.cumsum(shares)[:-1] * n).astype(np.int64)
    sizes = np.diff(cuts, prepend=0, append=n)
    if (sizes < 1).any():
        raise SchemaError(
            f"{purpose}: {n} row(s) cannot be split into parts of "
            f"{tuple(fractions)!r}; one would be empty. Use more rows or "
            "fewer parts."
        )
    return cuts
