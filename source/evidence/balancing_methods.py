"""Every balancing method beside tuned static weights, in two Lantern worlds.

"agreeing" tasks share their tastes (task correlation 0.9); "competing" ones do
not (0) and meet in a bottom too narrow for all three. One world each, ten
seeds. Each method has the same search of its learning rate on validation
rows; "static" may choose the weights of two losses besides. It is the
baseline: all other methods have to beat it. Most rows are test rows, because
the differences are small.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, World, split_by_time
from mtlrec_utils.evidence import compare, comparison_table, holm_corrected
from mtlrec_utils.learning import balancing, replicate, tune
from mtlrec_utils.models import mmoe, shared_bottom

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(10)
TUNING_SEED = 1000
WORLDS = {"agreeing": 0.9, "competing": 0.0}  # task correlation
TASKS = ("click", "like", "finish")
COLUMNS = ("user", "item", "position", "age_group", "region", "genre")
SIZES = {"embedding_dimension": 8, "tower_units": (8,)}
MODELS = {
    "shared_bottom": partial(shared_bottom, bottom_units=(16, 4), **SIZES),
    "mmoe": partial(mmoe, n_experts=4, expert_units=(4,), **SIZES),
}
FIT = {"epochs": 10, "patience": 2, "batch_size": 256}
RATES = {"learning_rate": [1e-3, 3e-3, 1e-2]}
WEIGHTS = {
    "loss_weights": [
        {"like": like, "finish": finish}
        for like in (0.3, 1.0, 3.0)
        for finish in (0.3, 1.0, 3.0)
    ]
}
BASELINE = "static"
METHODS = {
    BASELINE: None,
    "equal": None,
    "random": balancing.RandomWeights(),
    "uncertainty": balancing.UncertaintyWeights(),
    "DWA": balancing.DynamicWeightAverage(),
    "GLS": balancing.GeometricMean(),
    "IMTL-L": balancing.IMTLL(),
    "FAMO": balancing.FAMO(),
    "GradNorm": balancing.GradNorm(),
    "MetaBalance": balancing.MetaBalance("like"),
    "MGDA": balancing.MGDA(),
    "PCGrad": balancing.PCGrad(),
    "GradVac": balancing.GradVac(),
    "CAGrad": balancing.CAGrad(),
    "IMTL-G": balancing.IMTLG(),
    "Nash-MTL": balancing.NashMTL(),
    "FairGrad": balancing.FairGrad(),
    "Aligned-MTL": balancing.AlignedMTL(),
    "UPGrad": balancing.UPGrad(),
    "DB-MTL": balancing.DBMTL(),
    "GradDrop": balancing.GradDrop(),
}


def units() -> list[dict]:
    """One method on one model in one world."""
    return [
        {"world": world, "model": model, "method": method}
        for world in WORLDS
        for model in MODELS
        for method in METHODS
    ]


@lru_cache
def encoded(world: str) -> tuple:
    """Return the fitted schema and the three parts of a world's log."""
    lantern = World(
        n_users=1000, n_items=100, task_correlation=WORLDS[world], seed=1
    )
    log = lantern.with_features(lantern.log(80_000, domain="films"))
    parts = split_by_time(log, (0.3, 0.1, 0.6))
    opened = {"like": "click", "finish": "click"}
    schema = Schema(
        [Categorical(name) for name in COLUMNS],
        [Task(name, sample_space=opened.get(name)) for name in TASKS],
    ).fit(parts[0])
    return schema, [schema.encode(part, user="user") for part in parts]


def run(unit: dict) -> pd.DataFrame:
    """Tune one method, train it with every seed; keep its predictions.

    A row per task and seed holds all predictions of the test rows, [N].
    """
    schema, (train, validation, test) = encoded(unit["world"])
    method = unit["method"]
    build = partial(MODELS[unit["model"]], schema)
    options = {**FIT, "balancing": METHODS[method]}
    grid = {**RATES, **(WEIGHTS if method == BASELINE else {})}
    chosen = tune(
        build, grid, train, validation, seed=TUNING_SEED, **options
    ).fit_options
    found = replicate(
        {method: build},
        train,
        validation,
        test,
        seeds=SEEDS,
        per_model={method: chosen},
        **options,
    )
    costs = found.table.groupby("seed")[["parameters", "steps", "seconds"]]
    weights = chosen.get("loss_weights", {})
    rows = [
        {"task": task, "seed": seed, "predicted": predicted[i]}
        for task, predicted in found.predictions[method].items()
        for i, seed in enumerate(SEEDS)
    ]
    return (
        pd.DataFrame(rows)
        .join(costs.first(), on="seed")
        .assign(
            rate=chosen["learning_rate"],
            like_weight=weights.get("like", np.nan),
            finish_weight=weights.get("finish", np.nan),
            **unit,
        )
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per world, model, task and method.

    A model in a world is one family: its comparisons carry Holm's correction.
    """
    families = [
        _family(world, rows).assign(world=world, model=model)
        for (world, model), rows in results.groupby(
            ["world", "model"], sort=False
        )
    ]
    first = ["world", "model", "task", "method"]
    found = pd.concat(families, ignore_index=True)
    return found[first + [c for c in found if c not in first]]


def _family(world: str, results: pd.DataFrame) -> pd.DataFrame:
    _, (_, _, test) = encoded(world)
    found, costs = {}, {}
    for task, cell in results.groupby("task", sort=False):
        of_method = dict(list(cell.groupby("method", sort=False)))
        base = of_method.pop(BASELINE)
        for method, rows in of_method.items():
            found[task, method] = compare(
                test.labels[task],
                np.stack(rows["predicted"]),
                np.stack(base["predicted"]),
                metric="auc",
                groups=test.users,
                mask=test.masks[task],
            )
            costs[task, method] = {**_cost(rows), **_cost(base, "baseline_")}
    rows = comparison_table(holm_corrected(found), ("task", "method"))
    keys = zip(rows["task"], rows["method"], strict=True)
    return rows.join(pd.DataFrame([costs[key] for key in keys]))


def _cost(rows: pd.DataFrame, prefix: str = "") -> dict[str, float]:
    """Average what one training took, and name its settings."""
    columns = ["parameters", "steps", "seconds", "rate"]
    columns += ["like_weight", "finish_weight"] if prefix else []
    return {prefix + name: rows[name].mean() for name in columns}
