"""The synthetic experiment of the MMoE paper, in four protocols.

Two details of it, crossed: the sines behind the labels are drawn anew for
every seed, or fixed; the learning rate stays constant, or falls to 0. In
each protocol every model's rate is chosen by the same small search on
validation rows, in two draws of its own, at correlation 0.5.

100 inputs, 8 experts of 16 units and towers of 8 units are the paper's
(Ma et al., KDD 2018, section 5.1). The paper takes 200 runs of undisclosed
length; here are 5 seeds of 1,580 steps on 10,000 rows. The shared bottom is
as wide as makes its parameters equal MMoE's, and each single-task model has
a bottom half as wide.
"""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Number, Schema, Task, synthetic_regression
from mtlrec_utils.evidence import paired_interval, verdict
from mtlrec_utils.learning import (
    ReplicationError,
    TrainingDiverged,
    replicate,
)
from mtlrec_utils.models import (
    equal_capacity_units,
    mmoe,
    omoe,
    shared_bottom,
    single_task,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 6)
TUNING_SEEDS = (101, 102)
TUNING_CORRELATION = 0.5
CORRELATIONS = (0.0, 0.5, 0.9, 1.0)
SINES = ("random", "fixed")
SCHEDULES = {"constant": None, "falling": "linear"}  # decay of the rate
DIMENSION = 100
ROWS = (10_000, 2_000, 5_000)
TASKS = ("task_a", "task_b")
TOWERS = {"tower_units": (8,)}
EXPERTS = {"n_experts": 8, "expert_units": (16,)}
FIT = {"epochs": 20, "batch_size": 128}
RATES = (3e-3, 1e-2, 3e-2, 1e-1)
N_SINES = 10
ALONE = "single_task"
PAIRS = (
    ("mmoe", "shared_bottom"),
    ("mmoe", "omoe"),
    ("mmoe", ALONE),
    ("shared_bottom", ALONE),
)
SCHEMA = Schema(
    [Number(f"x_{k}", "none") for k in range(DIMENSION)],
    [Task(name, "regression") for name in TASKS],
)


def units() -> list[dict]:
    """One draw of the data per unit."""
    return [
        {
            "sines": sines,
            "schedule": schedule,
            "correlation": correlation,
            "seed": seed,
        }
        for sines in SINES
        for schedule in SCHEDULES
        for correlation in CORRELATIONS
        for seed in SEEDS
    ]


def curve(sines: str, seed: int) -> dict:
    """Return the sines behind the labels; {} is the fixed curve."""
    if sines == "fixed":
        return {}
    random = np.random.default_rng(seed)
    return {
        "amplitudes": random.standard_normal(N_SINES),
        "phases": random.standard_normal(N_SINES),
    }


def parts(sines: str, correlation: float, seed: int) -> list:
    """Return training, validation and test rows of one draw."""
    frames = [
        synthetic_regression(
            n_rows,
            correlation=correlation,
            dimension=DIMENSION,
            seed=seed,
            draw=draw,
            **curve(sines, seed),
        )
        for draw, n_rows in enumerate(ROWS)
    ]
    schema = SCHEMA.fit(frames[0])
    return [schema.encode(frame) for frame in frames]


