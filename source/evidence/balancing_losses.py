"""Loss balancing against tuned static weights: clicks beside watch minutes.

Two Lantern worlds and one shared bottom of four units. In the "competing"
world the two tastes have nothing in common; in the "agreeing" one they nearly
coincide. Watch minutes are standardised, so that both losses start near 1.

Every method has six trials, judged by the sum of the two validation losses:
"static" two learning rates times three weights of the watch loss; methods
with a dial of their own two rates times three positions of it; all others six
rates. No run stops early: a weighted total would stop each at its own moment.

Parts of the table, each a family of comparisons with Holm's correction:

* "contest": each method against tuned static weights, in both worlds;
* "alone": two single-task models against the same;
* "sweep": each weight of the watch loss against the tuned one, at its rate;
* "times 1000": each method with the watch loss times 1,000 against itself
  without, all else as tuned; in the competing world;
* "sum": in batches of 1,024 rows, a watch loss summed over the batch, with
  a constant in front of it that fits batches of 64 rows, against the mean;
  and the mean at 1,024 rows against the mean at 64.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, World, split_by_time
from mtlrec_utils.evidence import (
    Comparison,
    compare,
    comparison_table,
    holm_corrected,
    log_loss,
    rmse,
)
from mtlrec_utils.learning import balancing, replicate, tune
from mtlrec_utils.models import shared_bottom, single_task

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(6)
TUNING_SEED = 1000
WORLDS = {"competing": 0.0, "agreeing": 0.9}  # task correlation
METRICS = {"click": "log_loss", "watch_minutes": "rmse"}
COLUMNS = ("user", "item", "position", "age_group", "region", "genre")
SIZES = {
    "embedding_dimension": 8,
    "bottom_units": (4,),
    "tower_units": (8,),
}
FIT = {"epochs": 6, "batch_size": 256, "decay": "linear"}
TWO_RATES = [3e-3, 1e-2]
SIX_RATES = {"learning_rate": [1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2]}
SWEEP = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
STATIC, ALONE, SUMMED = "static", "single task", "sum"
THOUSAND = 1000.0
SMALL, LARGE = 64, 1024  # rows of a batch
BATCHES = {SMALL: [1e-3, 3e-3, 1e-2], LARGE: [1e-2, 3e-2, 5e-2]}  # rates


def _watch(weight: float) -> dict[str, float]:
    return {"watch_minutes": weight}


def _grid(name: str, values: list) -> dict:
    return {"learning_rate": TWO_RATES, name: values}


METHODS = {
    STATIC: _grid("loss_weights", [_watch(w) for w in (0.3, 1.0, 3.0)]),
    "equal": SIX_RATES,
    "random": {"balancing": [balancing.RandomWeights()], **SIX_RATES},
    "uncertainty": _grid(
        "balancing",
        [balancing.UncertaintyWeights(r) for r in (0.003, 0.01, 0.03)],
    ),
    "DWA": _grid(
        "balancing",
        [balancing.DynamicWeightAverage(t) for t in (0.5, 2.0, 8.0)],
    ),
    "GLS": {"balancing": [balancing.GeometricMean()], **SIX_RATES},
    "IMTL-L": _grid(
        "balancing", [balancing.IMTLL(r) for r in (0.003, 0.01, 0.03)]
    ),
    "FAMO": _grid(
        "balancing", [balancing.FAMO(r) for r in (0.005, 0.025, 0.1)]
    ),
    "GradNorm": _grid(
        "balancing", [balancing.GradNorm(a) for a in (0.0, 0.5, 1.5)]
    ),
}


def units() -> list[dict]:
    """One method in one world; the summed loss in the competing one."""
    contest = [
        {"world": world, "method": method}
        for world in WORLDS
        for method in (*METHODS, ALONE)
    ]
    return [*contest, {"world": "competing", "method": SUMMED}]


@lru_cache
def encoded(world: str) -> tuple:
    """Return the schema, the three encoded parts and the best scores."""
    lantern = World(
        n_users=400,
        n_items=100,
        segment_strength=0.8,
        task_correlation=WORLDS[world],
        seed=1,
    )
    log = lantern.with_features(lantern.log(75_000, domain="films"))
    parts = split_by_time(log, (0.4, 0.2, 0.4))
    schema = Schema(
        [Categorical(name) for name in COLUMNS],
        [
            Task("click"),
            Task(
                "watch_minutes",
                "regression",
                sample_space="click",
                scale="standard",
            ),
        ],
    ).fit(parts[0])
    best = lantern.best_metrics(parts[2]).set_index(["task", "metric"])
    return (
        schema,
        [schema.encode(part, user="user") for part in parts],
        {task: best["value"][task, METRICS[task]] for task in METRICS},
    )


def run(unit: dict) -> pd.DataFrame:
    """Tune one method, then train it with every seed and setting."""
    schema, parts, best = encoded(unit["world"])
    build = partial(shared_bottom, schema, **SIZES)
    method = unit["method"]
    if method == ALONE:
        found = pd.concat(
            _trained(
                partial(single_task, schema, task, **SIZES),
                SIX_RATES,
                {"tuned": {}},
                parts,
            )
            for task in METRICS
        )
    elif method == SUMMED:
        found = pd.concat(_batches(build, parts, size) for size in BATCHES)
    else:
        settings: dict = {"tuned": {}}
        if method == STATIC:
            settings |= {
                f"weight {w:g}": {"loss_weights": _watch(w)} for w in SWEEP
            }
        if unit["world"] == "competing":
            settings["times 1000"] = {"loss_weights": _watch(THOUSAND)}
        found = _trained(build, METHODS[method], settings, parts)
    return found.assign(best=found["task"].map(best), **unit)


def _batches(build: partial, parts: list, size: int) -> pd.DataFrame:
    """Train with the mean, and with what a sum is in batches of a size.

    The sum is the mean times the known labels of the batch, on average
    `size` times their share; its constant makes that 1 at SMALL rows.
    """
    settings: dict = {f"mean, {size} rows": {}}
    if size == LARGE:
        settings[f"sum, {size} rows"] = {"loss_weights": _watch(size / SMALL)}
    grid = {"learning_rate": BATCHES[size]}
    return _trained(build, grid, settings, parts, batch_size=size)


def _trained(
    build: partial, grid: dict, settings: dict, parts: list, **changed: int
) -> pd.DataFrame:
    """Tune by a grid; return test predictions of each setting and seed.

    A row per setting, task and seed holds those of all test rows, [N].
    """
    train, validation, test = parts
    options = {**FIT, **changed}
    search = tune(build, grid, train, validation, seed=TUNING_SEED, **options)
    chosen = search.fit_options
    frames = []
    for setting, more in settings.items():
        own = {**options, **chosen, **more}
        if setting == "times 1000":
            weight = chosen.get("loss_weights", _watch(1.0))["watch_minutes"]
            own["loss_weights"] = _watch(THOUSAND * weight)
        found = replicate(
            {"model": build}, train, None, test, seeds=SEEDS, **own
        )
        costs = found.table.groupby("seed")[
            ["parameters", "steps", "seconds"]
        ].first()
        rows = [
            {"task": task, "seed": seed, "predicted": predicted[i]}
            for task, predicted in found.predictions["model"].items()
            for i, seed in enumerate(SEEDS)
        ]
        frames.append(
            pd.DataFrame(rows)
            .join(costs, on="seed")
            .assign(
                setting=setting,
                trials=len(search.table),
                rate=chosen["learning_rate"],
                chosen=_described(chosen),
            )
        )
    return pd.concat(frames)


def _described(chosen: dict) -> str:
    """Write what was chosen beside the learning rate."""
    weight = chosen.get("loss_weights", {}).get("watch_minutes")
    method = chosen.get("balancing")
    if weight is not None:
        return f"watch weight {weight:g}"
    return "" if method is None else repr(method)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per part, world, method, setting and task."""
    keys = ["world", "method", "setting", "task"]
    cells = dict(list(results.groupby(keys, sort=False)))
    parts = []
    for part, pairs in _families(list(cells)).items():
        found = {
            key: _compared(cells[key], cells[baseline], key)
            for key, baseline in pairs.items()
        }
        rows = comparison_table(holm_corrected(found), keys)
        sides = [
            {
                "part": part,
                **_facts(cells[key]),
                **_facts(cells[baseline], "baseline_"),
            }
            for key, baseline in pairs.items()
        ]
        parts.append(pd.concat([rows, pd.DataFrame(sides)], axis=1))
    return pd.concat(parts, ignore_index=True)


