"""Lantern: a simulated platform whose truth is known.

Two shops, *films* (rich: four of five sessions) and *books* (poor), share
some users. Every impression may be clicked; a click may be followed by a
like, a finish, a purchase and some minutes of watching (or reading). Where
the parts are described:

* `world_tastes`: latent tastes; `task_correlation`, `domain_similarity`;
* `world_catalogue`: visible columns; `user_overlap`, `domain_shift`,
  `text_signal`;
* `world_exposure`: what is shown; `popularity_skew`, `exposure_bias`;
* `world_responses`: **the equations**; `taste_strength`, `prior_shift`,
  `position_bias`, `confounding`, `session_memory`, `drift`;
* `world_best`: the score of a perfect model.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data.world_best import best_table
from mtlrec_utils.data.world_dials import (
    DIALS,
    SIZES,
    check_dial,
    check_size,
)
from mtlrec_utils.data.world_exposure import expose
from mtlrec_utils.data.world_log import answer_live, write_log
from mtlrec_utils.data.world_parts import Parts, assemble
from mtlrec_utils.data.world_responses import (
    HORIZON_DAYS,
    Impressions,
)
from mtlrec_utils.data.world_rows import (
    impressions_of,
    join_features,
    response_number,
    shop_number,
)


@dataclass(frozen=True)
class World:
    """A platform with dials. Same dials, same bytes.

    Args:
        n_users: Users over both shops.
        n_items: Items per shop.
        n_rows: Impressions of a log unless `log` is told otherwise.
        seed: Another seed is another world: other users, items, tastes.
        task_correlation: Cosine (-1 ... 1) between a user's taste behind
            clicks and the taste behind each other response.
        domain_similarity: Cosine (0 ... 1) between a user's taste in films
            and in books, for every response.
        user_overlap: Share (0 ... 1) of all users who are in both shops.
        domain_shift: How far (0 ... 3) topics, lengths, prices and the mix of
            segments in books are from films; responses given user and item
            stay as they are.
        prior_shift: Added (-3 ... 3) to the logit of all binary responses in
            books.
        popularity_skew: Slope (0 ... 3) of Zipf's law over the items' ranks.
        exposure_bias: Chance (0 ... 1) that the platform shows the better
            liked of two candidates; it also orders the list by liking.
        position_bias: Exponent eta (0 ... 2) of the examination probability
            1 / rank^eta.
        confounding: Weight (0 ... 3) in the logits of click and purchase of a
            hidden cause of the impression.
        session_memory: How strongly (0 ... 1) the item clicked last in the
            session attracts to similar ones.
        text_signal: Share (0 ... 1) of an item's words that depend on its
            topics.
        drift: Quarter turns (0 ... 1) that all tastes make in 60 days.
        taste_strength: Factor (0 ... 3) on everything that makes one user or
            item differ from another in its responses. At 0 (and with
            `position_bias` 0) no column of a shop tells anything about a
            binary response.
        segment_strength: Share (0 ... 1) of the squared length of a taste
            that is the segment's rather than the user's own, on average.
        n_segments: Segments of users (1 ... 20); profiles reveal them with
            noise.

    Raises:
        ValueError: A dial is out of its range.
    """

    n_users: int = 3000
    n_items: int = 800
    n_rows: int = 100_000
    seed: int = 0
    task_correlation: float = 0.5
    domain_similarity: float = 0.5
    user_overlap: float = 0.3
    domain_shift: float = 0.0
    prior_shift: float = 0.0
    popularity_skew: float = 1.0
    exposure_bias: float = 0.5
    position_bias: float = 0.5
    confounding: float = 0.0
    session_memory: float = 0.0
    text_signal: float = 0.7
    drift: float = 0.0
    taste_strength: float = 1.0
    segment_strength: float = 0.5
    n_segments: int = 4

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in SIZES:
                check_size(field.name, value)
            elif field.name in DIALS:
                check_dial(field.name, value)

    def log(
        self,
        n_rows: int | None = None,
        *,
        domain: str | None = None,
        exposure: str = "policy",
        draw: int = 0,
    ) -> pd.DataFrame:
        """Return a log of impressions in order of time.

        Args:
            n_rows: Impressions; the world's `n_rows` by default.
            domain: "films" or "books"; both by default.
            exposure: "policy" (2 % of rows are shown at random) or "random".
            draw: Another number gives another log of the same world.

        Returns:
            A frame with time (days, 0 ... 60), session, domain, user, item,
            position (0 is the top), random_exposure, last_clicked (item
            clicked last in this session before this row, -1 if none), click
            (0 or 1), and on clicked rows (NaN elsewhere) like, finish,
            purchase (0 or 1) and watch_minutes.

        Raises:
            ValueError: An argument is out of its range.
        """
        n_rows = self.n_rows if n_rows is None else n_rows
        check_size("n_rows", n_rows)
        if exposure not in ("policy", "random"):
            raise ValueError(
                f'exposure must be "policy" or "random", not {exposure!r}.'
            )
        whole = isinstance(draw, int | np.integer)
        if not whole or isinstance(draw, bool) or draw < 0:
            raise ValueError(
                f"draw must be a whole number from 0 up, not {draw!r}."
            )
        shown = expose(
            seed=self.seed,
            draw=int(draw),
            n_rows=int(n_rows),
            shops=(0, 1) if domain is None else (shop_number(domain),),
            presence=self._parts.presence,
            share=self._parts.items.share,
            attraction=lambda at: self._parts.responder.logit("click", at),
            exposure_bias=self.exposure_bias,
            everything_random=exposure == "random",
        )
        return write_log(self.seed, int(draw), shown, self._parts.responder)

    def users(self) -> pd.DataFrame:
        """Return one row per user: user, presence in the shops, profile."""
        return self._parts.users.copy()

    def items(self) -> pd.DataFrame:
        """Return one row per item of both shops; books follow films."""
        return self._parts.items.frame.copy()

    def segments(self) -> npt.NDArray[np.int64]:
        """Return the true segment of every user, `[n_users]`."""
        return self._parts.segments.copy()

    def tastes(self, domain: str, response: str) -> npt.NDArray[np.float64]:
        """Return the users' unit taste vectors at time 0, `[n_users, 6]`."""
        number = response_number(response)
        return self._parts.responder.tastes[shop_number(domain), number].copy()

    def topics(self) -> npt.NDArray[np.float64]:
        """Return the items' latent topics, `[2 * n_items, 6]`."""
        return self._parts.items.topics.copy()

    def examination(self, position: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the chance that a position (0 is the top) is looked at."""
        return self._parts.responder.examination(np.asarray(position))

    def with_features(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows joined with the columns of their users and items.

        Order and index stay as they are.

        Raises:
            ValueError: A user or item is unknown, or a column is there twice.
        """
        return join_features(rows, self._parts.users, self._parts.items.frame)

    def truth(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the true answer to every row, whether clicked or not.

        Args:
            rows: Columns user, item, domain; also position, time or
                last_clicked when a dial makes them matter.

        Returns:
            A frame with the index of `rows`: click; like, finish, purchase
            (probability if the row were clicked, averaged over the hidden
            cause of *every* impression: the entire space) and watch_minutes
            (mean if clicked, in minutes); and like_given_click,
            finish_given_click, purchase_given_click (probability among rows
            like this one that *were* clicked; purchase differs when
            `confounding` is up, for then clicked rows have a better cause).

        Raises:
            ValueError: A column is missing, or a value is unknown.
        """
        at = self._impressions(rows)
        return pd.DataFrame(
            self._parts.responder.probabilities(at), index=rows.index
        )

    def best_metrics(
        self, rows: pd.DataFrame, *, space: str = "labelled"
    ) -> pd.DataFrame:
        """Return what a perfect model is expected to score on the rows.

        Args:
            rows: As for `truth`, and click unless `space` is "all".
            space: "labelled" judges every task on the rows that have its
                label (all rows for click, else clicked rows); "all" judges
                every task on all rows as if all had been clicked.

        Returns:
            A frame task, metric ("auc", "log_loss", "rmse"), value. NaN
            where a metric has no rows.
        """
        if space not in ("labelled", "all"):
            raise ValueError(
                f'space must be "labelled" or "all", not {space!r}.'
            )
        truth = self.truth(rows)
        if space == "all":
            return best_table(truth, np.ones(len(rows), dtype=bool), "")
        if "click" not in rows:
            raise ValueError(
                "rows have no column 'click', which says where the other "
                'labels exist. Add it, or pass space="all".'
            )
        clicked = rows["click"].to_numpy() == 1
        return best_table(truth, clicked, "_given_click")

    def respond(
        self,
        user: npt.ArrayLike,
        item: npt.ArrayLike,
        *,
        domain: npt.ArrayLike,
        position: npt.ArrayLike = 0,
        time: npt.ArrayLike = HORIZON_DAYS,
        last_clicked: npt.ArrayLike = -1,
        rng: np.random.Generator,
    ) -> pd.DataFrame:
        """Answer impressions live, with the probabilities of `truth`.

        Args:
            user: Users shown something; all arguments broadcast to `[n]`.
            item: What is shown.
            domain: "films" or "books" (one, or one per impression).
            position: Place in the list, 0 is the top.
            time: Days; by default the moment the 60 days of a log end.
            last_clicked: Item clicked last in the session, -1 if none.
            rng: Source of the luck.

        Returns:
            A frame click, like, finish, purchase, watch_minutes; all but
            click are NaN where there was no click.
        """
        if not isinstance(rng, np.random.Generator):
            raise ValueError(
                "rng must be a numpy Generator: np.random.default_rng(seed)."
            )
        columns = {
            "user": user,
            "item": item,
            "domain": domain,
            "position": position,
            "time": time,
            "last_clicked": last_clicked,
        }
        values = np.broadcast_arrays(*np.atleast_1d(*columns.values()))
        at = self._impressions(
            pd.DataFrame(dict(zip(columns, values, strict=True)))
        )
        return answer_live(at, self._parts.responder, rng)

    def _impressions(self, rows: pd.DataFrame) -> Impressions:
        needed = {
            "position": self.position_bias,
            "time": self.drift,
            "last_clicked": self.session_memory,
        }
        return impressions_of(rows, self.n_users, self.n_items, needed)

    @cached_property
    def _parts(self) -> Parts:
        return assemble(self)
