"""Films to books with nothing shared but words: zero-shot, then with rows.

In each of several independent Lantern worlds, two towers without an id learn
clicks from films: an item is its twelve words, a user the words of the last
six films that they clicked. The same weights then serve books, which the
training never saw.

* "shop": zero-shot in books, no row of books read in training; by text
  signal, similarity of tastes, and by which past the user brings: the last
  films ("films") or the last books ("books") that they clicked.
  Tastes of films do not depend on the similarity, so one source serves all.
* "rows": what a model of books makes of few or many rows, at similarity 0.9:
  the item mean, towers with ids, profile and words, towers without ids from
  scratch, and the source's towers fine-tuned.

Every item is shown alike and no position counts. Learning rates are chosen
in a world kept for that: the source's on validation rows of *films*, once, all
others on validation rows of books. A verdict is over worlds, against a score
that knows nothing (GAUC 0.5) in "shop", against zero-shot in "rows".
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import (
    Categorical,
    Examples,
    Schema,
    Task,
    Text,
    World,
    concatenate,
    split_by_time,
)
from mtlrec_utils.data.item_texts import past_texts
from mtlrec_utils.data.vocabulary import UNKNOWN
from mtlrec_utils.evidence import auc, gauc, paired_interval, verdict
from mtlrec_utils.learning import replicate
from mtlrec_utils.models import cold_start_towers, id_free_towers
from mtlrec_utils.models.classic import damped_means

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(1, 6)  # one world each
TUNING_WORLD = 0
SIGNALS = (0.7, 0.0)
SIMILARITIES = (0.0, 0.5, 0.9)
MAIN = {"signal": 0.7, "similarity": 0.9}
SIZES = {
    "n_users": 500,
    "n_items": 1000,
    "user_overlap": 1.0,
    "segment_strength": 0.8,
    "taste_strength": 1.5,
}
ALIKE = {"exposure_bias": 0.0, "position_bias": 0.0, "popularity_skew": 0.0}
FILM_ROWS, BOOK_ROWS = 40_000, 32_000
PAST, WORDS, BUCKETS = 6, 12, 500
COLUMNS = [f"past_{back}" for back in range(1, PAST + 1)]
PROFILE = ["age_group", "region", "device"]
RATES = (3e-3, 1e-2)
TOWERS = {"embedding_dimension": 8, "dimension": 8}
SOURCE_FIT = {"epochs": 2, "batch_size": 256}
# rows of books -> epochs, batch size
BUDGETS = {
    50: (15, 16),
    500: (10, 32),
    5000: (4, 128),
    20_000: (3, 256),
}
RATES_OF = {
    "ids and words": RATES,
    "from scratch": RATES,
    "fine-tuned": (1e-3, 3e-3),
}
METRICS = {"gauc": gauc, "auc": lambda label, score, users: auc(label, score)}


def units() -> list[dict]:
    """One text signal, or one number of rows of books, per unit."""
    shops = [{"part": "shop", "signal": signal} for signal in SIGNALS]
    return shops + [{"part": "rows", "rows": rows} for rows in BUDGETS]


@lru_cache(16)
def frames(seed: int, signal: float, similarity: float) -> tuple:
    """Return the world, films and books with past columns, and the schema.

    Each shop is (train, validation, test), by time. Books come with the
    past in films; the past in books stands in `own_<column>`.
    """
    world = World(
        seed=seed,
        text_signal=signal,
        domain_similarity=similarity,
        **SIZES,
        **ALIKE,
    )
    rows = pd.concat(
        [
            world.log(FILM_ROWS, domain="films"),
            world.log(BOOK_ROWS, domain="books"),
        ]
    ).sort_values("time", kind="stable", ignore_index=True)
    rows = world.with_features(rows)
    words = world.items().set_index("item")["words"]
    in_films = rows["domain"] == "films"
    rows["film"] = rows["click"] * in_films
    rows["book"] = rows["click"] * ~in_films
    rows[COLUMNS] = past_texts(rows, words, PAST, taken="film")
    own = past_texts(rows, words, PAST, taken="book")
    rows[[f"own_{name}" for name in COLUMNS]] = own
    films = split_by_time(rows[in_films], (0.8, 0.05, 0.15))
    books = split_by_time(rows[~in_films], (0.65, 0.05, 0.3))
    return world, films, books


#: Words are hashed, so one schema is that of every world and shop.
SCHEMA = Schema(
    [Text(name, BUCKETS, WORDS) for name in ("words", *COLUMNS)],
    [Task("click")],
).fit(
    pd.DataFrame(
        {name: ["a"] for name in ("words", *COLUMNS)} | {"click": [0]}
    )
)


class Towers:
    """Towers without ids from any starting point, traced once for all.

    `replicate` trains the first model that a builder returned, again and
    again from the weights of the next ones; `weights` are the latest.
    """

    def __init__(self) -> None:
        self.start: list | None = None
        self.model = None

    def __call__(self, seed: int):
        """Build a model; its weights are `start`, if there is one."""
        model = id_free_towers(SCHEMA, past=COLUMNS, seed=seed, **TOWERS)
        if self.start is not None:
            model.set_weights(self.start)
        self.model = self.model or model
        return model

    def weights(self) -> list:
        """Return the weights after the latest training."""
        return self.model.get_weights()


TOWERS_OF_ALL = Towers()


def with_ids(seed: int):
    """Build the towers with ids; every world has as many of each."""
    return cold_start_towers(
        schema_with_ids(),
        user_features=["user", *PROFILE],
        item_features=["item", "genre", "words"],
        id_dropout=0.0,
        seed=seed,
        **TOWERS,
    )


@lru_cache
def schema_with_ids() -> Schema:
    """Fit a schema that has a place for every user and book."""
    world = frames(TUNING_WORLD, **MAIN)[0]
    books = world.items().query("domain == 'books'").reset_index(drop=True)
    users = world.users().drop(columns=["in_films", "in_books"])
    everybody = books.join(users, how="left")
    everybody[["user", *PROFILE]] = everybody[["user", *PROFILE]].ffill()
    everybody["user"] = everybody["user"].astype(int)
    ids = ["user", *PROFILE, "item", "genre"]
    return Schema(
        [*map(Categorical, ids), Text("words", BUCKETS, WORDS)],
        [Task("click")],
    ).fit(everybody.assign(click=0))


def known_only(examples: Examples, few: Examples) -> Examples:
    """Make ids unknown that do not stand in the few rows."""
    ids = examples.ids.copy()
    for column in schema_with_ids().id_columns:
        if not column.pooled:
            at = column.start
            seen = np.isin(ids[:, at], few.ids[:, at])
            ids[~seen, at] = UNKNOWN
    return replace(examples, ids=ids)


def encoded(frame: pd.DataFrame, own: bool = False) -> Examples:
    """Encode rows, with the past in films or (own) in books."""
    if own:
        frame = frame.assign(**{c: frame[f"own_{c}"] for c in COLUMNS})
    return SCHEMA.encode(frame, user="user")


def train_on(
    build,
    train: Examples,
    test: Examples,
    seed: int,
    budget: dict,
    rate: float,
) -> tuple[np.ndarray, dict]:
    """Train one model; return its scores of the test rows, and its cost."""
    found = replicate(
        {"model": build},
        train,
        None,
        test,
        seeds=[seed],
        learning_rate=rate,
        decay="linear",
        **budget,
    )
    cost = found.table.iloc[0]
    facts = {
        "rate": rate,
        "steps": int(cost["steps"]),
        "parameters": int(cost["parameters"]),
    }
    return found.predictions["model"]["click"][0], facts


def log_loss_of(score: np.ndarray, examples: Examples) -> float:
    """Return the mean log loss of clicks."""
    label = examples.labels["click"].ravel()
    p = np.clip(np.where(label == 1, score, 1 - score), 1e-6, 1)
    return float(-np.log(p).mean())


@lru_cache
def source_rate() -> float:
    """Choose the source's rate on validation rows of films."""
    films = frames(TUNING_WORLD, **MAIN)[1]
    train, validation = encoded(films[0]), encoded(films[1])
    TOWERS_OF_ALL.start = None
    losses = [
        log_loss_of(
            train_on(
                TOWERS_OF_ALL,
                train,
                validation,
                1000 + TUNING_WORLD,
                SOURCE_FIT,
                rate,
            )[0],
            validation,
        )
        for rate in RATES
    ]
    return RATES[int(np.argmin(losses))]


