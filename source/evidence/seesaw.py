"""The seesaw: patterns of sharing on clicks and watch minutes, in Lantern.

Independent worlds at three task correlations; one seed each. All patterns
have about as many parameters as one MMoE of four experts; the two single-task
models have an embedding table each and so more. Every model has the same
search at every correlation, in a world of its own: three learning rates,
judged by the sum of the validation losses. A model of minutes alone sees only
clicked rows; its batches are smaller, so that it makes as many steps as the
others. "many experts" is an MMoE with twice as many, narrower ones; "apart"
is a CGC without shared experts, so a bottom per task upon one embedding.

Every model's row holds its scores, world by world, and its differences to the
shared bottom. At correlation 0 the shared bottom is also trained with other
weights of the watch loss, at the rate chosen for weight 1: the static sweep.
Besides, it tells how much weight CGC's gates give to a task's own expert, and
how much the cross-stitch net keeps of a task's own representation.
"""

from collections.abc import Callable, Iterable
from functools import cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils import models
from mtlrec_utils.data import (
    Categorical,
    Examples,
    Schema,
    Task,
    World,
    split_by_time,
)
from mtlrec_utils.evidence import paired_interval, verdict
from mtlrec_utils.learning import replicate, tune

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 6)  # one world each
TUNING_SEED = 1000
CORRELATIONS = (0.0, 0.5, 0.9)
METRICS = {"click": "log_loss", "watch_minutes": "rmse"}
COLUMNS = ("user", "item", "position", "age_group", "region", "genre")
SIZES = {"embedding_dimension": 8, "tower_units": (8,)}
FIT = {"epochs": 6, "batch_size": 256, "decay": "linear"}
GRID = {"learning_rate": [5e-3, 1e-2, 2e-2]}
SWEEP = (0.03, 0.1, 0.3, 3.0, 10.0)
ALONE, BASELINE = "single_task", "shared_bottom"
EXPERTS = {
    "mmoe": (models.mmoe, {"n_experts": 4}),
    "many_experts": (models.mmoe, {"n_experts": 8}),
    "cgc": (models.cgc, {"n_task_experts": 1, "n_shared_experts": 2}),
    "apart": (models.cgc, {"n_task_experts": 1, "n_shared_experts": 0}),
    "ple": (
        models.ple,
        {"n_levels": 2, "n_task_experts": 1, "n_shared_experts": 2},
    ),
}
BOTTOMS = {
    BASELINE: (models.shared_bottom, {}),
    "cross_stitch": (models.cross_stitch, {}),
}


def units() -> list[dict]:
    """One world per unit."""
    return [
        {"task_correlation": correlation, "seed": seed}
        for correlation in CORRELATIONS
        for seed in SEEDS
    ]


def encoded(task_correlation: float, seed: int) -> tuple:
    """Return the schema, its three parts, and the best scores by task."""
    world = World(
        n_users=400,
        n_items=100,
        segment_strength=0.8,
        task_correlation=task_correlation,
        seed=seed,
    )
    log = world.with_features(world.log(75_000, domain="films"))
    parts = split_by_time(log, (0.4, 0.2, 0.4))
    minutes = Task(
        "watch_minutes", "regression", sample_space="click", scale="standard"
    )
    schema = Schema(
        [Categorical(name) for name in COLUMNS], [Task("click"), minutes]
    ).fit(parts[0])
    best = world.best_metrics(parts[2]).set_index(["task", "metric"])["value"]
    best = {task: best[task, metric] for task, metric in METRICS.items()}
    return schema, [schema.encode(part, user="user") for part in parts], best


