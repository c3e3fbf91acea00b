"""Amazon, books and films both ways: cold users against trivial baselines.

20, 50 or 80 % of the shared users are cold in the target (a quarter of them
validates, see ``data.cold_users``); everybody else is linked. Repeated pairs
are averaged. The split is fixed, five seeds start the factors, intervals are
over users and seeds; all comparisons of one metric and baseline are one
family. The networks are also held against EMCDR in closed form, SSCDR against
EMCDR's network.

Against the damped item mean, of the rows that are left:

* "no user, no mean": factors without means, for users whose vector was never
  trained: 0 for everybody, the baseline "TGT" of some papers;
* "always 5"; "one constant", the mean of all ratings;
* the bridges of ``classic.ColdBridges``, eight trials for each setting;
* "EMCDR, network", "PTUPCDR" and "SSCDR" (one hop): four trials each, chosen
  on the factors of the first seed; every seed trains anew;

RMSE in stars; GAUC: per user, are items with 5 stars put first?
"""

from collections.abc import Collection
from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data.cold_users import cold_start, numbered
from mtlrec_utils.data.real import load_amazon_books_movies
from mtlrec_utils.evidence import (
    compare,
    comparison_table,
    holm_corrected,
)
from mtlrec_utils.learning.transfer import (
    emcdr_network,
    personal_network,
    semi_supervised_network,
)
from mtlrec_utils.models.classic import ColdBridges

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
SPLIT_SEED = 17
SHARES = (0.2, 0.5, 0.8)
FACTORS = {"n_factors": 6, "regularisation": 6.0, "n_sweeps": 10}
RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
BRIDGES = ("item mean", "rotation", "EMCDR", "on ratings", "personal", "CMF")

NETWORKS = {
    "EMCDR, network": emcdr_network,
    "PTUPCDR": personal_network,
    "SSCDR": semi_supervised_network,
}
SIZE = {"epochs": 60, "batch_size": 256}
TRIALS = {
    "EMCDR, network": [
        {"learning_rate": rate, "weight_decay": decay, **SIZE}
        for rate in (3e-3, 1e-2)
        for decay in (1e-2, 1.0)
    ],
    "PTUPCDR": [
        {
            "learning_rate": rate,
            "epochs": epochs,
            "batch_size": 512,
            "decay": "linear",
        }
        for rate in (1e-3, 3e-3)
        for epochs in (2, 6)
    ],
    "SSCDR": [
        {
            "unlabelled_weight": weight,
            "weight_decay": decay,
            "learning_rate": 1e-2,
            **SIZE,
        }
        for weight in (0.1, 3.0)
        for decay in (1e-2, 1.0)
    ],
}


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_amazon_books_movies()
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One direction and share of cold users per unit."""
    return [
        {"target": target, "cold": share}
        for target in ("films", "books")
        for share in SHARES
    ]


@lru_cache
def encoded(target: str) -> tuple:
    """Return numbered source and target ratings, and the sizes."""
    pair = load_amazon_books_movies(duplicates="mean")
    sides = (pair.source, pair.target)  # books, films
    return numbered(*(sides if target == "films" else sides[::-1]))


def run(unit: dict) -> pd.DataFrame:
    """All methods of one split: test predictions of every seed."""
    source, target, sizes = encoded(unit["target"])
    split = cold_start(source, target, unit["cold"], seed=SPLIT_SEED)
    test, found = split.test, []
    bridges = {
        seed: ColdBridges(split, sizes, seed=seed, ridges=RIDGES, **FACTORS)
        for seed in SEEDS
    }
    chosen = {name: _chosen(name, bridges[SEEDS[0]]) for name in NETWORKS}
    for seed in SEEDS:
        methods = {
            **bridges[seed].methods(split.linked, BRIDGES),
            **{
                name: (_network(name, i, bridges[seed], seed)(test), float(i))
                for name, i in chosen.items()
            },
            "no user, no mean": (np.zeros(len(test)), np.nan),
            "always 5": (np.full(len(test), 5.0), np.nan),
            "one constant": (
                np.full(len(test), split.target["rating"].mean()),
                np.nan,
            ),
        }
        found += [
            pd.DataFrame(
                {
                    "method": method,
                    "seed": seed,
                    "user": test["user"],
                    "rating": test["rating"],
                    "predicted": predicted,
                    "setting": setting,
                }
            )
            for method, (predicted, setting) in methods.items()
        ]
    return pd.concat(found).assign(**unit)


def _network(name: str, trial: int, bridges: ColdBridges, seed: int):
    return NETWORKS[name](
        bridges, bridges.split.linked, seed=seed, **TRIALS[name][trial]
    )


def _chosen(name: str, bridges: ColdBridges) -> int:
    """Return the number of the best trial on validation users."""
    trials = {
        i: _network(name, i, bridges, SEEDS[0])
        for i in range(len(TRIALS[name]))
    }
    return bridges.best_of(trials)[1]


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per split, method, baseline and metric."""
    families = [("item mean", None), ("EMCDR", NETWORKS)]
    families.append(("EMCDR, network", ("SSCDR",)))
    return pd.concat(
        [
            _family(results, metric, base, among)
            for metric in ("rmse", "gauc")
            for base, among in families
        ],
        ignore_index=True,
    )


def _family(
    results: pd.DataFrame,
    metric: str,
    against: str,
    among: Collection[str] | None,
) -> pd.DataFrame:
    """Compare methods (None: all) with one of them, in every split."""
    found, facts = {}, []
    for key, cell in results.groupby(["target", "cold"], sort=False):
        by_method = dict(list(cell.groupby("method", sort=False)))
        base = by_method.pop(against)
        first = base[base["seed"] == SEEDS[0]]
        label = first["rating"].to_numpy()
        if metric == "gauc":
            label = (label >= 5).astype(int)
        for method in [m for m in by_method if among is None or m in among]:
            found[(*key, method)] = compare(
                label,
                _by_seed(by_method[method]),
                _by_seed(base),
                metric=metric,
                groups=first["user"].to_numpy(),
                resamples=500,
            )
            facts.append(by_method[method]["setting"].median())
    rows = comparison_table(
        holm_corrected(found), ("target", "cold", "method")
    )
    rows.insert(3, "against", against)
    return rows.assign(setting=facts)


def _by_seed(rows: pd.DataFrame) -> np.ndarray:
    """Return predictions [S, N]."""
    return np.stack(
        [seed["predicted"].to_numpy() for _, seed in rows.groupby("seed")]
    )
