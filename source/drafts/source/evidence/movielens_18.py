"""MovieLens-100K, from users under 30 to users of 40 and more: a weak shift.

Like: 4 stars or more. Labels of the young teach; of the older users half are
there without labels, the other half are judged. Features: film, genres, year
and sex; no user id, and nothing that tells the age. Settings are fixed
beforehand, the same for all methods, since no label of the target is there to
tune by; strengths are those of ``domain_alignment``.

Beside "none", which every method is compared with:

* "film mean": the damped mean of the young users' likes, no model;
* "target labels": the same model, taught by the older users' labels instead;
* "none, corrected": under the prior that EM finds.

Intervals are over users and seeds; all comparisons of a metric are one family.
"""

import numpy as np
import pandas as pd

from mtlrec_utils.data import Categorical, Number, Schema, Task, Text
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import compare, comparison_table, holm_corrected
from mtlrec_utils.learning import replicate
from mtlrec_utils.learning.transfer import (
    corrected_probabilities,
    estimated_prior,
)
from mtlrec_utils.models import aligned
from mtlrec_utils.models.classic import damped_means

SEEDS = range(5)
SPLIT_SEED = 18
YOUNG, OLD = 30, 40
SIZES = {
    "embedding_dimension": 8,
    "bottom_units": (32, 16),
    "tower_units": (16,),
}
FIT = {"epochs": 4, "batch_size": 512, "learning_rate": 3e-3}
STRENGTHS = {
    "none": ("none", 0.0),
    "DANN 0.3": ("dann", 0.3),
    "DANN 1": ("dann", 1.0),
    "CORAL": ("coral", 10.0),
    "MMD": ("mmd", 5.0),
}


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """All of it."""
    return [{"edition": "100k"}]


def parts(edition: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return rows of the young, of half the old, and of the other half."""
    data = load_movielens(edition)
    rows = data.ratings.merge(data.users, on="user").merge(
        data.items[["item", "year", "genres"]], on="item"
    )
    rows = rows.assign(
        like=(rows["rating"] >= 4).astype(int),
        domain=(rows["age"] >= OLD).astype(int),
        words=rows["genres"].str.replace("|", " "),
        year=rows["year"].fillna(rows["year"].median()),
    )
    young = rows[rows["age"] < YOUNG]
    old = rows[rows["age"] >= OLD]
    users = np.sort(old["user"].unique())
    users = np.random.default_rng(SPLIT_SEED).permutation(users)
    seen = old["user"].isin(users[: len(users) // 2])
    return young, old[seen], old[~seen]


def run(unit: dict) -> pd.DataFrame:
    """Train all methods, return the predictions of the test rows."""
    young, seen, test_rows = parts(unit["edition"])
    train_rows = pd.concat(
        [young.assign(labelled=1), seen.assign(labelled=0)],
        ignore_index=True,
    )
    schema = Schema(
        features=[
            Categorical("item"),
            Categorical("sex"),
            Text("words", buckets=50, length=6),
            Number("year"),
        ],
        tasks=[Task("like", sample_space="labelled"), Task("domain")],
    ).fit(train_rows)
    train = schema.encode(train_rows)
    told = schema.encode(train_rows.assign(labelled=train_rows["domain"]))
    # Some rows of the young, unlabelled: the domain needs both classes.
    test = schema.encode(
        pd.concat(
            [
                test_rows.assign(labelled=1),
                young.assign(labelled=0)[: len(test_rows)],
            ],
            ignore_index=True,
        )
    )
    builders = {
        name: _builder(schema, *chosen) for name, chosen in STRENGTHS.items()
    }
    found = replicate(
        builders, train, None, test, seeds=SEEDS, progress=False, **FIT
    )
    upper = replicate(
        {"target labels": builders["none"]},
        told,
        None,
        test,
        seeds=SEEDS,
        progress=False,
        **FIT,
    )
    predictions = {**found.predictions, **upper.predictions}
    n, label = len(test_rows), test_rows["like"].to_numpy()
    prior = float(young["like"].mean())
    means = damped_means(
        young["item"].to_numpy(),
        young["like"].to_numpy(dtype=float),
        int(max(young["item"].max(), test_rows["item"].max())) + 1,
    )
    frames = []
    for s, seed in enumerate(SEEDS):
        likes = {m: p["like"][s].ravel()[:n] for m, p in predictions.items()}
        likes["none, corrected"] = corrected_probabilities(
            likes["none"], prior, estimated_prior(likes["none"], prior)
        )
        likes["film mean"] = means[test_rows["item"].to_numpy()]
        for method, values in likes.items():
            source = method if method in predictions else "none"
            told_apart = predictions[source]["domain"][s].ravel() > 0.5
            frames.append(
                pd.DataFrame(
                    {
                        "method": method,
                        "seed": seed,
                        "user": test_rows["user"].to_numpy(),
                        "like": label,
                        "predicted": np.clip(values, 1e-6, 1 - 1e-6),
                        "domain_accuracy": np.mean(
                            told_apart == test.labels["domain"]
                        ),
                        "prior_young": prior,
                        "prior_old": label.mean(),
                        "prior_found": estimated_prior(likes["none"], prior),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def _builder(schema: Schema, method: str, strength: float):
    return lambda seed: aligned(
        schema, method=method, strength=strength, seed=seed, **SIZES
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per method and metric, against "none"."""
    by_method = dict(list(results.groupby("method", sort=False)))
    base, parts_ = by_method["none"], []
    first = base[base["seed"] == SEEDS[0]]
    facts = ["domain_accuracy", "prior_young", "prior_old", "prior_found"]
    for metric in ("auc", "log_loss"):
        found = {
            (method,): compare(
                first["like"].to_numpy(),
                _by_seed(rows),
                _by_seed(base),
                metric=metric,
                groups=first["user"].to_numpy(),
                resamples=500,
            )
            for method, rows in by_method.items()
            if method != "none"
        }
        rows = comparison_table(holm_corrected(found), ("method",))
        for fact in facts:
            means = results.groupby("method")[fact].mean()
            rows[fact] = rows["method"].map(means)
        parts_.append(rows)
    return pd.concat(parts_, ignore_index=True).assign(
        none_domain_accuracy=base["domain_accuracy"].mean()
    )


def _by_seed(rows: pd.DataFrame) -> np.ndarray:
    """Return predictions [S, N]."""
    return np.stack(
        [seed["predicted"].to_numpy() for _, seed in rows.groupby("seed")]
    )
