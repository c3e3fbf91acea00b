"""Gates in Lantern: one model per task, one bottom, or gated experts?

Independent worlds, all their labels. Shared-bottom and MMoE have equally many
parameters; the two single-task models have an embedding table each and so
more. Every model has three trials in a world of its own, seed 0, chosen by
validation loss: the single-task models a learning rate, the joint ones the
weight of the like loss. The worlds that count come after it.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, World, split_by_time
from mtlrec_utils.evidence import paired_interval, verdict
from mtlrec_utils.learning import replicate, tune
from mtlrec_utils.models import (
    equal_capacity_units,
    gate_values,
    mmoe,
    shared_bottom,
    single_task,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 6)  # one world each
TUNING_WORLD = 0
CORRELATIONS = (0.0, 0.5, 0.9)
COLUMNS = [
    "user",
    "item",
    "position",
    "age_group",
    "region",
    "device",
    "genre",
]
SIZES = {"embedding_dimension": 8, "tower_units": (8,)}
EXPERTS = {"n_experts": 4, "expert_units": (16,)}
FIT = {"epochs": 15, "patience": 2, "batch_size": 256}
RATES = {"learning_rate": [1e-3, 3e-3, 1e-2]}
WEIGHTS = {"loss_weights": [{"like": w} for w in (0.1, 0.3, 1.0)]}
JOINT_RATE = {"learning_rate": 3e-3}
ALONE = "single_task"
PAIRS = (("mmoe", "shared_bottom"), ("mmoe", ALONE), ("shared_bottom", ALONE))


def units() -> list[dict]:
    """One world per unit."""
    return [
        {"task_correlation": correlation, "seed": seed}
        for correlation in CORRELATIONS
        for seed in SEEDS
    ]


def encoded(task_correlation: float, seed: int) -> tuple:
    """Return the world, its test rows, the schema and the three parts."""
    world = World(
        n_users=400,
        n_items=100,
        segment_strength=0.8,
        task_correlation=task_correlation,
        seed=seed,
    )
    log = world.with_features(world.log(40_000, domain="films"))
    parts = split_by_time(log, (0.6, 0.2, 0.2))
    schema = Schema(
        [Categorical(name) for name in COLUMNS],
        [Task("click"), Task("like", sample_space="click")],
    ).fit(parts[0])
    return world, parts[2], schema, [schema.encode(p) for p in parts]


def builders(schema: Schema) -> dict:
    """Return all models by name; MMoE sets the number of parameters."""
    gated = partial(mmoe, schema, **EXPERTS, **SIZES)
    bottom = equal_capacity_units(
        gated(seed=0), schema, bottom_units=(1,), **SIZES
    )
    half = (bottom[0] // 2,)
    return {
        "click": partial(
            single_task, schema, "click", bottom_units=half, **SIZES
        ),
        "like": partial(
            single_task, schema, "like", bottom_units=half, **SIZES
        ),
        "shared_bottom": partial(
            shared_bottom, schema, bottom_units=bottom, **SIZES
        ),
        "mmoe": gated,
    }


@lru_cache
def settings(task_correlation: float) -> dict[str, dict]:
    """Choose each model's settings in the world kept for it."""
    _, _, schema, (train, validation, _) = encoded(
        task_correlation, TUNING_WORLD
    )
    chosen = {}
    for name, build in builders(schema).items():
        joint = name in ("shared_bottom", "mmoe")
        found = tune(
            build,
            WEIGHTS if joint else RATES,
            train,
            validation,
            **(FIT | JOINT_RATE if joint else FIT),
        )
        chosen[name] = (JOINT_RATE if joint else {}) | found.fit_options
    return chosen


def segment_share(gates: np.ndarray, segments: np.ndarray) -> float:
    """Return the share of the gates' variance that lies between segments.

    Args:
        gates: [N, E].
        segments: of the row's user, [N].
    """
    around = gates - gates.mean(axis=0)
    between = sum(
        (segments == k).sum() * (around[segments == k].mean(axis=0) ** 2).sum()
        for k in np.unique(segments)
    )
    return float(between / (around**2).sum())


def run(unit: dict) -> pd.DataFrame:
    """Train all models in one world; read MMoE's gates."""
    world, future, schema, parts = encoded(**unit)
    built = {}

    def keeping(name: str, build: partial):
        def wrapped(seed: int):
            built[name] = build(seed=seed)
            return built[name]

        return wrapped

    found = replicate(
        {name: keeping(name, b) for name, b in builders(schema).items()},
        *parts,
        seeds=[unit["seed"]],
        per_model=settings(unit["task_correlation"]),
        **FIT,
    )
    best = world.best_metrics(future).query("metric == 'auc'")
    rows = found.table.query("metric == 'auc'")[
        ["model", "task", "value", "parameters", "steps"]
    ]
    rows = rows.merge(
        best[["task", "value"]].rename(columns={"value": "best"}), on="task"
    )
    alone = rows["model"].isin(["click", "like"])
    rows.loc[alone, "parameters"] = rows.loc[alone, "parameters"].sum()
    user = future["user"].to_numpy()
    segments = world.segments()
    shuffled = np.random.default_rng(unit["seed"]).permutation(segments)
    for task, gates in gate_values(built["mmoe"], parts[2]).items():
        here = (rows["model"] == "mmoe") & (rows["task"] == task)
        rows.loc[here, "segment_share"] = segment_share(gates, segments[user])
        rows.loc[here, "shuffled_share"] = segment_share(gates, shuffled[user])
    return rows.replace({"model": {"click": ALONE, "like": ALONE}}).assign(
        **unit
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per correlation, task and pair of models, over the worlds."""
    rows = []
    keys = ["task_correlation", "task"]
    for key, cell in results.groupby(keys, sort=False):
        scores = cell.pivot(index="seed", columns="model", values="value")
        sizes = cell.groupby("model")["parameters"].mean()
        gates = cell[cell["model"] == "mmoe"]
        for candidate, baseline in PAIRS:
            difference = (scores[candidate] - scores[baseline]).to_numpy()
            mean, low, high = paired_interval(difference)
            rows.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "metric": "auc",
                    "candidate_model": candidate,
                    "baseline_model": baseline,
                    "candidate": scores[candidate].mean(),
                    "baseline": scores[baseline].mean(),
                    "best": cell["best"].mean(),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "verdict": verdict(low, high),
                    "worlds": len(scores),
                    "candidate_parameters": round(sizes[candidate]),
                    "baseline_parameters": round(sizes[baseline]),
                    "segment_share": gates["segment_share"].mean(),
                    "shuffled_share": gates["shuffled_share"].mean(),
                }
            )
    return pd.DataFrame(rows)
