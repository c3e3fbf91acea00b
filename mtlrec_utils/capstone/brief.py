"""What is asked for: two shops, three tasks, one number to raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data import World, split_by_time

Floats = npt.NDArray[np.float64]
Score = Callable[[pd.DataFrame], Mapping[str, Any]]
Recommender = Callable[[pd.DataFrame, pd.DataFrame], Score]

TASKS = ("click", "like", "finish")
WORTH: Mapping[str, float] = {"click": 1.0, "like": 3.0, "finish": 2.0}
CANDIDATES, SLATE = 30, 5
SHOPS = ("films", "books")
ANSWERS = ("click", "like", "finish", "purchase", "watch_minutes")


@dataclass(frozen=True)
class Brief:
    """The world of the capstone and its two logs.

    Attributes:
        seed: another seed is another world; a teacher grades on one that
            the class has not seen.
        film_rows: impressions of the rich shop.
        book_rows: impressions of the poor shop.
    """

    seed: int = 24
    film_rows: int = 50_000
    book_rows: int = 5_000

    @cached_property
    def world(self) -> World:
        """The platform: half of the users in both shops, related tastes."""
        return World(
            n_users=500,
            n_items=120,
            seed=self.seed,
            task_correlation=0.3,
            domain_similarity=0.8,
            user_overlap=0.5,
        )

    @cached_property
    def logs(self) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
        """Shop -> (past, future): the last fifth of the days is future.

        Rows carry the columns of their users and items.
        """
        rows = {"films": self.film_rows, "books": self.book_rows}
        found = {}
        for shop in SHOPS:
            log = self.world.log(rows[shop], domain=shop)
            past, future = split_by_time(
                self.world.with_features(log), (0.8, 0.2)
            )
            found[shop] = (past, future)
        return found

    @property
    def past(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Films and books to learn from: what a recommender is given."""
        return self.logs["films"][0].copy(), self.logs["books"][0].copy()


def without_answers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as a recommender meets them: nobody has answered yet."""
    return rows.drop(columns=[c for c in ANSWERS if c in rows])


def expected_points(chances: Mapping[str, Any]) -> Floats:
    """Points an impression is expected to bring, if it is looked at, [n].

    Args:
        chances: click -> P(click), [n]; like and finish -> their
            probability given a click, [n].

    Returns:
        P(click) (1 + 3 P(like | click) + 2 P(finish | click)), with the
        numbers of ``WORTH``.
    """
    click = np.asarray(chances["click"], dtype=np.float64)
    after = sum(
        WORTH[task] * np.asarray(chances[task], dtype=np.float64)
        for task in TASKS[1:]
    )
    return click * (WORTH["click"] + after)


def checked_chances(found: Any, n_rows: int) -> dict[str, Floats]:
    """Return what a score function gave, as arrays, or say what is wrong.

    Raises:
        ValueError: not a dictionary of the three tasks, another number of
            rows, or something that is no probability.
    """
    if not isinstance(found, Mapping) or not set(TASKS) <= set(found):
        had = ", ".join(map(repr, found)) if isinstance(found, Mapping) else ""
        raise ValueError(
            "score(rows) must return a dictionary with 'click', 'like' and "
            f"'finish'; it returned {had or type(found).__name__}."
        )
    chances = {}
    for task in TASKS:
        values = np.asarray(found[task], dtype=np.float64)
        if values.size == n_rows:
            values = values.reshape(n_rows)
        if values.shape != (n_rows,):
            raise ValueError(
                f"score(rows)[{task!r}] has shape {values.shape}; it needs "
                f"one probability per row, ({n_rows},)."
            )
        bad = ~((values >= 0) & (values <= 1))
        if bad.any():
            raise ValueError(
                f"score(rows)[{task!r}] holds {values[bad][0]!r} in row "
                f"{int(np.argmax(bad))}; probabilities lie in 0 ... 1."
            )
        chances[task] = values
    return chances
