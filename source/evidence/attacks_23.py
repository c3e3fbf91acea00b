"""Attacks on the MMoE of two tasks, before and after a defence.

One world per seed, with its own users, so that intervals over seeds are
intervals over worlds.

* membership: few rows, many epochs. AUC of the loss threshold per task;
  defences: early stopping on validation rows, dropout. "calibrated" takes a
  shadow model's loss off, which was trained on other rows.
* extraction: R² of a copy by the number of questions, which a budget bounds.
* shilling: mean rank of the pushed item over all users. Fake users are few
  and loud, or many and quiet; they click on the item and, on other items, as
  the item's mean says. Defences draw rows by their weights: at most CAP rows
  per user, or trust.
"""

import numpy as np
import pandas as pd

from mtlrec_utils.data import Categorical, Examples, Schema, Task, World
from mtlrec_utils.evidence import paired_interval, verdict
from mtlrec_utils.evidence.attacks import (
    extraction_fidelity,
    membership_auc,
    rank_of,
    row_losses,
    trust_weights,
    weight_caps,
)
from mtlrec_utils.learning import evaluate, fit, predict
from mtlrec_utils.models import mmoe

SEEDS = range(5)
COLUMNS = ("user", "item", "age_group", "region", "device", "genre")
SIZES = {"embedding_dimension": 8, "tower_units": (8,)}
EXPERTS = {"n_experts": 4, "expert_units": (16,)}
FEW, EPOCHS, BATCH, RATE = 2000, 40, 128, 1e-2
USERS, ITEMS, ROWS = 300, 60, 12_000
BUDGETS = (100, 300, 1000, 3000, 10_000)
CAP = 60  # rows of one user; a real one has 40 on average
FAKES = {"loud": (3, 150), "quiet": (30, 15)}  # users, rows of each


def units() -> list[dict]:
    """One world per unit."""
    return [{"seed": seed} for seed in SEEDS]


def run(unit: dict) -> pd.DataFrame:
    """Attack one world in three ways."""
    seed = unit["seed"]
    world = World(n_users=USERS, n_items=ITEMS, seed=seed)
    log = world.with_features(world.log(ROWS + 6000, domain="films"))
    parts = [
        pd.DataFrame(membership(log.sample(frac=1, random_state=seed), seed)),
        pd.DataFrame(pushed(log.iloc[:ROWS], seed)),
    ]
    return pd.concat(parts, ignore_index=True).assign(seed=seed)


def schema_of(frame: pd.DataFrame) -> Schema:
    """Fit the schema of both tasks."""
    return Schema(
        [Categorical(column) for column in COLUMNS],
        [Task("click"), Task("like", sample_space="click")],
    ).fit(frame)


def membership(log: pd.DataFrame, seed: int) -> list[dict]:
    """Train on few rows; tell them from as many others."""
    schema = schema_of(log)
    inside, validation, outside, shadow, test = (
        schema.encode(log.iloc[start:stop])
        for start, stop in zip(
            (0, FEW, 2 * FEW, 3 * FEW, 4 * FEW),
            (FEW, 2 * FEW, 3 * FEW, 4 * FEW, 8 * FEW),
            strict=True,
        )
    )
    common = {"batch_size": BATCH, "learning_rate": RATE, "seed": seed}
    common |= {"epochs": EPOCHS, "progress": False}

    def trained(model, rows, **options):
        fit(model, rows, **common, **options)
        return model

    def built(dropout=0.0):
        return mmoe(schema, dropout=dropout, seed=seed, **SIZES, **EXPERTS)

    stop = {"validation": validation, "patience": 2}
    other = predict_losses(trained(built(), shadow), inside, outside)
    models = {
        "none": trained(built(), inside),
        "early stopping": trained(built(), inside, **stop),
        "dropout": trained(built(0.5), inside),
    }
    found = []
    for defence, model in models.items():
        found += attacked(model, defence, inside, outside, test, other)
    return found


def predict_losses(
    model, inside: Examples, outside: Examples
) -> dict[str, list[np.ndarray]]:
    """Losses of a model on the rows of both groups, by task."""
    losses: dict[str, list[np.ndarray]] = {}
    for rows in (inside, outside):
        for task, predicted in predict(model, rows).items():
            known = rows.masks[task] > 0
            losses.setdefault(task, []).append(
                row_losses(rows.labels[task][known], predicted[known])
            )
    return losses


def attacked(model, defence, inside, outside, test, shadow) -> list[dict]:
    """Membership AUC by task, and the model's own test AUC beside it."""
    losses = predict_losses(model, inside, outside)
    measured = evaluate(model, test).query("metric == 'auc'")
    quality = measured.set_index("task")["value"]
    found = []
    for task, (members, others) in losses.items():
        calibrated = {
            "shadow_members": shadow[task][0],
            "shadow_others": shadow[task][1],
        }
        for kind, options in (("loss", {}), ("calibrated", calibrated)):
            found.append(
                {
                    "attack": "membership",
                    "setting": f"{task}, {kind}",
                    "defence": defence,
                    "value": membership_auc(members, others, **options),
                    "quality": quality[task],
                }
            )
    return found


