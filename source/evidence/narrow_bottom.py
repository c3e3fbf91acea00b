"""Where sharing hurts: a bottom too narrow for both tasks.

The synthetic regression of the MMoE paper (Ma et al., KDD 2018) in 20
dimensions, with one fixed curve. Two single-task models have a bottom of 4
units each. Against them stand a shared bottom of 4 units, and one of 8: as
many units as both together. Labels are plentiful, so only capacity can lack.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import pandas as pd

from mtlrec_utils.data import (
    Number,
    Schema,
    Task,
    split_at_random,
    synthetic_regression,
)
from mtlrec_utils.evidence import paired_interval, rmse, verdict
from mtlrec_utils.learning import fit, predict, tune
from mtlrec_utils.models import shared_bottom, single_task

SEEDS = range(1, 7)  # one draw of the data each
TUNING_SEED = 0
CORRELATIONS = (0.0, 0.5, 1.0)
DIMENSION = 20
ROWS = 20_000
TASKS = ("task_a", "task_b")
GRID = {"learning_rate": [3e-3, 1e-2]}
BUDGET = {"epochs": 20, "batch_size": 256, "decay": "linear"}


def units() -> list[dict]:
    """One draw of the data per unit."""
    return [
        {"correlation": correlation, "seed": seed}
        for correlation in CORRELATIONS
        for seed in SEEDS
    ]


def encoded(correlation: float, seed: int) -> tuple:
    """Return the schema and the training, validation and test rows."""
    frame = synthetic_regression(
        ROWS + 6000, correlation=correlation, dimension=DIMENSION, seed=seed
    )
    fractions = np.array([ROWS, 2000, 4000]) / len(frame)
    parts = split_at_random(frame, tuple(fractions), seed=seed)
    schema = Schema(
        [Number(f"x_{i}", transform="none") for i in range(DIMENSION)],
        [Task(task, kind="regression") for task in TASKS],
    ).fit(parts[0])
    return schema, *(schema.encode(part) for part in parts)


def builders(schema: Schema) -> dict:
    """Return every model by name."""
    tower = {"tower_units": (8,)}
    alone = {
        task: partial(single_task, schema, task, bottom_units=(4,), **tower)
        for task in TASKS
    }
    shared = {
        f"shared, {width} units": partial(
            shared_bottom, schema, bottom_units=(width,), **tower
        )
        for width in (4, 8)
    }
    return alone | shared


@lru_cache
def tuned(correlation: float) -> dict:
    """Choose each model's learning rate on a draw of its own."""
    schema, train, validation, _ = encoded(correlation, TUNING_SEED)
    return {
        name: tune(build, GRID, train, validation, **BUDGET).fit_options
        for name, build in builders(schema).items()
    }


def run(unit: dict) -> pd.DataFrame:
    """Return each model's error per task: MSE over the label's variance."""
    schema, train, _, test = encoded(**unit)
    options, rows = tuned(unit["correlation"]), []
    for name, build in builders(schema).items():
        model = build(seed=unit["seed"])
        fit(model, train, seed=unit["seed"], **BUDGET, **options[name])
        for task, values in predict(model, test).items():
            labels = test.labels[task]
            error = rmse(labels, values) ** 2 / labels.var()
            rows.append({**unit, "model": name, "task": task, "error": error})
    return pd.DataFrame(rows)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Compare each shared model with the single-task models."""
    rows = []
    alone = results[results["model"] == results["task"]]
    for (correlation, model), found in results.groupby(
        ["correlation", "model"], sort=False
    ):
        if model in TASKS:
            continue
        pairs = found.merge(
            alone, on=["correlation", "seed", "task"], suffixes=("", "_alone")
        )
        means = pairs.groupby("seed")[["error", "error_alone"]].mean()
        interval = paired_interval(means["error"] - means["error_alone"])
        rows.append(
            {
                "correlation": correlation,
                "model": model,
                "metric": "normalised_mse",
                "higher_is_better": False,
                "shared": means["error"].mean(),
                "alone": means["error_alone"].mean(),
                "difference": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "verdict": verdict(interval.low, interval.high, False),
                "draws": len(means),
            }
        )
    return pd.DataFrame(rows)
