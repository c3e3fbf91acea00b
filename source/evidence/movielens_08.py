"""MovieLens-100K, day one: films with few ratings, read by title and genre.

Is a film rated 4 or more? A third of the films are late: in the training
rows only their first 0, 3, 12 or 50 ratings are left. Films are read by id,
by the words of their title, genres and decade, or by all; users always by id,
and by age, sex and occupation where films have content. Validation rows have
even films, test rows odd ones.
"""

from functools import partial

import numpy as np
import pandas as pd

from mtlrec_utils.data import (
    Categorical,
    Schema,
    Sequence,
    Task,
    Text,
    split_at_random,
)
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import compare, comparison_table, holm_corrected
from mtlrec_utils.learning.tuned import replicate_tuned
from mtlrec_utils.models import cold_start_towers

SEEDS = range(5)
KNOWN = (0, 3, 12, 50)
PROFILE = ["age_group", "sex", "occupation"]
CONTENT = ["title", "genres", "decade"]
READS = {
    "ids": (["user"], ["item"], 0.0),
    "content": (["user", *PROFILE], CONTENT, 0.0),
    "both": (["user", *PROFILE], ["item", *CONTENT], 0.0),
    "both, id dropout": (["user", *PROFILE], ["item", *CONTENT], 0.5),
}
GRID = {"learning_rate": [3e-3, 1e-2], "tower_units": [(), (16,)]}
COMPARED = [
    ("content", "ids"),
    ("both", "ids"),
    ("both, id dropout", "content"),
    ("both, id dropout", "both"),
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
    """Return train (late films cut), validation and test rows."""
    data = load_movielens(edition)
    assert data.users is not None
    rows = data.ratings.merge(data.users, on="user")
    rows = rows.merge(data.items, on="item").sort_values(["time", "user"])
    rows["like"] = (rows["rating"] >= 4).astype(int)
    rows["age_group"] = (rows["age"] // 10).astype(str)
    rows["decade"] = (rows["year"] // 10).astype(str)
    rows["title"] = rows["title"].str.replace(r"\(.*\)\s*$", "", regex=True)
    rows["genres"] = rows["genres"].str.split("|")
    pool, held = split_at_random(rows, (0.7, 0.3), seed=0)
    random = np.random.default_rng(0)
    films = np.sort(rows["item"].unique())
    late = random.permutation(films)[: len(films) // 3]
    allowed = pool["item"].map(pd.Series(np.resize(KNOWN, len(late)), late))
    pool = pool.sort_values(["time", "user"])
    order = pool.groupby("item").cumcount()
    pool = pool[order < allowed[pool.index].fillna(len(pool))]
    even = held["item"] % 2 == 0
    return [pool, held[even], held[~even]]


def schema_of(train: pd.DataFrame) -> Schema:
    """Fit the schema of all rows."""
    return Schema(
        [
            *(Categorical(name) for name in ("user", *PROFILE)),
            Categorical("item"),
            Text("title", buckets=2000, length=8),
            Sequence("genres", 6),
            Categorical("decade"),
        ],
        [Task("like")],
    ).fit(train)


def builder(name: str, schema: Schema):
    """Return the builder of one model for the search."""
    user_features, item_features, rate = READS[name]
    build = partial(
        cold_start_towers,
        schema,
        user_features=user_features,
        item_features=item_features,
        id_dropout=rate,
    )
    return lambda tower_units, seed: build(tower_units=tower_units, seed=seed)


def run(unit: dict) -> pd.DataFrame:
    """Tune, repeat and compare, by how many ratings were known."""
    parts = rows_of(unit["edition"])
    schema = schema_of(parts[0])
    train, validation, test = (schema.encode(p, user="user") for p in parts)
    found = replicate_tuned(
        {name: builder(name, schema) for name in READS},
        GRID,
        train,
        validation,
        test,
        seeds=SEEDS,
        epochs=12,
        patience=2,
        batch_size=512,
    )
    known = parts[2]["item"].map(parts[0]["item"].value_counts()).fillna(0)
    bins = pd.cut(
        known, [-1, 0, 3, 12, 50, np.inf],
        labels=["0", "1-3", "4-12", "13-50", "more"],
    )  # fmt: skip
    labels = test.labels["like"].ravel()
    family = {}
    for candidate, baseline in COMPARED:
        for group in bins.cat.categories:
            mask = (bins == group).to_numpy()
            for metric in ("log_loss", "auc"):
                family[candidate, baseline, group, metric] = compare(
                    labels,
                    found.replication.predictions[candidate]["like"],
                    found.replication.predictions[baseline]["like"],
                    metric=metric,
                    groups=test.users,
                    mask=mask,
                )
    table = comparison_table(
        holm_corrected(family),
        ("candidate_model", "baseline_model", "known", "measured"),
    ).drop(columns="measured")
    sizes = bins.value_counts()
    table["rows"] = [int(sizes[group]) for group in table["known"]]
    for side in ("candidate", "baseline"):
        names = table[f"{side}_model"]
        for cost in ("parameters", "steps"):
            table[f"{side}_{cost}"] = [found.cost(n, cost) for n in names]
        table[f"{side}_settings"] = [
            str(found.searches[n].best) for n in names
        ]
    return table.assign(n_train=len(train), n_test=len(test))


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Keep everything."""
    return results
