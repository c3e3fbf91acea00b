"""Next clicks in Lantern: does the order of what came before matter?

A shop where clicks are rare, with `session_memory` at 0 and at 1. What
is predicted is the next click, among all items, of a user who has clicked in
this visit already. Exposure is blind and even, so that the true ranking is
that of the true click probability: the score "best".

Five models: the most popular items; item neighbours of all that the user
has clicked; neighbours, within visits, of the last click; `gru4rec`;
`sasrec`. The two networks read the last LENGTH clicks and have equally many
parameters. Each model has TRIALS settings to choose from on validation rows,
by recall@20 for the neighbours and by the loss for networks. "shuffled" is
the same network, tuned and trained anew, with each list of clicks in random
order, in training as in testing.

Parts of the table, each a family of comparisons with Holm's correction over
worlds, models and both measures (recall@20 and NDCG@20, per user):

* "popular": everything against the most popular items;
* "order": each network against itself shuffled;
* "neighbours": each network against both kinds of neighbours.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Schema, Sequence, Task, World
from mtlrec_utils.data.histories import past_items, windows
from mtlrec_utils.evidence import (
    Comparison,
    compare_per_group,
    comparison_table,
    full_ranking,
    holm_corrected,
)
from mtlrec_utils.learning import replicate, tune
from mtlrec_utils.models import gru4rec, sasrec
from mtlrec_utils.models.classic import (
    ItemNeighbours,
    interaction_matrix,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
TUNING_SEED = 1000
MEMORIES = (0.0, 1.0)
N_USERS, N_ITEMS, N_ROWS, LENGTH = 1000, 300, 300_000, 10
NETWORKS = {"sasrec": sasrec, "gru4rec": gru4rec}
SIZES = {"embedding_dimension": 32, "dropout": 0.3}
GRID = {"learning_rate": [4e-3, 1e-2]}
FIT = {"epochs": 40, "batch_size": 128, "patience": 3}
SETTINGS = [(20, 10.0), (100, 50.0)]  # neighbours, shrinkage
TRIALS = 2
BEST, POPULAR, NEIGHBOURS, LAST = (
    "best",
    "popular",
    "item neighbours",
    "last click's neighbours",
)
KEYS = ["session_memory", "model", "order"]
ORDERS = ("true", "shuffled")


def units() -> list[dict]:
    """One world and what needs no seed, or one network in one order."""
    return [
        {"session_memory": memory, "model": model, "order": order}
        for memory in reversed(MEMORIES)
        for model, order in [
            ("classic", "true"),
            *((name, order) for name in NETWORKS for order in ORDERS),
        ]
    ]


@lru_cache
def data(memory: float) -> dict:
    """Return the world, its clicks, and the rows of the three parts."""
    world = World(
        n_users=N_USERS,
        n_items=N_ITEMS,
        session_memory=memory,
        popularity_skew=0.0,
        exposure_bias=0.0,
        position_bias=0.0,
        prior_shift=-2.0,
        seed=3,
    )
    log = world.log(N_ROWS, domain="books")
    clicks = log[log["click"] == 1].reset_index(drop=True)
    clicks["item"] -= N_ITEMS  # books follow films
    clicks["history"] = past_items(clicks, LENGTH)
    clicks["next_item"] = clicks["item"]
    cuts = [int(0.7 * len(clicks)), int(0.85 * len(clicks))]
    past = clicks[: cuts[0]]
    goes_on = clicks["last_clicked"] >= 0
    between = clicks[cuts[0] : cuts[1]][goes_on[cuts[0] : cuts[1]]]
    future = clicks[cuts[1] :][goes_on[cuts[1] :]]
    return {
        "world": world,
        "past": past,
        "train": windows(past, LENGTH),
        "validation": between,
        "test": future,
    }


def run(unit: dict) -> pd.DataFrame:
    """Score the test rows; return both measures per user."""
    found = data(unit["session_memory"])
    if unit["model"] == "classic":
        return _classic(found).assign(session_memory=unit["session_memory"])
    return _network(unit["model"], unit["order"], found).assign(**unit)


def _classic(found: dict) -> pd.DataFrame:
    past, validation, test = (found[k] for k in ("past", "validation", "test"))
    seen = interaction_matrix(past["user"], past["item"], (N_USERS, N_ITEMS))
    visits, _ = pd.factorize(past["session"])
    together = interaction_matrix(
        visits, past["item"], (visits.max() + 1, N_ITEMS)
    )
    popular = np.bincount(past["item"], minlength=N_ITEMS).astype(float)
    of_all = [_neighbours(seen, setting) for setting in SETTINGS]
    of_last = [_neighbours(together, setting) for setting in SETTINGS]
    scores: dict = {
        BEST: [partial(true_scores, found["world"])],
        POPULAR: [partial(_same_for_all, popular)],
        NEIGHBOURS: [partial(_near_to_all, model) for model in of_all],
        LAST: [partial(_near_to_last, model) for model in of_last],
    }
    frames = []
    for name, tried in scores.items():
        chosen = 0
        if len(tried) > 1:
            chosen = int(
                np.argmax(
                    [
                        measures(score(validation), validation)[
                            "recall"
                        ].mean()
                        for score in tried
                    ]
                )
            )
        frames.append(
            measures(tried[chosen](test), test).assign(
                model=name,
                order="true",
                seed=-1,
                chosen="" if len(tried) == 1 else str(SETTINGS[chosen]),
                parameters=0,
                seconds=0.0,
            )
        )
    return pd.concat(frames)


def _same_for_all(popular: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    return np.tile(popular, (len(rows), 1))


def _near_to_all(model: ItemNeighbours, rows: pd.DataFrame) -> np.ndarray:
    return model.scores(rows["user"])


def _near_to_last(model: ItemNeighbours, rows: pd.DataFrame) -> np.ndarray:
    return model.neighbours[rows["last_clicked"] - N_ITEMS].toarray()


def _neighbours(matrix: object, setting: tuple) -> ItemNeighbours:
    return ItemNeighbours(setting[0], shrinkage=setting[1]).fit(matrix)


def true_scores(world: World, rows: pd.DataFrame) -> np.ndarray:
    """True click probability of every book after each row's last click."""
    every = pd.DataFrame(
        {
            "user": np.repeat(rows["user"].to_numpy(), N_ITEMS),
            "item": np.tile(np.arange(N_ITEMS) + N_ITEMS, len(rows)),
            "domain": "books",
            "last_clicked": np.repeat(
                rows["last_clicked"].to_numpy(), N_ITEMS
            ),
        }
    )
    return world.truth(every)["click"].to_numpy().reshape(-1, N_ITEMS)


