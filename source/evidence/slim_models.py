"""Smaller and faster models in Lantern: what each trick costs.

Independent worlds, clicks and likes of films. All settings are chosen in a
world of their own (``SEARCH``) on its validation rows: two trials for each
kind of model that is trained. Then, in each of the other worlds, every kind
is trained once and judged on the test rows.

* "mmoe": the model that all others are held against;
* "hashed", "compositional": the same with at most ``ROWS`` rows a field;
* "low rank": the trained MMoE, kernels of its experts cut to ``RANK`` by
  singular values, no training after it;
* "student": a small shared bottom trained on labels, and "distilled": the
  same one trained on labels and on the MMoE's predictions;
* "float16", "dynamic_int8", "int8": LiteRT files of the trained MMoE;
* "student int8": the distilled student with 8-bit weights.

Quantised scores are those of their LiteRT files. A float32 file scores what
``predict`` does, to 1e-6; it is written in the first world, for its size.
"""

import tempfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, World, split_by_time
from mtlrec_utils.evidence import (
    auc,
    calibration_ratio,
    expected_calibration_error,
    higher_is_better,
    log_loss,
    paired_interval,
    verdict,
)
from mtlrec_utils.learning import fit, predict, tune
from mtlrec_utils.learning.compress import (
    LiteRTModel,
    distil,
    export_litert,
    size_on_disk,
)
from mtlrec_utils.models import (
    mmoe,
    parameters_by_layer,
    shared_bottom,
    with_compact_tables,
    with_low_rank,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 6)  # one world each
SEARCH = 100
WORLD = {"n_users": 2000, "n_items": 400}
N_ROWS = 30_000
COLUMNS = [
    "user",
    "item",
    "position",
    "age_group",
    "region",
    "device",
    "genre",
]
LARGE = {"embedding_dimension": 16, "expert_units": (32,), "tower_units": (8,)}
SMALL = {"embedding_dimension": 4, "bottom_units": (16,), "tower_units": (4,)}
ROWS, RANK, TEMPERATURE = 200, 4, 2.0
FIT = {"epochs": 8, "patience": 1, "batch_size": 512}
RATES = [2e-3, 6e-3]
WEIGHTS = (0.3, 0.7)  # of the teacher, at the student's rate
PRECISIONS = ("float16", "dynamic_int8", "int8")


def units() -> list[dict]:
    """One world per unit."""
    return [{"seed": seed} for seed in SEEDS]


def encoded(seed: int) -> tuple:
    """Return the world, its test rows, the schema and the three parts."""
    world = World(**WORLD, seed=seed)
    log = world.with_features(world.log(N_ROWS, domain="films"))
    parts = split_by_time(log, (0.6, 0.2, 0.2))
    schema = Schema(
        [Categorical(name) for name in COLUMNS],
        [Task("click"), Task("like", sample_space="click")],
    ).fit(parts[0])
    return world, parts[2], schema, [schema.encode(p) for p in parts]


def builders(schema: Schema) -> dict:
    """Return the kinds that are trained on labels, by name."""
    large = partial(mmoe, schema, **LARGE)

    def compact(kind: str):
        return lambda seed: with_compact_tables(large(seed=seed), ROWS, kind)

    return {
        "mmoe": large,
        "hashed": compact("hashed"),
        "compositional": compact("compositional"),
        "student": partial(shared_bottom, schema, **SMALL),
    }


@lru_cache
def settings() -> dict[str, dict]:
    """Choose the options of training of every kind, two trials each."""
    _, _, schema, (train, validation, _) = encoded(SEARCH)
    kinds = builders(schema)
    grid = {"learning_rate": RATES}
    chosen = {
        name: tune(build, grid, train, validation, seed=SEARCH, **FIT).best
        for name, build in kinds.items()
    }
    teacher = kinds["mmoe"](seed=SEARCH)
    fit(teacher, train, validation, seed=SEARCH, **chosen["mmoe"], **FIT)
    losses = {}
    for weight in WEIGHTS:
        student = kinds["student"](seed=SEARCH)
        history = distil(
            student,
            teacher,
            train,
            validation,
            weight=weight,
            temperature=TEMPERATURE,
            seed=SEARCH,
            **chosen["student"],
            **FIT,
        )
        # Judged as all others are: by the labels.
        losses[weight] = sum(
            history.losses("validation", task)[history.best_epoch]
            for task in ("click", "like")
        )
    best = min(losses, key=lambda weight: losses[weight])
    chosen["distilled"] = {**chosen["student"], "weight": best}
    return chosen


