"""MovieLens-100K, like and rating: smaller versions of one MMoE.

Every user's ratings are split by that user's own time (as in
``movielens_09``). Settings are chosen on validation rows by two trials for
each kind that is trained, with a seed that is none of the five. All
comparisons of one baseline are one family; intervals are over users and
seeds. The names are those of ``slim_models``. Bytes are those of the
quantised files, and four per weight otherwise.
"""

import tempfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Number, Schema, Task
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import (
    compare,
    comparison_table,
    expected_calibration_error,
    holm_corrected,
)
from mtlrec_utils.learning import fit, predict, tune
from mtlrec_utils.learning.compress import (
    LiteRTModel,
    distil,
    export_litert,
    size_on_disk,
)
from mtlrec_utils.models import mmoe, shared_bottom, with_compact_tables

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
SEARCH = 1000
LARGE = {"embedding_dimension": 16, "expert_units": (32,), "tower_units": (8,)}
SMALL = {"embedding_dimension": 4, "bottom_units": (16,), "tower_units": (4,)}
ROWS, TEMPERATURE = 150, 2.0
FIT = {"epochs": 8, "patience": 1, "batch_size": 512}
RATES = [2e-3, 6e-3]
WEIGHTS = (0.3, 0.6)  # of the teacher, at the student's rate
METRICS = {"like": "auc", "rating": "rmse"}


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One seed per unit."""
    return [{"seed": seed} for seed in SEEDS]


@lru_cache
def encoded() -> tuple:
    """Return the schema and the three parts."""
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
    return schema, [schema.encode(p, user="user") for p in parts]


def builders(schema: Schema) -> dict:
    """Return the kinds that are trained on labels, by name."""
    large = partial(mmoe, schema, **LARGE)
    return {
        "mmoe": large,
        "compositional": lambda seed: with_compact_tables(
            large(seed=seed), ROWS, "compositional"
        ),
        "student": partial(shared_bottom, schema, **SMALL),
    }


@lru_cache
def settings() -> dict[str, dict]:
    """Choose the options of training of every kind, two trials each."""
    schema, (train, validation, _) = encoded()
    kinds = builders(schema)
    chosen = {
        name: tune(
            build,
            {"learning_rate": RATES},
            train,
            validation,
            seed=SEARCH,
            **FIT,
        ).best
        for name, build in kinds.items()
    }
    teacher = kinds["mmoe"](seed=SEARCH)
    fit(teacher, train, validation, seed=SEARCH, **chosen["mmoe"], **FIT)
    losses = {}
    for weight in WEIGHTS:
        options = {**chosen["student"], "weight": weight}
        history = taught(kinds, teacher, train, validation, SEARCH, options)[1]
        losses[weight] = sum(
            history.losses("validation", task)[history.best_epoch]
            for task in METRICS
        )
    best = min(losses, key=lambda weight: losses[weight])
    chosen["distilled"] = {**chosen["student"], "weight": best}
    return chosen


def taught(kinds, teacher, train, validation, seed: int, options: dict):
    """Distil a student; return it and its history."""
    student = kinds["student"](seed=seed)
    history = distil(
        student,
        teacher,
        train,
        validation,
        temperature=TEMPERATURE,
        seed=seed,
        **options,
        **FIT,
    )
    return student, history


def run(unit: dict) -> pd.DataFrame:
    """Train and export every variant; test predictions of one seed."""
    schema, (train, validation, test) = encoded()
    options, seed = settings(), unit["seed"]
    kinds = builders(schema)
    models = {}
    for name, build in kinds.items():
        models[name] = build(seed=seed)
        fit(models[name], train, validation, seed=seed, **options[name], **FIT)
    models["distilled"], _ = taught(
        kinds, models["mmoe"], train, validation, seed, options["distilled"]
    )
    predicted = {name: predict(model, test) for name, model in models.items()}
    size = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("dynamic_int8", "int8"):
            path = export_litert(
                models["mmoe"],
                Path(folder) / f"{precision}.tflite",
                precision,
                representative=train,
            )
            predicted[precision] = LiteRTModel(path).predict(test)
            size[precision] = size_on_disk(path)
    models |= dict.fromkeys(size, models["mmoe"])
    found = [
        pd.DataFrame(
            {
                "variant": name,
                "task": task,
                "predicted": of_task[task],
                "parameters": models[name].count_params(),
                "bytes": size.get(name, 4 * models[name].count_params()),
                **unit,
            }
        )
        for name, of_task in predicted.items()
        for task in METRICS
    ]
    return pd.concat(found, ignore_index=True)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per variant and task, against the MMoE; distilled, plain."""
    _, (_, _, test) = encoded()
    by_seed = {
        key: np.stack([part["predicted"] for _, part in rows.groupby("seed")])
        for key, rows in results.groupby(["variant", "task"], sort=False)
    }
    names = results["variant"].unique()
    pairs = [(name, "mmoe") for name in names if name != "mmoe"]
    found = {
        (name, baseline, task): compare(
            test.labels[task],
            by_seed[name, task],
            by_seed[baseline, task],
            metric=metric,
            groups=test.users,
            mask=test.masks[task],
            resamples=500,
        )
        for name, baseline in [*pairs, ("distilled", "student")]
        for task, metric in METRICS.items()
    }
    columns = ("variant", "baseline_variant", "task")
    rows = comparison_table(holm_corrected(found), columns)
    facts = results.groupby("variant")[["bytes", "parameters"]].mean()
    error = {
        name: np.mean(
            [
                expected_calibration_error(test.labels["like"], p)
                for p in by_seed[name, "like"]
            ]
        )
        for name in names
    }
    for side in ("variant", "baseline_variant"):
        rows[f"{side}_bytes"] = facts["bytes"].loc[rows[side]].to_numpy()
        rows[f"{side}_calibration_error"] = rows[side].map(error)
    rows["parameters"] = facts["parameters"].loc[rows["variant"]].to_numpy()
    return rows
