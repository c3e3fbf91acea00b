"""Several domains of very different size, and how alike their tastes are.

A row shows an item of some genre to a user of some group, in one domain.
Groups and genres mean the same in all of them; what a group likes may not.
With y_j the topics of genre j and t_dg the unit taste of group g in domain
d, both of TASTE_DIMENSION numbers,

    logit of a click = base_d + STRENGTH <t_dg, y_j>
    t_dg = sqrt(s) c_g + sqrt(1 - s) o_dg,

with s = `similarity`. A group's common taste c_g and its own tastes o_dg
are orthonormal, so the cosine between its tastes in any two domains is
exactly s. At 0 a domain tells nothing of another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data.world_best import expected_auc, expected_log_loss

DOMAINS = ("feed", "search", "shop", "tv")
BASES = (-1.0, 0.0, -0.5, -1.0)
TASTE_DIMENSION = 6
STRENGTH = 1.8
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ManyDomains:
    """Rows of all domains, and the truth.

    Attributes:
        train: columns group, genre, domain, click, and chance, the true
            probability of the click, which no model may read. In random
            order.
        test: other rows, the same number from each domain.
        tastes: unit vectors, `[D, n_groups, TASTE_DIMENSION]`.
        best: one row per domain: domain, auc, log_loss that the truth is
            expected to score on the test rows.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    tastes: Floats
    best: pd.DataFrame


def many_domains(
    n_rows: Sequence[int] = (10_000, 1000, 100),
    *,
    similarity: float = 0.5,
    n_groups: int = 16,
    n_genres: int = 16,
    n_test: int = 4000,
    seed: int = 0,
) -> ManyDomains:
    """Draw the domains.

    Args:
        n_rows: training rows of each domain, at most four; their names are
            those of DOMAINS. Rows of one domain do not depend on the
            numbers of the others.
        similarity: s, 0 ... 1.
        n_groups: groups of users.
        n_genres: genres of items.
        n_test: test rows of each domain.
        seed: same seed, same world; it also draws the rows.

    Raises:
        ValueError: no domain or more than four, no rows, or a number out
            of its range.
    """
    sizes = [int(n) for n in n_rows]
    if not 1 <= len(sizes) <= len(DOMAINS) or min(sizes, default=0) < 1:
        raise ValueError(
            f"n_rows is {n_rows}: give 1 to {len(DOMAINS)} numbers of rows, "
            "each at least 1."
        )
    if not 0 <= similarity <= 1:
        raise ValueError(f"similarity is {similarity} (0 ... 1).")
    if min(n_groups, n_genres) < 2 or n_test < 2:
        raise ValueError(
            f"n_groups is {n_groups}, n_genres {n_genres}, n_test {n_test} "
            "(each 2 or more)."
        )
    rng = np.random.default_rng([seed, 19])
    frames = np.linalg.qr(
        rng.normal(size=(n_groups, TASTE_DIMENSION, len(DOMAINS) + 1))
    )[0].transpose(2, 0, 1)
    tastes = (
        np.sqrt(similarity) * frames[0] + np.sqrt(1 - similarity) * frames[1:]
    )
    topics = rng.normal(size=(n_genres, TASTE_DIMENSION))

    def drawn(domain: int, n: int, part: int) -> pd.DataFrame:
        luck = np.random.default_rng([seed, 19, domain, part])
        group = luck.integers(n_groups, size=n)
        genre = luck.integers(n_genres, size=n)
        match = np.einsum("nk,nk->n", tastes[domain, group], topics[genre])
        chance = 1 / (1 + np.exp(-BASES[domain] - STRENGTH * match))
        return pd.DataFrame(
            {
                "group": group,
                "genre": genre,
                "domain": DOMAINS[domain],
                "click": (luck.random(n) < chance).astype(int),
                "chance": chance,
            }
        )

    train = pd.concat(
        [drawn(d, n, 0) for d, n in enumerate(sizes)], ignore_index=True
    )
    parts = [drawn(d, n_test, 1) for d in range(len(sizes))]
    order = np.random.default_rng([seed, 19, 99]).permutation(len(train))
    return ManyDomains(
        train.iloc[order].reset_index(drop=True),
        pd.concat(parts, ignore_index=True),
        tastes[: len(sizes)],
        pd.DataFrame(
            {
                "domain": DOMAINS[: len(sizes)],
                "auc": [expected_auc(p["chance"].to_numpy()) for p in parts],
                "log_loss": [
                    expected_log_loss(p["chance"].to_numpy()) for p in parts
                ],
            }
        ),
    )