@lru_cache
def builders() -> dict:
    """Return all models by name; the same functions at every call."""
    parts("fixed", 0.0, TUNING_SEEDS[0])  # fits the schema
    width = equal_capacity_units(
        mmoe(SCHEMA, **EXPERTS, **TOWERS), SCHEMA, bottom_units=(1,), **TOWERS
    )
    half = (width[0] // 2,)
    return {
        "alone_a": lambda seed: single_task(
            SCHEMA, "task_a", bottom_units=half, seed=seed, **TOWERS
        ),
        "alone_b": lambda seed: single_task(
            SCHEMA, "task_b", bottom_units=half, seed=seed, **TOWERS
        ),
        "shared_bottom": lambda seed: shared_bottom(
            SCHEMA, bottom_units=width, seed=seed, **TOWERS
        ),
        "omoe": lambda seed: omoe(SCHEMA, seed=seed, **EXPERTS, **TOWERS),
        "mmoe": lambda seed: mmoe(SCHEMA, seed=seed, **EXPERTS, **TOWERS),
    }


def validation_error(
    name: str, draw: list, rate: float, schedule: str
) -> float:
    """Train on one draw; return the squared error at the end, tasks added."""
    train, validation, _ = draw
    try:
        found = replicate(
            {name: builders()[name]},
            train,
            None,
            validation,
            seeds=[0],
            learning_rate=rate,
            decay=SCHEDULES[schedule],
            **FIT,
        )
    except ReplicationError as error:
        if isinstance(error.__cause__, TrainingDiverged):
            return np.inf
        raise
    errors = found.table.query("metric == 'rmse'")["value"]
    return float((errors**2).sum())


@lru_cache
def settings(sines: str, schedule: str) -> dict[str, dict]:
    """Choose each model's learning rate by its validation errors."""
    draws = [parts(sines, TUNING_CORRELATION, seed) for seed in TUNING_SEEDS]
    chosen = {}
    for name in builders():
        errors = [
            sum(validation_error(name, draw, rate, schedule) for draw in draws)
            for rate in RATES
        ]
        chosen[name] = {"learning_rate": RATES[int(np.argmin(errors))]}
        print(sines, schedule, name, np.round(errors, 4), flush=True)
    return chosen


def run(unit: dict) -> pd.DataFrame:
    """Train all models on one draw; errors are normalised by variance."""
    train, _, test = parts(unit["sines"], unit["correlation"], unit["seed"])
    chosen = settings(unit["sines"], unit["schedule"])
    found = replicate(
        builders(),
        train,
        None,
        test,
        seeds=[unit["seed"]],
        per_model=chosen,
        decay=SCHEDULES[unit["schedule"]],
        **FIT,
    )
    rows = found.table.query("metric == 'rmse'").copy()
    variance = {task: test.labels[task].var() for task in TASKS}
    scale = rows["task"].map(variance).astype(float)
    rows["value"] = rows["value"] ** 2 / scale
    rows["floor"] = 0.1**2 / scale
    rows["rate"] = [chosen[name]["learning_rate"] for name in rows["model"]]
    alone = rows["model"].str.startswith("alone")
    rows.loc[alone, "parameters"] = rows.loc[alone, "parameters"].sum()
    rows["model"] = rows["model"].mask(alone, ALONE)
    columns = [
        "model",
        "task",
        "value",
        "floor",
        "rate",
        "parameters",
        "steps",
    ]
    return rows[columns].assign(**unit)


def listed(values: Iterable[float]) -> str:
    """Write each seed's value, in order."""
    return " ".join(f"{value:g}" for value in values)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per sines, schedule, correlation, task and pair of models."""
    rows = []
    both = results.groupby(
        ["sines", "schedule", "correlation", "model", "seed"], as_index=False
    ).agg(
        {"value": "mean", "floor": "mean", "rate": "max", "parameters": "max"}
    )
    every = pd.concat([results, both.assign(task="both")])
    keys = ["sines", "schedule", "correlation", "task"]
    for key, cell in every.groupby(keys, sort=False):
        scores = cell.pivot(index="seed", columns="model", values="value")
        of_model = cell.groupby("model")
        for candidate, baseline in PAIRS:
            difference = (scores[candidate] - scores[baseline]).to_numpy()
            mean, low, high = paired_interval(difference)
            rows.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "metric": "normalised_mse",
                    "higher_is_better": False,
                    "candidate_model": candidate,
                    "baseline_model": baseline,
                    "candidate": scores[candidate].mean(),
                    "baseline": scores[baseline].mean(),
                    "candidate_sd": scores[candidate].std(),
                    "baseline_sd": scores[baseline].std(),
                    "floor": cell["floor"].mean(),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "verdict": verdict(low, high, False),
                    "seeds": len(scores),
                    "differences": listed(difference.round(5)),
                    "candidate_rate": of_model["rate"].max()[candidate],
                    "baseline_rate": of_model["rate"].max()[baseline],
                    "candidate_parameters": of_model["parameters"].max()[
                        candidate
                    ],
                    "baseline_parameters": of_model["parameters"].max()[
                        baseline
                    ],
                }
            )
    return pd.DataFrame(rows)
