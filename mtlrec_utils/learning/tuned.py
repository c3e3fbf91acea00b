"""Compare models that were each tuned first, all by the same search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.evidence import (
    compare,
    comparison_table,
    holm_corrected,
)
from mtlrec_utils.learning.replication import Replication, replicate
from mtlrec_utils.learning.search import Search, tune


@dataclass(frozen=True)
class TunedReplication:
    """What came of it.

    Attributes:
        replication: every model with its best settings, over the seeds.
        searches: model -> the search that chose its settings.
    """

    replication: Replication
    searches: dict[str, Search]

    def compare(
        self,
        pairs: Iterable[tuple[str, str]],
        metrics: Mapping[str, str],
        test: Examples,
        resamples: int = 1000,
    ) -> pd.DataFrame:
        """Compare pairs of models on every task that both predict.

        All comparisons are one family: intervals carry Holm's correction.

        Args:
            pairs: (candidate, baseline) names. A baseline may be several
                names joined by " + ", models of one task each.
            metrics: task -> metric of ``evidence.compare``.
            test: the rows that were predicted; their users, if any, are
                what is resampled.
            resamples: bootstrap resamples.

        Returns:
            One row per pair and task: candidate_model, baseline_model,
            task, every field of ``Comparison``, verdict, and of both sides
            the parameters and the mean seconds of one training.

        Raises:
            ValueError: an unknown model, or bad arrays.
        """
        found = {}
        for candidate, baseline in pairs:
            ours, theirs = (
                self._predicted(candidate),
                self._predicted(baseline),
            )
            for task in [t for t in metrics if t in ours and t in theirs]:
                found[candidate, baseline, task] = compare(
                    test.labels[task],
                    ours[task],
                    theirs[task],
                    metric=metrics[task],
                    groups=test.users,
                    mask=test.masks[task],
                    resamples=resamples,
                )
        names = ("candidate_model", "baseline_model", "task")
        table = comparison_table(holm_corrected(found), names)
        for side in ("candidate", "baseline"):
            for cost in ("parameters", "seconds"):
                table[f"{side}_{cost}"] = [
                    self.cost(name, cost) for name in table[f"{side}_model"]
                ]
        return table

    def cost(self, name: str, cost: str) -> float:
        """Return the parameters, steps or seconds of a model, or of several.

        The mean over seeds; joined names are added up.
        """
        table = self.replication.table.drop_duplicates(["model", "seed"])
        means = table.groupby("model")[cost].mean()
        return float(sum(means[part] for part in name.split(" + ")))

    def _predicted(self, name: str) -> dict[str, NDArray[np.float32]]:
        """Return task -> [S, N] of a model, or of several joined by " + "."""
        joined: dict[str, NDArray[np.float32]] = {}
        for part in name.split(" + "):
            if part not in self.replication.predictions:
                raise ValueError(
                    f"No model is called {part!r}; there are "
                    f"{', '.join(self.replication.predictions)}."
                )
            joined |= self.replication.predictions[part]
        return joined


def replicate_tuned(
    builders: Mapping[str, Callable[..., Any]],
    grid: Mapping[str, Sequence[Any]],
    train: Examples,
    validation: Examples,
    test: Examples,
    *,
    seeds: Iterable[int] = range(5),
    **fit_options: Any,
) -> TunedReplication:
    """Tune each model on validation rows, then repeat it over seeds.

    Every model gets the same grid and the same ``fit`` options: the same
    chance. The seed of the search is none of ``range(1000)``, so that no
    repetition is the run that won the search.

    Args:
        builders: name -> function of the grid's model settings and
            ``seed``.
        grid: setting -> values, as in ``tune``.
        train: rows to learn from.
        validation: rows to choose settings and epochs by.
        test: rows to measure on, once per model and seed.
        seeds: one repetition each.
        **fit_options: of ``fit``, the same for all.
    """
    searches = {
        name: tune(build, grid, train, validation, seed=1000, **fit_options)
        for name, build in builders.items()
    }
    replication = replicate(
        {
            name: partial(build, **searches[name].build_options)
            for name, build in builders.items()
        },
        train,
        validation,
        test,
        seeds=seeds,
        per_model={n: s.fit_options for n, s in searches.items()},
        **fit_options,
    )
    return TunedReplication(replication, searches)
