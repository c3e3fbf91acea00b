"""MovieLens-100K by age group: a weak domain.

Three age groups of users are the domains: under 20, 20 to 49, 50 and over.
Like: 4 stars or more. Features: film, genres, year, sex; no user id, and the
age only as the domain. Users are split, 60 % to learn from, 15 % to choose
the learning rate by (the lowest log loss over all their rows, of two), 25 %
to judge by: new users of a known group.

Every method is compared with "pooled", which does not know the age group;
"film mean" is the damped mean of a film's likes over all training users. The
domain "all" is all test rows together. Intervals are over users and seeds;
all comparisons of a metric are one family.
"""

from functools import partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Number, Schema, Task, Text
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import compare, comparison_table, holm_corrected
from mtlrec_utils.learning import replicate, tune
from mtlrec_utils.models import (
    epnet,
    pooled_domains,
    separate_domains,
    shared_bottom_over_domains,
    star,
)
from mtlrec_utils.models.classic import damped_means

tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
SPLIT_SEED = 19
ENDS = (20, 50)
NAMES = ("a under 20", "b 20 to 49", "c 50 and over")
SIZES = {
    "embedding_dimension": 8,
    "bottom_units": (32, 16),
    "tower_units": (8,),
}
RATES = (2e-3, 1e-2)
FIT = {"epochs": 3, "batch_size": 512, "decay": "linear"}
METHODS = {
    "pooled": pooled_domains,
    "pooled + id": partial(pooled_domains, read_domain=True),
    "separate": separate_domains,
    "shared bottom": shared_bottom_over_domains,
    "STAR": star,
    "EPNet": epnet,
}


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One method each; the film mean comes with "pooled"."""
    return [{"method": name} for name in METHODS]


def parts() -> list[pd.DataFrame]:
    """Return training, validation and test rows: no user in two of them."""
    data = load_movielens("100k")
    rows = data.ratings.merge(data.users, on="user").merge(
        data.items[["item", "year", "genres"]], on="item"
    )
    group = np.digitize(rows["age"], ENDS)
    rows = rows.assign(
        like=(rows["rating"] >= 4).astype(int),
        domain=np.array(NAMES, dtype=object)[group],
        words=rows["genres"].str.replace("|", " "),
        year=rows["year"].fillna(rows["year"].median()),
    )
    users = np.sort(rows["user"].unique())
    users = np.random.default_rng(SPLIT_SEED).permutation(users)
    cuts = (np.array([0.6, 0.75]) * len(users)).astype(int)
    return [
        rows[rows["user"].isin(some)].reset_index(drop=True)
        for some in np.split(users, cuts)
    ]


def run(unit: dict) -> pd.DataFrame:
    """Tune one method, train it with every seed, return predictions."""
    train_rows, validation_rows, test_rows = parts()
    schema = Schema(
        features=[
            Categorical("item"),
            Categorical("sex"),
            Text("words", buckets=50, length=6),
            Number("year"),
            Categorical("domain"),
        ],
        tasks=[Task("like")],
    ).fit(train_rows)
    train, validation, test = (
        schema.encode(part)
        for part in (train_rows, validation_rows, test_rows)
    )
    name = unit["method"]
    build = partial(METHODS[name], schema, **SIZES)
    search = tune(
        build,
        {"learning_rate": RATES},
        train,
        validation,
        seed=1000,
        progress=False,
        **FIT,
    )
    found = replicate(
        {name: build},
        train,
        None,
        test,
        seeds=SEEDS,
        progress=False,
        **search.fit_options,
        **FIT,
    )
    facts = {
        "rate": search.best["learning_rate"],
        "parameters": found.table["parameters"].iloc[0],
        "steps": found.table["steps"].iloc[0],
    }
    predictions = {name: found.predictions[name]["like"]}
    if name == "pooled":
        items = sorted({*train_rows["item"], *test_rows["item"]})
        means = damped_means(
            np.searchsorted(items, train_rows["item"]),
            train_rows["like"].to_numpy(float),
            len(items),
        )
        flat = means[np.searchsorted(items, test_rows["item"])]
        predictions["film mean"] = np.tile(flat, (len(SEEDS), 1))
    sizes = train_rows.groupby("domain").size()
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "method": method,
                    "seed": seed,
                    "user": test_rows["user"],
                    "like": test_rows["like"],
                    "domain": test_rows["domain"],
                    "train_rows": test_rows["domain"].map(sizes),
                    "predicted": chance[i],
                    **facts,
                }
            )
            for method, chance in predictions.items()
            for i, seed in enumerate(SEEDS)
        ],
        ignore_index=True,
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per method, domain and metric, against "pooled"."""
    first = results.query("method == 'pooled' and seed == @SEEDS[0]")
    domains = {"all": np.ones(len(first), bool)} | {
        name: (first["domain"] == name).to_numpy() for name in NAMES
    }
    chance = {
        method: np.stack([s["predicted"] for _, s in rows.groupby("seed")])
        for method, rows in results.groupby("method", sort=False)
    }
    found = []
    for metric in ("auc", "log_loss"):
        family = {
            (method, domain): compare(
                first["like"].to_numpy(),
                chance[method],
                chance["pooled"],
                metric=metric,
                groups=first["user"].to_numpy(),
                mask=mask,
                resamples=500,
            )
            for method in chance
            if method != "pooled"
            for domain, mask in domains.items()
        }
        found.append(
            comparison_table(holm_corrected(family), ("method", "domain"))
        )
    out = pd.concat(found, ignore_index=True)
    sizes = first.groupby("domain")["train_rows"].first().to_dict()
    sizes["all"] = sum(sizes.values())
    facts = results.groupby("method")[["rate", "parameters", "steps"]].first()
    return out.assign(
        train_rows=out["domain"].map(sizes),
        **{fact: out["method"].map(facts[fact]) for fact in facts},
    )
