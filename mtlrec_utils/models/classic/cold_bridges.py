"""All bridges of one split with cold users, each tuned on validation users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.data.cold_users import ColdStart
from mtlrec_utils.models.classic.bridges import (
    described,
    mean_history,
    orthogonal_bridge,
    rating_bridges,
    ridge_bridge,
)
from mtlrec_utils.models.classic.rating_factors import (
    CollectiveFactors,
    RatingFactors,
)

Floats = NDArray[np.float64]
Trial = Callable[[pd.DataFrame], Floats]

RIDGES = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
SOURCE_WEIGHTS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
METHODS = (
    "item mean",
    "identity",
    "rotation",
    "EMCDR",
    "on ratings",
    "personal",
    "CMF",
)


class ColdBridges:
    """Factors of both domains, and what each method makes of cold users.

    Args:
        split: who is cold; ids are numbers (``data.cold_users.numbered``).
        sizes: users, source items, target items.
        seed: of all factors.
        ridges: the trials of every bridge that has one.
        **factors: settings of ``RatingFactors``.

    Attributes:
        source: factors of the source, from all its rows.
        target: factors of the target, from the rows without cold users.
        history: mean vector of the source items of each user.
    """

    def __init__(
        self,
        split: ColdStart,
        sizes: tuple[int, int, int],
        *,
        seed: int = 0,
        ridges: Sequence[float] = RIDGES,
        **factors: Any,
    ) -> None:
        self.split, self.sizes = split, sizes
        self._ridges = tuple(ridges)
        self._factors, self._seed = factors, seed
        n_users, n_source, n_target = sizes
        self.source = RatingFactors(**factors, seed=seed)
        self.source.fit(split.source, n_users, n_source)
        # Another seed: the axes of two domains have nothing in common.
        self.target = RatingFactors(**factors, seed=seed + 1)
        self.target.fit(split.target, n_users, n_target)
        self.history = mean_history(
            split.source["user"],
            split.source["item"],
            self.source.item_vectors[:, :-1],
            n_users,
        )

    def predict(self, rows: pd.DataFrame, vectors: Floats) -> Floats:
        """Predict rows with given target vectors of all users, `[N]`."""
        return self.target.predict(rows["user"], rows["item"], vectors)

    def bridge(
        self,
        given: Floats,
        linked: ArrayLike,
        ridge: float,
        on_ratings: bool = False,
    ) -> Floats:
        """Learn a linear bridge from linked users, `[k, m]`.

        Args:
            given: What it reads of each user, `[n_users, k]`.
            linked: Numbers of the linked users.
            ridge: 0 or more.
            on_ratings: Fit the linked users' ratings, not their vectors.
        """
        return self._bridges(given, np.asarray(linked), [ridge], on_ratings)[0]

    def _bridges(
        self,
        given: Floats,
        users: NDArray,
        ridges: Sequence[float],
        on_ratings: bool,
    ) -> list[Floats]:
        if not on_ratings:
            theirs = self.target.user_vectors[users]
            return [ridge_bridge(given[users], theirs, r) for r in ridges]
        rows = self.split.target
        rows = rows[rows["user"].isin(users)]
        rest = rows["rating"] - self.target.item_mean[rows["item"]]
        return rating_bridges(
            given[rows["user"]],
            self.target.item_vectors[rows["item"]],
            rest,
            ridges,
        )

    def best_of(self, trials: Mapping[Any, Trial]) -> tuple[Trial, Any]:
        """Return the trial with the least squared error on validation users.

        Args:
            trials: Setting -> function of rows that predicts them.

        Returns:
            The trial and its setting.
        """
        rows = self.split.validation
        errors = {
            setting: float(np.mean((trial(rows) - rows["rating"]) ** 2))
            for setting, trial in trials.items()
        }
        best = min(errors, key=lambda setting: errors[setting])
        return trials[best], best

    def methods(
        self, linked: ArrayLike, names: Sequence[str] = METHODS
    ) -> dict[str, tuple[Floats, float]]:
        """Predict the test rows by every method.

        Args:
            linked: Users to learn from; others rate in the target too, but
                nobody knows who they are in the source.
            names: Which methods.

        Returns:
            Method -> (predictions `[N]`, its chosen setting or NaN).
        """
        found = {}
        for name in names:
            trials = self._trials(name, np.asarray(linked))
            trial, setting = next(iter(trials.values())), np.nan
            if len(trials) > 1:
                trial, setting = self.best_of(trials)
            found[name] = (trial(self.split.test), setting)
        return found

    def _trials(self, name: str, linked: NDArray) -> dict[float, Trial]:
        own = self.source.user_vectors
        if name == "item mean":
            return {0.0: self._with(np.zeros_like(own))}
        if name == "identity":
            return {0.0: self._with(own)}
        if name == "rotation":
            turn = orthogonal_bridge(
                own[linked], self.target.user_vectors[linked]
            )
            return {0.0: self._with(own @ turn)}
        if name == "CMF":
            return {w: self._collective(linked, w) for w in SOURCE_WEIGHTS}
        if name not in METHODS:
            raise ValueError(
                f"{name!r} is no method; there are {', '.join(METHODS)}."
            )
        given = described(own, self.history) if name == "personal" else own
        ridges = self._ridges
        bridges = self._bridges(given, linked, ridges, name != "EMCDR")
        return {
            ridge: self._with(given @ bridge)
            for ridge, bridge in zip(ridges, bridges, strict=True)
        }

    def _with(self, vectors: Floats) -> Trial:
        return lambda rows: self.predict(rows, vectors)

    def _collective(self, linked: NDArray, weight: float) -> Trial:
        """CMF, in which a user who is not linked is two people."""
        n_users, n_source, n_target = self.sizes
        rows = self.split.target
        apart = rows.assign(
            user=np.where(
                rows["user"].isin(linked), rows["user"], rows["user"] + n_users
            )
        )
        model = CollectiveFactors(weight, **self._factors, seed=self._seed)
        model.fit(self.split.source, apart, 2 * n_users, (n_source, n_target))
        return lambda rows: model.predict(rows["user"], rows["item"])