def _network(name: str, order: str, found: dict) -> pd.DataFrame:
    parts = [found[k] for k in ("train", "validation", "test")]
    schema = Schema(
        [Sequence("history", LENGTH)],
        [Task("next_item", "multiclass", classes=N_ITEMS)],
    ).fit(parts[0])
    if order == "shuffled":
        parts = [shuffled(part) for part in parts]
    train, validation, test = (schema.encode(p, user="user") for p in parts)

    def build(seed: int) -> object:
        return NETWORKS[name](schema, **SIZES, seed=seed)

    search = tune(build, GRID, train, validation, seed=TUNING_SEED, **FIT)
    done = replicate(
        {name: build},
        train,
        validation,
        test,
        seeds=SEEDS,
        **{**FIT, **search.fit_options},
    )
    costs = done.table.groupby("seed")[["parameters", "seconds"]].first()
    return pd.concat(
        measures(scores, parts[2]).assign(
            seed=seed,
            chosen=str(search.fit_options["learning_rate"]),
            **costs.loc[seed],
        )
        for seed, scores in zip(
            SEEDS, done.predictions[name]["next_item"], strict=True
        )
    )


def shuffled(rows: pd.DataFrame) -> pd.DataFrame:
    """Put every list of clicks into random order; labels stay."""
    rng = np.random.default_rng(0)
    return rows.assign(history=[rng.permutation(h) for h in rows["history"]])


def measures(scores: np.ndarray, rows: pd.DataFrame) -> pd.DataFrame:
    """Return recall@20 and NDCG@20 of each user, and their rows."""
    found = full_ranking([[item] for item in rows["item"]], scores)
    frame = pd.DataFrame(
        {
            "user": rows["user"].to_numpy(),
            "recall": found.recall(20),
            "ndcg": found.ndcg(20),
            "rows": 1.0,
        }
    ).groupby("user")
    return frame.agg(
        {"recall": "mean", "ndcg": "mean", "rows": "sum"}
    ).reset_index()


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per part, world, model and measure."""
    cells = dict(list(results.groupby(KEYS, sort=False)))
    parts = []
    for part, pairs in _families(cells).items():
        compared = {
            (*key, base[1], measure): _compared(
                cells[key], cells[base], measure
            )
            for key, base in pairs
            for measure in ("recall", "ndcg")
        }
        names = (*KEYS, "baseline_model", "measure")
        rows = comparison_table(holm_corrected(compared), names)
        facts = [_facts(cells[key[:3]], key[-1]) for key in compared]
        parts.append(
            pd.concat([rows, pd.DataFrame(facts)], axis=1).assign(part=part)
        )
    return pd.concat(parts, ignore_index=True)


def _families(cells: dict) -> dict[str, list[tuple]]:
    """Return part -> pairs of (candidate, baseline) cells."""
    families: dict = {"popular": [], "order": [], "neighbours": []}
    for key in cells:
        memory, name, order = key
        if name != POPULAR:
            families["popular"].append((key, (memory, POPULAR, "true")))
        if name in NETWORKS and order == "true":
            families["order"].append((key, (memory, name, "shuffled")))
            families["neighbours"] += [
                (key, (memory, other, "true")) for other in (LAST, NEIGHBOURS)
            ]
    return families


def _compared(
    ours: pd.DataFrame, theirs: pd.DataFrame, measure: str
) -> Comparison:
    return compare_per_group(
        _by_seed(ours, measure),
        _by_seed(theirs, measure),
        metric=f"{measure}@20",
        weights=_by_seed(ours, "rows")[0],
    )


def _by_seed(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Return one value per seed and user, [S, U]."""
    return np.stack(
        [seed[column].to_numpy() for _, seed in rows.groupby("seed")]
    )


def _facts(rows: pd.DataFrame, measure: str) -> dict:
    """Return each seed's score, what was chosen, and what it cost."""
    scores = [
        np.average(seed[measure], weights=seed["rows"])
        for _, seed in rows.groupby("seed")
    ]
    costs = rows.groupby("seed")[["parameters", "seconds"]].first().mean()
    return {
        "scores": " ".join(f"{score:.5f}" for score in scores),
        "chosen": rows["chosen"].iloc[0],
        "parameters": int(costs["parameters"]),
        "seconds": round(costs["seconds"], 2),
        "trials": TRIALS if rows["chosen"].iloc[0] else 0,
    }
