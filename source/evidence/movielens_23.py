"""MovieLens-100K: membership inference on a model of two tasks.

Like (4 or 5 stars) and love (5 stars, after a like), 4,000 ratings to learn
from, 4,000 others to tell them from, drawn anew by each seed. The attack is
the threshold on the loss; the defence early stopping on 4,000 more ratings.
Test AUC is on 8,000 further ones.

One log stands behind all seeds: intervals are over draws of rows, seeds of
the model and their order, not over other people.
"""

import numpy as np
import pandas as pd

from mtlrec_utils.data import Categorical, Examples, Schema, Task
from mtlrec_utils.data.real import load_movielens
from mtlrec_utils.evidence import paired_interval, verdict
from mtlrec_utils.evidence.attacks import membership_auc, row_losses
from mtlrec_utils.learning import evaluate, fit, predict
from mtlrec_utils.models import mmoe

SEEDS = range(5)
FEW, EPOCHS = 4000, 30
COLUMNS = ("user", "item", "age_group", "sex", "occupation")


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_movielens("100k")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One draw of rows per unit."""
    return [{"seed": seed} for seed in SEEDS]


def rows_of() -> pd.DataFrame:
    """Ratings with the profile of their user and two labels."""
    data = load_movielens("100k")
    assert data.users is not None
    rows = data.ratings.merge(data.users, on="user")
    rows["age_group"] = pd.cut(rows["age"], (0, 24, 34, 44, 200), labels=False)
    rows["like"] = (rows["rating"] >= 4).astype(float)
    rows["love"] = np.where(rows["like"] == 1, rows["rating"] == 5, np.nan)
    return rows


def run(unit: dict) -> pd.DataFrame:
    """Train with and without the defence; attack both."""
    seed = unit["seed"]
    rows = rows_of().sample(5 * FEW, random_state=seed)
    schema = Schema(
        [Categorical(column) for column in COLUMNS],
        [Task("like"), Task("love", sample_space="like")],
    ).fit(rows)
    inside, validation, outside = (
        schema.encode(rows.iloc[k * FEW : (k + 1) * FEW]) for k in range(3)
    )
    test = schema.encode(rows.iloc[3 * FEW :])
    found = []
    for defence in ("none", "early stopping"):
        model = mmoe(
            schema,
            embedding_dimension=8,
            n_experts=4,
            expert_units=(16,),
            tower_units=(8,),
            seed=seed,
        )
        stop = {"validation": validation, "patience": 2}
        fit(
            model,
            inside,
            epochs=EPOCHS,
            batch_size=128,
            learning_rate=1e-2,
            seed=seed,
            progress=False,
            **(stop if defence != "none" else {}),
        )
        measured = evaluate(model, test).query("metric == 'auc'")
        quality = measured.set_index("task")["value"]
        for task in schema.task_names:
            losses = [
                losses_of(model, part, task) for part in (inside, outside)
            ]
            found.append(
                {
                    "task": task,
                    "defence": defence,
                    "seed": seed,
                    "value": membership_auc(*losses),
                    "quality": quality[task],
                }
            )
    return pd.DataFrame(found)


def losses_of(model, rows: Examples, task: str) -> np.ndarray:
    """Losses of one task on the rows where it is known."""
    known = rows.masks[task] > 0
    predicted = predict(model, rows)[task][known]
    return row_losses(rows.labels[task][known], predicted)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per task and defence, against chance or against no defence."""
    key = ["task", "defence"]
    values = results.pivot(index=key, columns="seed", values="value")
    quality = results.groupby(key)["quality"].mean()
    rows = []
    for task, defence in results[key].drop_duplicates().to_numpy():
        value = values.loc[(task, defence)]
        before = 0.5 if defence == "none" else values.loc[(task, "none")]
        level, found = paired_interval(value), paired_interval(value - before)
        rows.append(
            {
                "task": task,
                "defence": defence,
                "value": level.mean,
                "value_low": level.low,
                "value_high": level.high,
                "difference": found.mean,
                "low": found.low,
                "high": found.high,
                "higher_is_better": False,
                "verdict": verdict(found.low, found.high, False),
                "quality": quality.loc[(task, defence)],
            }
        )
    return pd.DataFrame(rows)