def pushed(log: pd.DataFrame, seed: int) -> list[dict]:
    """Extraction from a clean model, then shilling against it."""
    found = []
    rng = np.random.default_rng(seed)
    rate = log.groupby("item")["click"].mean()
    ordinary = rate.sort_values().index[ITEMS // 4]  # below the middle
    clean, schema = ranker(log, seed)
    found += copied(clean, schema, log, rng)
    found.append(
        {
            "attack": "shilling",
            "setting": "no attack",
            "defence": "none",
            "value": mean_rank(clean, schema, log, ordinary),
            "quality": np.nan,
        }
    )
    for kind, (n_fakes, rows_each) in FAKES.items():
        fakes = fake_rows(log, ordinary, n_fakes, rows_each, rng)
        rows = pd.concat([log, fakes], ignore_index=True)
        rows = rows.sample(frac=1, random_state=seed)
        trust = trust_weights(rows["user"], rows["item"], rows["click"], 4.0)
        weights = {
            "none": np.ones(len(rows)),
            "cap": weight_caps(rows["user"], CAP),
            "trust": trust,
        }
        for defence, weight in weights.items():
            kept = rows[rng.random(len(rows)) < weight]
            model, schema = ranker(kept, seed)
            found.append(
                {
                    "attack": "shilling",
                    "setting": kind,
                    "defence": defence,
                    "value": mean_rank(model, schema, log, ordinary),
                    "quality": float((kept["user"] >= 1_000_000).mean()),
                }
            )
    return found


def ranker(rows: pd.DataFrame, seed: int):
    """Train the MMoE on rows and return it with its schema."""
    schema = schema_of(rows)
    model = mmoe(schema, seed=seed, **SIZES, **EXPERTS)
    fit(
        model,
        schema.encode(rows),
        epochs=4,
        batch_size=BATCH,
        learning_rate=RATE,
        decay="linear",
        seed=seed,
        progress=False,
    )
    return model, schema


def fake_rows(
    log: pd.DataFrame, target: int, n_fakes: int, rows_each: int, rng
) -> pd.DataFrame:
    """Make rows of users who like one item and else what everybody likes.

    A third of their rows is on the pushed item.
    """
    n = n_fakes * rows_each
    drawn = log.iloc[rng.integers(len(log), size=n)].copy()
    user = np.repeat(1_000_000 + np.arange(n_fakes), rows_each)
    on_target = rng.random(n) < 1 / 3
    genre = log.loc[log["item"] == target, "genre"].iloc[0]
    rate = log.groupby("item")["click"].mean()
    drawn["user"] = user
    drawn.loc[on_target, "item"] = target
    drawn.loc[on_target, "genre"] = genre
    drawn["click"] = np.where(
        on_target, 1, rng.random(n) < rate[drawn["item"]].to_numpy()
    )
    drawn["like"] = np.where(drawn["click"] == 1, on_target * 1.0, np.nan)
    return drawn


def mean_rank(model, schema: Schema, log: pd.DataFrame, item: int) -> float:
    """Mean rank of an item among all, over the real users."""
    users = log.drop_duplicates("user")
    items = log.drop_duplicates("item")[["item", "genre"]]
    grid = users.drop(columns=["item", "genre"]).merge(items, how="cross")
    scores = predict(model, schema.encode(grid, labels=False))["click"]
    place = int(np.flatnonzero(items["item"].to_numpy() == item)[0])
    by_user = scores.reshape(len(users), len(items))
    return float(np.mean([rank_of(row, place) for row in by_user]))


def copied(model, schema: Schema, log: pd.DataFrame, rng) -> list[dict]:
    """Ask for rows made up of known values; copy what is answered."""
    asked = pd.DataFrame(
        {
            column: rng.choice(log[column].unique(), max(BUDGETS))
            for column in COLUMNS
        }
    )
    frames = (asked, log.sample(2000, random_state=0))
    one_hot = [one_hot_of(schema, frame) for frame in frames]
    exact = [
        predict(model, schema.encode(frame, labels=False))["click"]
        for frame in frames
    ]
    found = []
    for budget in BUDGETS:
        found.append(
            {
                "attack": "extraction",
                "setting": f"{budget}",
                "defence": "none",
                "value": extraction_fidelity(
                    one_hot[0][:budget],
                    exact[0][:budget],
                    one_hot[1],
                    exact[1],
                ),
                "quality": np.nan,
            }
        )
    return found


def one_hot_of(schema: Schema, frame: pd.DataFrame) -> np.ndarray:
    """One column per value of each id column, as an attacker would."""
    ids = schema.encode(frame, labels=False).ids
    blocks = [
        np.eye(size)[ids[:, place]]
        for place, size in enumerate(schema.field_sizes)
    ]
    return np.concatenate(blocks, axis=1)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per attack, setting and defence: its value and a difference.

    Without a defence the difference is to chance (membership: 0.5,
    extraction: 0) or to the rank without an attack, with one to "none". An
    attack is weaker if its value is smaller; the other way round for a rank,
    since a pushed item has a small one.
    """
    key = ["attack", "setting", "defence"]
    values = results.pivot(index=key, columns="seed", values="value")
    quality = results.groupby(key)["quality"].mean()
    clean = values.loc[("shilling", "no attack", "none")]
    unharmed = {"membership": 0.5, "extraction": 0.0, "shilling": clean}
    rows = []
    for attack, setting, defence in results[key].drop_duplicates().to_numpy():
        if setting == "no attack":
            continue
        value = values.loc[(attack, setting, defence)]
        before = unharmed[attack]
        if defence != "none":
            before = values.loc[(attack, setting, "none")]
        level = paired_interval(value)
        found = paired_interval(value - before)
        upward = attack == "shilling"
        rows.append(
            {
                "attack": attack,
                "setting": setting,
                "defence": defence,
                "value": level.mean,
                "value_low": level.low,
                "value_high": level.high,
                "difference": found.mean,
                "low": found.low,
                "high": found.high,
                "higher_is_better": upward,
                "verdict": verdict(found.low, found.high, upward),
                "quality": quality.loc[(attack, setting, defence)],
                "clean": clean.mean() if upward else np.nan,
            }
        )
    return pd.DataFrame(rows)
