"""A fourth domain joins a model of three, with few rows or many.

``data.many_domains`` with 10,000, 1000 and 100 rows; a model of these is
trained, and *tv* joins it. With all that is shared kept as it is:

* "new tower": the tower of ``shared_bottom_over_domains`` learns;
* "new row": the row of the domain's table in ``epnet`` learns;
* "unknown": nothing learns: the mean of the other domains' towers;
* "pooled": nothing learns: one model that knows no domain.

Beside them stand

* "alone": a model of the new domain's rows by themselves;
* "retrained": ``shared_bottom_over_domains`` of all four, from the start;
* "base rate": the share of clicks in the new domain's rows.

What learns has four trials, two learning rates and two numbers of passes, on
a world of its own and for each number of rows. Each seed is an independent
world. Verdicts compare with "alone", and with "unknown", which costs nothing.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task
from mtlrec_utils.data.many_domains import ManyDomains, many_domains
from mtlrec_utils.evidence import auc, log_loss, paired_row
from mtlrec_utils.learning import replicate
from mtlrec_utils.learning.transfer import carry_domains, freeze, unfreeze
from mtlrec_utils.models import (
    epnet,
    pooled_domains,
    shared_bottom_over_domains,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 9)  # one world each
TUNING_SEED = 1000
SIMILARITIES = (0.0, 0.5, 1.0)
N_ROWS = (10_000, 1000, 100)
LATE_ROWS = (30, 100, 500, 2000)
RATES = (1e-2, 3e-2)
PASSES, ALL_PASSES = (5, 20), (8, 20)
SOURCE_FIT = {
    "epochs": 8,
    "batch_size": 256,
    "decay": "linear",
    "learning_rate": 1e-2,
}
LATE_FIT = {"batch_size": 32, "decay": "linear"}
SIZES = {
    "embedding_dimension": 8,
    "bottom_units": (32, 16),
    "tower_units": (8,),
}
BUILDERS = {
    "new tower": partial(shared_bottom_over_domains, **SIZES),
    "new row": partial(epnet, **SIZES),
    "alone": partial(pooled_domains, **SIZES),
    "retrained": partial(shared_bottom_over_domains, **SIZES),
    "pooled": partial(pooled_domains, **SIZES),
}
TRIALS = [{"learning_rate": r, "epochs": n} for n in PASSES for r in RATES]
ALL_TRIALS = [
    {**SOURCE_FIT, "learning_rate": r, "epochs": n}
    for n in ALL_PASSES
    for r in RATES
]
LEARNERS = {
    "alone": TRIALS,
    "new tower": TRIALS,
    "new row": TRIALS,
    "retrained": ALL_TRIALS,
}
AS_IT_IS = {"unknown": "new tower", "pooled": "pooled"}  # whose model
BASELINES = ("alone", "unknown")
# What is frozen. Of a tower's layers one of 4 domains learns, of the table
# of domains one of 6 rows.
FROZEN = {
    "new tower": ("embedding", "bottom"),
    "new row": ("embedding", "bottom", "towers", "gate_embedding"),
}
LEARNING = {"new tower": 4, "new row": 6, "alone": 1, "retrained": 1}
COLUMNS = ("group", "genre", "domain")


def units() -> list[dict]:
    """One similarity each."""
    return [{"similarity": s} for s in SIMILARITIES]


@lru_cache(maxsize=8)
def world_of(seed: int, similarity: float, late: int) -> ManyDomains:
    """Return the three domains and the late one."""
    return many_domains((*N_ROWS, late), similarity=similarity, seed=seed)


@lru_cache
def schema_of(n_domains: int) -> Schema:
    """One schema for all worlds: they have the same groups and genres."""
    world = many_domains((5000,) * n_domains, n_test=2, seed=0)
    return Schema(map(Categorical, COLUMNS), [Task("click")]).fit(world.train)


def late_rows(seed: int, s: float, n: int) -> tuple:
    """Return the late domain's training and test rows."""
    world = world_of(seed, s, n)
    return tuple(
        part[part["domain"] == "tv"] for part in (world.train, world.test)
    )


class Kept:
    """A builder that keeps the model it made first: the one that learns.

    ``replicate`` puts the weights of later ones into it.
    """

    def __init__(self, build):
        self.build, self.model = build, None

    def __call__(self, seed: int):
        """Build a model."""
        model = self.build(seed)
        self.model = self.model or model
        return model


@lru_cache
def source_builder(name: str) -> Kept:
    """One builder per method, so that it is traced once."""
    return Kept(lambda seed: BUILDERS[name](schema_of(3), seed=seed))


