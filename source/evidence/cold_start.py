"""Day one in Lantern: what ids, content and id dropout are worth.

Independent worlds, films only. A third of the items are late: their rows in
the training log are cut to the first 0, 3, 12 or 50; the same for a third of
the users with 0, 2, 6 or 15. Test rows are shown at random, so that every
user meets every item, and are judged by how much of them was known. A user's
cut takes rows from items too, so what was known is counted afterwards.

Validation rows have even users and items, test rows odd ones: no test user
and no test item has a part in any choice. Each model has four trials at each
text signal, in a world kept for that.

Then policies explore the new test items of the same world: each visitor, a
test user, is shown one of them. What the words say of an item, the mean of
the predictions of the model with id dropout, may be a policy's prior.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import (
    Categorical,
    Examples,
    Number,
    Schema,
    Task,
    Text,
    World,
)
from mtlrec_utils.evidence import auc, log_loss, paired_interval, verdict
from mtlrec_utils.learning import replicate, tune
from mtlrec_utils.models import cold_start_towers
from mtlrec_utils.models.classic import damped_means
from mtlrec_utils.models.classic.exploration import (
    UCB1,
    EpsilonGreedy,
    Thompson,
    play,
    regret,
)

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 7)  # one world each
TUNING_WORLD = 0
SIGNALS = (0.0, 0.7, 1.0)
SIZES = {"n_users": 1500, "n_items": 400, "segment_strength": 0.8}
UNBIASED = {"exposure_bias": 0.0, "position_bias": 0.0}
ROWS, SHOWN = 40_000, 60_000
KNOWN = {"item": (0, 3, 12, 50), "user": (0, 2, 6, 15)}
WARM = {"item": 20, "user": 15}  # at least so many rows
ROUNDS, RUNS = 2000, 50
WORTH = 20  # impressions that the words count for
PROFILE = ["age_group", "region", "device"]
CONTENT = ["genre", "words", "minutes", "price"]
READS = {
    "ids": (["user"], ["item"], 0.0),
    "content": (PROFILE, CONTENT, 0.0),
    "both": (["user", *PROFILE], ["item", *CONTENT], 0.0),
    "both, id dropout": (["user", *PROFILE], ["item", *CONTENT], 0.5),
}
GRID = {"learning_rate": [3e-3, 1e-2], "tower_units": [(), (16,)]}
FIT = {"epochs": 12, "patience": 2, "batch_size": 256}
COMPARED = [
    ("content", "ids"),
    ("both", "ids"),
    ("both, id dropout", "ids"),
    ("both, id dropout", "content"),
    ("both, id dropout", "both"),
    ("ids", "item mean"),
]
METRICS = ("log_loss", "auc"), ("regret",)
POLICIES = [
    ("epsilon 0", "epsilon 0.1"),
    ("UCB1", "epsilon 0.1"),
    ("Thompson", "epsilon 0.1"),
    ("words alone", "Thompson"),
    ("Thompson, words", "Thompson"),
]


def units() -> list[dict]:
    """One world at one text signal per unit."""
    return [{"signal": s, "seed": seed} for s in SIGNALS for seed in SEEDS]


def cut(log: pd.DataFrame, column: str, seed: int) -> pd.DataFrame:
    """Make a third of a column's values late: keep their first rows only."""
    rng = np.random.default_rng([seed, len(column)])
    values = np.sort(log[column].unique())
    late = rng.permutation(values)[: len(values) // 3]
    kept = pd.Series(np.resize(KNOWN[column], len(late)), late)
    allowed = log[column].map(kept).fillna(len(log))
    return log[log.groupby(column).cumcount() < allowed]


@lru_cache(2)
def encoded(
    signal: float, seed: int
) -> tuple[World, Schema, list[Examples], pd.DataFrame]:
    """Return world, schema, the parts, and what is known of test rows."""
    world = World(text_signal=signal, seed=seed, **SIZES, **UNBIASED)
    log = world.log(ROWS, domain="films")
    train = cut(cut(log, "item", seed), "user", seed)
    shown = world.log(SHOWN, domain="films", exposure="random", draw=1)
    even = [shown[c].to_numpy() % 2 == 0 for c in ("user", "item")]
    parts = [
        world.with_features(rows)
        for rows in (
            train,
            shown[even[0] & even[1]],
            shown[~even[0] & ~even[1]],
        )
    ]
    schema = Schema(
        [
            *(Categorical(name) for name in ("user", *PROFILE)),
            *(Categorical(name) for name in ("item", "genre")),
            Text("words", buckets=2000, length=12),
            Number("minutes"),
            Number("price"),
        ],
        [Task("click")],
    ).fit(parts[0])
    test = parts[2]
    about = pd.DataFrame(
        {c: test[c].map(train[c].value_counts()).fillna(0) for c in KNOWN}
    ).astype(int)
    about["user_id"], about["item_id"] = test["user"], test["item"]
    about["truth"] = world.truth(test)["click"].to_numpy()
    rates = damped_means(train["item"], train["click"], SIZES["n_items"])
    about["rate"] = rates[test["item"]]
    encoded_parts = [schema.encode(p, user="user") for p in parts]
    return world, schema, encoded_parts, about


def groups_of(about: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Return the test rows of each (kind, known) as a mask."""
    warm = {c: (about[c] >= WARM[c]).to_numpy() for c in KNOWN}
    found = {}
    for column, other in (("item", "user"), ("user", "item")):
        ends = (-1, *KNOWN[column], np.inf)
        starts = [low + 1 for low in ends[1:-2]]
        names = [f"{a}-{b}" for a, b in zip(starts, ends[2:], strict=False)]
        known = pd.cut(about[column], ends, labels=["0", *names, "more"])
        for name in known.cat.categories:
            here = (known == name).to_numpy()
            found[f"new {column}", name] = here & warm[other]
    both = (about["item"] == 0) & (about["user"] == 0)
    found["both new", "0"] = both.to_numpy()
    return found


def exploring(
    world: World, about: pd.DataFrame, predicted: np.ndarray
) -> tuple[dict[str, float], int]:
    """Return each policy's regret after all rounds, and the new items.

    Args:
        world: answers.
        about: what was known of the test rows.
        predicted: of each test row, by what reads the words.
    """
    new = about[about["item"] == 0].assign(said=predicted[about["item"] == 0])
    said = new.groupby("item_id")["said"].mean()
    users = np.sort(about["user_id"].unique())
    rows = pd.MultiIndex.from_product([users, said.index]).to_frame(
        index=False, name=["user", "item"]
    )
    asked = rows.assign(domain="films", position=0, time=60.0, last_clicked=-1)
    chances = world.truth(asked)["click"].to_numpy()
    chances = chances.reshape(len(users), len(said))
    mean, words = chances.mean(axis=0), said.to_numpy()
    rng = np.random.default_rng([world.seed, 8])
    visitors = rng.integers(len(users), size=(ROUNDS, RUNS))

    def answer(t: int, arms: np.ndarray) -> np.ndarray:
        return rng.random(RUNS) < chances[visitors[t], arms]

    policies = {
        "epsilon 0": EpsilonGreedy(0.0),
        "epsilon 0.1": EpsilonGreedy(0.1),
        "UCB1": UCB1(),
        "Thompson": Thompson(),
        "Thompson, words": Thompson(WORTH * words, WORTH * (1 - words)),
    }
    size = {"n_arms": len(words), "rounds": ROUNDS, "runs": RUNS}
    lost = {
        name: regret(play(policy, answer, rng=rng, **size).arms, mean)
        for name, policy in policies.items()
    }
    found = {name: float(r[:, -1].mean()) for name, r in lost.items()}
    found["words alone"] = ROUNDS * (mean.max() - mean[words.argmax()])
    return found, len(words)


def builder(name: str, schema: Schema):
    """Return the builder of one model for the search."""
    user_features, item_features, rate = READS[name]
    return partial(
        cold_start_towers,
        schema,
        user_features=user_features,
        item_features=item_features,
        id_dropout=rate,
    )


@lru_cache
def settings(signal: float) -> dict[str, dict]:
    """Choose each model's settings in the world kept for it."""
    _, schema, (train, validation, _), _ = encoded(signal, TUNING_WORLD)
    return {
        name: tune(build_of(name, schema), GRID, train, validation, **FIT).best
        for name in READS
    }


def build_of(name: str, schema: Schema):
    """Name the settings that the search may give to the model."""
    build = builder(name, schema)
    return lambda tower_units, seed: build(tower_units=tower_units, seed=seed)


def run(unit: dict) -> pd.DataFrame:
    """Train the models in one world and judge them by what was known."""
    signal, seed = unit["signal"], unit["seed"]
    world, schema, (train, validation, test), about = encoded(signal, seed)
    chosen = settings(signal)
    found = replicate(
        {
            name: partial(
                builder(name, schema), tower_units=chosen[name]["tower_units"]
            )
            for name in READS
        },
        train,
        validation,
        test,
        seeds=[seed],
        per_model={
            n: {"learning_rate": chosen[n]["learning_rate"]} for n in READS
        },
        **FIT,
    )
    costs = found.table.drop_duplicates("model").set_index("model")
    predicted = {n: p["click"].ravel() for n, p in found.predictions.items()}
    predicted |= {"item mean": about["rate"].to_numpy()}
    label = test.labels["click"].ravel()
    rows = []
    for (kind, known), mask in groups_of(about).items():
        truth = about["truth"].to_numpy()[mask]
        for name, p in predicted.items():
            rows.append(
                {
                    "kind": kind,
                    "known": known,
                    "model": name,
                    "rows": mask.sum(),
                    "log_loss": log_loss(label[mask], p[mask]),
                    "best_log_loss": log_loss(label[mask], truth),
                    "auc": auc(label[mask], p[mask]),
                    "best_auc": auc(label[mask], truth),
                    "parameters": costs["parameters"].get(name, 0),
                    "steps": costs["steps"].get(name, 0),
                    "learning_rate": chosen.get(name, {}).get("learning_rate"),
                    "hidden": str(chosen.get(name, {}).get("tower_units", "")),
                    **unit,
                }
            )
    lost, n_arms = exploring(world, about, predicted["both, id dropout"])
    rows += [
        {
            "kind": "exploring",
            "known": "0",
            "model": name,
            "rows": n_arms,
            "regret": value,
            "best_regret": 0.0,
            "parameters": 0,
            "steps": ROUNDS,
            "hidden": "",
            **unit,
        }
        for name, value in lost.items()
    ]
    return pd.DataFrame(rows)


def pairs_of(kind: str) -> list[tuple[str, str]]:
    """Return the pairs that are compared."""
    return POLICIES if kind == "exploring" else COMPARED


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per signal, kind, known rows, pair of models and metric."""
    rows = []
    for (signal, kind, known), cell in results.groupby(
        ["signal", "kind", "known"], sort=False
    ):
        models = {n: f.set_index("seed") for n, f in cell.groupby("model")}
        for candidate, baseline in pairs_of(kind):
            ours, theirs = models[candidate], models[baseline]
            for metric in METRICS[kind == "exploring"]:
                pairs = (ours[metric] - theirs[metric]).to_numpy()
                mean, low, high = paired_interval(pairs)
                row = {
                    "text_signal": signal,
                    "kind": kind,
                    "known": known,
                    "metric": metric,
                    "candidate_model": candidate,
                    "baseline_model": baseline,
                    "candidate": ours[metric].mean(),
                    "baseline": theirs[metric].mean(),
                    "best": ours[f"best_{metric}"].mean(),
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "verdict": verdict(low, high, metric == "auc"),
                    "higher_is_better": metric == "auc",
                    "worlds": len(pairs),
                    "rows_per_world": round(ours["rows"].mean()),
                }
                for side, of in (("candidate", ours), ("baseline", theirs)):
                    row |= {
                        f"{side}_parameters": round(of["parameters"].mean()),
                        f"{side}_steps": round(of["steps"].mean()),
                        f"{side}_learning_rate": of["learning_rate"].iloc[0],
                        f"{side}_hidden": of["hidden"].iloc[0],
                    }
                rows.append(row)
    return pd.DataFrame(rows)
