"""Two towers in Lantern, with and without the logQ correction.

One world of 5,000 films, popular ones shown far more often. Clicks of the
first 70 % of the time train, the next 10 % choose, the last 20 % test. The
towers read user number, age group, region and device; item number, genre and
words. Every variant has two trials (temperatures), judged by recall@100 on
validation clicks, and then five seeds.

* "plain": in-batch softmax, repeated items masked;
* "logQ": the same with the correction;
* "logQ, mixed": 256 drawn negatives besides.

Each is compared with "plain", on test clicks of all items and of three
buckets of popularity, and by the true P(click) of its lists of a hundred: one
family with Holm's correction. "popular" stands beside them.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import (
    Categorical,
    Schema,
    Task,
    Text,
    World,
    split_by_time,
)
from mtlrec_utils.evidence import (
    compare_per_group,
    comparison_table,
    coverage,
    full_ranking,
    holm_corrected,
    popularity_bias,
    popularity_buckets,
)
from mtlrec_utils.learning import fit
from mtlrec_utils.models import (
    item_shares,
    item_vectors,
    two_towers,
    user_vectors,
)
from mtlrec_utils.models.classic import (
    Popularity,
    interaction_matrix,
    top_items,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
TUNING_SEED = 1000
SHAPE = (1500, 5000)
K = 100
USER = ["user", "age_group", "region", "device"]
ITEM = ["item", "genre", "words"]
SIZES = {"embedding_dimension": 16, "tower_units": (32,), "dimension": 32}
FIT = {"epochs": 4, "batch_size": 512, "decay": "linear", "progress": False}
SETTINGS = [(r, t) for r in (1e-2,) for t in (0.1, 0.2)]
PLAIN = "plain"
VARIANTS = {
    PLAIN: {},
    "logQ": {"logq": True},
    "logQ, mixed": {"logq": True, "n_negatives": 256},
}
FACTS = (
    "coverage",
    "popularity_bias",
    "seconds",
    "trials",
    "rate",
    "temperature",
)
BUCKETS = ("head", "middle", "tail")


def units() -> list[dict]:
    """One variant each."""
    return [{"model": name} for name in ("popular", *VARIANTS)]


@lru_cache
def prepared() -> dict:
    """Return the matrices, the encoded rows and the truth."""
    world = World(
        n_users=SHAPE[0], n_items=SHAPE[1], popularity_skew=0.8, seed=5
    )
    log = world.log(120_000, domain="films")
    taken = [
        world.with_features(part[part["click"] == 1])
        for part in split_by_time(log, (0.7, 0.1, 0.2))
    ]
    matrices = [
        interaction_matrix(part["user"], part["item"], SHAPE) for part in taken
    ]
    films = world.items().query("domain == 'films'")
    people = world.users()
    names = [n for n in (*USER, *ITEM) if n != "words"]
    schema = Schema(
        [*map(Categorical, names), Text("words", buckets=500, length=12)],
        [Task("click")],
    ).fit(taken[0])
    first_user = people[USER].iloc[:1].to_dict("records")[0]
    first_item = films[ITEM].iloc[:1].to_dict("records")[0]
    here = np.flatnonzero(people["in_films"])
    return {
        "world": world,
        "matrices": matrices,
        "schema": schema,
        "clicks": schema.encode(taken[0]),
        "items": schema.encode(films.assign(**first_user), labels=False),
        "users": schema.encode(people.assign(**first_item), labels=False),
        "here": here,
        "bucket": popularity_buckets(matrices[0].sum(axis=0)),
    }


def trained(variant: str, rate: float, temperature: float, seed: int) -> tuple:
    """Train one model; return all scores and the seconds."""
    data, options = prepared(), dict(VARIANTS[variant])
    if options.pop("logq", False):
        options["shares"] = item_shares(data["schema"], data["clicks"])
    if "n_negatives" in options:
        options["catalogue"] = data["items"]
    model = two_towers(
        data["schema"],
        user_features=USER,
        item_features=ITEM,
        normalise=True,
        temperature=temperature,
        seed=seed,
        **SIZES,
        **options,
    )
    history = fit(model, data["clicks"], learning_rate=rate, seed=seed, **FIT)
    users = user_vectors(model, data["users"])
    items = item_vectors(model, data["items"])
    return users @ items.T, history.seconds


def run(unit: dict) -> pd.DataFrame:
    """Tune one variant, then run it with every seed: a row each."""
    name = unit["model"]
    train, validation, _ = prepared()["matrices"]
    if name not in VARIANTS:
        rows = [judged(Popularity().fit(train).scores()) | {"seed": 0}]
        return pd.DataFrame(rows).assign(model=name, trials=1, seconds=0.0)
    values = []
    for rate, temperature in SETTINGS:
        scores, _ = trained(name, rate, temperature, TUNING_SEED)
        values.append(full_ranking(validation, scores, train).recall(K).mean())
    rate, temperature = SETTINGS[int(np.argmax(values))]
    rows = []
    for seed in SEEDS:
        scores, seconds = trained(name, rate, temperature, seed)
        rows.append(judged(scores) | {"seed": seed, "seconds": seconds})
    return pd.DataFrame(rows).assign(
        model=name,
        rate=rate,
        temperature=temperature,
        trials=len(SETTINGS),
    )


def judged(scores: np.ndarray) -> dict:
    """Return recall of each user, per bucket too, and facts of the lists."""
    data = prepared()
    train, _, test = data["matrices"]
    ranking = full_ranking(test, scores, train)
    found = {"recall@100": ranking.recall(K)}
    for b, bucket in enumerate(BUCKETS):
        part = ranking.among(data["bucket"] == b)
        found[f"recall@100, {bucket}"] = part.recall(K)
    here = data["here"]
    lists = top_items(scores[here], K, train[here])
    found["true P(click)"] = true_value(lists, here)
    found["coverage"] = coverage(lists, SHAPE[1])
    bias = popularity_bias(lists, train.sum(axis=0))
    return found | {"popularity_bias": bias.mean()}


def true_value(lists: np.ndarray, users: np.ndarray) -> np.ndarray:
    """Return the mean true P(click), on top of a list, per user."""
    rows = pd.DataFrame(
        {
            "user": np.repeat(users, lists.shape[1]),
            "item": lists.ravel(),
            "domain": "films",
            "position": 0,
        }
    )
    chance = prepared()["world"].truth(rows)["click"].to_numpy()
    return chance.reshape(lists.shape).mean(axis=1)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per model and metric."""
    metrics = [
        "recall@100",
        *(f"recall@100, {bucket}" for bucket in BUCKETS),
        "true P(click)",
    ]
    by_model = dict(list(results.groupby("model", sort=False)))
    base = by_model[PLAIN]
    found = {}
    for name, rows in by_model.items():
        if name == PLAIN:
            continue
        for metric in metrics:
            ours, theirs = np.stack(rows[metric]), np.stack(base[metric])
            if len(ours) < len(theirs):
                ours = np.repeat(ours, len(theirs), axis=0)
            # Higher is better for all of them, as for recall.
            found[name, metric] = compare_per_group(
                ours, theirs, metric="recall"
            )
    rows = comparison_table(holm_corrected(found), ("model", "task"))
    rows["metric"] = rows.pop("task")
    facts = pd.DataFrame(
        {
            "model": name,
            **{fact: part[fact].mean() for fact in FACTS},
        }
        for name, part in by_model.items()
    )
    baseline = facts.set_index("model").loc[PLAIN]
    return rows.merge(facts, on="model").assign(
        **baseline.add_prefix("baseline_")
    )
