"""MovieLens-100K, like and rating: one model each, or one for both?

Every user's ratings are split by that user's own time. A split at one
moment for all would test newcomers: 53 % of the users gave all their ratings
within an hour.
"""

import pandas as pd

from mtlrec_utils.data import Categorical, Number, Schema, Task
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.learning.tuned import replicate_tuned
from mtlrec_utils.models import mmoe, shared_bottom, single_task

SEEDS = range(5)
GRID = {"embedding_dimension": [4, 16], "learning_rate": [1e-3, 3e-3]}
ALONE = "like alone + rating alone"
PAIRS = [
    ("shared_bottom", ALONE),
    ("mmoe", ALONE),
    ("mmoe", "shared_bottom"),
]
METRICS = {"like": "auc", "rating": "rmse"}


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


def rows_of(edition: str) -> tuple[list[pd.DataFrame], float]:
    """Return train, validation and test rows, and the rating's scale.

    Labels: `like` (4 stars or more) and `stars`, standardised by the
    training rows, so that its loss is of the size of the other's.
    """
    data = load_movielens(edition)
    rows = data.ratings.sort_values(["user", "time", "item"], kind="stable")
    rows = rows.merge(data.users, on="user").merge(
        data.items[["item", "year"]], on="item", how="left"
    )
    rows["like"] = (rows["rating"] >= 4).astype(int)
    past = rows.groupby("user").cumcount() / rows.groupby("user")[
        "item"
    ].transform("size")
    parts = [
        rows[past < 0.6],
        rows[(past >= 0.6) & (past < 0.8)],
        rows[past >= 0.8],
    ]
    mean, scale = parts[0]["rating"].mean(), parts[0]["rating"].std()
    parts = [p.assign(stars=(p["rating"] - mean) / scale) for p in parts]
    return parts, float(scale)


def run(unit: dict) -> pd.DataFrame:
    """Tune, repeat and compare."""
    parts, scale = rows_of(unit["edition"])
    names = ["user", "item", "sex", "occupation"]
    schema = Schema(
        features=[*map(Categorical, names), Number("age"), Number("year")],
        tasks=[Task("like"), Task("rating", "regression", label="stars")],
    ).fit(parts[0])
    train, validation, test = (schema.encode(p, user="user") for p in parts)
    sizes = {"bottom_units": (32,), "tower_units": (8,)}

    def alone(task: str):
        return lambda embedding_dimension, seed: single_task(
            schema,
            task,
            embedding_dimension=embedding_dimension,
            seed=seed,
            **sizes,
        )

    found = replicate_tuned(
        {
            "like alone": alone("like"),
            "rating alone": alone("rating"),
            "shared_bottom": lambda embedding_dimension, seed: shared_bottom(
                schema,
                embedding_dimension=embedding_dimension,
                seed=seed,
                **sizes,
            ),
            "mmoe": lambda embedding_dimension, seed: mmoe(
                schema,
                embedding_dimension=embedding_dimension,
                n_experts=4,
                expert_units=(8,),
                tower_units=(8,),
                seed=seed,
            ),
        },
        GRID,
        train,
        validation,
        test,
        seeds=SEEDS,
        epochs=15,
        patience=2,
        batch_size=512,
    )
    compared = found.compare(PAIRS, METRICS, test).replace(
        {"baseline_model": {ALONE: "single_task"}}
    )
    return compared.assign(
        rating_scale=scale, n_train=len(train), n_test=len(test)
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Keep everything."""
    return results
