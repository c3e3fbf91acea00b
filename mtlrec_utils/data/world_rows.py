"""From frames to impressions: checks of what a caller hands to the world."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data.world_catalogue import SHOPS
from mtlrec_utils.data.world_responses import Impressions
from mtlrec_utils.data.world_tastes import RESPONSES


def shop_number(domain: object) -> int:
    """Return 0 for "films" and 1 for "books".

    Raises:
        ValueError: Any other value.
    """
    if domain not in SHOPS:
        raise ValueError(f'domain must be "films" or "books", not {domain!r}.')
    return SHOPS.index(str(domain))


def response_number(response: object) -> int:
    """Return the place of a response in `world_tastes.RESPONSES`.

    Raises:
        ValueError: No such response.
    """
    if response not in RESPONSES:
        raise ValueError(
            f"response must be one of {', '.join(RESPONSES)}, "
            f"not {response!r}."
        )
    return RESPONSES.index(str(response))


def impressions_of(
    rows: pd.DataFrame, n_users: int, n_items: int, needed: dict[str, float]
) -> Impressions:
    """Check a frame and return its impressions.

    Args:
        rows: Columns user, item, domain, and those of `needed`.
        n_users: Users of the world.
        n_items: Items per shop.
        needed: Column -> value of the dial that makes it matter; at 0 the
            column may be missing.

    Raises:
        ValueError: A column is missing, or a value is unknown.
    """
    _check_columns(rows, needed)
    user = _whole(rows, "user", 0, n_users)
    item = _whole(rows, "item", 0, 2 * n_items)
    shop = _shops(rows["domain"])
    wrong = item // n_items != shop
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(
            f"item {item[k]} (row {k}) is not sold in "
            f"{SHOPS[shop[k]]}: films are items 0 to {n_items - 1}, books "
            f"{n_items} to {2 * n_items - 1}."
        )
    n = len(rows)
    position = np.zeros(n, dtype=np.int64)
    time = np.zeros(n)
    last_clicked = np.full(n, -1)
    if "position" in rows:
        position = _whole(rows, "position", 0, 1_000_000)
    if "time" in rows:
        time = _finite(rows, "time")
    if "last_clicked" in rows:
        last_clicked = _whole(rows, "last_clicked", -1, 2 * n_items)
    return Impressions(user, item, shop, position, time, last_clicked)


def join_features(
    rows: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame
) -> pd.DataFrame:
    """Return rows with the columns of their users and items beside them."""
    for column in ("user", "item"):
        if column not in rows:
            raise ValueError(f"rows have no column {column!r}.")
    of_user = users.drop(columns="user")
    of_item = items.drop(columns=["item", "domain"])
    twice = [c for c in (*of_user, *of_item) if c in rows]
    if twice:
        raise ValueError(
            f"rows have the columns {twice} already. Drop them, or join the "
            "features only once."
        )
    user = _whole(rows, "user", 0, len(users))
    item = _whole(rows, "item", 0, len(items))
    parts = [rows]
    for table, key in ((of_user, user), (of_item, item)):
        part = table.take(key)
        part.index = rows.index
        parts.append(part)
    return pd.concat(parts, axis=1)


def _check_columns(rows: pd.DataFrame, needed: dict[str, float]) -> None:
    if not isinstance(rows, pd.DataFrame):
        raise ValueError(
            f"rows must be a pandas DataFrame, not {type(rows).__name__}."
        )
    dials = {
        "position": "position_bias",
        "time": "drift",
        "last_clicked": "session_memory",
    }
    for column in ("user", "item", "domain"):
        if column not in rows:
            raise ValueError(
                f"rows have no column {column!r}; the truth depends on it."
            )
    for column, dial in dials.items():
        if needed.get(column) and column not in rows:
            raise ValueError(
                f"rows have no column {column!r}; with {dial} = "
                f"{needed[column]} the truth depends on it."
            )


def _whole(
    rows: pd.DataFrame, column: str, low: int, stop: int
) -> npt.NDArray[np.int64]:
    """Return a column of whole numbers in [low, stop)."""
    values = _finite(rows, column)
    wrong = (values != np.floor(values)) | (values < low) | (values >= stop)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(
            f"column {column!r} holds {values[k]:g} (row {k}), but this "
            f"world knows whole numbers from {low} to {stop - 1} only."
        )
    return values.astype(np.int64)


def _finite(rows: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Return a column as finite numbers."""
    try:
        values = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"column {column!r} must hold numbers: {error}"
        ) from error
    wrong = ~np.isfinite(values)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(
            f"column {column!r} has no finite number in row {k}. Fill or "
            "drop such rows first."
        )
    return values


def _shops(domain: pd.Series) -> npt.NDArray[np.int64]:
    codes, names = pd.factorize(domain)
    numbers = [shop_number(name) for name in names]
    if (codes < 0).any():
        raise ValueError(
            "column 'domain' has missing values; it must hold "
            '"films" or "books".'
        )
    return np.array(numbers, dtype=np.int64)[codes]
