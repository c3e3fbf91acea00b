"""MovieLens-100K, three classifications: users, films, pairs of films.

Users are classified by age group from films they liked, films by genre from
their title, pairs of films by how often they are liked together. A film is
read by its id and the words of its title, or (a setting of the search) by its
words alone: the id of a film that no training row of a task shows is noise to
a model of that task.

Histories are the earlier half of each user's likes; pairs are judged on the
later half, so that no history holds the answer to a pair.
"""

from collections.abc import Callable

import keras
import numpy as np
import pandas as pd

from mtlrec_utils.data import (
    Categorical,
    Schema,
    Sequence,
    Task,
    split_at_random,
)
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.learning.tuned import replicate_tuned
from mtlrec_utils.models import Pair, classifier

SEEDS = range(5)
GENRES = ("Action", "Comedy", "Drama", "Horror", "Thriller")
AGES = (0, 24, 34, 44, 200)  # upper ends of the groups
PAIRS_DRAWN, LEAST_LIKES = 8000, 15
GRID = {"ids": [True, False], "learning_rate": [3e-3, 1e-2]}
ALONE = "age_group alone + genre alone + liked_together alone"
COMPARED = [
    ("mlp", ALONE),
    ("attention", ALONE),
    ("attention", "mlp"),
]
SIZES = {"embedding_dimension": 8, "encoder_units": (16,), "tower_units": (8,)}


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
    """Return train, validation and test rows of all three kinds."""
    data = load_movielens(edition)
    assert data.users is not None
    likes = data.ratings.query("rating >= 4")
    likes = likes.sort_values(["user", "time", "item"], kind="stable")
    rank = likes.groupby("user").cumcount()
    early = rank < likes.groupby("user")["item"].transform("size") / 2
    history = likes[early].groupby("user")["item"].agg(list)
    users = data.users.set_index("user").loc[history.index]
    group = pd.cut(users["age"], AGES, labels=False)
    users = pd.DataFrame(
        {
            "unit": [f"user {u}" for u in history.index],
            "history": history,
            "age_group": group,
        }
    )
    films = data.items.set_index("item")
    title = films["title"].str.replace(r"\(\d{4}\)\s*$", "", regex=True)
    words = title.str.lower().str.findall(r"[a-z0-9]+")
    listed = films["genres"].str.split("|").map(set(GENRES).intersection)
    clear = listed[listed.map(len) == 1]
    items = pd.DataFrame(
        {
            "unit": [f"film {i}" for i in clear.index],
            "item": clear.index,
            "words": words[clear.index],
            "genre": [GENRES.index(*found) for found in clear],
        }
    )
    pairs = liked_together(likes[~early])
    for prefix in ("", "other_"):
        pairs[f"{prefix}words"] = words[pairs[f"{prefix}item"]].array
    pairs["unit"] = [f"film {i}" for i in pairs["item"]]
    kinds = [
        split_at_random(frame, (0.5, 0.2, 0.3), seed=0)
        for frame in (users, items, pairs)
    ]
    whole = {"item": "Int64", "other_item": "Int64"}  # not in every row
    return [
        pd.concat(part, ignore_index=True).astype(whole)
        for part in zip(*kinds, strict=True)
    ]


def liked_together(likes: pd.DataFrame) -> pd.DataFrame:
    """Draw pairs of films; label the thirds of likes over expected likes."""
    table = pd.crosstab(likes["user"], likes["item"]).to_numpy()
    films = np.sort(likes["item"].unique())
    enough = table.sum(axis=0) >= LEAST_LIKES
    table, films = table[:, enough], films[enough]
    first, second = np.triu_indices(len(films), k=1)
    chosen = np.random.default_rng(0).choice(
        len(first), PAIRS_DRAWN, replace=False
    )
    first, second = first[chosen], second[chosen]
    total = table.sum(axis=0)
    together = (table.T @ table)[first, second]
    lift = together * len(table) / (total[first] * total[second])
    return pd.DataFrame(
        {
            "item": films[first],
            "other_item": films[second],
            "liked_together": pd.qcut(lift, 3, labels=False),
        }
    )


def schema_of(train: pd.DataFrame) -> Schema:
    """Fit the schema of all rows."""
    return Schema(
        [
            Categorical("item", vocabulary_of="history"),
            Categorical("other_item", vocabulary_of="history"),
            Sequence("words", 8, min_count=2),
            Sequence("other_words", 8, vocabulary_of="words"),
            Sequence("history", 30),
        ],
        [
            Task(name, "multiclass", classes=classes, missing="masked")
            for name, classes in (
                ("age_group", 4),
                ("genre", len(GENRES)),
                ("liked_together", 3),
            )
        ],
    ).fit(train)


def builder(
    schema: Schema, tasks: list[str], encoder: str
) -> Callable[..., keras.Model]:
    """Return the builder of one model for the search."""

    def build(ids: bool, seed: int) -> keras.Model:
        film: tuple[str, ...] = ("item", "words") if ids else ("words",)
        other = tuple(f"other_{column}" for column in film)
        reads = {
            "age_group": "history",
            "genre": film,
            "liked_together": Pair(film, other),
        }
        return classifier(
            schema.with_tasks(tasks),
            reads,
            encoder=encoder,
            seed=seed,
            **SIZES,
        )

    return build


def run(unit: dict) -> pd.DataFrame:
    """Tune, repeat and compare."""
    parts = rows_of(unit["edition"])
    schema = schema_of(parts[0])
    train, validation, test = (schema.encode(p, user="unit") for p in parts)
    tasks = list(schema.task_names)
    models = {
        f"{task} alone": builder(schema, [task], "mlp") for task in tasks
    }
    models |= {
        encoder: builder(schema, tasks, encoder)
        for encoder in ("mlp", "attention")
    }
    found = replicate_tuned(
        models,
        GRID,
        train,
        validation,
        test,
        seeds=SEEDS,
        epochs=30,
        patience=3,
        batch_size=64,
    )
    tables = []
    for metric in ("multiclass_log_loss", "accuracy"):
        compared = found.compare(COMPARED, dict.fromkeys(tasks, metric), test)
        tables.append(compared.replace({"baseline_model": {ALONE: "alone"}}))
    table = pd.concat(tables, ignore_index=True)
    reading = {n: s.best["ids"] for n, s in found.searches.items()}
    table["reads_ids"] = [reading[m] for m in table["candidate_model"]]
    table["alone_reads_ids"] = [reading[f"{t} alone"] for t in table["task"]]
    for task in tasks:
        known = test.labels[task][test.masks[task] > 0]
        table.loc[table["task"] == task, "largest_class"] = np.bincount(
            known
        ).max() / len(known)
    return table.assign(n_train=len(train), n_test=len(test))


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Keep everything."""
    return results
