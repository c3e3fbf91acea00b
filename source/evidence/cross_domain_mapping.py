"""Users new to a shop: bridges against the item mean, in simulated worlds.

Part "grid": Lantern, films to books. A rating is the share of an item's
minutes that was watched (or read) after a click. 30 % of the users are cold
in books. Of the others, some are linked: known to be the same person in both
shops; all of them rate books in any case, so that the books' vectors are
equally good whatever the number of links. Independent worlds.

Part "groups": ``data.opposite_groups``, whose second group's tastes turn by
a factor of 1 (one bridge serves all), 0 or -1 (opposite).

Methods; the settings of each are chosen on ratings of other cold users:

* "item mean": damped, of the rows that are left; no setting;
* "identity", "rotation": no setting;
* "EMCDR": ridge on vectors, eight ridges;
* "on ratings": ridge on ratings, eight ridges;
* "personal": linear in the mean of the source items rated; eight ridges;
* "CMF": eight weights of the source;
* "EMCDR, network": two learning rates, two weight decays;
* "PTUPCDR": two learning rates, two numbers of epochs;
* "SSCDR": two weights of the unlabelled loss, two weight decays; one hop.

Part "networks" has these three beside all others, on a smaller grid up to a
similarity of 1. Their four trials are judged once per cell, in a world of its
own, which is cheaper than once per world, and not in their favour.

All against the item mean; in "networks" also the three against EMCDR in closed
form, and SSCDR against EMCDR's network. An interval is of its cell alone, not
corrected for the number of cells. The ranking is GAUC: per cold user, are
books with a rating above the median of all put first?
"""

from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import World
from mtlrec_utils.data.cold_users import cold_start, numbered
from mtlrec_utils.data.opposite_groups import opposite_groups
from mtlrec_utils.evidence import gauc, paired_interval, rmse, verdict
from mtlrec_utils.learning.transfer import (
    emcdr_network,
    personal_network,
    semi_supervised_network,
)
from mtlrec_utils.models.classic import ColdBridges

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 7)  # one world each
SIMILARITIES = (0.0, 0.5, 0.9)
LINKED = (5, 20, 100, 400)
TURNS = (1.0, 0.0, -1.0)
COLD_SHARE = 0.3
FACTORS = {"n_factors": 6, "regularisation": 3.0, "n_sweeps": 10}

TUNING_SEED = 1000
SIMILARITIES_OF_NETWORKS = (0.0, 0.5, 1.0)
LINKED_OF_NETWORKS = (20, 100, 400)
NETWORKS = {
    "EMCDR, network": emcdr_network,
    "PTUPCDR": personal_network,
    "SSCDR": semi_supervised_network,
}
TRIALS = {
    "EMCDR, network": [
        {
            "learning_rate": rate,
            "weight_decay": decay,
            "epochs": 60,
            "batch_size": 32,
        }
        for rate in (3e-3, 1e-2)
        for decay in (1e-2, 1.0)
    ],
    "PTUPCDR": [
        {
            "learning_rate": rate,
            "epochs": epochs,
            "batch_size": 128,
            "decay": "linear",
        }
        for rate in (1e-3, 1e-2)
        for epochs in (2, 6)
    ],
    "SSCDR": [
        {
            "unlabelled_weight": weight,
            "weight_decay": decay,
            "learning_rate": 1e-2,
            "epochs": 60,
            "batch_size": 32,
        }
        for weight in (0.1, 3.0)
        for decay in (1e-2, 1.0)
    ],
}


def units() -> list[dict]:
    """One similarity, or one turn, in one world."""
    grid = [
        {"part": "grid", "dial": s, "seed": seed}
        for s in SIMILARITIES
        for seed in SEEDS
    ]
    groups = [
        {"part": "groups", "dial": turn, "seed": seed}
        for turn in TURNS
        for seed in SEEDS
    ]
    networks = [
        {"part": "networks", "dial": s, "seed": seed}
        for s in SIMILARITIES_OF_NETWORKS
        for seed in SEEDS[:5]
    ]
    return grid + groups + networks


def shares(world: World, domain: str, rows: int) -> pd.DataFrame:
    """Return user, item, rating and the true mean of clicked rows."""
    log = world.log(rows, domain=domain)
    log = log[log["click"] == 1]
    minutes = world.items()["minutes"].to_numpy()[log["item"]]
    return pd.DataFrame(
        {
            "user": log["user"].to_numpy(),
            "item": log["item"].to_numpy(),
            "rating": log["watch_minutes"].to_numpy(dtype=float) / minutes,
            "true": world.truth(log)["watch_minutes"].to_numpy() / minutes,
        }
    )