def trained(unit: dict, schema: Schema, train, validation) -> dict:
    """Train every kind in one world; return models by name."""
    options, seed = settings(), unit["seed"]
    kinds = builders(schema)
    models = {}
    for name, build in kinds.items():
        models[name] = build(seed=seed)
        fit(models[name], train, validation, seed=seed, **options[name], **FIT)
    models["distilled"] = kinds["student"](seed=seed)
    distil(
        models["distilled"],
        models["mmoe"],
        train,
        validation,
        temperature=TEMPERATURE,
        seed=seed,
        **options["distilled"],
        **FIT,
    )
    models["low rank"] = with_low_rank(models["mmoe"], RANK, ["experts"])
    return models


def predictions(
    models: dict, train, test, folder: Path, sizes: bool
) -> tuple[dict, dict]:
    """Score the test rows by every variant.

    Returns:
        variant -> task -> scores, and variant -> bytes of its file, those
        of float32 files only with ``sizes``.
    """
    found = {name: predict(model, test) for name, model in models.items()}
    size = {}
    if sizes:
        for name, model in models.items():
            path = export_litert(model, folder / "float32.tflite")
            size[name] = size_on_disk(path)
    todo = {p: (models["mmoe"], p) for p in PRECISIONS}
    todo["student int8"] = (models["distilled"], "dynamic_int8")
    for name, (model, precision) in todo.items():
        path = export_litert(
            model, folder / f"{name}.tflite", precision, representative=train
        )
        found[name] = LiteRTModel(path).predict(test)
        size[name] = size_on_disk(path)
    return found, size


def scores(task: str, test, predicted: dict) -> dict[str, float]:
    """Measure one task on the rows where its label is known."""
    known = test.masks[task] > 0
    label, p = test.labels[task][known], predicted[task][known]
    return {
        "auc": auc(label, p),
        "log_loss": log_loss(label, p),
        "expected_calibration_error": expected_calibration_error(label, p),
    }


def run(unit: dict) -> pd.DataFrame:
    """Train, export and measure every variant in one world."""
    world, future, schema, (train, validation, test) = encoded(unit["seed"])
    models = trained(unit, schema, train, validation)
    best = world.best_metrics(future).set_index(["task", "metric"])["value"]
    with tempfile.TemporaryDirectory() as folder:
        first = unit["seed"] == SEEDS[0]
        predicted, size = predictions(
            models, train, test, Path(folder), sizes=first
        )
    models |= dict.fromkeys(PRECISIONS, models["mmoe"])
    models["student int8"] = models["distilled"]
    rows = []
    for name, of_task in predicted.items():
        layers = parameters_by_layer(models[name])
        for task in test.tasks:
            known = test.masks[task] > 0
            gap = np.abs(of_task[task] - predicted["mmoe"][task]).max()
            ratio = calibration_ratio(
                test.labels[task][known], of_task[task][known]
            )
            rows += [
                {
                    **unit,
                    "variant": name,
                    "task": task,
                    "metric": metric,
                    "value": value,
                    "bytes": size.get(name, np.nan),
                    "parameters": sum(layers.values()),
                    "table": layers["embedding"],
                    "largest_gap": gap,
                    "calibration_ratio": ratio,
                    "best": best.get((task, metric), np.nan),
                }
                for metric, value in scores(task, test, of_task).items()
            ]
    options = settings()
    return pd.DataFrame(rows).assign(
        rate=lambda t: [
            options.get(name, options["mmoe"])["learning_rate"]
            for name in t["variant"].replace("student int8", "distilled")
        ],
        teacher_weight=options["distilled"]["weight"],
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per variant, task and metric, against the float32 MMoE.

    The distilled student is also held against the plain one.
    """
    found = []
    keys = ["task", "metric"]
    for (task, metric), cell in results.groupby(keys, sort=False):
        values = cell.pivot(index="seed", columns="variant", values="value")
        facts = cell.groupby("variant", sort=False)
        pairs = [(name, "mmoe") for name in facts.groups]
        for name, baseline in [*pairs, ("distilled", "student")]:
            own = facts.get_group(name)
            mean, low, high = paired_interval(values[name] - values[baseline])
            of, value_low, value_high = paired_interval(values[name])
            found.append(
                {
                    "variant": name,
                    "baseline": baseline,
                    "task": task,
                    "metric": metric,
                    "value": of,
                    "value_low": value_low,
                    "value_high": value_high,
                    "best": own["best"].mean(),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "verdict": verdict(low, high, higher_is_better(metric)),
                    "worlds": len(own),
                    "calibration_ratio": own["calibration_ratio"].mean(),
                    "bytes": round(own["bytes"].mean()),
                    "parameters": round(own["parameters"].mean()),
                    "table": round(own["table"].mean()),
                    "largest_gap": own["largest_gap"].max(),
                    "rate": own["rate"].iloc[0],
                    "teacher_weight": own["teacher_weight"].iloc[0],
                }
            )
    return pd.DataFrame(found)
