"""Rankers in Lantern: where crosses and interest attention pay.

Five kinds of world, several of each, all independent:

* "one taste": one segment, and a taste is the segment's alone. Everybody
  wants the same, so what an item is worth does not depend on who asks:
  there is nothing to multiply;
* "segments": four segments, and a taste is the segment's alone. Profile and
  genre must be multiplied, the history tells the rest;
* "two interests": personal tastes, every user in both shops, half of the
  rows in each, and tastes in the two that have nothing in common: half of a
  history is beside the point;
* "one interest": the same, but the taste in books is that in films;
* "part II": the worlds of lesson 09, fewer rows, its columns (user
  number and position too). Only DIN and "mlp, history" read a history there.

All models have equally many parameters but for logistic regression, and the
same three trials (learning rates) in a world of the kind kept for that.
"by hand" is the plain network, "mlp", with one more number: the share of the
user's past clicks that had the candidate's genre. Intervals are over worlds;
the comparisons of a kind and metric are one family with Holm's correction.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy import stats

from mtlrec_utils.data import (
    Categorical,
    Number,
    Schema,
    Sequence,
    Task,
    World,
    split_by_time,
)
from mtlrec_utils.data.histories import past_items
from mtlrec_utils.evidence import auc, log_loss, paired_interval, verdict
from mtlrec_utils.evidence.verdicts import holm_factors
from mtlrec_utils.learning import replicate, tune
from mtlrec_utils.models import (
    count_parameters,
    single_task,
    units_of_equal_capacity,
)
from mtlrec_utils.models.ranking import dcn, deepfm, din, wide_and_deep

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 7)  # one world each
TUNING_SEED = 1000
N_ROWS = 30_000
PARTS = (0.5, 0.15, 0.35)
LENGTH = 10  # of a history
BOTH_SHOPS = {"user_overlap": 1.0, "segment_strength": 0.0}
KINDS = {
    "one taste": {"n_segments": 1, "segment_strength": 1.0},
    "segments": {"n_segments": 4, "segment_strength": 1.0},
    "two interests": {**BOTH_SHOPS, "domain_similarity": 0.0},
    "one interest": {**BOTH_SHOPS, "domain_similarity": 1.0},
    "part II": {"segment_strength": 0.8, "task_correlation": 0.9},
}
PROFILE = ["age_group", "region", "device"]
CROSSES = [(column, "genre") for column in PROFILE]
SIZES = {"embedding_dimension": 8, "tower_units": (8,)}
BOTTOM = (64,)
FIT = {"epochs": 15, "patience": 2, "batch_size": 512}
GRID = {"learning_rate": [3e-3, 1e-2, 3e-2]}
BASELINE = "mlp"


def units() -> list[dict]:
    """One kind of world per unit: tuned once, then every world."""
    return [{"kind": kind} for kind in KINDS]


def log_of(kind: str, seed: int) -> tuple[World, pd.DataFrame]:
    """Return a world and its log with what each user did before a row."""
    dials = {"n_users": 400, "n_items": 100, "seed": seed, **KINDS[kind]}
    if kind != "part II":
        dials["position_bias"] = 0.0  # else a place multiplies everything
    world = World(**dials)
    shops = ["films", "books"] if "interest" in kind else ["films"]
    logs = [world.log(N_ROWS // len(shops), domain=shop) for shop in shops]
    log = pd.concat(logs).sort_values("time", kind="stable")
    return world, with_past(world.with_features(log.reset_index(drop=True)))


def with_past(log: pd.DataFrame) -> pd.DataFrame:
    """Add history, click rate so far, and the share of the row's genre."""
    before = log.groupby("user").cumcount()
    clicks = log.groupby("user")["click"].cumsum() - log["click"]
    same = log.groupby(["user", "genre"])["click"].cumsum() - log["click"]
    return log.assign(
        history=past_items(log, LENGTH, taken="click"),
        click_rate=(clicks + 1) / (before + 3),
        genre_share=(same + 0.5) / (clicks + 3),
    )


def schema_of(kind: str, train: pd.DataFrame, reads: tuple = ()) -> Schema:
    """Return the schema of a kind of world and what is read besides."""
    names = [*PROFILE, "item", "genre"]
    if kind == "part II":
        names = ["user", *names, "position"]
    features: list = [*map(Categorical, names)]
    if "history" in reads:
        features.append(Sequence("history", LENGTH, vocabulary_of="item"))
    features += [Number(n) for n in reads if n != "history"]
    return Schema(features, [Task("click")]).fit(train)


def models_of(kind: str) -> dict[str, tuple[Callable, tuple]]:
    """Return name -> (builder, what it reads besides profile and item)."""
    wide = partial(wide_and_deep, crosses=CROSSES)
    past = ("click_rate", "history")
    plain = () if kind == "part II" else past
    found: dict[str, tuple[Callable, tuple]] = {
        "logistic": (partial(wide_and_deep, bottom_units=None), plain),
        BASELINE: (single_task, plain),
        "wide & deep": (wide, plain),
        "DeepFM": (deepfm, plain),
        "DCN": (partial(dcn, n_crosses=2, rank=8), plain),
        "DIN": (din, past),
    }
    if kind == "part II":
        found["mlp, history"] = (single_task, past)
    else:
        found["by hand"] = (single_task, (*past, "genre_share"))
    return found


