"""Three classifications in Lantern: which encoder, and which task pays?

Independent worlds. In each, users are classified by segment, films by genre,
and pairs of films by relation, all from words, by one model or several. "All"
labels: 690 users, 500 films, 4,000 pairs or so. "Few": one task at a time has
only a few labels, the others keep theirs.

Every model has four trials in a world of its own, seed 0: a model of one task
tries four learning rates, a model of several two of them and two weights for
all tasks but the one with the most labels. What is judged is the validation
loss: of all its tasks, or, with few labels, of the task that has few. Every
model gets the same number of steps at most, and stops early.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import (
    Examples,
    Schema,
    Sequence,
    Task,
    World,
    split_at_random,
)
from mtlrec_utils.data.world_catalogue import GENRES
from mtlrec_utils.data.world_relations import (
    RELATIONS,
    best_class_metrics,
    genre_truth,
    item_relations,
    relation_truth,
)
from mtlrec_utils.evidence import paired_interval, verdict
from mtlrec_utils.learning import replicate, tune
from mtlrec_utils.models import (
    Pair,
    classifier,
    count_parameters,
    units_of_equal_capacity,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 7)  # one world each
TUNING_WORLD = 0
TASKS = ("segment", "category", "relation")
READS = {
    "segment": "history",
    "category": "words",
    "relation": Pair("words", "other_words"),
}
FEW = {"segment": 100, "category": 60, "relation": 300}
SIZES = {"embedding_dimension": 16, "tower_units": ()}
UNITS = (32,)
BATCH, STEPS = 128, 800
ALL_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
RATES, WEIGHTS = (3e-3, 1e-2), (0.3, 1.0)
ENCODERS = ("mlp", "attention", "both")
METRICS = {"log_loss": "multiclass_log_loss", "accuracy": "accuracy"}


def units() -> list[dict]:
    """One world with all labels, or few of one task, per unit."""
    return [
        {"few": few, "seed": seed}
        for seed in SEEDS
        for few in ("none", *TASKS)
    ]


@lru_cache(2)
def encoded(seed: int) -> tuple[Schema, list[Examples], dict]:
    """Return the schema, the three parts and the best possible log loss."""
    world = World(n_users=3000, n_items=2000, segment_strength=0.8, seed=seed)
    films = world.items().iloc[: world.n_items]
    words = films["words"].str.split()
    log = world.log(120_000, domain="films").query("click == 1")
    # A title is the first three words; a history holds the last ten.
    titles = pd.Series(words.str[:3][log["item"]].array, log["user"].array)
    history = titles.groupby(level=0).agg(lambda rows: sum(rows[-10:], []))
    users = pd.DataFrame(
        {"history": history, "segment": world.segments()[history.index]}
    )
    items = pd.DataFrame(
        {"words": words, "category": films["genre"].map(GENRES.index)}
    )
    related = item_relations(world, 8000)
    pairs = related[["words", "other_words"]].apply(
        lambda column: column.str.split()
    )
    pairs["relation"] = related["relation"].map(RELATIONS.index)
    shares = ((0.3, 0.2, 0.5), (0.25, 0.25, 0.5), (0.5, 0.2, 0.3))
    kinds = [
        split_at_random(frame, share, seed=seed)
        for frame, share in zip((users, items, pairs), shares, strict=True)
    ]
    parts = [pd.concat(part) for part in zip(*kinds, strict=True)]
    schema = Schema(
        [
            Sequence("words", 12),
            Sequence("other_words", 12, vocabulary_of="words"),
            Sequence("history", 30, vocabulary_of="words"),
        ],
        [
            Task(name, "multiclass", classes=classes, missing="masked")
            for name, classes in zip(TASKS, (4, 6, 4), strict=True)
        ],
    ).fit(parts[0])
    truths = {
        "category": genre_truth(world, kinds[1][2].index),
        "relation": relation_truth(world, related.loc[kinds[2][2].index]),
    }
    best = {
        (task, row.metric): row.value
        for task, truth in truths.items()
        for row in best_class_metrics(truth).itertuples()
    }
    return schema, [schema.encode(part) for part in parts], best


def builders(schema: Schema, few: str) -> dict:
    """Return the models by name, all of one size but for their towers."""
    target = classifier(
        schema, READS, encoder="both", encoder_units=UNITS, **SIZES
    )

    def sized(encoder: str) -> tuple[int, ...]:
        return units_of_equal_capacity(
            lambda units: classifier(
                schema,
                READS,
                encoder=encoder,
                encoder_units=units,
                **SIZES,
            ),
            count_parameters(target),
            proportions=UNITS,
        )

    width = {"both": UNITS} | {e: sized(e) for e in ("mlp", "attention")}
    found = {}
    for tasks in subsets(few):
        for encoder in (
            ENCODERS if tasks == TASKS and few == "none" else ("mlp",)
        ):
            name = " + ".join(tasks)
            if encoder != "mlp":
                name = encoder
            found[name] = partial(
                classifier,
                schema.with_tasks(tasks),
                READS,
                encoder=encoder,
                encoder_units=width[encoder],
                **SIZES,
            )
    return found


def subsets(few: str) -> list[tuple[str, ...]]:
    """Return the sets of tasks to train together."""
    every = [
        ("segment",),
        ("category",),
        ("relation",),
        ("segment", "category"),
        ("segment", "relation"),
        ("category", "relation"),
        TASKS,
    ]
    return [s for s in every if few == "none" or few in s]


def with_labels(train: Examples, few: str, seed: int) -> Examples:
    """Hide labels of the task that has few."""
    if few == "none":
        return train
    return train.keep_labels(few, FEW[few], seed=seed)


def fit_options(train: Examples, tasks: tuple[str, ...]) -> dict:
    """Give a model its steps: as many epochs as fit into them."""
    rows = np.any([train.masks[task] > 0 for task in tasks], axis=0).sum()
    epochs = max(1, STEPS // -(-int(rows) // BATCH))
    return {
        "batch_size": BATCH,
        "epochs": epochs,
        "patience": max(2, epochs // 8),
    }


def tasks_of(name: str) -> tuple[str, ...]:
    """Return the tasks of a model by its name."""
    return TASKS if name in ENCODERS else tuple(name.split(" + "))


@lru_cache
def settings(few: str) -> dict[str, dict]:
    """Choose each model's settings in the world kept for it."""
    schema, (train, validation, _), _ = encoded(TUNING_WORLD)
    train = with_labels(train, few, TUNING_WORLD)
    chosen = {}
    for name, build in builders(schema, few).items():
        tasks = tasks_of(name)
        most = max(tasks, key=train.observed)
        lesser = [task for task in tasks if task != most]
        grid: dict[str, list] = {"learning_rate": list(ALL_RATES)}
        if lesser:
            weights = [dict.fromkeys(lesser, w) for w in WEIGHTS]
            grid = {"learning_rate": list(RATES), "loss_weights": weights}
        judge = {} if few == "none" else {t: float(t == few) for t in tasks}
        chosen[name] = tune(
            build,
            grid,
            train,
            validation,
            judge=judge,
            **fit_options(train, tasks),
        ).fit_options
    return chosen


