"""Cold-start protocol: users known in one domain, new in the other.

Some of the shared users become cold: *all* their rows of the target are put
aside, to judge by. Everything that is learned, item means too, comes from the
rows that are left. Settings are chosen on one part of the cold users and
judged on the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True)
class ColdStart:
    """Two domains, with cold users.

    Attributes:
        source: all rows of the source, cold users' too.
        target: rows of the target to learn from; none of a cold user.
        linked: users to learn a bridge from, sorted: rows in both.
        validation: target rows of the cold users to choose settings by.
        test: target rows of the cold users to judge by, once.
    """

    source: pd.DataFrame
    target: pd.DataFrame
    linked: npt.NDArray
    validation: pd.DataFrame
    test: pd.DataFrame


def cold_start(
    source: pd.DataFrame,
    target: pd.DataFrame,
    cold_share: float,
    *,
    validation_share: float = 0.25,
    seed: int = 0,
) -> ColdStart:
    """Make a share of the shared users cold in the target.

    Args:
        source: rows of the source, with a column user.
        target: rows of the target, with a column user.
        cold_share: share of the users in both domains that become cold,
            between 0 and 1; at least 2, and at least 1 stays linked.
        validation_share: of the cold users, to choose settings by.
        seed: who becomes cold.

    Raises:
        ValueError: a share out of range, or too few shared users.
    """
    for name, share in (
        ("cold_share", cold_share),
        ("validation_share", validation_share),
    ):
        if not 0 < share < 1:
            raise ValueError(
                f"{name} is {share}; give more than 0, less than 1."
            )
    shared = np.intersect1d(source["user"].unique(), target["user"].unique())
    n_cold = max(2, round(cold_share * len(shared)))
    if len(shared) <= n_cold:
        raise ValueError(
            f"{len(shared)} users are in both domains; {n_cold} of them "
            "cold leaves nobody linked."
        )
    order = np.random.default_rng(seed).permutation(shared)
    n_validation = min(max(1, round(validation_share * n_cold)), n_cold - 1)
    validation, test = order[:n_validation], order[n_validation:n_cold]
    return ColdStart(
        source.reset_index(drop=True),
        _of(target, order[:n_cold], inside=False),
        np.sort(order[n_cold:]),
        _of(target, validation),
        _of(target, test),
    )


def _of(
    rows: pd.DataFrame, users: Iterable, inside: bool = True
) -> pd.DataFrame:
    chosen = rows["user"].isin(list(users)) == inside
    return rows[chosen].reset_index(drop=True)


def numbered(
    source: pd.DataFrame, target: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[int, int, int]]:
    """Number users over both domains, and the items of each domain.

    Args:
        source: columns user, item and others.
        target: the same.

    Returns:
        Both frames with numbers for ids, in sorted order of the ids; and
        how many users, source items and target items there are.
    """
    users = pd.Index(
        np.union1d(source["user"].unique(), target["user"].unique())
    )
    frames, sizes = [], [len(users)]
    for rows in (source, target):
        items = pd.Index(np.sort(rows["item"].unique()))
        sizes.append(len(items))
        frames.append(
            rows.assign(
                user=users.get_indexer(rows["user"]),
                item=items.get_indexer(rows["item"]),
            ).reset_index(drop=True)
        )
    return frames[0], frames[1], (sizes[0], sizes[1], sizes[2])
