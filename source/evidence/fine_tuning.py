"""Films to books: what a pre-trained model is worth, by rows of the target.

In each of several independent Lantern worlds, a shared-bottom model learns
clicks and likes in films; then the same model is wanted in books, with few
rows or many. All users are in both shops. The schema is fitted on training
rows of both: users, profiles, genres and words mean the same in both, and a
book's own row of the table starts fresh, as no film shares it.

Methods, each with four trials (validation rows of a world of its own, total
loss of both tasks, once per number of rows and similarity):

* "scratch": no source; four learning rates;
* "frozen": only towers and logits learn; four rates;
* "fine-tuned": everything learns; four rates;
* "L2-SP": everything learns and is pulled back; two rates, two strengths.

"as is" is the source model on books, "base rate" the mean label of the
target rows. One step budget per number of rows, the same for all methods.

The part "speed" asks after how many steps, at a constant rate, the validation
loss first falls to what scratch reaches at its best, over three rates each.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, Text, World
from mtlrec_utils.data.examples import concatenate, split_by_time
from mtlrec_utils.evidence import auc, log_loss, paired_interval, verdict
from mtlrec_utils.learning import fit, predict, replicate
from mtlrec_utils.learning.transfer import L2SP, freeze
from mtlrec_utils.models import shared_bottom

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 6)  # one world each
TUNING_SEED = 1000
# similarity -> numbers of rows of its learning curve
CURVES = {
    0.9: (50, 200, 1000, 5000, 20_000, 50_000),
    0.0: (50, 1000, 5000, 50_000),
}
DIAL = (0.5,)  # at ROWS_OF_DIAL only
ROWS_OF_DIAL = 1000
# rows -> epochs, batch size
BUDGETS = {
    50: (30, 16),
    200: (20, 16),
    1000: (12, 32),
    5000: (6, 64),
    20_000: (5, 256),
    50_000: (5, 512),
}
ROWS_OF_SPEED, RATES_OF_SPEED = 5000, (1e-3, 3e-3, 1e-2)
EPOCHS_OF_SPEED = 10
TASKS = ("click", "like")
COLUMNS = ("user", "item", "age_group", "region", "device", "genre")
SIZES = {
    "embedding_dimension": 8,
    "bottom_units": (32,),
    "tower_units": (16,),
}
SOURCE_FIT = {
    "epochs": 5,
    "batch_size": 256,
    "learning_rate": 5e-3,
    "decay": "linear",
}
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


def units() -> list[dict]:
    """One similarity and number of rows; and one unit for the speed."""
    curves = [
        {"part": "curve", "similarity": s, "rows": n}
        for s, several in CURVES.items()
        for n in several
    ]
    dial = [
        {"part": "dial", "similarity": s, "rows": ROWS_OF_DIAL} for s in DIAL
    ]
    speed = [{"part": "speed", "similarity": 0.9, "rows": ROWS_OF_SPEED}]
    return curves + dial + speed


def world_of(seed: int, similarity: float) -> World:
    """Two shops with the same users; no position effect to carry over."""
    return World(
        n_users=600,
        n_items=150,
        user_overlap=1.0,
        domain_similarity=similarity,
        position_bias=0.0,
        seed=seed,
    )


@lru_cache(maxsize=8)
def shops(seed: int, similarity: float) -> tuple:
    """Return the schema, encoded films and books, and the best scores.

    Each shop is (train, validation, test), by time.
    """
    world = world_of(seed, similarity)
    films, books = (
        split_by_time(
            world.with_features(world.log(72_000, domain=shop)),
            (0.7, 0.05, 0.25),
        )
        for shop in ("films", "books")
    )
    schema = Schema(
        [*map(Categorical, COLUMNS), Text("words", buckets=300, length=12)],
        [Task("click"), Task("like", sample_space="click")],
    ).fit(pd.concat([films[0], books[0]]))
    best = world.best_metrics(books[2])
    best = best[best["task"].isin(TASKS)].set_index(["task", "metric"])
    encoded = [
        [schema.encode(part, user="user") for part in shop]
        for shop in (films, books)
    ]
    return schema, encoded[0], encoded[1], best["value"]


def build_for(schema: object) -> partial:
    """Return the builder of the model in this schema."""
    return partial(shared_bottom, schema, **SIZES)


@lru_cache(maxsize=64)
def source_weights(seed: int, similarity: float) -> tuple:
    """Pre-train on films; return the weights and the films' test scores."""
    schema, films, _, _ = shops(seed, similarity)
    model = build_for(schema)(seed=seed)
    fit(model, films[0], seed=seed, **SOURCE_FIT)
    return model.get_weights(), scores(predict(model, films[2]), films[2])


