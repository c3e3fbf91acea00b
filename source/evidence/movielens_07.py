"""MovieLens-100K in order of time: the next film a user rates.

Films with at least 75 ratings. Of each user's ratings the last is the test
row, the one before it the validation row, all earlier ones train; films the
user has rated are no candidates. Timestamps say when somebody typed in
ratings, often dozens in a minute, from pages that the site laid out: the
order is that of a rating session, not of watching. Where seconds tie the
order is drawn at random.

Models and the "shuffled" control are those of `session_order`, but of the
networks only `sasrec`, to save time. The last film's neighbours are
neighbours by users, since there are no visits. Everything has two trials.
Parts: "popular", everything against the most popular films;
"order", the network against itself on shuffled lists; "neighbours", the
network against both kinds of neighbours. Each part is a family with Holm's
correction.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Schema, Sequence, Task
from mtlrec_utils.data.histories import past_items, windows
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import (
    compare_per_group,
    comparison_table,
    full_ranking,
    holm_corrected,
)
from mtlrec_utils.learning import replicate, tune
from mtlrec_utils.models import sasrec
from mtlrec_utils.models.classic import ItemNeighbours, interaction_matrix

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
TUNING_SEED = 1000
AT_LEAST, LENGTH = 75, 20
NETWORKS = {"sasrec": sasrec}
SIZES = {"embedding_dimension": 32, "dropout": 0.3}
GRID = {"learning_rate": [8e-3, 1.6e-2]}
FIT = {"epochs": 12, "batch_size": 128, "patience": 2}
SETTINGS = [(50, 10.0), (200, 10.0)]  # neighbours, shrinkage
POPULAR, NEIGHBOURS, LAST = (
    "popular",
    "item neighbours",
    "last film's neighbours",
)
KEYS = ["model", "order"]


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """What needs no seed, and the network in either order."""
    return [
        {"model": "classic", "order": "true"},
        {"model": "sasrec", "order": "true"},
        {"model": "sasrec", "order": "shuffled"},
    ]


@lru_cache
def data() -> dict:
    """Return the rows of the three parts, items numbered from 0."""
    rows = load_movielens("100k").ratings
    counts = rows["item"].value_counts()
    rows = rows[rows["item"].map(counts) >= AT_LEAST].copy()
    rows["tie"] = np.random.default_rng(0).random(len(rows))
    rows = rows.sort_values(["user", "time", "tie"]).reset_index(drop=True)
    rows["item"] = pd.factorize(rows["item"], sort=True)[0]
    rows["user"] = pd.factorize(rows["user"], sort=True)[0]
    rows["history"] = past_items(rows, LENGTH)
    rows["next_item"] = rows["item"]
    left = rows.groupby("user").cumcount(ascending=False)
    return {
        "rows": rows,
        "past": rows[left >= 2],
        "train": windows(rows[left >= 2], LENGTH),
        "validation": rows[left == 1],
        "test": rows[left == 0],
        "n_items": int(rows["item"].max()) + 1,
    }


def run(unit: dict) -> pd.DataFrame:
    """Score the test rows; return both measures of each user."""
    if unit["model"] == "classic":
        return _classic(data())
    return _network(unit["model"], unit["order"], data()).assign(**unit)


def _classic(found: dict) -> pd.DataFrame:
    past, n_items = found["past"], found["n_items"]
    n_users = int(found["rows"]["user"].max()) + 1
    seen = interaction_matrix(past["user"], past["item"], (n_users, n_items))
    popular = np.bincount(past["item"], minlength=n_items).astype(float)
    models = [ItemNeighbours(n, shrinkage=h).fit(seen) for n, h in SETTINGS]

    def scores(name: str, model: ItemNeighbours, part: str) -> np.ndarray:
        rows = found[part]
        if name == POPULAR:
            return np.tile(popular, (len(rows), 1))
        if name == NEIGHBOURS:
            return model.scores(rows["user"])
        last = [history[-1] for history in rows["history"]]
        return model.neighbours[last].toarray()

    frames = []
    for name in (POPULAR, NEIGHBOURS, LAST):
        values = [
            measures(scores(name, m, "validation"), found, "validation")[
                "recall"
            ].mean()
            for m in models
        ]
        best = int(np.argmax(values))
        frames.append(
            measures(scores(name, models[best], "test"), found, "test").assign(
                model=name,
                order="true",
                seed=-1,
                chosen="" if name == POPULAR else str(SETTINGS[best]),
                parameters=0,
                seconds=0.0,
            )
        )
    return pd.concat(frames)


def _network(name: str, order: str, found: dict) -> pd.DataFrame:
    parts = [found[k] for k in ("train", "validation", "test")]
    schema = Schema(
        [Sequence("history", LENGTH)],
        [Task("next_item", "multiclass", classes=found["n_items"])],
    ).fit(parts[0])
    if order == "shuffled":
        rng = np.random.default_rng(0)
        parts = [
            part.assign(history=[rng.permutation(h) for h in part["history"]])
            for part in parts
        ]
    train, validation, test = (schema.encode(p, user="user") for p in parts)

    def build(seed: int) -> object:
        return NETWORKS[name](schema, **SIZES, seed=seed)

    search = tune(build, GRID, train, validation, seed=TUNING_SEED, **FIT)
    done = replicate(
        {name: build},
        train,
        validation,
        test,
        seeds=SEEDS,
        **{**FIT, **search.fit_options},
    )
    costs = done.table.groupby("seed")[["parameters", "seconds"]].first()
    return pd.concat(
        measures(scores, found, "test").assign(
            seed=seed,
            chosen=str(search.fit_options["learning_rate"]),
            **costs.loc[seed],
        )
        for seed, scores in zip(
            SEEDS, done.predictions[name]["next_item"], strict=True
        )
    )


def measures(scores: np.ndarray, found: dict, part: str) -> pd.DataFrame:
    """Return recall@20 and NDCG@20 of each user, films rated left out."""
    rows = found[part]
    known = found["past"]
    if part == "test":
        known = pd.concat([known, found["validation"]])
    by_user = known.groupby("user")["item"].agg(list)
    ranking = full_ranking(
        [[item] for item in rows["item"]],
        scores,
        by_user.loc[rows["user"]].tolist(),
    )
    return pd.DataFrame(
        {
            "user": rows["user"].to_numpy(),
            "recall": ranking.recall(20),
            "ndcg": ranking.ndcg(20),
        }
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per part, model and measure."""
    cells = dict(list(results.groupby(KEYS, sort=False)))
    families: dict = {"popular": [], "order": [], "neighbours": []}
    for key in cells:
        name, order = key
        if name != POPULAR:
            families["popular"].append((key, (POPULAR, "true")))
        if name in NETWORKS and order == "true":
            if (name, "shuffled") in cells:
                families["order"].append((key, (name, "shuffled")))
            families["neighbours"] += [
                (key, (other, "true")) for other in (LAST, NEIGHBOURS)
            ]
    parts = []
    for part, pairs in families.items():
        compared = {
            (*key, base[0], measure): compare_per_group(
                _by_seed(cells[key], measure),
                _by_seed(cells[base], measure),
                metric=f"{measure}@20",
            )
            for key, base in pairs
            for measure in ("recall", "ndcg")
        }
        names = (*KEYS, "baseline_model", "measure")
        rows = comparison_table(holm_corrected(compared), names)
        facts = [
            cells[key[:2]].iloc[0][["chosen", "parameters"]].to_dict()
            for key in compared
        ]
        parts.append(
            pd.concat([rows, pd.DataFrame(facts)], axis=1).assign(part=part)
        )
    return pd.concat(parts, ignore_index=True)


def _by_seed(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Return one value per seed and user, [S, U]."""
    return np.stack(
        [seed[column].to_numpy() for _, seed in rows.groupby("seed")]
    )
