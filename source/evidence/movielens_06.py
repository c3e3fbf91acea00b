"""MovieLens-100K, is a film liked? Rankers with profile and history.

Rows, labels and split are those of ``movielens_09``: four stars or more, each
user's own ratings cut by time. All models read user, film, first genre, year,
sex, occupation and age, the share of the user's earlier ratings that were
likes, and the last ten films they liked; "by hand" reads how much those
earlier likes were of the film's genres as well. All have equally many
parameters but for logistic regression, the same three trials, five seeds;
intervals are over users and seeds, with Holm's correction.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Number, Schema, Sequence, Task
from mtlrec_utils.data.histories import past_items
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.learning.replication import Replication
from mtlrec_utils.learning.tuned import TunedReplication, replicate_tuned
from mtlrec_utils.models import (
    count_parameters,
    single_task,
    units_of_equal_capacity,
)
from mtlrec_utils.models.ranking import dcn, deepfm, din, wide_and_deep

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
LENGTH = 10  # of a history
GRID = {"learning_rate": [1e-3, 3e-3, 1e-2]}
SIZES = {"embedding_dimension": 8, "tower_units": (8,)}
BOTTOM = (64,)
BASELINE = "mlp"
BY_HAND = "by hand"
CROSSES = [("sex", "genre"), ("occupation", "genre")]
MODELS: dict[str, Callable[..., keras.Model]] = {
    "logistic": partial(wide_and_deep, bottom_units=None),
    BASELINE: single_task,
    "wide & deep": partial(wide_and_deep, crosses=CROSSES),
    "DeepFM": deepfm,
    "DCN": partial(dcn, n_crosses=2, rank=8),
    "DIN": din,
    BY_HAND: single_task,
}
PAIRS = [
    *((name, BASELINE) for name in MODELS if name != BASELINE),
    ("DIN", "DCN"),
]


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One setting: all models on one split."""
    return [{"edition": "100k"}]


def rows_of(edition: str) -> list[pd.DataFrame]:
    """Return train, validation and test rows with what was known before."""
    data = load_movielens(edition)
    rows = data.ratings.sort_values(["user", "time", "item"], kind="stable")
    films = data.items[["item", "year", "genres"]]
    rows = rows.merge(data.users, on="user").merge(films, on="item")
    rows = rows.sort_values(["user", "time", "item"], ignore_index=True)
    rows["like"] = (rows["rating"] >= 4).astype(int)
    rows["genre"] = rows["genres"].str.split("|").str[0]
    of_user = rows.groupby("user")
    place, size = of_user.cumcount(), of_user["item"].transform("size")
    likes = of_user["like"].cumsum() - rows["like"]
    rows["like_rate"] = (likes + 1) / (place + 2)
    rows["history"] = past_items(rows, LENGTH, taken="like")
    rows["genre_share"] = genre_share(rows, likes)
    past = place / size
    return [
        rows[past < 0.6],
        rows[(past >= 0.6) & (past < 0.8)],
        rows[past >= 0.8],
    ]


def genre_share(rows: pd.DataFrame, likes: pd.Series) -> pd.Series:
    """Return the share of earlier likes that a film's genres had, averaged."""
    has = rows["genres"].str.get_dummies("|")
    liked = has.mul(rows["like"], axis=0)
    before = liked.groupby(rows["user"]).cumsum() - liked
    shares = before.add(0.5).div(likes + 3, axis=0)
    return (shares * has).sum(axis=1) / has.sum(axis=1)


def schema_of(train: pd.DataFrame, *more: str) -> Schema:
    """Return the schema of all columns, and more numbers."""
    names = ["user", "item", "genre", "sex", "occupation"]
    return Schema(
        [
            *map(Categorical, names),
            Sequence("history", LENGTH, vocabulary_of="item"),
            *map(Number, ("age", "year", "like_rate", *more)),
        ],
        [Task("like")],
    ).fit(train)


def builders(train: pd.DataFrame) -> dict[bool, tuple[Schema, dict]]:
    """Return, with and without the number by hand, schema and builders."""
    schemas = {
        False: schema_of(train),
        True: schema_of(train, "genre_share"),
    }
    target = count_parameters(
        single_task(schemas[False], bottom_units=BOTTOM, seed=0, **SIZES)
    )
    found = {}
    for by_hand, schema in schemas.items():
        models = {}
        for name, build in MODELS.items():
            if (name == BY_HAND) != by_hand:
                continue
            models[name] = sized(partial(build, schema, **SIZES), name, target)
        found[by_hand] = schema, models
    return found


def sized(build: partial, name: str, target: int) -> partial:
    """Give a model the bottom that makes it as large as the others."""
    if name == "logistic":
        return build  # it has no bottom
    units = units_of_equal_capacity(
        lambda units: build(bottom_units=units, seed=0),
        target,
        proportions=BOTTOM,
    )
    return partial(build, bottom_units=units)


def run(unit: dict) -> pd.DataFrame:
    """Tune, repeat and compare."""
    frames = rows_of(unit["edition"])
    found = []
    for schema, models in builders(frames[0]).values():
        train, validation, test = (
            schema.encode(part, user="user") for part in frames
        )
        found.append(
            replicate_tuned(
                models,
                GRID,
                train,
                validation,
                test,
                seeds=SEEDS,
                epochs=10,
                patience=2,
                batch_size=1024,
            )
        )
    both = joined(*found)
    tables = []
    for metric in ("auc", "gauc"):
        tables.append(both.compare(PAIRS, {"like": metric}, test))
    rates = {n: s.best["learning_rate"] for n, s in both.searches.items()}
    table = pd.concat(tables, ignore_index=True)
    for side in ("candidate", "baseline"):
        table[f"{side}_rate"] = table[f"{side}_model"].map(rates)
    return table.assign(n_train=len(train), n_test=len(test))


def joined(one: TunedReplication, other: TunedReplication) -> TunedReplication:
    """Put two results on the same test rows and seeds together."""
    a, b = one.replication, other.replication
    return TunedReplication(
        Replication(
            pd.concat([a.table, b.table], ignore_index=True),
            a.predictions | b.predictions,
            a.histories | b.histories,
            a.seeds,
        ),
        one.searches | other.searches,
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Keep everything."""
    return results
