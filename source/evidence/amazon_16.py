"""Amazon, books to films and back: what a pre-trained table of users is worth.

A model of ratings (one regression, users and items as ids, stars standardised)
is pre-trained on all ratings of one shop and then trained on some of the
other, the target. Only users mean the same in both; an item's row of the table
starts fresh. The ratings have no times, so the target's are split at random,
60 : 20 : 20.

Methods, four trials each, chosen on validation rows: "scratch"; "fine-tuned";
"L2-SP"; "frozen", which keeps table and bottom, so that a target's item is
never told from another. "item mean" is the damped mean of each item.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task
from mtlrec_utils.data.real import load_amazon_books_movies
from mtlrec_utils.evidence import (
    compare,
    comparison_table,
    holm_corrected,
    rmse,
)
from mtlrec_utils.learning import fit, replicate
from mtlrec_utils.learning.transfer import L2SP, freeze
from mtlrec_utils.models import single_task

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
TUNING_SEED = 1000
# ratings of the target -> epochs, batch size
BUDGETS = {
    1000: (12, 32),
    6000: (8, 128),
    18_000: (6, 256),
    35_000: (6, 256),
}
TARGETS = {"films": (1000, 6000, 35_000), "books": (1000, 6000, 18_000)}
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
METHODS = ("scratch", "frozen", "fine-tuned", "L2-SP")
TRIALS = {
    **{name: [{"learning_rate": r} for r in RATES] for name in METHODS[:3]},
    "L2-SP": [
        {"learning_rate": rate, "anchor": L2SP(strength)}
        for rate in (1e-3, 1e-2)
        for strength in (1e-2, 1e-1)
    ],
}
DAMPING = 5.0  # ratings of the mean that an item starts with


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_amazon_books_movies()
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One target and number of its rows per unit."""
    return [
        {"target": target, "rows": rows}
        for target, numbers in TARGETS.items()
        for rows in numbers
    ]


@lru_cache
def encoded(target: str) -> tuple:
    """Return the schema, the source, and the target's parts with frames."""
    pair = load_amazon_books_movies()
    source, ratings = pair.source, pair.target
    if target == "books":
        source, ratings = ratings, source
    order = np.random.default_rng(16).permutation(len(ratings))
    first, second = int(0.6 * len(order)), int(0.8 * len(order))
    parts = [
        ratings.iloc[chosen]
        for chosen in (order[:first], order[first:second], order[second:])
    ]
    schema = Schema(
        [Categorical("user"), Categorical("item")],
        [Task("stars", "regression", label="rating", scale="standard")],
    ).fit(pd.concat([source, parts[0]]))
    own = [schema.encode(part, user="user") for part in parts]
    return schema, schema.encode(source, user="user"), own, parts


@lru_cache
def source_weights(target: str, seed: int) -> list:
    """Pre-train on the other shop."""
    model = build(target, "scratch", seed)
    fit(
        model,
        encoded(target)[1],
        epochs=4,
        batch_size=128,
        learning_rate=2e-3,
        decay="linear",
        seed=seed,
    )
    return model.get_weights()


def build(target: str, method: str, seed: int):
    """Return a model that is ready to train."""
    model = single_task(
        encoded(target)[0],
        embedding_dimension=8,
        bottom_units=(16,),
        tower_units=(8,),
        seed=seed,
    )
    if method != "scratch":
        model.set_weights(source_weights(target, seed))
    if method == "frozen":
        freeze(model, "embedding", "bottom")
    return model


def run(unit: dict) -> pd.DataFrame:
    """All methods with some ratings: predictions of each seed."""
    target, rows = unit["target"], unit["rows"]
    _, _, (train, validation, test), frames = encoded(target)
    few, frame = train.subset(slice(0, rows)), frames[0].iloc[:rows]
    epochs, batch = BUDGETS[rows]
    budget = {"epochs": epochs, "batch_size": batch, "decay": "linear"}
    found = [_item_means(frame, frames[2], test)]
    for method in METHODS:

        def builder(seed: int, method: str = method):
            return build(target, method, seed)

        losses = [
            replicate(
                {method: builder},
                few,
                None,
                validation,
                seeds=[TUNING_SEED],
                **budget,
                **trial,
            ).table["value"].iloc[0]
            for trial in TRIALS[method]
        ]  # fmt: skip
        chosen = TRIALS[method][int(np.argmin(losses))]
        result = replicate(
            {method: builder}, few, None, test, seeds=SEEDS, **budget, **chosen
        )
        for i, seed in enumerate(SEEDS):
            found.append(
                pd.DataFrame(
                    {
                        "method": method,
                        "seed": seed,
                        "user": test.users,
                        "label": test.labels["stars"],
                        "predicted": result.predictions[method]["stars"][i],
                        "rate": chosen["learning_rate"],
                    }
                )
            )
    return pd.concat(found).assign(**unit)


def _item_means(few: pd.DataFrame, frame: pd.DataFrame, test) -> pd.DataFrame:
    mean = few["rating"].mean()
    by_item = few.groupby("item")["rating"].agg(["sum", "size"])
    damped = (by_item["sum"] + DAMPING * mean) / (by_item["size"] + DAMPING)
    return pd.DataFrame(
        {
            "method": "item mean",
            "seed": SEEDS[0],
            "user": test.users,
            "label": test.labels["stars"],
            "predicted": damped.reindex(frame["item"]).fillna(mean).to_numpy(),
            "rate": np.nan,
        }
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per target, number of rows and method, against scratch."""
    found, facts = {}, []
    for key, cell in results.groupby(["target", "rows"], sort=False):
        by_method = dict(list(cell.groupby("method", sort=False)))
        base = by_method["scratch"]
        first = base[base["seed"] == SEEDS[0]]
        for method in [m for m in by_method if m != "scratch"]:
            own, theirs = by_method[method], _by_seed(base)
            found[(*key, method)] = compare(
                first["label"].to_numpy(),
                np.broadcast_to(_by_seed(own), theirs.shape),
                theirs,
                metric="rmse",
                groups=first["user"].to_numpy(),
            )
            facts.append(
                {
                    "rate": own["rate"].iloc[0],
                    "baseline_rate": base["rate"].iloc[0],
                    "constant": rmse(
                        first["label"],
                        np.full(len(first), first["label"].mean()),
                    ),
                }
            )
    compared = comparison_table(
        holm_corrected(found), ("target", "rows", "method")
    )
    return pd.concat([compared, pd.DataFrame(facts)], axis=1)


def _by_seed(rows: pd.DataFrame) -> np.ndarray:
    """Return predictions [S, N]."""
    return np.stack(
        [seed["predicted"].to_numpy() for _, seed in rows.groupby("seed")]
    )
