"""MovieLens-100K, like and rating: balancing against tuned static weights.

Every user's ratings are split by that user's own time, as in the table
`movielens_09`. The rating is standardised in training and judged in stars.
Every method has six trials, judged by the sum of both validation losses:
"static" two learning rates times three weights of the rating loss, all
others six learning rates. No run stops early.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Number, Schema, Task
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import compare, comparison_table, holm_corrected
from mtlrec_utils.learning import balancing, replicate, tune
from mtlrec_utils.models import shared_bottom

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
TUNING_SEED = 1000
METRICS = {"like": "log_loss", "rating": "rmse"}
STATIC = "static"
FIT = {"epochs": 4, "batch_size": 512, "decay": "linear"}
RATES = {"learning_rate": [5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2]}
WEIGHTS = {
    "learning_rate": [2e-3, 5e-3],
    "loss_weights": [{"rating": weight} for weight in (0.3, 1.0, 3.0)],
}
METHODS = {
    STATIC: None,
    "equal": None,
    "DWA": balancing.DynamicWeightAverage(),
    "uncertainty": balancing.UncertaintyWeights(),
    "GLS": balancing.GeometricMean(),
    "FAMO": balancing.FAMO(),
    "GradNorm": balancing.GradNorm(),
}


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One method per unit."""
    return [{"method": method} for method in METHODS]


@lru_cache
def encoded() -> tuple:
    """Return the schema and the three encoded parts."""
    data = load_movielens("100k")
    rows = data.ratings.sort_values(["user", "time", "item"], kind="stable")
    rows = rows.merge(data.users, on="user").merge(
        data.items[["item", "year"]], on="item", how="left"
    )
    rows["like"] = (rows["rating"] >= 4).astype(int)
    by_user = rows.groupby("user")
    past = by_user.cumcount() / by_user["item"].transform("size")
    parts = [
        rows[past < 0.6],
        rows[(past >= 0.6) & (past < 0.8)],
        rows[past >= 0.8],
    ]
    names = ["user", "item", "sex", "occupation"]
    schema = Schema(
        [*map(Categorical, names), Number("age"), Number("year")],
        [Task("like"), Task("rating", "regression", scale="standard")],
    ).fit(parts[0])
    return schema, [schema.encode(part, user="user") for part in parts]


def run(unit: dict) -> pd.DataFrame:
    """Tune one method, train it with every seed; keep its predictions."""
    schema, (train, validation, test) = encoded()
    method = unit["method"]
    build = partial(
        shared_bottom,
        schema,
        embedding_dimension=8,
        bottom_units=(16,),
        tower_units=(8,),
    )
    options = {**FIT, "balancing": METHODS[method]}
    grid = WEIGHTS if method == STATIC else RATES
    chosen = tune(
        build, grid, train, validation, seed=TUNING_SEED, **options
    ).fit_options
    found = replicate(
        {method: build},
        train,
        None,
        test,
        seeds=SEEDS,
        per_model={method: chosen},
        **options,
    )
    costs = found.table.groupby("seed")[["parameters", "steps", "seconds"]]
    frames = [
        pd.DataFrame(
            {
                "task": task,
                "seed": seed,
                "user": test.users,
                "label": test.labels[task],
                "predicted": found.predictions[method][task][i],
            }
        ).assign(**costs.first().loc[seed])
        for task in METRICS
        for i, seed in enumerate(SEEDS)
    ]
    return pd.concat(frames).assign(
        rate=chosen["learning_rate"],
        weight=chosen.get("loss_weights", {}).get("rating", np.nan),
        **unit,
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per method and task, all one family."""
    cells = dict(list(results.groupby(["method", "task"], sort=False)))
    found, costs = {}, []
    for (method, task), rows in cells.items():
        if method == STATIC:
            continue
        base = cells[STATIC, task]
        first = base[base["seed"] == SEEDS[0]]
        found[method, task] = compare(
            first["label"].to_numpy(),
            _by_seed(rows),
            _by_seed(base),
            metric=METRICS[task],
            groups=first["user"].to_numpy(),
        )
        costs.append({**_costs(rows), **_costs(base, "baseline_")})
    compared = comparison_table(holm_corrected(found), ("method", "task"))
    return pd.concat([compared, pd.DataFrame(costs)], axis=1)


def _by_seed(rows: pd.DataFrame) -> np.ndarray:
    """Return predictions [S, N]."""
    return np.stack(
        [seed["predicted"].to_numpy() for _, seed in rows.groupby("seed")]
    )


def _costs(rows: pd.DataFrame, prefix: str = "") -> dict:
    names = ("parameters", "steps", "seconds", "rate", "weight")
    means = rows.groupby("seed")[list(names)].first().mean()
    return {prefix + name: means[name] for name in names}
