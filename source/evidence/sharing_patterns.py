"""Every pattern of sharing, on Lantern, MovieLens-100K and Census-Income.

All patterns have as many parameters as one MMoE; only the single-task models
have more, an embedding table each, and those of a task known only after a
click fewer steps in an epoch. Every pattern has the same search of its
learning rate on validation rows, in a seed of its own. One world per task
correlation; six seeds; most of the world's rows are test rows, because the
differences are small. Census-Income is the official test file only, and no
figure may be compared with a published one.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils import models
from mtlrec_utils.data import (
    Categorical,
    Schema,
    Task,
    World,
    split_at_random,
    split_by_time,
)
from mtlrec_utils.data.real import load_census_income
from mtlrec_utils.evidence import compare, comparison_table, holm_corrected
from mtlrec_utils.learning import replicate, tune
from tools.evidence import load

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(6)
TUNING_SEED = 1000
GRID = {"learning_rate": [1e-3, 3e-3, 1e-2]}
WORLDS = {"Lantern, 0.0": 0.0, "Lantern, 0.5": 0.5, "Lantern, 0.9": 0.9}
MOVIELENS, CENSUS = "MovieLens-100K", "Census-Income"
FIT = {
    **dict.fromkeys(WORLDS, {"epochs": 10, "batch_size": 256}),
    MOVIELENS: {"epochs": 10, "batch_size": 512},
    CENSUS: {"epochs": 6, "batch_size": 1024},
}
METRICS = {"binary": "auc", "regression": "rmse"}
SIZES = {"embedding_dimension": 8, "tower_units": (8,)}
COLUMNS = ("user", "item", "position", "age_group", "region", "genre")
OPENED_BY_CLICK = ("like", "finish", "purchase")
ALONE, BASELINE = "single_task", "shared_bottom"
EXPERTS = {"n_experts": 4}
OWN_AND_SHARED = {"n_task_experts": 1, "n_shared_experts": 2}
# pattern -> widths -> a function that builds it from schema and seed
PATTERNS = {
    BASELINE: lambda units: partial(
        models.shared_bottom, bottom_units=units, **SIZES
    ),
    "l2_constrained": lambda units: partial(
        models.l2_constrained, bottom_units=units, **SIZES
    ),
    "cross_stitch": lambda units: partial(
        models.cross_stitch, bottom_units=units, **SIZES
    ),
    "omoe": lambda units: partial(
        models.omoe, expert_units=units, **EXPERTS, **SIZES
    ),
    "mmoe": lambda units: partial(
        models.mmoe, expert_units=units, **EXPERTS, **SIZES
    ),
    "cgc": lambda units: partial(
        models.cgc, expert_units=units, **OWN_AND_SHARED, **SIZES
    ),
    "ple": lambda units: partial(
        models.ple, n_levels=2, expert_units=units, **OWN_AND_SHARED, **SIZES
    ),
}


def missing() -> str | None:
    """Say what is not there."""
    for experiment in ("movielens_09", "census_09"):
        reason = load(experiment).missing()
        if reason:
            return reason
    return None


def units() -> list[dict]:
    """One pattern on one data set."""
    return [
        {"data": data, "pattern": pattern}
        for data in FIT
        for pattern in (ALONE, *PATTERNS)
    ]


@lru_cache(1)
def encoded(data: str) -> tuple:
    """Return the fitted schema, its encoded parts, and the best scores."""
    best = {}
    if data == CENSUS:
        parts = split_at_random(load_census_income("test"), (0.6, 0.2, 0.2))
        names = load("census_09")
        tasks = [Task(names.INCOME), Task(names.MARITAL)]
        features, user = names.features(household_columns=False), None
    elif data == MOVIELENS:
        parts, _ = load("movielens_09").rows_of("100k")
        features = ["user", "item", "sex", "occupation"]
        tasks = [Task("like"), Task("rating", "regression", label="stars")]
        features, user = [Categorical(name) for name in features], "user"
    else:
        world = World(
            n_users=1000, n_items=100, task_correlation=WORLDS[data], seed=1
        )
        log = world.with_features(world.log(80_000, domain="films"))
        parts = split_by_time(log, (0.3, 0.1, 0.6))
        scores = world.best_metrics(parts[2]).query("metric == 'auc'")
        best = dict(zip(scores["task"], scores["value"], strict=True))
        tasks = [Task("click")]
        tasks += [Task(t, sample_space="click") for t in OPENED_BY_CLICK]
        features, user = [Categorical(name) for name in COLUMNS], "user"
    schema = Schema(features, tasks).fit(parts[0])
    return schema, [schema.encode(part, user=user) for part in parts], best


def builders(schema: Schema, pattern: str) -> dict:
    """Return a pattern's models by name: one, or one per task."""
    target = models.count_parameters(PATTERNS["mmoe"]((16,))(schema, seed=0))

    def equal(name: str) -> tuple[int, ...]:
        return models.units_of_equal_capacity(
            lambda widths: PATTERNS[name](widths)(schema, seed=0),
            target,
            proportions=(16,),
        )

    if pattern != ALONE:
        return {pattern: partial(PATTERNS[pattern](equal(pattern)), schema)}
    width = max(1, equal(BASELINE)[0] // len(schema.tasks))
    return {
        task.name: partial(
            models.single_task,
            schema,
            task.name,
            bottom_units=(width,),
            **SIZES,
        )
        for task in schema.tasks
    }


def run(unit: dict) -> pd.DataFrame:
    """Tune one pattern, train it with every seed; keep its predictions."""
    schema, (train, validation, test), best = encoded(unit["data"])
    built = builders(schema, unit["pattern"])
    options = {**FIT[unit["data"]], "patience": 2}
    chosen = {
        name: tune(
            build, GRID, train, validation, seed=TUNING_SEED, **options
        ).fit_options
        for name, build in built.items()
    }
    found = replicate(
        built,
        train,
        validation,
        test,
        seeds=SEEDS,
        per_model=chosen,
        **options,
    )
    costs = found.table.drop_duplicates(["model", "seed"]).groupby("seed")[
        ["parameters", "steps", "seconds"]
    ]
    users = np.arange(len(test)) if test.users is None else test.users
    frames = []
    for name in built:
        for task, predicted in found.predictions[name].items():
            known = test.masks[task] > 0
            frames += [
                pd.DataFrame(
                    {
                        "task": task,
                        "seed": seed,
                        "user": users[known],
                        "label": test.labels[task][known],
                        "predicted": predicted[i, known].reshape(-1),
                        "rate": chosen[name]["learning_rate"],
                        "best": best.get(task, np.nan),
                    }
                ).assign(**costs.sum().loc[seed])
                for i, seed in enumerate(SEEDS)
            ]
    return pd.concat(frames).assign(**unit)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per data set, task and pattern, against the shared bottom.

    A data set is one family: its comparisons carry Holm's correction.
    """
    families = [
        _family(rows).assign(data=data)
        for data, rows in results.groupby("data", sort=False)
    ]
    first = ["data", "task", "pattern"]
    found = pd.concat(families, ignore_index=True)
    return found[first + [c for c in found if c not in first]]


def _family(results: pd.DataFrame) -> pd.DataFrame:
    found, costs = {}, {}
    for task, cell in results.groupby("task", sort=False):
        of_pattern = dict(list(cell.groupby("pattern", sort=False)))
        base = of_pattern.pop(BASELINE)
        labels = base[base["seed"] == SEEDS[0]]
        binary = bool(labels["label"].isin([0, 1]).all())
        for pattern, rows in of_pattern.items():
            found[task, pattern] = compare(
                labels["label"].to_numpy(),
                _by_seed(rows),
                _by_seed(base),
                metric=METRICS["binary" if binary else "regression"],
                groups=labels["user"].to_numpy(),
            )
            costs[task, pattern] = {
                "best": base["best"].iloc[0],
                **_cost(rows),
                **_cost(base, "baseline_"),
            }
    rows = comparison_table(holm_corrected(found), ("task", "pattern"))
    keys = zip(rows["task"], rows["pattern"], strict=True)
    return rows.join(pd.DataFrame([costs[key] for key in keys]))


def _by_seed(rows: pd.DataFrame) -> np.ndarray:
    """Return predictions [S, N]."""
    return np.stack(
        [seed["predicted"].to_numpy() for _, seed in rows.groupby("seed")]
    )


def _cost(rows: pd.DataFrame, prefix: str = "") -> dict[str, float]:
    """Average what one training took, and name its rate."""
    columns = ["parameters", "steps", "seconds", "rate"]
    of_seed = rows.groupby("seed")[columns].first().mean()
    return {prefix + name: value for name, value in of_seed.items()}
