"""MovieLens-100K, from users under 30 to users of 40 and more: a weak shift.

Like: 4 stars or more. Labels of the young teach; of the older users half are
there without labels, the other half are judged. Everything here has a closed
form or nearly so: a logistic regression (ridge 1) on genres, year, sex and
the film's mean among the young who teach; a row's own label is left out of
that mean. No network is trained. Each seed draws the young users who teach,
with replacement.

Beside "source alone", which every method is compared with:

* "always the mean": the share of likes of the young;
* "film mean": the film's mean of the young, damped, no model;
* "recoloured": CORAL in closed form on inputs, ridge 1;
* "corrected": under the prior that EM finds;
* "weighted": source rows drawn by that prior, then learned again;
* "target labels": taught by the older users' labels instead.

Intervals are over users and seeds; all comparisons of a metric are one family.
"""

import numpy as np
import pandas as pd

from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import compare, comparison_table, holm_corrected
from mtlrec_utils.learning.transfer import (
    corrected_probabilities,
    estimated_prior,
    recoloured,
    resampled_rows,
)

SEEDS = range(5)
SPLIT_SEED = 18
YOUNG, OLD = 30, 40
DAMPING, RIDGE = 5.0, 1.0
BASE = "source alone"


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
        male=(rows["sex"] == "M").astype(float),
        year=rows["year"].fillna(rows["year"].median()) / 10,
    )
    rows = rows.join(rows["genres"].str.get_dummies("|").add_prefix("is "))
    young = rows[rows["age"] < YOUNG]
    old = rows[rows["age"] >= OLD]
    users = np.sort(old["user"].unique())
    users = np.random.default_rng(SPLIT_SEED).permutation(users)
    seen = old["user"].isin(users[: len(users) // 2])
    return young, old[seen], old[~seen]


def drawn_users(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Draw as many users as there are, with replacement; return their rows."""
    rng = np.random.default_rng(seed)
    users = rows["user"].unique()
    times = pd.Series(rng.choice(users, len(users))).value_counts()
    n = rows["user"].map(times).fillna(0).astype(int)
    return rows.loc[rows.index.repeat(n)].reset_index(drop=True)


def inputs(rows: pd.DataFrame, young: pd.DataFrame, own: bool) -> np.ndarray:
    """Return what a model reads, `[N, k]`.

    Args:
        rows: to be encoded.
        young: whose likes make the films' means.
        own: the rows are those of `young`: leave each row's label out.
    """
    columns = ["male", "year", *(c for c in rows if c.startswith("is "))]
    mean = young["like"].mean()
    by_film = young.groupby("item")["like"].agg(["sum", "size"])
    sums = by_film["sum"].reindex(rows["item"]).fillna(0).to_numpy()
    sizes = by_film["size"].reindex(rows["item"]).fillna(0).to_numpy()
    if own:
        sums, sizes = sums - rows["like"].to_numpy(), sizes - 1
    film = (sums + DAMPING * mean) / (sizes + DAMPING)
    return np.column_stack([film, rows[columns].to_numpy(dtype=float)])


def logistic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights of a ridge logistic regression, by Newton's steps."""
    x = np.column_stack([np.ones(len(x)), x])
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[0, 0] = 0.0
    weights = np.zeros(x.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (p - y) + penalty @ weights
        curve = (x * (p * (1 - p))[:, None]).T @ x + penalty
        weights = weights - np.linalg.solve(curve, slope)
    return weights


def said(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the probabilities of a logistic regression."""
    return 1 / (1 + np.exp(-(weights[0] + x @ weights[1:])))


def run(unit: dict) -> pd.DataFrame:
    """Train all methods, return the predictions of the test rows."""
    all_young, seen, test = parts(unit["edition"])
    frames = []
    for seed in SEEDS:
        young = drawn_users(all_young, seed)
        label = young["like"].to_numpy()
        source = inputs(young, young, own=True)
        target = inputs(seen, young, own=False)
        judged = inputs(test, young, own=False)
        centre, centre_target = source.mean(axis=0), target.mean(axis=0)
        weights = logistic(source - centre, label)
        alone = said(judged - centre, weights)
        prior = float(label.mean())
        # The prior is found on rows that are not judged.
        found = estimated_prior(said(target - centre, weights), prior)
        rows = resampled_rows(label, found, seed)
        matched = recoloured(source - centre, target - centre_target)
        domain = np.repeat([0, 1], [len(source), len(target)])
        both = np.concatenate([source, target]) - centre
        told = said(both, logistic(both, domain)) > domain.mean()
        share = np.mean([(told == domain)[domain == d].mean() for d in (0, 1)])
        methods = {
            BASE: alone,
            "always the mean": np.full(len(test), prior),
            "film mean": judged[:, 0],
            "recoloured": said(
                judged - centre_target, logistic(matched, label)
            ),
            "corrected": corrected_probabilities(alone, prior, found),
            "weighted": said(
                judged - centre, logistic(source[rows] - centre, label[rows])
            ),
            "target labels": said(
                judged - centre,
                logistic(target - centre, seen["like"].to_numpy()),
            ),
        }
        frames += [
            pd.DataFrame(
                {
                    "method": method,
                    "seed": seed,
                    "user": test["user"].to_numpy(),
                    "like": test["like"].to_numpy(),
                    "predicted": np.clip(values, 1e-6, 1 - 1e-6),
                    "domain_told": share,
                    "prior_young": prior,
                    "prior_old": test["like"].mean(),
                    "prior_found": found,
                }
            )
            for method, values in methods.items()
        ]
    return pd.concat(frames, ignore_index=True)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per method and metric, against the source alone."""
    by_method = dict(list(results.groupby("method", sort=False)))
    base, parts_ = by_method[BASE], []
    first = base[base["seed"] == SEEDS[0]]
    facts = base[["domain_told", "prior_young", "prior_old", "prior_found"]]
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
            if method != BASE
        }
        parts_.append(comparison_table(holm_corrected(found), ("method",)))
    return pd.concat(parts_, ignore_index=True).assign(**facts.mean())


def _by_seed(rows: pd.DataFrame) -> np.ndarray:
    """Return predictions [S, N]."""
    return np.stack(
        [seed["predicted"].to_numpy() for _, seed in rows.groupby("seed")]
    )