def builder(method: str, similarity: float) -> object:
    """Return a function of the seed that makes a model ready to train."""

    def build(seed: int) -> object:
        schema = shops(seed, similarity)[0]
        model = build_for(schema)(seed=seed)
        if method != "scratch":
            model.set_weights(source_weights(seed, similarity)[0])
        if method == "frozen":
            freeze(model, "embedding", "bottom")
        return model

    return build


def some_rows(seed: int, similarity: float, rows: int) -> object:
    """Return the first rows of a random order: small sets lie in large."""
    train = shops(seed, similarity)[2][0]
    order = np.random.default_rng([seed, 16]).permutation(len(train))
    return train.subset(np.sort(order[:rows]))


def scores(predicted: dict, examples: object) -> dict:
    """Return (task, metric) -> value on the rows with a label."""
    found = {}
    for task in TASKS:
        known = examples.masks[task] > 0
        label, chance = examples.labels[task][known], predicted[task][known]
        found[task, "auc"] = auc(label, chance)
        found[task, "log_loss"] = log_loss(label, chance)
    return found


def trained(build, seed: int, similarity: float, rows: int, part, **options):
    """Train one model with one seed; return the replication of it."""
    epochs, batch = BUDGETS[rows]
    return replicate(
        {"model": build},
        some_rows(seed, similarity, rows),
        None,
        part,
        seeds=[seed],
        epochs=epochs,
        batch_size=batch,
        decay="linear",
        **options,
    )


def run(unit: dict) -> pd.DataFrame:
    """All methods of one cell in every world."""
    if unit["part"] == "speed":
        return speed(unit)
    s, n = unit["similarity"], unit["rows"]
    found = []
    for method in METHODS:
        build = builder(method, s)
        validation = shops(TUNING_SEED, s)[2][1]
        losses = []
        for trial in TRIALS[method]:
            tried = trained(build, TUNING_SEED, s, n, validation, **trial)
            by_task = tried.table.query("metric == 'log_loss'")["value"]
            losses.append(by_task.sum())
        chosen = TRIALS[method][int(np.argmin(losses))]
        for seed in SEEDS:
            _, films, books, _ = shops(seed, s)
            one = trained(
                build, seed, s, n, concatenate([books[2], films[2]]), **chosen
            )
            both = {t: p[0] for t, p in one.predictions["model"].items()}
            there = {t: p[: len(books[2])] for t, p in both.items()}
            back = {t: p[len(books[2]) :] for t, p in both.items()}
            found += _rows(
                unit,
                method,
                seed,
                scores(there, books[2]),
                scores(back, films[2]),
                rate=chosen["learning_rate"],
                strength=getattr(chosen.get("anchor"), "strength", np.nan),
                steps=int(one.table["steps"].iloc[0]),
                parameters=int(one.table["parameters"].iloc[0]),
                seconds=one.table["seconds"].iloc[0],
            )
    for seed in SEEDS:
        found += _references(unit, seed, s, n)
    return pd.DataFrame(found)