def _families(keys: list[tuple]) -> dict[str, dict[tuple, tuple]]:
    """Return part -> cell -> the cell it is compared with."""
    families: dict = {"contest": {}, "alone": {}, "sweep": {}}
    families |= {"times 1000": {}, "sum": {}}
    for world, method, setting, task in keys:
        key = (world, method, setting, task)
        if method == SUMMED:
            against = {
                f"sum, {LARGE} rows": f"mean, {LARGE} rows",
                f"mean, {LARGE} rows": f"mean, {SMALL} rows",
            }.get(setting)
            if against is not None:
                families["sum"][key] = (world, method, against, task)
        elif setting == "times 1000":
            families[setting][key] = (world, method, "tuned", task)
        elif key != (base := (world, STATIC, "tuned", task)):
            part = "contest" if setting == "tuned" else "sweep"
            part = "alone" if method == ALONE else part
            families[part][key] = base
    return families


def _compared(
    candidate: pd.DataFrame, baseline: pd.DataFrame, key: tuple
) -> Comparison:
    world, *_, task = key
    _, (_, _, test), _ = encoded(world)
    return compare(
        test.labels[task],
        np.stack(candidate["predicted"]),
        np.stack(baseline["predicted"]),
        metric=METRICS[task],
        groups=test.users,
        mask=test.masks[task],
    )


def _facts(rows: pd.DataFrame, prefix: str = "") -> dict:
    """Return each seed's score, what was chosen, and what it cost."""
    first = rows.iloc[0]
    task = first["task"]
    _, (_, _, test), _ = encoded(first["world"])
    known = test.masks[task] > 0
    measure = {"log_loss": log_loss, "rmse": rmse}[METRICS[task]]
    scores = [
        measure(test.labels[task][known], predicted[known])
        for predicted in rows["predicted"]
    ]
    facts = {
        "scores": " ".join(f"{score:.6g}" for score in scores),
        "parameters": int(rows["parameters"].mean()),
        "steps": int(rows["steps"].mean()),
        "seconds": rows["seconds"].mean(),
        "trials": first["trials"],
        "rate": first["rate"],
        "chosen": first["chosen"],
    }
    if not prefix:
        facts["best"] = first["best"]
    return {prefix + name: fact for name, fact in facts.items()}
