"""MovieLens-100K, towers without ids: from older films to those of 1996 on.

Part "shop": the shop of films released before 1996 is the source; films of
1996 and later are a shop that the training never saw. Words are those of
title and genres; a user is the words of the last six older films that they
liked (4 stars or more) before the row. Is a film rated 4 or more? By time:
the first 70 % of the ratings train, then 10 % to choose rates by, the rest
tests. Most test users came after the training: ids know nothing of them.

Part "titles": does a title tell whether an item's mean rating is above the
median of its shop? Words of a title learned from MovieLens are asked about
goodbooks-10k, and the other way round; half of each shop is kept to be asked
about its own. Items with fewer than 20 ratings are left out.
"""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils.data import Categorical, Schema, Task, Text
from mtlrec_utils.data.item_texts import past_texts
from mtlrec_utils.data.real import load_goodbooks, load_movielens
from mtlrec_utils.evidence import compare, comparison_table
from mtlrec_utils.learning import replicate
from mtlrec_utils.models import (
    cold_start_towers,
    id_free_towers,
    text_model,
)
from mtlrec_utils.models.classic import damped_means

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
TUNING_SEED = 1000
FIRST_YEAR = 1996
PAST, WORDS, BUCKETS = 6, 8, 2000
COLUMNS = [f"past_{back}" for back in range(1, PAST + 1)]
PROFILE = ["age_group", "sex", "occupation"]
TOWERS = {"embedding_dimension": 8, "dimension": 8}
RATES = {
    "ids and words": (3e-3, 1e-2),
    "from scratch": (3e-3, 1e-2),
    "fine-tuned": (1e-3, 3e-3),
}
SOURCE_FIT = {"epochs": 2, "batch_size": 256}
BUDGETS = {500: (10, 32), 5000: (4, 128), 20_000: (3, 256)}
#: Words are hashed, so one schema is that of both shops.
SCHEMA = Schema(
    [Text(name, BUCKETS, WORDS) for name in ("words", *COLUMNS)],
    [Task("like")],
).fit(pd.DataFrame({n: ["a"] for n in ("words", *COLUMNS)} | {"like": [0]}))
TITLES_FIT = {"epochs": 6, "batch_size": 128, "learning_rate": 3e-3}


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
        load_goodbooks()
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """The titles; then the shop, by its rows."""
    shops_by_rows = [{"part": "shop", "rows": n} for n in (0, *BUDGETS)]
    return [{"part": "titles"}, *shops_by_rows]


def run(unit: dict) -> pd.DataFrame:
    """Run one part."""
    found = titles() if unit["part"] == "titles" else shop(unit["rows"])
    return found.assign(part=unit["part"])


