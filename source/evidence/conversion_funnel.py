"""Clicks and purchases in Lantern: what ESMM mends, and what it cannot.

Independent worlds in two settings: few conversions, and a hidden cause that
raises clicks and purchases alike. Each model tries the same two learning
rates in each world; the loss of its conversions on validation rows chooses.
Purchases are judged on rows shown at random, by the world's truth, as if
every row had been clicked: the entire space.

Calibration is predicted over true purchases: on rows that were clicked (the
policy's log, and a log of random exposure), and in the entire space. Its
interval is that of the mean logarithm over the worlds.
"""

from functools import partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, World, split_by_time
from mtlrec_utils.evidence import (
    auc,
    calibration_ratio,
    paired_interval,
    verdict,
)
from mtlrec_utils.learning import fit, predict
from mtlrec_utils.models import esmm, shared_bottom, single_task

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 6)  # one world each
SETTINGS = {
    "few conversions": {"n_rows": 20_000},
    "hidden cause": {
        "n_rows": 40_000,
        "confounding": 3.0,
        "task_correlation": 0.0,
    },
}
COLUMNS = [
    "user",
    "item",
    "position",
    "age_group",
    "region",
    "device",
    "genre",
]
TASKS = [
    Task("click"),
    Task("purchase", sample_space="click"),
    Task(
        "click_and_purchase",
        label="purchase",
        sample_space="click",
        outside=0,
    ),
]
RATES = (3e-3, 1e-2)
FIT = {"epochs": 15, "patience": 2, "batch_size": 512}
PAIRS = (
    ("esmm", "alone"),
    ("shared_embedding", "alone"),
    ("esmm", "shared_embedding"),
    ("escm2_ips", "esmm"),
    ("escm2_dr", "esmm"),
)
SPACES = ("clicked", "random_clicked", "entire")


def units() -> list[dict]:
    """One world per unit."""
    return [
        {"setting": setting, "seed": seed}
        for setting in SETTINGS
        for seed in SEEDS
    ]


def builders(schema: Schema) -> dict:
    """Return all models by name; all towers have the same widths."""
    both = schema.with_tasks(["click", "purchase"])
    options = {"embedding_dimension": 8, "tower_units": (16, 8)}
    alone = {**options, "bottom_units": ()}
    funnel = partial(esmm, schema, "click", "purchase", **options)
    return {
        "click alone": partial(single_task, schema, "click", **alone),
        "alone": partial(single_task, schema, "purchase", **alone),
        "shared_embedding": partial(shared_bottom, both, **alone),
        "esmm": funnel,
        "escm2_ips": partial(funnel, debiasing="ips"),
        "escm2_dr": partial(funnel, debiasing="dr"),
    }


def tuned(build: partial, train, validation, seed: int) -> tuple:
    """Return the best rate, its model and its history."""
    tried = []
    for rate in RATES:
        model = build(seed=seed)
        history = fit(
            model,
            train,
            validation,
            learning_rate=rate,
            seed=seed,
            progress=False,
            **FIT,
        )
        names = ("click_and_purchase", "purchase", "click")
        task = next(name for name in names if name in model.output)
        losses = history.losses("validation", task)
        tried.append((losses.min(), rate, model, history))
    return min(tried, key=lambda entry: entry[:2])[1:]


def expected_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """AUC of scores whose labels are drawn with the probabilities `truth`."""
    labels = np.repeat([1, 0], len(truth))
    return auc(labels, np.tile(scores, 2), np.r_[truth, 1 - truth])


