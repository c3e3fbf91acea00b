"""All basic recommenders beside each other, in Lantern and on MovieLens-100K.

Lantern: the world of lesson 04, whose clicks of the first 60 % of the time
train, of the next 20 % choose, of the last 20 % test. MovieLens-100K: ratings
of 4 stars or more; of each user the first 60 % train, the next 20 % choose,
the last 20 % test. Items met in training are no candidates; all others are
ranked.

Every model has four trials, judged by recall@20 on the validation part.
Models with a seed then run from five, the others once. Each is compared with
the most popular items and with item neighbours, by recall@20 and NDCG@20 per
user: one family per data set and baseline, with Holm's correction. Beside
them stand the coverage and the popularity bias of all lists of twenty, and
the seconds of one training on one core, the first trace of a network
included.
"""

import time
from collections.abc import Callable
from functools import lru_cache, partial

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import (
    Categorical,
    Schema,
    Task,
    Text,
    World,
    split_by_time,
)
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import (
    compare_per_group,
    comparison_table,
    coverage,
    full_ranking,
    holm_corrected,
    popularity_bias,
)
from mtlrec_utils.learning import fit
from mtlrec_utils.models import (
    item_shares,
    item_vectors,
    matrix_factorisation,
    two_towers,
    user_vectors,
)
from mtlrec_utils.models.classic import (
    ContentProfiles,
    ImplicitALS,
    ItemNeighbours,
    Popularity,
    UserNeighbours,
    decay_weights,
    interaction_matrix,
    top_items,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
TUNING_SEED = 1000
K, DIMENSION = 20, 16
DATA = ("Lantern", "MovieLens-100K")
FIT = {"epochs": 10, "batch_size": 512, "decay": "linear", "progress": False}
BASELINES = ("popular", "item neighbours")
METRICS = {f"recall@{K}": "recall", f"ndcg@{K}": "ndcg"}
FACTS = ("coverage", "popularity_bias", "seconds")
USER = {"Lantern": ["user", "age_group", "region"],
        "MovieLens-100K": ["user", "age_group", "occupation"]}  # fmt: skip
ITEM = ["item", "genre", "words"]
NEIGHBOURS = [(n, h) for n in (20, 100) for h in (0.0, 20.0)]
# Learning rate and strength of the penalty; the softmax needs more of it.
FACTORS = [(r, p) for r in (1e-2, 3e-2) for p in (1e-2, 3e-2)]
SOFTMAX = [(r, p) for r in (1e-2, 3e-2) for p in (1e-1, 3e-1)]
TOWERS = [(r, t) for r in (3e-3, 1e-2) for t in (0.1, 0.2)]


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One model on one data set each."""
    return [{"data": d, "model": m} for d in DATA for m in MODELS]


def lantern() -> dict:
    """Return clicks in three parts, and what is known of users and items."""
    world = World(
        n_users=1000,
        n_items=300,
        popularity_skew=0.5,
        segment_strength=0.4,
        seed=2,
    )
    log = world.log(100_000, domain="films")
    parts = [
        part.loc[part["click"] == 1, ["user", "item", "time"]]
        for part in split_by_time(log, (0.6, 0.2, 0.2))
    ]
    items = world.items().query("domain == 'films'")
    return {
        "parts": parts,
        "users": world.users()[USER["Lantern"]],
        "items": items[ITEM].reset_index(drop=True),
        "half_lives": (5, 10, 20),
    }


def movielens() -> dict:
    """Return likes in three parts, by numbers from 0 up."""
    data = load_movielens("100k")
    users = data.users.sort_values("user").reset_index(drop=True)
    items = data.items.sort_values("item").reset_index(drop=True)
    likes = data.ratings[data.ratings["rating"] >= 4]
    likes = likes.sort_values(["user", "time", "item"], kind="stable")
    likes = likes[["user", "item", "time"]].assign(
        user=np.searchsorted(users["user"], likes["user"]),
        item=np.searchsorted(items["item"], likes["item"]),
    )
    mine = likes.groupby("user")["item"]
    place = mine.cumcount() / mine.transform("size")
    bounds = (place < 0.6, (place >= 0.6) & (place < 0.8), place >= 0.8)
    genres = items["genres"].astype(str).str.replace("|", " ")
    return {
        "parts": [likes[bound] for bound in bounds],
        "users": users.assign(
            user=range(len(users)),
            age_group=pd.cut(users["age"], [0, 18, 25, 35, 45, 55, 99]).astype(
                str
            ),
        )[USER["MovieLens-100K"]],
        "items": pd.DataFrame(
            {
                "item": range(len(items)),
                "genre": genres,
                "words": items["title"].astype(str) + " " + genres,
            }
        ),
        "half_lives": tuple(86_400 * days for days in (7, 30, 90)),
    }


@lru_cache
def prepared(name: str) -> dict:
    """Return one data set's matrices and encoded rows."""
    data = {"Lantern": lantern, "MovieLens-100K": movielens}[name]()
    users, items = data["users"], data["items"]
    shape = (len(users), len(items))
    features = [*USER[name], "item", "genre"]
    schema = Schema(
        [*map(Categorical, features), Text("words", buckets=500, length=12)],
        [Task("click")],
    )
    clicks = data["parts"][0].merge(users, on="user").merge(items, on="item")
    schema.fit(clicks.assign(click=1))
    one_user, one_item = (t.iloc[0].to_dict() for t in (users, items))
    return data | {
        "name": name,
        "matrices": [
            interaction_matrix(part["user"], part["item"], shape)
            for part in data["parts"]
        ],
        "schema": schema,
        "clicks": schema.encode(clicks.assign(click=1)),
        "of_users": schema.encode(users.assign(**one_item), labels=False),
        "of_items": schema.encode(items.assign(**one_user), labels=False),
    }


def fitted(model: Callable, data: dict, seed: int) -> np.ndarray:
    """Return all scores of a model that learns from a matrix."""
    model = model(seed=seed) if model.func is ImplicitALS else model()
    return model.fit(data["matrices"][0]).scores()


def recent(half_life: float | None, data: dict, seed: int) -> np.ndarray:
    """Return popularity, of late or of all time."""
    taken = data["parts"][0]
    weights = half_life and decay_weights(taken["time"], half_life)
    shape = data["matrices"][0].shape
    matrix = interaction_matrix(taken["user"], taken["item"], shape, weights)
    return Popularity().fit(matrix).scores()


def content(columns: list[str], data: dict, seed: int) -> np.ndarray:
    """Return the nearness of items' words to those of what users took."""
    texts = data["items"][columns].agg(" ".join, axis=1)
    return ContentProfiles(list(texts)).fit(data["matrices"][0]).scores()


def factors(
    loss: str, rate: float, penalty: float, data: dict, seed: int
) -> np.ndarray:
    """Train matrix factorisation; return all scores."""
    model = matrix_factorisation(
        data["schema"],
        loss=loss,
        dimension=DIMENSION,
        penalty=penalty,
        catalogue=data["of_items"],
        seed=seed,
    )
    return scores_of(model, rate, data, seed)


def towers(
    logq: bool, rate: float, temperature: float, data: dict, seed: int
) -> np.ndarray:
    """Train two towers; return all scores."""
    model = two_towers(
        data["schema"],
        user_features=USER[data["name"]],
        item_features=ITEM,
        embedding_dimension=DIMENSION,
        tower_units=(32,),
        dimension=32,
        normalise=True,
        temperature=temperature,
        shares=item_shares(data["schema"], data["clicks"]) if logq else None,
        seed=seed,
    )
    return scores_of(model, rate, data, seed)


def scores_of(
    model: keras.Model, rate: float, data: dict, seed: int
) -> np.ndarray:
    """Train a model of vectors; return all scores."""
    fit(model, data["clicks"], learning_rate=rate, seed=seed, **FIT)
    users = user_vectors(model, data["of_users"])
    return users @ item_vectors(model, data["of_items"]).T


def models(data: dict) -> dict[str, list[Callable]]:
    """Return each model's trials."""
    return {
        "popular": [partial(recent, h) for h in (None, *data["half_lives"])],
        "content": [
            partial(content, columns)
            for columns in (
                ["words"],
                ["genre"],
                ["words", "genre"],
                ["words", "genre", "genre", "genre"],
            )
        ],
        **{
            name: [
                partial(fitted, partial(kind, n, shrinkage=h))
                for n, h in NEIGHBOURS
            ]
            for name, kind in (
                ("user neighbours", UserNeighbours),
                ("item neighbours", ItemNeighbours),
            )
        },
        "ALS": [
            partial(
                fitted,
                partial(ImplicitALS, DIMENSION, alpha=a, regularisation=r),
            )
            for a in (1.0, 4.0)
            for r in (10.0, 30.0)
        ],
        "BPR": [partial(factors, "bpr", r, p) for r, p in FACTORS],
        "softmax": [partial(factors, "softmax", r, p) for r, p in SOFTMAX],
        "two towers": [partial(towers, False, r, t) for r, t in TOWERS],
        "two towers, logQ": [partial(towers, True, r, t) for r, t in TOWERS],
    }


MODELS = tuple(models({"half_lives": ()}))
RANDOM = MODELS[MODELS.index("ALS") :]


def run(unit: dict) -> pd.DataFrame:
    """Tune one model, then run it with every seed: a row each."""
    data, name = prepared(unit["data"]), unit["model"]
    train, validation, test = data["matrices"]
    trials = models(data)[name]
    recalls = [
        full_ranking(validation, trial(data, TUNING_SEED), train)
        .recall(K)
        .mean()
        for trial in trials
    ]
    best = int(np.argmax(recalls))
    rows = []
    for seed in SEEDS if name in RANDOM else [0]:
        began = time.perf_counter()
        scores = trials[best](data, seed)
        seconds = time.perf_counter() - began
        ranking = full_ranking(test, scores, train)
        here = ranking.users
        lists = top_items(scores[here], K, train[here])
        bias = popularity_bias(lists, train.sum(axis=0))
        rows.append(
            {
                f"recall@{K}": ranking.recall(K),
                f"ndcg@{K}": ranking.ndcg(K),
                "coverage": coverage(lists, train.shape[1]),
                "popularity_bias": bias.mean(),
                "seconds": seconds,
                "seed": seed,
            }
        )
    return pd.DataFrame(rows).assign(
        **unit, trials=len(trials), chosen=best + 1
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per data set, baseline, model and metric."""
    found = []
    for name, rows in results.groupby("data", sort=False):
        by_model = dict(list(rows.groupby("model", sort=False)))
        facts = pd.DataFrame(
            {
                "model": model,
                **{fact: part[fact].mean() for fact in FACTS},
                "seeds": len(part),
                "trials": part["trials"].iloc[0],
                "chosen": part["chosen"].iloc[0],
            }
            for model, part in by_model.items()
        )
        for baseline in BASELINES:
            family = {
                (model, metric): compared(part, by_model[baseline], metric)
                for model, part in by_model.items()
                for metric in METRICS
                if model != baseline
            }
            contest = comparison_table(
                holm_corrected(family), ("model", "task")
            )
            contest["metric"] = contest.pop("task")
            contest.insert(0, "against", baseline)
            contest.insert(0, "data", name)
            found.append(contest.merge(facts, on="model"))
    return pd.concat(found, ignore_index=True)


def compared(ours: pd.DataFrame, theirs: pd.DataFrame, metric: str):
    """Compare two models per user; a model without a seed is repeated."""
    a, b = np.stack(ours[metric]), np.stack(theirs[metric])
    n_seeds = max(len(a), len(b))
    a, b = (np.repeat(x, n_seeds // len(x), axis=0) for x in (a, b))
    return compare_per_group(a, b, metric=METRICS[metric])