def rows_of_both() -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """Return train, validation and test of older and of newer films."""
    data = load_movielens("100k")
    rows = data.ratings.merge(data.users, on="user").merge(
        data.items, on="item"
    )
    rows = rows.sort_values(["time", "user"], ignore_index=True)
    plain = data.items["title"].str.replace(r"\(.*\)\s*$", "", regex=True)
    genres = data.items["genres"].str.replace("|", " ", regex=False)
    words = pd.Series((genres + " " + plain).to_numpy(), data.items["item"])
    newer = rows["year"] >= FIRST_YEAR
    rows["like"] = (rows["rating"] >= 4).astype(int)
    rows["liked_older"] = rows["like"] * ~newer
    rows["age_group"] = (rows["age"] // 10).astype(str)
    rows["words"] = rows["item"].map(words)
    rows[COLUMNS] = past_texts(rows, words, PAST, taken="liked_older")
    first, second = rows["time"].quantile([0.7, 0.8])
    period = np.digitize(rows["time"], [first, second])
    older, later = (
        [rows[here & (period == k)] for k in range(3)]
        for here in (~newer, newer)
    )
    return older, later


class Towers:
    """Towers without ids from any starting point, traced once for all.

    `replicate` trains the first model that a builder returned, again and
    again from the weights of the next ones.
    """

    def __init__(self) -> None:
        self.start: dict[int, list] = {}
        self.model = None

    def __call__(self, seed: int):
        """Build a model; its weights are those of `start`, if it has some."""
        model = id_free_towers(SCHEMA, past=COLUMNS, seed=seed, **TOWERS)
        if seed in self.start:
            model.set_weights(self.start[seed])
        self.model = self.model or model
        return model


TOWERS_OF_ALL = Towers()


def train_on(build, train, test, seeds, budget: dict, rate: float):
    """Train with each seed; return the scores [S, N] and the log loss."""
    found = replicate(
        {"model": build},
        train,
        None,
        test,
        seeds=seeds,
        learning_rate=rate,
        decay="linear",
        **budget,
    )
    losses = found.table.query("metric == 'log_loss'")["value"]
    return found.predictions["model"]["like"], float(losses.mean())


@lru_cache
def shops() -> tuple:
    """Return the frames of both shops, by time, read once."""
    return rows_of_both()


@lru_cache
def sources() -> tuple[dict, np.ndarray]:
    """Train one source per seed; return weights and zero-shot scores."""
    older, newer = shops()
    train, validation, asked = (
        SCHEMA.encode(part, user="user")
        for part in (older[0], older[1], newer[2])
    )
    TOWERS_OF_ALL.start = {}
    losses = {
        rate: train_on(
            TOWERS_OF_ALL, train, validation, [TUNING_SEED], SOURCE_FIT, rate
        )[1]
        for rate in (3e-3, 1e-2)
    }
    rate = min(losses, key=losses.get)
    weights, scores = {}, []
    for seed in (TUNING_SEED, *SEEDS):
        found, _ = train_on(
            TOWERS_OF_ALL, train, asked, [seed], SOURCE_FIT, rate
        )
        weights[seed] = TOWERS_OF_ALL.model.get_weights()
        scores.append(found[0])
    return weights, np.array(scores[1:])


def shop(n: int) -> pd.DataFrame:
    """Zero-shot, and what n rows of the newer films make of it."""
    newer = shops()[1]
    weights, zero_shot = sources()
    label, users = newer[2]["like"].to_numpy(), newer[2]["user"].to_numpy()
    if n == 0:
        found = {
            (0, "zero-shot", "nothing"): (zero_shot, np.zeros(len(label)))
        }
        return compared(found, label, users)
    epochs, batch = BUDGETS[n]
    order = np.random.default_rng(20).permutation(len(newer[0]))
    few = newer[0].iloc[np.sort(order[:n])]
    means = damped_means(few["item"], few["like"], 2000)
    of_items = means[newer[2]["item"]]
    found = {(n, "item mean", "zero-shot"): (of_items, zero_shot)}
    for method, rates in RATES.items():
        build, schema = TOWERS_OF_ALL, SCHEMA
        TOWERS_OF_ALL.start = weights if method == "fine-tuned" else {}
        if method == "ids and words":
            ids = [*map(Categorical, ["user", *PROFILE, "item"])]
            text = Text("words", BUCKETS, WORDS)
            schema = Schema([*ids, text], [Task("like")]).fit(few)
            build = partial(
                cold_start_towers,
                schema,
                user_features=["user", *PROFILE],
                item_features=["item", "words"],
                id_dropout=0.0,
                **TOWERS,
            )
        train, validation, test = (
            schema.encode(p, user="user") for p in (few, *newer[1:])
        )
        budget = {"epochs": epochs, "batch_size": batch}
        losses = {
            rate: train_on(
                build, train, validation, [TUNING_SEED], budget, rate
            )[1]
            for rate in rates
        }
        best = min(losses, key=losses.get)
        scores, _ = train_on(build, train, test, SEEDS, budget, best)
        found[n, method, "zero-shot"] = (scores, zero_shot)
    return compared(found, label, users)


def compared(found: dict, label, users) -> pd.DataFrame:
    """Return a row per pair, judged by GAUC with intervals over users."""
    shape = (len(SEEDS), len(label))
    by_pair = {
        key: compare(
            label,
            np.broadcast_to(ours, shape),
            np.broadcast_to(theirs, shape),
            metric="gauc",
            groups=users,
        )
        for key, (ours, theirs) in found.items()
    }
    return comparison_table(by_pair, ("rows", "method", "against"))


def titles() -> pd.DataFrame:
    """Ask each shop's titles about its own other half, and about the other."""
    films, books = load_movielens("100k"), load_goodbooks()
    stars = films.ratings.groupby("item")["rating"].agg(["mean", "size"])
    shops = {
        "films": films.items.merge(stars, on="item").rename(
            columns={"mean": "mean_rating", "size": "ratings"}
        ),
        "books": books,
    }
    for name, frame in shops.items():
        frame = frame[frame["ratings"] >= 20].reset_index(drop=True)
        plain = frame["title"].str.replace(r"\(.*\)\s*$", "", regex=True)
        middle = frame["mean_rating"].median()
        good = (frame["mean_rating"] > middle).astype(int)
        half = np.random.default_rng(20).permutation(len(frame)) % 2
        shops[name] = pd.DataFrame(
            {"words": plain, "good": good, "half": half}
        )
    schema = Schema([Text("words", BUCKETS, WORDS)], [Task("good")])
    schema.fit(shops["films"])
    found = {}
    for learned, own in shops.items():
        [other] = set(shops) - {learned}
        asked = [own[own["half"] == 1], shops[other]]
        result = replicate(
            {"titles": partial(text_model, schema, text="words")},
            schema.encode(own[own["half"] == 0]),
            None,
            schema.encode(pd.concat(asked)),
            seeds=SEEDS,
            **TITLES_FIT,
        ).predictions["titles"]["good"]
        cut = len(asked[0])
        for name, frame, part in (
            (learned, asked[0], result[:, :cut]),
            (other, asked[1], result[:, cut:]),
        ):
            label = frame["good"].to_numpy()
            found[0, f"{learned} on {name}", "nothing"] = compare(
                label, part, np.zeros(part.shape), metric="auc"
            )
    return comparison_table(found, ("rows", "method", "against"))


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Keep everything."""
    return results