def source(seed: int, signal: float, test: Examples) -> tuple:
    """Train on films; return weights, scores of the test rows, and cost."""
    train = encoded(frames(seed, signal, MAIN["similarity"])[1][0])
    TOWERS_OF_ALL.start = None
    rate = source_rate()
    TOWERS_OF_ALL.start = None
    score, facts = train_on(TOWERS_OF_ALL, train, test, seed, SOURCE_FIT, rate)
    return TOWERS_OF_ALL.weights(), score, facts


@lru_cache(16)
def main_source(seed: int) -> tuple:
    """Return the source of the main world, and its scores of its books."""
    return source(seed, MAIN["signal"], encoded(frames(seed, **MAIN)[2][2]))


def scored(facts: dict, world: World, frame: pd.DataFrame, score) -> list:
    """Return a row per metric, with the best possible beside it."""
    label, users = frame["click"].to_numpy(), frame["user"].to_numpy()
    truth = world.truth(frame)["click"].to_numpy()
    return [
        {
            **facts,
            "metric": metric,
            "value": measure(label, score, users),
            "best": measure(label, truth, users),
        }
        for metric, measure in METRICS.items()
    ]


def run(unit: dict) -> pd.DataFrame:
    """Run one unit in every world."""
    return (shop if unit["part"] == "shop" else rows_of_books)(unit)