def run(unit: dict) -> pd.DataFrame:
    """Train all models of a unit in its world."""
    few, seed = unit["few"], unit["seed"]
    schema, (train, validation, test), best = encoded(seed)
    train = with_labels(train, few, seed)
    chosen = settings(few)
    models = builders(schema, few)
    found = replicate(
        models,
        train,
        validation,
        test,
        seeds=[seed],
        per_model={
            name: fit_options(train, tasks_of(name)) | chosen[name]
            for name in models
        },
    )
    rows = found.table.drop(columns=["seed", "seconds"])
    return rows.assign(
        best=[
            best.get((row.task, row.metric), np.nan)
            for row in rows.itertuples()
        ],
        learning_rate=[chosen[m]["learning_rate"] for m in rows["model"]],
        weight=[
            next(iter(chosen[m].get("loss_weights", {"": 1.0}).values()))
            for m in rows["model"]
        ],
        **unit,
    )


def comparisons(few: str) -> list[tuple[str, str, str, str]]:
    """Return (question, task, candidate, baseline): what is compared."""
    both = " + ".join(TASKS)
    rows = []
    if few == "none":
        rows += [
            ("encoder", task, candidate, baseline)
            for candidate, baseline in (
                ("attention", both),
                ("both", both),
                ("both", "attention"),
            )
            for task in TASKS
        ]
    for task in TASKS if few == "none" else (few,):
        for other in TASKS:
            if other != task:
                two = " + ".join(t for t in TASKS if t in (task, other))
                rest = " + ".join(t for t in TASKS if t != other)
                rows.append((f"with {other}", task, two, task))
                rows.append((f"last {other}", task, both, rest))
        rows.append(("with both", task, both, task))
    return rows


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per question, task and metric, over the worlds."""
    rows = []
    for few, cell in results.groupby("few", sort=False):
        values = cell.set_index(
            ["model", "task", "metric", "seed"]
        ).sort_index()
        for question, task, candidate, baseline in comparisons(str(few)):
            for metric, name in METRICS.items():
                ours = values.loc[candidate, task, metric]
                theirs = values.loc[baseline, task, metric]
                difference = (ours["value"] - theirs["value"]).to_numpy()
                mean, low, high = paired_interval(difference)
                row = {
                    "question": question,
                    "labels": "all" if few == "none" else "few",
                    "task": task,
                    "metric": name,
                    "candidate_model": candidate,
                    "baseline_model": baseline,
                    "candidate": ours["value"].mean(),
                    "baseline": theirs["value"].mean(),
                    "best": ours["best"].mean(),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "verdict": verdict(low, high, metric == "accuracy"),
                    "worlds": len(difference),
                }
                for side, of in (("candidate", ours), ("baseline", theirs)):
                    row |= {
                        f"{side}_parameters": round(of["parameters"].mean()),
                        f"{side}_steps": round(of["steps"].mean()),
                        f"{side}_learning_rate": of["learning_rate"].iloc[0],
                        f"{side}_weight": of["weight"].iloc[0],
                    }
                rows.append(row)
    return pd.DataFrame(rows)