@lru_cache(maxsize=64)
def source(name: str, s: float, seed: int) -> tuple:
    """Train the model of three domains.

    Returns:
        Its weights, and the log loss and AUC of *tv*, which it never saw.
    """
    most = LATE_ROWS[-1]
    world, test = world_of(seed, s, most), late_rows(seed, s, most)[1]
    three = world.train[world.train["domain"] != "tv"]
    build = source_builder(name)
    one = replicate(
        {name: build},
        schema_of(3).encode(three),
        None,
        schema_of(3).encode(test),
        seeds=[seed],
        progress=False,
        **SOURCE_FIT,
    )
    as_it_is = score(test, one.predictions[name]["click"][0])
    return build.model.get_weights(), as_it_is


def joined(name: str, s: float, seed: int):
    """Return the model of four domains, and freeze what is not to learn."""
    model = BUILDERS[name](schema_of(4), seed=seed)
    if name not in FROZEN:
        return model
    weights, _ = source(name, s, seed)
    before = source_builder(name).model
    before.set_weights(weights)
    carry_domains(before, schema_of(3), model, schema_of(4))
    freeze(model, *FROZEN[name])
    if name == "new row":
        unfreeze(model, "domain_embedding")
    return model


@lru_cache
def late_builder(name: str):
    """One builder per method; ``at`` says which similarity is meant."""
    at = {}
    return at, lambda seed: joined(name, at["similarity"], seed)


def score(test: pd.DataFrame, chance: np.ndarray) -> dict:
    """Return metric -> value."""
    label = test["click"].to_numpy()
    return {"auc": auc(label, chance), "log_loss": log_loss(label, chance)}


def trained(name: str, s: float, n: int, seed: int, trial: dict) -> tuple:
    """Train what the method trains; return its scores and its size."""
    at, build = late_builder(name)
    at["similarity"] = s
    rows, test = late_rows(seed, s, n)
    if name == "retrained":
        rows = world_of(seed, s, n).train
    one = replicate(
        {name: build},
        schema_of(4).encode(rows),
        None,
        schema_of(4).encode(test),
        seeds=[seed],
        progress=False,
        **{**LATE_FIT, **trial},
    )
    size = one.table["parameters"].iloc[0] / LEARNING[name]
    return score(test, one.predictions[name]["click"][0]), size


def run(unit: dict) -> pd.DataFrame:
    """All methods and numbers of rows at one similarity."""
    s = unit["similarity"]
    rows = [row for n in LATE_ROWS for row in learned(s, n) + unlearned(s, n)]
    return pd.DataFrame(rows).assign(**unit)


def learned(s: float, n: int) -> list[dict]:
    """What the methods that train score, each at its best trial."""
    found = []
    for name, trials in LEARNERS.items():
        losses = [
            trained(name, s, n, TUNING_SEED, trial)[0]["log_loss"]
            for trial in trials
        ]
        trial = trials[int(np.argmin(losses))]
        facts = {"rate": trial["learning_rate"], "passes": trial["epochs"]}
        for seed in SEEDS:
            values, size = trained(name, s, n, seed, trial)
            facts["parameters"] = size
            found += _rows(name, s, n, seed, values, **facts)
    return found


def unlearned(s: float, n: int) -> list[dict]:
    """What models score that stay as they are, and the base rate."""
    found = []
    for seed in SEEDS:
        rows, test = late_rows(seed, s, n)
        share = (rows["click"].sum() + 0.5) / (len(rows) + 1)
        flat = score(test, np.full(len(test), share))
        found += _rows("base rate", s, n, seed, flat)
        for method, name in AS_IT_IS.items():
            found += _rows(method, s, n, seed, source(name, s, seed)[1])
    return found


def _rows(method, s, n, seed, values, **facts) -> list[dict]:
    """One row per metric, with the best possible score beside it."""
    best = world_of(seed, s, n).best.set_index("domain").loc["tv"]
    return [
        {
            "rows": n,
            "method": method,
            "seed": seed,
            "metric": metric,
            "value": value,
            "best": best[metric],
            **facts,
        }
        for metric, value in values.items()
    ]


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per similarity, number of rows, metric, method and baseline."""
    keys, found = ["similarity", "rows", "metric"], []
    for key, cell in results.groupby(keys, sort=False):
        cell = cell.set_index(["method", "seed"])
        for baseline in BASELINES:
            base = cell.loc[baseline]
            for method in dict.fromkeys(cell.index.get_level_values(0)):
                own = cell.loc[method].loc[base.index]
                judged = paired_row(
                    own["value"], base["value"], key[-1] == "auc"
                )
                found.append(
                    {
                        **dict(zip(keys, key, strict=True)),
                        "baseline": baseline,
                        "method": method,
                        **judged,
                        "best": own["best"].mean(),
                        "rate": own["rate"].mean(),
                        "passes": own["passes"].mean(),
                        "parameters": own["parameters"].mean(),
                        "worlds": len(own),
                    }
                )
    return pd.DataFrame(found)