def run(unit: dict) -> pd.DataFrame:
    """Train all models in one world; judge them by its truth."""
    seed, dials = unit["seed"], dict(SETTINGS[unit["setting"]])
    n_rows = dials.pop("n_rows")
    world = World(
        n_users=400, n_items=100, segment_strength=0.8, seed=seed, **dials
    )
    log = world.with_features(world.log(n_rows, domain="films"))
    parts = split_by_time(log, (0.75, 0.25))
    schema = Schema([Categorical(c) for c in COLUMNS], TASKS).fit(parts[0])
    train, validation = (schema.encode(part) for part in parts)
    rows = {
        "clicked": world.log(40_000, domain="films", draw=1),
        "random_clicked": world.log(
            40_000, domain="films", draw=2, exposure="random"
        ),
    }
    truth = world.truth(rows["random_clicked"])
    truth["click_and_purchase"] = (
        truth["click"] * truth["purchase_given_click"]
    )
    examples = {
        k: schema.encode(world.with_features(v)) for k, v in rows.items()
    }
    found, clicks = [], None
    for name, build in builders(schema).items():
        rate, model, history = tuned(build, train, validation, seed)
        seen = {k: predict(model, e) for k, e in examples.items()}
        entire = dict(seen["random_clicked"])
        cost = {
            "parameters": model.count_params(),
            "steps": history.steps,
            "seconds": history.seconds,
        }
        if name == "click alone":
            clicks = entire["click"], cost
            continue
        if name == "alone":
            entire["click"] = clicks[0]
            cost = {key: cost[key] + clicks[1][key] for key in cost}
        entire["click_and_purchase"] = entire["click"] * entire["purchase"]
        calibration = {
            "entire": entire["purchase"].mean() / truth["purchase"].mean(),
            "perfect_entire": truth["purchase_given_click"].mean()
            / truth["purchase"].mean(),
        }
        for space, frame in rows.items():
            known = frame["click"].to_numpy() == 1
            calibration[space] = calibration_ratio(
                frame["purchase"].to_numpy()[known],
                seen[space]["purchase"][known],
            )
        for task in ("click", "purchase", "click_and_purchase"):
            chance = truth[task].to_numpy()
            found.append(
                {
                    **unit,
                    "model": name,
                    "task": task,
                    "value": expected_auc(entire[task], chance),
                    "best": expected_auc(chance, chance),
                    **calibration,
                    **cost,
                    "rate": rate,
                    "clicks": int(train.labels["click"].sum()),
                    "conversions": int(
                        train.labels["click_and_purchase"].sum()
                    ),
                }
            )
    return pd.DataFrame(found)


def listed(values) -> str:
    """Write each world's value, in order of the seeds."""
    return " ".join(f"{value:g}" for value in values)


def ratios(cell: pd.DataFrame, model: str, side: str) -> dict:
    """Return a model's calibration in each space, over the worlds."""
    rows = cell[cell["model"] == model].sort_values("seed")
    found = {}
    for space in SPACES:
        mean, low, high = np.exp(paired_interval(np.log(rows[space])))
        found |= {
            f"{side}_{space}": mean,
            f"{side}_{space}_low": low,
            f"{side}_{space}_high": high,
        }
    found[f"{side}_entire_ratios"] = listed(rows["entire"].round(3))
    return found


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, task and pair of models, over the worlds."""
    rows = []
    for keys, cell in results.groupby(["setting", "task"], sort=False):
        scores = cell.pivot(index="seed", columns="model", values="value")
        rates = cell.pivot(index="seed", columns="model", values="rate")
        cost = cell.groupby("model")[["parameters", "steps", "seconds"]].mean()
        first = cell[cell["model"] == "esmm"]
        for candidate, baseline in PAIRS:
            sides = {"candidate": candidate, "baseline": baseline}
            difference = (scores[candidate] - scores[baseline]).to_numpy()
            mean, low, high = paired_interval(difference)
            row = {
                "setting": keys[0],
                "task": keys[1],
                "metric": "auc",
                "candidate_model": candidate,
                "baseline_model": baseline,
                "candidate": scores[candidate].mean(),
                "baseline": scores[baseline].mean(),
                "best": first["best"].mean(),
                "difference": mean,
                "low": low,
                "high": high,
                "verdict": verdict(low, high),
                "worlds": len(scores),
                "clicks": round(first["clicks"].mean()),
                "conversions": round(first["conversions"].mean()),
                "perfect_entire": np.exp(
                    np.log(first["perfect_entire"]).mean()
                ),
                "differences": listed(difference.round(4)),
            }
            for side, model in sides.items():
                row |= {
                    f"{side}_parameters": round(cost["parameters"][model]),
                    f"{side}_steps": round(cost["steps"][model]),
                    f"{side}_seconds": round(cost["seconds"][model], 1),
                    f"{side}_rates": listed(rates[model]),
                    **ratios(cell, model, side),
                }
            rows.append(row)
    return pd.DataFrame(rows)
