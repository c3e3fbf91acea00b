"""What each user did before: lists of items that only look back.

Rows stand in order of time, as a log does; where times tie, the order of the
rows decides. Both functions read rows of one or many users mixed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data.columns import SchemaError, column_of


def past_items(
    rows: pd.DataFrame,
    length: int,
    *,
    taken: str | None = None,
    user: str = "user",
    item: str = "item",
) -> pd.Series:
    """Return, for every row, the items that its user took in rows above it.

    The row itself never counts, so the list may stand beside a label of the
    row. It may hold items of the same visit: a service that ranks a whole
    list at once does not know those yet.

    Args:
        rows: in order of time.
        length: how many to keep, the latest ones, oldest first.
        taken: a 0/1 column that says which rows count, such as "click";
            None: all of them.
        user, item: names of the columns.

    Returns:
        One array per row with the index of `rows`, shorter than `length`
        where the user has done less, empty where nothing.

    Raises:
        SchemaError: a column is missing, `taken` is neither 0 nor 1, or
            a length below 1.
    """
    order, starts, items = _by_user(rows, length, user, item)
    counts = np.ones(len(rows), dtype=np.int64)
    if taken is not None:
        counts = _zero_or_one(rows, taken)[order]
    kept = items[counts == 1]
    before = np.cumsum(counts) - counts  # taken above, users one by one
    first = np.maximum(before[starts], before - length)
    lists = np.empty(len(rows), dtype=object)
    for place, start, stop in zip(order, first, before, strict=True):
        lists[place] = kept[start:stop]
    return pd.Series(lists, index=rows.index, name="history")


def windows(
    rows: pd.DataFrame,
    length: int,
    *,
    user: str = "user",
    item: str = "item",
) -> pd.DataFrame:
    """Cut each user's items into runs of `length`, each with the next item.

    Runs follow one another from the latest item backwards: the last run of
    a user ends in their last item, only the first may be shorter, and no
    item is the next one twice. A model that is trained at every position
    (``models.sasrec``) then sees every step exactly once.

    Args:
        rows: in order of time; every row is an item taken.
        length: items of a run.
        user, item: names of the columns.

    Returns:
        A frame `user`, history (an array of 1 to `length` items, oldest
        first) and next_item, a row per run. Users with one item have none.

    Raises:
        SchemaError: a column is missing, or a length below 1.
    """
    order, starts, items = _by_user(rows, length, user, item)
    users = rows[user].to_numpy()[order]
    sizes = np.bincount(np.unique(starts, return_inverse=True)[1])
    found = []
    for start, size in zip(np.unique(starts), sizes, strict=True):
        ends = range(start + size - 1, start, -length)
        found += [
            (users[start], items[max(start, end - length) : end], items[end])
            for end in reversed(ends)
        ]
    return pd.DataFrame(found, columns=[user, "history", "next_item"])


def _by_user(
    rows: pd.DataFrame, length: int, user: str, item: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray]:
    """Order rows by user, then as they stand.

    Returns:
        Positions of the rows in that order, where in it each row's user
        starts, and the items.
    """
    if isinstance(length, bool) or length != int(length) or length < 1:
        raise SchemaError(
            f"length={length!r} must be a whole number of at least 1."
        )
    who = column_of(rows, user, "histories").to_numpy()
    what = column_of(rows, item, "histories").to_numpy()
    codes, _ = pd.factorize(who)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], codes[order], side="left")
    return order, starts, what[order]


def _zero_or_one(rows: pd.DataFrame, taken: str) -> npt.NDArray[np.int64]:
    values = column_of(rows, taken, "histories").to_numpy()
    if not np.isin(values, (0, 1)).all():
        raise SchemaError(
            f"Column {taken!r} must be 0 or 1 in every row: it says which "
            "items were taken. Fill or convert it."
        )
    return values.astype(np.int64)