def _references(unit: dict, seed: int, s: float, n: int) -> list[dict]:
    """Score the source as it is, and the base rate of the target rows."""
    schema, films, books, _ = shops(seed, s)
    model = build_for(schema)(seed=seed)
    weights, on_films = source_weights(seed, s)
    model.set_weights(weights)
    few = some_rows(seed, s, n)
    rates = {
        t: float(few.labels[t].sum() + 0.5) / (float(few.masks[t].sum()) + 1)
        for t in TASKS
    }
    flat = {t: np.full(len(books[2]), rates[t]) for t in TASKS}
    as_is = scores(predict(model, books[2]), books[2])
    return [
        *_rows(unit, "as is", seed, as_is, on_films),
        *_rows(unit, "base rate", seed, scores(flat, books[2]), {}),
    ]


def _rows(unit, method, seed, there, back, **facts) -> list[dict]:
    best = shops(seed, unit["similarity"])[3]
    before = source_weights(seed, unit["similarity"])[1]
    return [
        {
            **unit,
            "method": method,
            "seed": seed,
            "task": task,
            "metric": metric,
            "value": value,
            "films": back.get((task, metric), np.nan),
            "films_before": before[task, metric],
            "best": best[task, metric],
            **facts,
        }
        for (task, metric), value in there.items()
    ]


def speed(unit: dict) -> pd.DataFrame:
    """Count steps until the loss that scratch reaches, at constant rates."""
    s, n = unit["similarity"], unit["rows"]
    rows = []
    builders = {m: builder(m, s) for m in ("scratch", "fine-tuned")}
    for seed in SEEDS:
        books = shops(seed, s)[2]
        lowest = {}
        for method, build in builders.items():
            for rate in RATES_OF_SPEED:
                [history] = replicate(
                    {method: build},
                    some_rows(seed, s, n),
                    books[1],
                    books[1],
                    seeds=[seed],
                    epochs=EPOCHS_OF_SPEED,
                    batch_size=64,
                    learning_rate=rate,
                ).histories[method]
                totals = history.losses("validation").to_numpy()
                per_epoch = history.steps // EPOCHS_OF_SPEED
                lowest[method, rate] = (totals, per_epoch)
        goal = min(
            t.min() for (m, _), (t, _) in lowest.items() if m == "scratch"
        )
        for method in builders:
            reached = [
                (int(np.argmax(t <= goal)) + 1) * per
                for (m, _), (t, per) in lowest.items()
                if m == method and (t <= goal).any()
            ]
            rows.append(
                {
                    **unit,
                    "method": method,
                    "seed": seed,
                    "task": "both",
                    "metric": "steps",
                    "value": min(reached),
                }
            )
    return pd.DataFrame(rows)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, method, task and metric, against scratch."""
    keys = ["part", "similarity", "rows", "task", "metric"]
    found = []
    for key, cell in results.groupby(keys, sort=False):
        cell = cell.set_index(["method", "seed"])
        base = cell.loc["scratch"]
        for method in dict.fromkeys(cell.index.get_level_values(0)):
            own = cell.loc[method].loc[base.index]
            found.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "method": method,
                    **_against(own, base, key[-1]),
                }
            )
    return pd.DataFrame(found)


def _against(own: pd.DataFrame, base: pd.DataFrame, metric: str) -> dict:
    mean, low, high = _interval(own["value"])
    gain, gain_low, gain_high = _interval(own["value"] - base["value"])
    lost, lost_low, lost_high = _interval(own["films"] - own["films_before"])
    row = {
        "value": mean,
        "value_low": low,
        "value_high": high,
        "difference": gain,
        "low": gain_low,
        "high": gain_high,
        "higher_is_better": metric == "auc",
        "verdict": verdict(gain_low, gain_high, metric == "auc"),
        "films_before": own["films_before"].mean(),
        "films_change": lost,
        "films_low": lost_low,
        "films_high": lost_high,
        "best": own["best"].mean(),
        "worlds": len(own),
        "values": " ".join(f"{v:.5g}" for v in own["value"]),
    }
    for fact in ("rate", "strength", "steps", "parameters", "seconds"):
        row[fact] = own[fact].mean() if fact in own else np.nan
    return row


def _interval(values: pd.Series) -> tuple[float, float, float]:
    if values.isna().any():
        return (np.nan,) * 3
    return tuple(paired_interval(values.to_numpy()))
