"""Tasks times domains: what is gained by sharing over either, or over both.

Lantern's two shops, films and books, with four of five rows in films, and
three tasks: click, and like and finish, which exist on clicked rows. Six
cells, and from nothing shared to nearly all:

* "task and domain": six models, one per task and domain;
* "domain": two models, of all tasks in one domain;
* "task": three models, of one task in all domains, a tower per domain;
* "both": one model, a tower per task and domain;
* "MMoE", "STAR", "PEPNet": one model each for all;
* "both, wide": "both" with as many weights as the six models together, and
  "task and domain, wide": six models of these widths.

Whatever serves a cell has the same widths, but for the two wide ones. Each
model has four trials, learning rates and numbers of passes, on a world of
its own; it takes the lowest log loss over the cells that it serves. "base
rate" is a cell's share of ones in training, "item mean" an item's, shrunk to
it.

Two dials, ends each: how alike a user's tastes are in both shops
(``domain_similarity``), and behind clicks and the other responses
(``task_correlation``). Each seed is an independent world, and the test rows
are another log of it. Verdicts compare with "task and domain".
"""

from functools import lru_cache, partial
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, World
from mtlrec_utils.evidence import auc, log_loss, paired_row
from mtlrec_utils.learning import replicate
from mtlrec_utils.models import (
    mmoe_over_domains,
    pepnet,
    pooled_domains,
    shared_bottom_over_domains,
    star,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 9)  # one world each
TUNING_SEED = 1000
DIALS = (0.0, 0.9)
DOMAINS = ("films", "books")
TASKS = {
    "click": Task("click"),
    "like": Task("like", sample_space="click"),
    "finish": Task("finish", sample_space="click"),
}
COLUMNS = ("user", "item", "genre", "age_group", "domain")
N_USERS, N_ITEMS, N_ROWS, N_TEST = 300, 100, 16_000, 40_000
SHRINKAGE = 10  # rows at the base rate that an item mean begins with
TRIALS = [
    {"learning_rate": rate, "epochs": epochs}
    for rate in (3e-3, 1e-2)
    for epochs in (4, 12)
]
FIT = {"batch_size": 256, "decay": "linear"}
SIZES = {
    "embedding_dimension": 8,
    "bottom_units": (32, 16),
    "tower_units": (8,),
}
WIDE = {
    "embedding_dimension": 28,
    "bottom_units": (112, 56),
    "tower_units": (8,),
}
MIXTURE = {
    "embedding_dimension": 8,
    "n_experts": 4,
    "expert_units": (32, 16),
    "tower_units": (8,),
}


class Part(NamedTuple):
    """One model of a method: what it serves, and its builder."""

    tasks: tuple[str, ...]
    domains: tuple[str, ...]
    build: partial


ALL = (tuple(TASKS), DOMAINS)
CELLS = [((task,), (domain,)) for task in TASKS for domain in DOMAINS]
POOLED = partial(pooled_domains, **SIZES)
OVER_DOMAINS = partial(shared_bottom_over_domains, **SIZES)
METHODS = {
    "task and domain": [Part(*cell, POOLED) for cell in CELLS],
    "domain": [Part(tuple(TASKS), (d,), POOLED) for d in DOMAINS],
    "task": [Part((t,), DOMAINS, OVER_DOMAINS) for t in TASKS],
    "both": [Part(*ALL, OVER_DOMAINS)],
    "MMoE": [Part(*ALL, partial(mmoe_over_domains, **MIXTURE))],
    "STAR": [Part(*ALL, partial(star, **SIZES))],
    "PEPNet": [Part(*ALL, partial(pepnet, **SIZES))],
    "both, wide": [Part(*ALL, partial(shared_bottom_over_domains, **WIDE))],
    "task and domain, wide": [
        Part(*cell, partial(pooled_domains, **WIDE)) for cell in CELLS
    ],
}
BASELINE = "task and domain"


def units() -> list[dict]:
    """One method at one setting of the dials."""
    return [
        {"domain_similarity": s, "task_correlation": r, "method": name}
        for name in METHODS
        for s in DIALS
        for r in DIALS
    ]


@lru_cache(maxsize=40)
def rows_of(seed: int, similarity: float, correlation: float) -> tuple:
    """Return the world, its training rows and its test rows."""
    world = World(
        n_users=N_USERS,
        n_items=N_ITEMS,
        user_overlap=1.0,
        position_bias=0.0,
        segment_strength=0.8,
        domain_similarity=similarity,
        task_correlation=correlation,
        seed=seed,
    )
    logs = (world.log(N_ROWS), world.log(N_TEST, draw=1))
    return world, *map(world.with_features, logs)


@lru_cache
def schema_of(tasks: tuple[str, ...]) -> Schema:
    """One schema for all worlds: they have the same users and items."""
    world, train, _ = rows_of(0, 0.0, 0.0)
    place = np.arange(max(N_USERS, 2 * N_ITEMS))
    everything = world.items().iloc[place % (2 * N_ITEMS)][["item", "domain"]]
    everything = everything.assign(user=place % N_USERS, click=0)
    rows = pd.concat([train, world.with_features(everything)])
    features = map(Categorical, COLUMNS)
    return Schema(features, [TASKS[t] for t in tasks]).fit(rows)


