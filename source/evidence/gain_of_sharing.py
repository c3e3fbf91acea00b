"""What sharing gains: task correlation against the number of known likes.

In each of several independent worlds, two single-task models (click, like)
stand against one shared-bottom model of the same widths. Every model has
four trials, chosen by validation loss: the single-task models four learning
rates, the shared one two rates and two weights of the like loss. With few
likes and weight 1 the like tower overfits first, and stopping it stops the
clicks too.
"""

from functools import partial

import numpy as np
import pandas as pd

from mtlrec_utils.data import (
    Categorical,
    Schema,
    Task,
    World,
    split_by_time,
)
from mtlrec_utils.evidence import paired_interval, verdict
from mtlrec_utils.learning import replicate
from mtlrec_utils.models import shared_bottom, single_task

SEEDS = range(1, 6)  # one world each
CORRELATIONS = (-0.9, 0.0, 0.5, 0.9)
LIKES = (300, 1000, 3000, None)  # None: all there are
COLUMNS = [
    "user",
    "item",
    "position",
    "age_group",
    "region",
    "device",
    "genre",
]
SIZES = {
    "embedding_dimension": 8,
    "bottom_units": (16,),
    "tower_units": (8,),
}
FIT = {"epochs": 15, "patience": 2}
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
CLICK = [{"learning_rate": rate, "batch_size": 512} for rate in RATES]
LIKE = [{"learning_rate": rate, "batch_size": 64} for rate in RATES]
SHARED = [
    {
        "learning_rate": rate,
        "batch_size": 512,
        "loss_weights": {"like": weight},
    }
    for rate in (3e-3, 1e-2)
    for weight in (0.1, 0.3)
]


def units() -> list[dict]:
    """One world per unit."""
    return [
        {"task_correlation": correlation, "seed": seed}
        for correlation in CORRELATIONS
        for seed in SEEDS
    ]


def world_of(unit: dict) -> World:
    """A small world in which segments of users share their tastes."""
    return World(n_users=400, n_items=100, segment_strength=0.8, **unit)


def best_trial(name, build, trials, train, validation, test, seed) -> dict:
    """Train with each setting; return what the best one scores on test.

    Best is the lowest validation loss, each task weighted 1, at the epoch
    whose weights are kept. The gap is that loss minus the training loss of
    the same epoch (its running mean, which trails behind a little).
    """
    found = []
    for trial in trials:
        run = replicate(
            {name: build},
            train,
            validation,
            test,
            seeds=[seed],
            **FIT,
            **trial,
        )
        (history,) = run.histories[name]
        kept = history.table[history.table["epoch"] == history.best_epoch]
        losses = kept.pivot(index="task", columns="part", values="loss")
        losses = losses.drop(index="total")
        scores = run.table.query("metric == 'auc'").set_index("task")["value"]
        found.append(
            {
                "loss": losses["validation"].sum(),
                "gap": (losses["validation"] - losses["train"]).to_dict(),
                "scores": scores.to_dict(),
                "parameters": int(run.table["parameters"].iloc[0]),
                "seconds": history.seconds,
                "setting": trial,
            }
        )
    return min(found, key=lambda entry: entry["loss"])


def run(unit: dict) -> pd.DataFrame:
    """All numbers of likes in one world."""
    world = world_of(unit)
    log = world.with_features(world.log(40_000, domain="films"))
    parts = split_by_time(log, (0.6, 0.2, 0.2))
    schema = Schema(
        [Categorical(name) for name in COLUMNS],
        [Task("click"), Task("like", sample_space="click")],
    ).fit(parts[0])
    train, validation, test = (schema.encode(p, user="user") for p in parts)
    best = world.best_metrics(parts[2]).query("metric == 'auc'")
    best = best.set_index("task")["value"]
    seed = unit["seed"]
    click, like, shared = (
        partial(single_task, schema, "click", **SIZES),
        partial(single_task, schema, "like", **SIZES),
        partial(shared_bottom, schema, **SIZES),
    )
    rest = (validation, test, seed)
    alone_click = best_trial("click", click, CLICK, train, *rest)
    rows = []
    for likes in LIKES:
        known = (
            train if likes is None else train.keep_labels("like", likes, seed)
        )
        alone = {
            "click": alone_click,
            "like": best_trial("like", like, LIKE, known, *rest),
        }
        both = best_trial("shared", shared, SHARED, known, *rest)
        for task in ("click", "like"):
            rows.append(
                {
                    **unit,
                    "likes": "all" if likes is None else str(likes),
                    "n_likes": known.observed("like"),
                    "task": task,
                    "single_task": alone[task]["scores"][task],
                    "shared_bottom": both["scores"][task],
                    "best": best[task],
                    "gap_alone": alone[task]["gap"][task],
                    "gap_shared": both["gap"][task],
                    "like_weight": both["setting"]["loss_weights"]["like"],
                    "rate_alone": alone[task]["setting"]["learning_rate"],
                    "rate_shared": both["setting"]["learning_rate"],
                    "parameters_alone": sum(
                        alone[t]["parameters"] for t in alone
                    ),
                    "parameters_shared": both["parameters"],
                    "seconds_alone": sum(alone[t]["seconds"] for t in alone),
                    "seconds_shared": both["seconds"],
                }
            )
    return pd.DataFrame(rows)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per correlation, number of likes and task, over the worlds."""
    keys = ["task_correlation", "likes", "task"]
    rows = []
    for key, cell in results.groupby(keys, sort=False):
        gains = cell["shared_bottom"] - cell["single_task"]
        mean, low, high = paired_interval(gains.to_numpy())
        gaps = cell["gap_shared"] - cell["gap_alone"]
        gap, gap_low, gap_high = paired_interval(gaps.to_numpy())
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "n_likes": round(cell["n_likes"].mean()),
                "metric": "auc",
                "single_task": cell["single_task"].mean(),
                "shared_bottom": cell["shared_bottom"].mean(),
                "best": cell["best"].mean(),
                "difference": mean,
                "low": low,
                "high": high,
                "verdict": verdict(low, high),
                "worlds": len(cell),
                "gap_alone": cell["gap_alone"].mean(),
                "gap_shared": cell["gap_shared"].mean(),
                "gap_difference": gap,
                "gap_low": gap_low,
                "gap_high": gap_high,
                "gap_verdict": verdict(gap_low, gap_high, False),
                "like_weight": float(np.median(cell["like_weight"])),
                "parameters_alone": round(cell["parameters_alone"].mean()),
                "parameters_shared": round(cell["parameters_shared"].mean()),
                "seconds_alone": cell["seconds_alone"].mean(),
                "seconds_shared": cell["seconds_shared"].mean(),
            }
        )
    return pd.DataFrame(rows)
