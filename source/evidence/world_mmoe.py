"""Gates in Lantern: one model per task, one bottom, or gated experts?

Independent worlds, all their labels. Shared-bottom and MMoE have equally many
parameters; the two single-task models have an embedding table each and so
more. In every world anew, each model has six trials, chosen by the validation
losses, each task weighted 1: the single-task models six learning rates, the
joint ones two rates and three weights of the like loss.
"""

from collections.abc import Iterable
from functools import partial

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
ALONE_GRID = {"learning_rate": [1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2]}
JOINT_GRID = {
    "learning_rate": [3e-3, 1e-2],
    "loss_weights": [{"like": weight} for weight in (0.1, 0.3, 1.0)],
}
JOINT = ("shared_bottom", "mmoe")
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
    models = builders(schema)
    chosen = {
        name: tune(
            build,
            JOINT_GRID if name in JOINT else ALONE_GRID,
            *parts[:2],
            seed=unit["seed"],
            **FIT,
        ).fit_options
        for name, build in models.items()
    }
    built = {}

    def keeping(name: str, build: partial):
        def wrapped(seed: int):
            built[name] = build(seed=seed)
            return built[name]

        return wrapped

    found = replicate(
        {name: keeping(name, b) for name, b in models.items()},
        *parts,
        seeds=[unit["seed"]],
        per_model=chosen,
        **FIT,
    )
    best = world.best_metrics(future).query("metric == 'auc'")
    rows = found.table.query("metric == 'auc'")[
        ["model", "task", "value", "parameters", "steps"]
    ]
    rows = rows.merge(
        best[["task", "value"]].rename(columns={"value": "best"}), on="task"
    )
    rows["rate"] = [chosen[name]["learning_rate"] for name in rows["model"]]
    rows["like_weight"] = [
        chosen[name].get("loss_weights", {}).get("like", np.nan)
        for name in rows["model"]
    ]
    alone = ~rows["model"].isin(JOINT)
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


def listed(values: Iterable[float]) -> str:
    """Write each world's value, in order of the seeds."""
    return " ".join(f"{value:g}" for value in values)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per correlation, task and pair of models, over the worlds."""
    rows = []
    keys = ["task_correlation", "task"]
    for key, cell in results.groupby(keys, sort=False):
        scores = cell.pivot(index="seed", columns="model", values="value")
        sizes = cell.groupby("model")["parameters"].mean()
        gates = cell[cell["model"] == "mmoe"]
        rates = cell.pivot(index="seed", columns="model", values="rate")
        weights = cell.pivot(
            index="seed", columns="model", values="like_weight"
        )
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
                    "differences": listed(difference.round(4)),
                    "candidate_rates": listed(rates[candidate]),
                    "baseline_rates": listed(rates[baseline]),
                    "candidate_like_weights": listed(weights[candidate]),
                    "baseline_like_weights": listed(weights[baseline]),
                    "segment_share": gates["segment_share"].mean(),
                    "shuffled_share": gates["shuffled_share"].mean(),
                }
            )
    return pd.DataFrame(rows)
