"""Many domains in one model: who gains, who loses, and what the average says.

``data.many_domains``, three domains with 10,000, 1000 and 100
rows. All methods have the same widths, passes over the rows and two
trials, learning rates, on a world of their own; the trial with the lowest
log loss, averaged over the domains, is taken. "separate" shares nothing, so
each of its domains takes the rate that is best for itself. "base rate" is
the mean click of a domain's training rows. The domain "average" weighs each
by its training rows, as traffic does.

Each seed is an independent world. Verdicts compare with "separate".
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task
from mtlrec_utils.data.many_domains import (
    DOMAINS,
    ManyDomains,
    many_domains,
)
from mtlrec_utils.evidence import auc, log_loss, paired_row
from mtlrec_utils.learning import replicate
from mtlrec_utils.models import (
    epnet,
    mmoe_over_domains,
    pepnet,
    pooled_domains,
    separate_domains,
    shared_bottom_over_domains,
    star,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 6)  # one world each
TUNING_SEED = 1000
SIMILARITIES = (0.0, 0.5, 1.0)
N_ROWS = (10_000, 1000, 100)
RATES = (1e-2, 3e-2)
FIT = {"epochs": 8, "batch_size": 256, "decay": "linear"}
SIZES = {
    "embedding_dimension": 8,
    "bottom_units": (32, 16),
    "tower_units": (8,),
}
MIXTURE = {
    "embedding_dimension": 8,
    "n_experts": 4,
    "expert_units": (16,),
    "tower_units": (8,),
}
METHODS = {
    "pooled": partial(pooled_domains, **SIZES),
    "pooled + id": partial(pooled_domains, read_domain=True, **SIZES),
    "separate": partial(separate_domains, **SIZES),
    "shared bottom": partial(shared_bottom_over_domains, **SIZES),
    "MMoE": partial(mmoe_over_domains, **MIXTURE),
    "STAR": partial(star, **SIZES),
    "EPNet": partial(epnet, **SIZES),
    "PEPNet": partial(pepnet, **SIZES),
}
COLUMNS = ("group", "genre", "domain")


def units() -> list[dict]:
    """One method at one similarity."""
    return [
        {"similarity": s, "method": name}
        for name in METHODS
        for s in SIMILARITIES
    ]


@lru_cache(maxsize=8)
def world_of(seed: int, similarity: float) -> ManyDomains:
    """Return the three domains."""
    return many_domains(N_ROWS, similarity=similarity, seed=seed)


@lru_cache
def common_schema() -> Schema:
    """One schema for all worlds: they have the same groups and genres."""
    world = many_domains((5000,) * len(N_ROWS), n_test=2, seed=0)
    return Schema(map(Categorical, COLUMNS), [Task("click")]).fit(world.train)


def score(test: pd.DataFrame, chance: np.ndarray) -> dict:
    """Return (domain, metric) -> value."""
    found = {}
    for domain in test["domain"].unique():
        rows = (test["domain"] == domain).to_numpy()
        label = test["click"].to_numpy()[rows]
        found[domain, "auc"] = auc(label, chance[rows])
        found[domain, "log_loss"] = log_loss(label, chance[rows])
    return found


@lru_cache
def seeded_builder(name: str):
    """Return one builder per method, so that it is traced once."""
    return lambda seed: METHODS[name](common_schema(), seed=seed)


def run(unit: dict) -> pd.DataFrame:
    """One method: two rates in the tuning world, then five worlds."""
    name, s = unit["method"], unit["similarity"]
    trials = {rate: _scores(name, s, TUNING_SEED, rate) for rate in RATES}
    losses = pd.DataFrame(
        {rate: found for rate, (found, _) in trials.items()}
    ).xs("log_loss", level=1)  # [domains, rates]
    best = losses.mean().idxmin()
    rates = dict.fromkeys(losses.index, best)
    if name == "separate":
        rates = losses.idxmin(axis=1).to_dict()
    rows = []
    for seed in SEEDS:
        found = {
            rate: _scores(name, s, seed, rate) for rate in set(rates.values())
        }
        for domain, rate in rates.items():
            values, facts = found[rate]
            rows += [
                _row(seed, domain, metric, values[domain, metric], **facts)
                | {"rate": rate}
                for metric in ("auc", "log_loss")
            ]
        if name == "separate":
            rows += _references(s, seed)
    return pd.DataFrame(rows).assign(**unit)


def _scores(name: str, s: float, seed: int, rate: float) -> tuple:
    world, schema = world_of(seed, s), common_schema()
    one = replicate(
        {name: seeded_builder(name)},
        schema.encode(world.train),
        None,
        schema.encode(world.test),
        seeds=[seed],
        learning_rate=rate,
        progress=False,
        **FIT,
    )
    facts = {
        fact: float(one.table[fact].iloc[0])
        for fact in ("parameters", "steps", "seconds")
    }
    return score(world.test, one.predictions[name]["click"][0]), facts


def _references(s: float, seed: int) -> list[dict]:
    """The base rate of each domain, and the best possible score."""
    world = world_of(seed, s)
    clicks = world.train.groupby("domain")["click"]
    rate = (clicks.sum() + 0.5) / (clicks.size() + 1)
    flat = score(world.test, world.test["domain"].map(rate).to_numpy())
    best = world.best.set_index("domain")
    return [
        _row(seed, domain, metric, value) | {"of": name}
        for name, values in (
            ("base rate", flat),
            ("best", {(d, m): best.loc[d, m] for d, m in flat}),
        )
        for (domain, metric), value in values.items()
    ]


def _row(seed, domain, metric, value, **facts) -> dict:
    return {
        "seed": seed,
        "domain": domain,
        "metric": metric,
        "value": value,
        **facts,
    }


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per similarity, domain, metric and method."""
    own = results["of"] if "of" in results else results["method"]
    results = results.assign(method=own.fillna(results["method"]))
    results = pd.concat([results, averages(results)], ignore_index=True)
    keys, found = ["similarity", "domain", "metric"], []
    for key, cell in results.groupby(keys, sort=False):
        cell = cell.set_index(["method", "seed"])
        base = cell.loc["separate"]
        best = cell.loc["best", "value"].mean()
        for method in dict.fromkeys(cell.index.get_level_values(0)):
            if method == "best":
                continue
            own = cell.loc[method].loc[base.index]
            judged = paired_row(own["value"], base["value"], key[-1] == "auc")
            found.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "method": method,
                    **judged,
                    "best": best,
                    "rate": own["rate"].mean(),
                    "parameters": own["parameters"].mean(),
                    "steps": own["steps"].mean(),
                    "seconds": own["seconds"].mean(),
                    "worlds": len(own),
                }
            )
    return pd.DataFrame(found)


def averages(results: pd.DataFrame) -> pd.DataFrame:
    """All domains as one, each weighed by its training rows."""
    shares = dict(zip(DOMAINS, np.array(N_ROWS) / sum(N_ROWS), strict=False))
    weighted = results["value"] * results["domain"].map(shares)
    rows = results.assign(value=weighted, domain="average")
    keys = ["similarity", "domain", "metric", "method", "seed"]
    facts = ["rate", "parameters", "steps", "seconds"]
    return (
        rows.groupby(keys, sort=False)
        .agg({"value": "sum", **dict.fromkeys(facts, "mean")})
        .reset_index()
    )