def shop(unit: dict) -> pd.DataFrame:
    """Score films and the unseen books by the same weights."""
    found, signal = [], unit["signal"]
    main = signal == MAIN["signal"]
    for seed in SEEDS:
        cases = []
        for similarity in SIMILARITIES if main else [MAIN["similarity"]]:
            world, films, books = frames(seed, signal, similarity)
            here = {"similarity": similarity, "seed": seed}
            for past in ("films", "books"):
                case = here | {"domain": "books", "past": past}
                cases.append((case, world, books[2], past == "books"))
        case = here | {"domain": "films", "past": "films"}
        cases.append((case, world, films[2], False))
        test = concatenate([encoded(f, own) for _, _, f, own in cases])
        _, scores, cost = source(seed, signal, test)
        ends = np.cumsum([len(frame) for _, _, frame, _ in cases])
        for (case, world, frame, _), score in zip(
            cases, np.split(scores, ends[:-1]), strict=True
        ):
            facts = unit | case | cost | {"rows": 0, "method": "zero-shot"}
            found += scored(facts, world, frame, score)
    return pd.DataFrame(found)


def some_rows(seed: int, n: int) -> pd.DataFrame:
    """Return the first rows of a random order: small sets lie in large."""
    train = frames(seed, **MAIN)[2][0]
    order = np.random.default_rng([seed, 20]).permutation(len(train))
    return train.iloc[np.sort(order[:n])]


def trained(method: str, seed: int, n: int, rate: float, part: int) -> tuple:
    """Train one method on n rows of books; score a part of books."""
    few, frame = some_rows(seed, n), frames(seed, **MAIN)[2][part]
    epochs, batch = BUDGETS[n]
    if method == "ids and words":
        build, encode = with_ids, schema_with_ids().encode
        train, test = encode(few, user="user"), encode(frame, user="user")
        test = known_only(test, train)
    else:
        build, train, test = TOWERS_OF_ALL, encoded(few), encoded(frame)
        start = main_source(seed)[0] if method == "fine-tuned" else None
        TOWERS_OF_ALL.start = start
    budget = {"epochs": epochs, "batch_size": batch}
    return test, *train_on(build, train, test, seed, budget, rate)


def rows_of_books(unit: dict) -> pd.DataFrame:
    """Tune each method in the world kept for it, then run it in the others."""
    n, found = unit["rows"], []
    unit = unit | MAIN
    for method, rates in RATES_OF.items():
        losses = []
        for rate in rates:
            test, score, _ = trained(method, TUNING_WORLD, n, rate, 1)
            losses.append(log_loss_of(score, test))
        rate = rates[int(np.argmin(losses))]
        for seed in SEEDS:
            _, score, cost = trained(method, seed, n, rate, 2)
            world, _, books = frames(seed, **MAIN)
            facts = unit | cost | {"seed": seed, "method": method}
            found += scored(facts, world, books[2], score)
    for seed in SEEDS:
        world, _, books = frames(seed, **MAIN)
        few = some_rows(seed, n)
        means = damped_means(few["item"], few["click"], 2 * SIZES["n_items"])
        facts = unit | {"seed": seed, "method": "item mean"}
        found += scored(facts, world, books[2], means[books[2]["item"]])
        _, score, cost = main_source(seed)
        facts = unit | cost | {"seed": seed, "method": "zero-shot"}
        found += scored(facts, world, books[2], score)
    return pd.DataFrame(found).assign(domain="books", past="films")


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, method and metric, with its verdict over worlds."""
    keys = [
        *("part", "signal", "similarity", "domain", "past"),
        *("rows", "metric"),
    ]
    found = []
    for key, cell in results.groupby(keys, sort=False):
        by_method = {m: f.set_index("seed") for m, f in cell.groupby("method")}
        for method, own in by_method.items():
            base, against = 0.5, "knows nothing"
            if key[0] == "rows":
                base, against = by_method["zero-shot"]["value"], "zero-shot"
            gain = paired_interval((own["value"] - base).to_numpy())
            value = paired_interval(own["value"].to_numpy())
            row = {
                **dict(zip(keys, key, strict=True)),
                "method": method,
                "value": own["value"].mean(),
                "value_low": value.low,
                "value_high": value.high,
                "against": against,
                "difference": own["value"].mean() - np.mean(base),
                "low": gain.low,
                "high": gain.high,
                "verdict": verdict(gain.low, gain.high),
                "higher_is_better": True,
                "best": own["best"].mean(),
                "worlds": len(own),
                "values": " ".join(f"{v:.5g}" for v in own["value"]),
            }
            for fact in ("rate", "steps", "parameters"):
                row[fact] = own[fact].mean()
            found.append(row)
    return pd.DataFrame(found)