@lru_cache
def builder(kind: str, name: str, key: tuple, target: int) -> Callable:
    """Return a model's builder, its bottom as wide as all are large.

    Worlds whose columns have equally many values (the key) share it, and
    with it what TensorFlow has traced.
    """
    build = partial(models_of(kind)[name][0], SCHEMAS[key], **SIZES)
    if name == "logistic":
        return build  # it has no bottom
    units = units_of_equal_capacity(
        lambda units: build(bottom_units=units, seed=0),
        target,
        proportions=BOTTOM,
    )
    return partial(build, bottom_units=units)


SCHEMAS: dict[tuple, Schema] = {}


def prepared(kind: str, seed: int) -> tuple[dict, pd.DataFrame, dict]:
    """Return name -> (builder, encoded parts), test rows, the best AUC."""
    world, log = log_of(kind, seed)
    parts = split_by_time(log, PARTS)
    models = models_of(kind)
    encoded = {}
    for reads in {reads for _, reads in models.values()}:
        schema = schema_of(kind, parts[0], reads)
        key = (reads, *schema.field_sizes)
        SCHEMAS.setdefault(key, schema)
        encoded[reads] = key, [schema.encode(part) for part in parts]
    # The columns that most models read set the size.
    key = encoded[models[BASELINE][1]][0]
    target = count_parameters(
        single_task(SCHEMAS[key], bottom_units=BOTTOM, seed=0, **SIZES)
    )
    found = {
        name: (
            builder(kind, name, encoded[reads][0], target),
            encoded[reads][1],
        )
        for name, (_, reads) in models.items()
    }
    test = parts[2]
    best = {
        shop: world.best_metrics(rows)
        .query("metric == 'auc'")
        .iloc[0]["value"]
        for shop, rows in shops_of(test).items()
    }
    return found, test, best


def shops_of(test: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return all rows, and those of each shop if there are two."""
    shops = dict(list(test.groupby("domain")))
    return {"all": test} | (shops if len(shops) > 1 else {})


def run(unit: dict) -> pd.DataFrame:
    """Tune every model in one world, then train it in all the others."""
    kind = unit["kind"]
    tuned, _, _ = prepared(kind, TUNING_SEED)
    chosen = {
        name: tune(build, GRID, *parts[:2], **FIT).fit_options
        for name, (build, parts) in tuned.items()
    }
    rows = []
    for seed in SEEDS:
        found, test, best = prepared(kind, seed)
        for name, (build, parts) in found.items():
            result = replicate(
                {name: build}, *parts, seeds=[seed], **FIT, **chosen[name]
            )
            fact = result.table.iloc[0]
            p = result.predictions[name]["click"][0]
            p = pd.Series(p, index=test.index)
            for shop, part in shops_of(test).items():
                click = part["click"]
                for metric, score in (("auc", auc), ("log_loss", log_loss)):
                    rows.append(
                        {
                            **unit,
                            "seed": seed,
                            "model": name,
                            "shop": shop,
                            "metric": metric,
                            "value": score(click, p[part.index]),
                            "best": best[shop],
                            "parameters": int(fact["parameters"]),
                            "steps": int(fact["steps"]),
                            "seconds": fact["seconds"],
                            "rate": chosen[name]["learning_rate"],
                        }
                    )
    return pd.DataFrame(rows)


def pairs_of(names: list[str]) -> list[tuple[str, str]]:
    """Return (candidate, baseline): all against the plain network, and
    attention against crosses, or against a network with the history."""
    other = "mlp, history" if "mlp, history" in names else "DCN"
    pairs = [(name, BASELINE) for name in names if name != BASELINE]
    return [*pairs, ("DIN", other)]


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per kind of world, shop, metric and pair, over the worlds."""
    rows = []
    cells = results.groupby(["kind", "shop", "metric"], sort=False)
    for (kind, shop, metric), cell in cells:
        values = cell.pivot(index="seed", columns="model", values="value")
        facts = cell.groupby("model")[["parameters", "steps", "rate"]].mean()
        pairs = pairs_of(list(cell["model"].unique()))
        gains = [(values[a] - values[b]).to_numpy() for a, b in pairs]
        p = [stats.ttest_1samp(gain, 0.0).pvalue for gain in gains]
        for (a, b), gain, factor in zip(
            pairs, gains, holm_factors(p), strict=True
        ):
            mean, low, high = paired_interval(gain, 1 - 0.05 / factor)
            row = {
                "kind": kind,
                "shop": shop,
                "metric": metric,
                "candidate_model": a,
                "baseline_model": b,
                "candidate": values[a].mean(),
                "baseline": values[b].mean(),
                "best": cell["best"].mean() if metric == "auc" else np.nan,
                "difference": mean,
                "low": low,
                "high": high,
                "verdict": verdict(low, high, metric == "auc"),
                "worlds": len(gain),
                "compared": len(pairs),
            }
            for side, name in (("candidate", a), ("baseline", b)):
                row |= {
                    f"{side}_parameters": round(facts["parameters"][name]),
                    f"{side}_steps": round(facts["steps"][name]),
                    f"{side}_rate": facts["rate"][name],
                }
            rows.append(row)
    return pd.DataFrame(rows)