def builders(schema: Schema) -> dict[str, Callable]:
    """Return all models by name; an MMoE sets the number of parameters."""
    build, options = EXPERTS["mmoe"]
    target = models.count_parameters(
        build(schema, expert_units=(8,), **options, **SIZES, seed=0)
    )
    found = {}
    for name, (build, options) in {**BOTTOMS, **EXPERTS}.items():
        width = "bottom_units" if name in BOTTOMS else "expert_units"
        pattern = partial(build, schema, **options, **SIZES)
        equal = models.units_of_equal_capacity(
            lambda units, f=pattern, w=width: f(**{w: units}, seed=0),
            target,
            proportions=(8,),
        )
        found[name] = partial(pattern, **{width: equal})
    half = (max(1, found[BASELINE].keywords["bottom_units"][0] // 2),)
    for task in METRICS:
        found[f"{ALONE} {task}"] = partial(
            models.single_task, schema, task, bottom_units=half, **SIZES
        )
    return found


@cache
def settings(task_correlation: float) -> dict[str, dict]:
    """Choose each model's learning rate in a world of its own."""
    schema, parts, _ = encoded(task_correlation, TUNING_SEED)
    found = {}
    for name, build in builders(schema).items():
        options = {**FIT, **_equal_steps(name, parts[0])}
        search = tune(build, GRID, *parts[:2], seed=TUNING_SEED, **options)
        found[name] = {**options, **search.fit_options}
    return found


def _equal_steps(name: str, train: Examples) -> dict[str, int]:
    """Shrink the batches of a task that knows few rows: as many steps."""
    task = name.removeprefix(f"{ALONE} ")
    if task not in METRICS:
        return {}
    known = train.masks[task].mean()
    return {"batch_size": max(1, round(FIT["batch_size"] * known))}


def run(unit: dict) -> pd.DataFrame:
    """Train all models in one world; read gates and stitches."""
    schema, parts, best = encoded(**unit)
    built, kept = builders(schema), {}
    chosen = settings(unit["task_correlation"])

    def keeping(name: str, seed: int):
        kept[name] = built[name](seed=seed)
        return kept[name]

    trained = partial(replicate, seeds=[unit["seed"]])
    tables = [
        trained(
            {name: partial(keeping, name) for name in built},
            parts[0],
            None,
            parts[2],
            per_model=chosen,
        ).table.assign(weight=1.0)
    ]
    if unit["task_correlation"] == 0:
        tables += [
            trained(
                {BASELINE: built[BASELINE]},
                parts[0],
                None,
                parts[2],
                per_model={
                    BASELINE: {
                        **chosen[BASELINE],
                        "loss_weights": {"watch_minutes": weight},
                    }
                },
            ).table.assign(weight=weight)
            for weight in SWEEP
        ]
    rows = pd.concat(tables)
    rows = rows[rows["metric"] == rows["task"].map(METRICS)]
    rows["rate"] = [chosen[name]["learning_rate"] for name in rows["model"]]
    alone = rows["model"].str.startswith(ALONE)
    rows.loc[alone, "parameters"] = rows.loc[alone, "parameters"].sum()
    rows["model"] = rows["model"].mask(alone, ALONE)
    own = _own_shares(kept, parts[2])
    rows["own"] = [
        own.get(key, np.nan) for key in zip(rows.model, rows.task, strict=True)
    ]
    columns = ["model", "task", "value", "weight", "rate", "parameters"]
    columns += ["steps", "own"]
    return rows[columns].assign(best=rows["task"].map(best), **unit)


def _own_shares(kept: dict, test: object) -> dict[tuple[str, str], float]:
    """Return what a task keeps to itself, by model and task.

    CGC: mean weight of its own expert. Cross-stitch: its own part of the
    mixing weights' absolute values. PLE: as CGC, on its last level.
    """
    own = {}
    for name in ("cgc", "ple"):
        owners = models.gate_columns(kept[name])
        for task, gates in models.gate_values(kept[name], test).items():
            mine = np.array(owners[task]) == task
            own[name, task] = float(gates[:, mine].sum(axis=1).mean())
    (values,) = models.cross_stitch_values(kept["cross_stitch"]).values()
    shares = np.abs(values) / np.abs(values).sum(axis=1, keepdims=True)
    for i, task in enumerate(METRICS):
        own["cross_stitch", task] = float(shares[i, i])
    return own


def listed(values: Iterable[float]) -> str:
    """Write each world's value, in order of the seeds."""
    return " ".join(f"{value:g}" for value in values)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per correlation, task, model and weight, over the worlds."""
    rows = []
    keys = ["task_correlation", "task"]
    for key, cell in results.groupby(keys, sort=False):
        of_model = cell.groupby(["model", "weight"], sort=False)
        base = cell[(cell["model"] == BASELINE) & (cell["weight"] == 1)]
        base = base.set_index("seed")["value"]
        for (model, weight), found in of_model:
            scores = found.set_index("seed")["value"]
            difference = (scores - base).to_numpy()
            mean, low, high = paired_interval(difference)
            rows.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "model": model,
                    "weight": weight,
                    "metric": METRICS[key[1]],
                    "score": scores.mean(),
                    "best": found["best"].mean(),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "verdict": verdict(low, high, False),
                    "worlds": len(scores),
                    "parameters": round(found["parameters"].mean()),
                    "steps": round(found["steps"].mean()),
                    "own": found["own"].mean(),
                    "scores": listed(scores.round(5)),
                    "owns": listed(found["own"].round(4)),
                    "rates": listed(found["rate"]),
                }
            )
    return pd.DataFrame(rows)
