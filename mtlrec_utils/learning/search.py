"""Choose settings on validation rows, by the same small search for all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.divergence import TrainingDiverged
from mtlrec_utils.learning.losses import trained_tasks
from mtlrec_utils.learning.reuse import built
from mtlrec_utils.learning.training import fit

# Options of fit that change the result and may stand in a grid.
_FIT = (
    "balance_at",
    "balancing",
    "batch_size",
    "decay",
    "epochs",
    "learning_rate",
    "loss_weights",
)


@dataclass(frozen=True)
class Search:
    """What was tried, and what was best.

    Attributes:
        best: the settings with the lowest validation loss.
        build_options: those of them that the builder takes.
        fit_options: those of them that ``fit`` takes.
        table: one row per setting tried: the settings, loss (the task
            losses on validation rows at the best epoch, each weighted 1),
            a column "loss_<task>" each, best_epoch, steps, seconds and
            parameters. A setting that diverged has NaN losses.
    """

    best: dict[str, Any]
    build_options: dict[str, Any]
    fit_options: dict[str, Any]
    table: pd.DataFrame


def tune(
    build: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]],
    train: Examples,
    validation: Examples,
    *,
    seed: int = 0,
    limit: int | None = None,
    judge: Mapping[str, float] | None = None,
    **fit_options: Any,
) -> Search:
    """Try settings and return those with the lowest validation loss.

    Give every model of a comparison the same `limit` and `fit_options`:
    then each has had the same chance.

    Args:
        build: function of the grid's model settings and the seed, as in
            ``lambda n_experts, seed: mmoe(schema, n_experts=n_experts,
            seed=seed)``.
        grid: setting -> values. balancing, balance_at, batch_size, decay,
            epochs, learning_rate and loss_weights go to ``fit``, all
            others to `build`.
        train: rows to learn from.
        validation: rows to choose by; test rows have no place here.
        seed: of weights, order of rows, and the choice below.
        limit: try only so many combinations, drawn at random; None: all.
        judge: task -> weight of its validation loss in the judgement; 1
            for those not named. Unlike `loss_weights` it is the same for
            all settings.
        **fit_options: of ``fit``, the same for all settings.

    Raises:
        ValueError: an empty grid, an option given twice, an unknown task,
            or no setting that could be trained.
    """
    settings = _combinations(grid, limit, seed)
    double = sorted(grid.keys() & fit_options.keys())
    if double:
        raise ValueError(
            f"{', '.join(double)}: in the grid and in the options; choose."
        )
    rows = []
    for setting in settings:
        of_fit = {k: v for k, v in setting.items() if k in _FIT}
        of_model = {k: v for k, v in setting.items() if k not in _FIT}
        model = built(_with_settings(build, of_model), seed)
        found = _judged(
            model,
            train,
            validation,
            judge or {},
            {**fit_options, **of_fit, "seed": seed},
        )
        rows.append({**setting, **found})
    table = pd.DataFrame(rows)
    if table["loss"].isna().all():
        raise ValueError(
            "No setting could be trained: all diverged. Put lower learning "
            "rates into the grid."
        )
    best = settings[int(np.nanargmin(table["loss"]))]
    return Search(
        best,
        {k: v for k, v in best.items() if k not in _FIT},
        {k: v for k, v in best.items() if k in _FIT},
        table,
    )


def _combinations(
    grid: Mapping[str, Sequence[Any]], limit: int | None, seed: int
) -> list[dict[str, Any]]:
    empty = [name for name, values in grid.items() if not len(values)]
    if not grid or empty:
        raise ValueError(
            f"The grid has no values for {', '.join(empty) or 'anything'}."
        )
    every = [
        dict(zip(grid, values, strict=True))
        for values in product(*grid.values())
    ]
    if limit is None or limit >= len(every):
        return every
    if limit < 1:
        raise ValueError(f"limit={limit!r} must be at least 1.")
    chosen = np.random.default_rng(seed).choice(
        len(every), size=limit, replace=False
    )
    return [every[i] for i in sorted(chosen)]


def _with_settings(
    build: Callable[..., Any], settings: Mapping[str, Any]
) -> Callable[..., Any]:
    """Fix a builder's settings; what is left takes the seed, or nothing."""
    parameters = inspect.signature(build).parameters
    named = "seed" in parameters or any(
        p.kind is p.VAR_KEYWORD for p in parameters.values()
    )
    if not named:
        return lambda: build(**settings)
    return lambda seed: build(**settings, seed=seed)


def _judged(
    model: Any,
    train: Examples,
    validation: Examples,
    judge: Mapping[str, float],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    tasks = trained_tasks(model)
    unknown = [task for task in judge if task not in tasks]
    if unknown:
        raise ValueError(
            f"judge names {', '.join(map(repr, unknown))}, but the model's "
            f"tasks are {', '.join(map(repr, tasks))}."
        )
    found: dict[str, Any] = {
        "loss": np.nan,
        "parameters": sum(
            int(np.prod(v.shape)) for v in model.trainable_variables
        ),
    }
    try:
        history = fit(model, train, validation, **options)
    except TrainingDiverged:
        return found
    losses = {t: history.losses("validation", t).to_numpy() for t in tasks}
    unknown = [task for task, values in losses.items() if np.isnan(values[0])]
    if unknown:
        raise ValueError(
            f"validation has no known label of {', '.join(unknown)}, so it "
            "cannot judge. Add rows with labels."
        )
    weights = np.array([judge.get(task, 1.0) for task in losses])
    total = weights @ np.stack(list(losses.values()))  # [epochs]
    best = int(total.argmin())
    return {
        "loss": float(total[best]),
        **{f"loss_{t}": float(values[best]) for t, values in losses.items()},
        "best_epoch": best + 1,
        "steps": history.steps,
        "seconds": history.seconds,
        "parameters": found["parameters"],
    }