def lantern(unit: dict) -> tuple:
    """Return ratings of both shops, numbered, and the sizes."""
    world = World(
        n_users=800,
        n_items=200,
        user_overlap=1.0,
        domain_similarity=unit["dial"],
        position_bias=0.0,
        seed=unit["seed"],
    )
    films, books = (
        shares(world, shop, rows)
        for shop, rows in (("films", 80_000), ("books", 60_000))
    )
    return numbered(films, books)


def judged(split, predicted: np.ndarray) -> dict:
    """Return metric -> value of predictions of the test rows."""
    rows, middle = split.test, split.target["rating"].median()
    return {
        "rmse": rmse(rows["rating"], predicted),
        "gauc": gauc(
            (rows["rating"] > middle).astype(int), predicted, rows["user"]
        ),
    }


def bridges_of(unit: dict) -> tuple[ColdBridges, np.ndarray, float]:
    """Return the bridges, linked users in a drawn order, the best RMSE."""
    if unit["part"] == "groups":
        groups = opposite_groups(turn=unit["dial"], seed=unit["seed"])
        source, target, sizes = numbered(groups.source, groups.target)
    else:
        source, target, sizes = lantern(unit)
    split = cold_start(source, target, COLD_SHARE, seed=unit["seed"])
    best = (
        groups.best_rmse
        if unit["part"] == "groups"
        else rmse(split.test["rating"], split.test["true"])
    )
    bridges = ColdBridges(split, sizes, seed=unit["seed"], **FACTORS)
    order = np.random.default_rng(unit["seed"]).permutation(split.linked)
    return bridges, order, best


@lru_cache
def chosen_trials(similarity: float, linked: int) -> dict[str, int]:
    """Return the number of each network's best trial, in a world apart."""
    unit = {"part": "networks", "dial": similarity, "seed": TUNING_SEED}
    bridges, order, _ = bridges_of(unit)
    found = {}
    for name, network in NETWORKS.items():
        trials = {
            i: network(bridges, order[:linked], seed=TUNING_SEED, **trial)
            for i, trial in enumerate(TRIALS[name])
        }
        found[name] = bridges.best_of(trials)[1]
    return found


def run(unit: dict) -> pd.DataFrame:
    """All methods and numbers of links in one world."""
    bridges, order, best = bridges_of(unit)
    counts = {
        "grid": LINKED,
        "groups": LINKED[-1:],
        "networks": LINKED_OF_NETWORKS,
    }
    rows = []
    for n in counts[unit["part"]]:
        methods = bridges.methods(order[:n])
        if unit["part"] == "networks":
            for name, i in chosen_trials(unit["dial"], n).items():
                guess = NETWORKS[name](
                    bridges, order[:n], seed=unit["seed"], **TRIALS[name][i]
                )
                methods[name] = (guess(bridges.split.test), float(i))
        for method, (found, setting) in methods.items():
            rows += [
                {
                    **unit,
                    "linked": n,
                    "method": method,
                    "metric": metric,
                    "value": value,
                    "setting": setting,
                    "best": best if metric == "rmse" else np.nan,
                }
                for metric, value in judged(bridges.split, found).items()
            ]
    return pd.DataFrame(rows)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, method, baseline and metric."""
    keys = ["part", "dial", "linked", "metric"]
    found = []
    for key, cell in results.groupby(keys, sort=False):
        by_method = cell.set_index(["method", "seed"])
        methods = list(cell["method"].unique())
        pairs = [(method, "item mean") for method in methods]
        if "SSCDR" in methods:
            pairs += [(method, "EMCDR") for method in NETWORKS]
            pairs += [("SSCDR", "EMCDR, network")]
        for method, against in pairs:
            row = _compared(by_method, method, against, key[-1] == "gauc")
            found.append({**dict(zip(keys, key, strict=True)), **row})
    return pd.DataFrame(found)


def _compared(
    by_method: pd.DataFrame, method: str, against: str, higher: bool
) -> dict:
    """Compare one method with another over the same worlds."""
    base = by_method.loc[against]
    own = by_method.loc[method].loc[base.index]
    gain, low, high = paired_interval(own["value"] - base["value"])
    mean, value_low, value_high = paired_interval(own["value"])
    return {
        "method": method,
        "against": against,
        "value": mean,
        "value_low": value_low,
        "value_high": value_high,
        "item_mean": by_method.loc["item mean"]["value"].mean(),
        "difference": gain,
        "low": low,
        "high": high,
        "verdict": verdict(low, high, higher),
        "best": own["best"].mean(),
        "setting": own["setting"].median(),
        "worlds": len(own),
    }
