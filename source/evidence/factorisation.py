"""Matrix factorisation in Lantern: three losses against tuned neighbours.

One world of films; clicks of the first 60 % of the time train, the next 20 %
choose, the last 20 % test. Every model has six trials, judged by recall@20 on
the validation clicks; models with a seed then run from six seeds with the
best setting. All vectors have 16 dimensions and a bias for items.

* "clicks": log loss of the click on every impression, shown or not clicked;
* "BPR": each click above one item drawn at random;
* "softmax": each click among all items.

Each is compared with item neighbours by recall@20 and NDCG@20 of the test
clicks, and by the true P(click) of the lists of twenty: one family with
Holm's correction. Beside it stands the alignment of the item vectors with the
true topics of the items, turned by Procrustes: of models with six dimensions,
otherwise alike, the mean and the lowest of six seeds, and the highest of 100
shuffles of each.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, World, split_by_time
from mtlrec_utils.evidence import (
    chance_alignment,
    compare_per_group,
    comparison_table,
    coverage,
    full_ranking,
    holm_corrected,
    popularity_bias,
    procrustes,
)
from mtlrec_utils.learning import fit
from mtlrec_utils.models import (
    item_vectors,
    matrix_factorisation,
    user_vectors,
)
from mtlrec_utils.models.classic import (
    ImplicitALS,
    ItemNeighbours,
    Popularity,
    interaction_matrix,
    top_items,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(6)
TUNING_SEED = 1000
SHAPE = (1000, 300)
DIMENSION, TRUE_DIMENSION = 16, 6
FIT = {"epochs": 10, "batch_size": 512, "decay": "linear", "progress": False}
NEIGHBOURS = "item neighbours"
LOSSES = {"clicks": "labels", "BPR": "bpr", "softmax": "softmax"}
RATES = (1e-2, 3e-2)
PENALTIES = {
    "clicks": (3e-3, 1e-2, 3e-2),
    "BPR": (3e-3, 1e-2, 3e-2),
    "softmax": (3e-2, 1e-1, 3e-1),
}
METRICS = ("recall@20", "ndcg@20", "true P(click)")


def units() -> list[dict]:
    """One model each."""
    names = ("popular", NEIGHBOURS, "ALS", *LOSSES)
    return [{"model": name} for name in names]


def lantern() -> World:
    """Return the world of lesson 04."""
    return World(
        n_users=SHAPE[0],
        n_items=SHAPE[1],
        popularity_skew=0.5,
        segment_strength=0.4,
        seed=2,
    )


@lru_cache
def prepared() -> dict:
    """Return the matrices, the encoded rows and the truth."""
    world = lantern()
    log = world.log(100_000, domain="films")
    past = split_by_time(log, (0.6, 0.2, 0.2))
    taken = [part[part["click"] == 1] for part in past]
    matrices = [
        interaction_matrix(part["user"], part["item"], SHAPE) for part in taken
    ]
    schema = Schema(
        [Categorical("user"), Categorical("item")], [Task("click")]
    ).fit(past[0])
    items = pd.DataFrame({"user": 0, "item": np.arange(SHAPE[1])})
    users = pd.DataFrame({"user": np.arange(SHAPE[0]), "item": 0})
    here = np.flatnonzero(world.users()["in_films"])
    rows = pd.DataFrame(
        {
            "user": np.repeat(here, SHAPE[1]),
            "item": np.tile(np.arange(SHAPE[1]), len(here)),
            "domain": "films",
            "position": 0,
        }
    )
    truth = world.truth(rows)["click"].to_numpy().reshape(len(here), -1)
    return {
        "matrices": matrices,
        "schema": schema,
        "impressions": schema.encode(past[0]),
        "clicks": schema.encode(taken[0]),
        "items": schema.encode(items, labels=False),
        "users": schema.encode(users, labels=False),
        "here": here,
        "truth": truth,
        "topics": world.topics()[: SHAPE[1]],
    }


def classic(name: str) -> dict:
    """Return the six settings of a model without a network."""
    if name == "popular":
        return {"all time": Popularity()}
    if name == "ALS":
        return {
            f"alpha {a:g}, regularisation {r:g}": ImplicitALS(
                DIMENSION, alpha=a, regularisation=r, seed=0
            )
            for a in (1.0, 4.0)
            for r in (10.0, 30.0, 100.0)
        }
    return {
        f"{n} neighbours, h {h}": ItemNeighbours(n, shrinkage=h)
        for n in (20, 100, 300)
        for h in (0, 20)
    }


def factorised(
    name: str, rate: float, penalty: float, dimension: int, seed: int
) -> tuple:
    """Train one model; return its user and item vectors and its seconds."""
    data = prepared()
    drawn = {} if name == "clicks" else {"catalogue": data["items"]}
    model = matrix_factorisation(
        data["schema"],
        loss=LOSSES[name],
        dimension=dimension,
        penalty=penalty,
        seed=seed,
        **drawn,
    )
    rows = data["impressions" if name == "clicks" else "clicks"]
    history = fit(model, rows, learning_rate=rate, seed=seed, **FIT)
    return (
        user_vectors(model, data["users"]),
        item_vectors(model, data["items"]),
        history.seconds,
    )


def run(unit: dict) -> pd.DataFrame:
    """Tune one model, then run it with every seed: a row each."""
    name = unit["model"]
    data = prepared()
    train, validation, _ = data["matrices"]

    def recall(scores: np.ndarray) -> float:
        return full_ranking(validation, scores, train).recall(20).mean()

    if name not in LOSSES:
        tried = {k: m.fit(train) for k, m in classic(name).items()}
        best = max(tried, key=lambda k: recall(tried[k].scores()))
        seeds = SEEDS if name == "ALS" else [0]
        rows = []
        for seed in seeds:
            model = tried[best]
            model.seed = seed
            began = pd.Timestamp.now()
            scores = model.fit(train).scores()
            seconds = (pd.Timestamp.now() - began).total_seconds()
            rows.append(
                judged(scores, seed)
                | {"seconds": seconds, "alignment": None, "chance": None}
            )
        return pd.DataFrame(rows).assign(
            model=name,
            chosen=best,
            rate=None,
            penalty=None,
            trials=len(tried),
        )
    settings = [(r, p) for r in RATES for p in PENALTIES[name]]
    values = []
    for rate, penalty in settings:
        users, items, _ = factorised(
            name, rate, penalty, DIMENSION, TUNING_SEED
        )
        values.append(recall(users @ items.T))
    rate, penalty = settings[int(np.argmax(values))]
    rows = []
    for seed in SEEDS:
        users, items, seconds = factorised(
            name, rate, penalty, DIMENSION, seed
        )
        _, small, _ = factorised(name, rate, penalty, TRUE_DIMENSION, seed)
        small = small[:, :TRUE_DIMENSION]
        chance = chance_alignment(small, data["topics"], 100, seed=seed)
        rows.append(
            judged(users @ items.T, seed)
            | {
                "seconds": seconds,
                "alignment": procrustes(small, data["topics"]).score,
                "chance": chance.max(),
            }
        )
    return pd.DataFrame(rows).assign(
        model=name,
        chosen=f"rate {rate:g}, penalty {penalty:g}",
        rate=rate,
        penalty=penalty,
        trials=len(settings),
    )


def judged(scores: np.ndarray, seed: int) -> dict:
    """Return the metrics of each user, and those of the lists."""
    data = prepared()
    train, _, test = data["matrices"]
    ranking = full_ranking(test, scores, train)
    here = data["here"]
    lists = top_items(scores[here], 20, train[here])
    value = np.take_along_axis(data["truth"], lists, axis=1).mean(axis=1)
    return {
        "seed": seed,
        "recall@20": ranking.recall(20),
        "ndcg@20": ranking.ndcg(20),
        "true P(click)": value,
        "coverage": coverage(lists, SHAPE[1]),
        "popularity_bias": popularity_bias(lists, train.sum(axis=0)).mean(),
    }


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per part, model and metric."""
    by_model = dict(list(results.groupby("model", sort=False)))
    base = by_model[NEIGHBOURS]
    found = {}
    for name, rows in by_model.items():
        if name == NEIGHBOURS:
            continue
        for metric in METRICS:
            ours = np.stack(rows[metric])
            theirs = np.repeat(np.stack(base[metric]), len(ours), axis=0)
            found[name, metric] = compare_per_group(
                ours, theirs, metric=metric.replace("true P(click)", "recall")
            )
    contest = comparison_table(holm_corrected(found), ("model", "task"))
    contest["metric"] = contest["task"]
    facts = pd.DataFrame([_facts(n, rows) for n, rows in by_model.items()])
    baseline = facts.set_index("model").loc[[NEIGHBOURS]]
    return (
        contest.drop(columns="task")
        .merge(facts, on="model")
        .assign(**baseline.add_prefix("baseline_").iloc[0].dropna())
    )


def _facts(name: str, rows: pd.DataFrame) -> dict:
    return {
        "model": name,
        "coverage": rows["coverage"].mean(),
        "popularity_bias": rows["popularity_bias"].mean(),
        "seconds": rows["seconds"].mean(),
        "trials": rows["trials"].iloc[0],
        "chosen": rows["chosen"].iloc[0],
        "rate": rows["rate"].iloc[0],
        "penalty": rows["penalty"].iloc[0],
        "alignment": rows["alignment"].mean(),
        "lowest_alignment": rows["alignment"].min(),
        "chance": rows["chance"].max(),
    }