@lru_cache
def seeded_builder(name: str, part: int):
    """Return one builder per model, so that it is traced once."""
    tasks, _, build = METHODS[name][part]
    return lambda seed: build(schema_of(tasks), seed=seed)


def score(rows: pd.DataFrame, task: str, chance: np.ndarray) -> dict:
    """Return metric -> value, on rows that have the task's label."""
    seen = rows[task].notna().to_numpy()
    label = rows[task].to_numpy()[seen].astype(int)
    return {
        "auc": auc(label, chance[seen]),
        "log_loss": log_loss(label, chance[seen]),
    }


def trained(name: str, i: int, dials: tuple, seed: int, trial: dict) -> tuple:
    """Train one model; return {cell: {metric: value}} and its budget."""
    part = METHODS[name][i]
    _, train, test = rows_of(seed, *dials)
    train = train[train["domain"].isin(part.domains)]
    test = test[test["domain"].isin(part.domains)]
    schema = schema_of(part.tasks)
    one = replicate(
        {name: seeded_builder(name, i)},
        schema.encode(train),
        None,
        schema.encode(test),
        seeds=[seed],
        progress=False,
        **FIT,
        **trial,
    )
    found = {}
    for domain, task in product(part.domains, part.tasks):
        here = (test["domain"] == domain).to_numpy()
        chance = one.predictions[name][task][0][here]
        found[domain, task] = score(test[here], task, chance)
    facts = one.table.iloc[0][["parameters", "steps", "seconds"]]
    return found, facts.astype(float).to_dict()


def run(unit: dict) -> pd.DataFrame:
    """Each model of a method: its trials, then the worlds."""
    dials = unit["domain_similarity"], unit["task_correlation"]
    name, rows = unit["method"], []
    for i in range(len(METHODS[name])):
        losses = []
        for trial in TRIALS:
            found, _ = trained(name, i, dials, TUNING_SEED, trial)
            losses.append(np.mean([v["log_loss"] for v in found.values()]))
        trial = TRIALS[int(np.argmin(losses))]
        for seed in SEEDS:
            found, facts = trained(name, i, dials, seed, trial)
            rows += _rows(seed, name, found, part=i, **facts, **trial)
    if name == BASELINE:
        for seed in SEEDS:
            for reference, found in references(dials, seed).items():
                rows += _rows(seed, reference, found)
    return pd.DataFrame(rows).assign(
        domain_similarity=dials[0], task_correlation=dials[1]
    )


def references(dials: tuple, seed: int) -> dict:
    """Base rates, item means and the best possible, {name: {cell: ...}}."""
    world, train, test = rows_of(seed, *dials)
    found = {"base rate": {}, "item mean": {}, "best": {}}
    for domain in DOMAINS:
        rows, here = (f[f["domain"] == domain] for f in (train, test))
        best = world.best_metrics(here).set_index(["task", "metric"])["value"]
        for task in TASKS:
            ones = rows.groupby("item")[task].agg(["sum", "count"])
            rate = rows[task].mean()
            mean = ones["sum"] + SHRINKAGE * rate
            mean /= ones["count"] + SHRINKAGE
            chance = here["item"].map(mean).fillna(rate).to_numpy()
            cell = domain, task
            flat = np.full(len(here), rate)
            found["base rate"][cell] = score(here, task, flat)
            found["item mean"][cell] = score(here, task, chance)
            found["best"][cell] = best[task].to_dict()
    return found


def _rows(seed: int, method: str, found: dict, **facts) -> list[dict]:
    return [
        {"seed": seed, "method": method, "domain": domain, "task": task}
        | {"metric": metric, "value": values[metric], **facts}
        for (domain, task), values in found.items()
        for metric in ("auc", "log_loss")
    ]


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per setting of the dials, cell, metric and method."""
    results = pd.concat([results, averages(results)], ignore_index=True)
    sizes = budgets(results)
    dials, found = ["domain_similarity", "task_correlation"], []
    keys = [*dials, "domain", "task", "metric"]
    for key, cell in results.groupby(keys, sort=False):
        values = cell.set_index(["method", "seed"])["value"]
        for method in dict.fromkeys(cell["method"]):
            if method == "best":
                continue
            base = values[BASELINE]
            own = values[method].loc[base.index]
            judged = paired_row(own, base, key[-1] == "auc")
            found.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "method": method,
                    **judged,
                    "best": values["best"].mean(),
                    **sizes.get((*key[:2], method), {}),
                    "worlds": len(own),
                }
            )
    return pd.DataFrame(found)


def averages(results: pd.DataFrame) -> pd.DataFrame:
    """All six cells as one, each weighed alike."""
    keys = ["domain_similarity", "task_correlation", "metric"]
    keys += ["method", "seed"]
    means = results.groupby(keys, sort=False)["value"].mean().reset_index()
    return means.assign(domain="average", task="average")


def budgets(results: pd.DataFrame) -> dict:
    """Weights, steps and seconds of all models of a method together."""
    keys = ["domain_similarity", "task_correlation", "method"]
    facts = ["parameters", "steps", "seconds"]
    models = results.dropna(subset="part").drop_duplicates(
        [*keys, "seed", "part"]
    )
    sums = models.groupby([*keys, "seed"])[facts].sum()
    return sums.groupby(keys).mean().to_dict("index")
