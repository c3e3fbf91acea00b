"""The capstone's policies in six worlds: offline AUC and true points.

Each world has its own users, items and logs (`capstone.Brief`). A network is
trained once per world; differences are paired over worlds. "larger" models
per task have the sizes of the shared one; "shared, place" also reads the
position in the list, and is scored at the top.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mtlrec_utils import capstone
from mtlrec_utils.capstone.brief import TASKS, without_answers
from mtlrec_utils.capstone.grading import share_of_the_way
from mtlrec_utils.capstone.worked import one_model_per_task, shared_over_shops
from mtlrec_utils.evidence import auc, paired_interval, verdict

SEEDS = range(1, 7)  # one world each
LARGER = {
    "embedding_dimension": 16,
    "bottom_units": (64,),
    "tower_units": (16,),
}
BASELINE = "popular"


def units() -> list[dict]:
    """One world per unit."""
    return [{"seed": seed} for seed in SEEDS]


def policies(brief: capstone.Brief) -> dict:
    """Return every policy by name, trained."""
    columns = [*one_model_per_task.COLUMNS, "position"]
    past = brief.past
    return {
        **capstone.given_policies(brief),
        "one per task, larger": one_model_per_task.recommender(
            *past, sizes=LARGER
        ),
        "shared": shared_over_shops.recommender(*past),
        "shared, place": shared_over_shops.recommender(*past, columns=columns),
        "oracle": capstone.oracle(brief.world),
    }


def run(unit: dict) -> pd.DataFrame:
    """Return points per visit, share of the way, and AUC per shop and task."""
    brief = capstone.Brief(unit["seed"])
    visits = capstone.draw_visits(brief.world, 6000, seed=unit["seed"])
    arms = policies(brief)
    points = {}
    for name, score in arms.items():
        shown = capstone.ranked(brief.world, visits, score)
        points[name] = capstone.true_points(brief.world, visits, shown)
    means = {name: values.mean() for name, values in points.items()}
    rows = []
    for name, score in arms.items():
        common = {**unit, "policy": name}
        share = share_of_the_way(means, name)
        rows.append({**common, "metric": "points", "value": means[name]})
        rows.append({**common, "metric": "share", "value": share})
        for shop in ("films", "books"):
            here = visits.domain == shop
            mean = points[name][here].mean()
            rows.append(
                {**common, "shop": shop, "metric": "points", "value": mean}
            )
            future = brief.logs[shop][1]
            found = score(without_answers(future))
            for task in TASKS:
                known = future[task].notna().to_numpy()
                value = auc(
                    future.loc[known, task].to_numpy(),
                    np.asarray(found[task]).reshape(-1)[known],
                )
                place = {"shop": shop, "task": task}
                rows.append(
                    {**common, **place, "metric": "auc", "value": value}
                )
    return pd.DataFrame(rows)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Hold every policy against "popular", world by world."""
    results = results.fillna({"shop": "both", "task": ""})
    keys = ["metric", "shop", "task"]
    base = results[results["policy"] == BASELINE]
    others = results[results["policy"] != BASELINE]
    rows = [
        row_of(
            {"policy": policy, **dict(zip(keys, key, strict=True))},
            found.merge(base, on=["seed", *keys], suffixes=("", "_0")),
        )
        for (policy, *key), found in others.groupby(
            ["policy", *keys], sort=False
        )
    ]
    points = results.query("metric == 'points' and shop == 'both'")
    with_place, without = (
        points[points["policy"] == policy]
        for policy in ("shared, place", "shared")
    )
    place = {"policy": "shared, place", "metric": "place"}
    pairs = with_place.merge(without, on="seed", suffixes=("", "_0"))
    rows.append(row_of({**place, "shop": "both", "task": ""}, pairs))
    return pd.DataFrame(rows)


def row_of(keys: dict, pairs: pd.DataFrame) -> dict:
    """Compare the columns value and value_0, paired over worlds."""
    interval = paired_interval(pairs["value"] - pairs["value_0"])
    return {
        **keys,
        "higher_is_better": True,
        "value": pairs["value"].mean(),
        "baseline": pairs["value_0"].mean(),
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "verdict": verdict(interval.low, interval.high),
        "worlds": len(pairs),
    }
