"""A plain solution: one network per answer, both shops in one heap."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mtlrec_utils.capstone.brief import Score
from mtlrec_utils.data import Categorical, Schema, Task, split_by_time
from mtlrec_utils.learning import fit, predict
from mtlrec_utils.models import single_task

COLUMNS = ["user", "item", "domain", "genre", "age_group", "region", "device"]
TASKS = [
    Task("click"),
    Task("like", sample_space="click"),
    Task("finish", sample_space="click"),
]
SMALL: Mapping[str, Any] = {
    "embedding_dimension": 8,
    "bottom_units": (16,),
    "tower_units": (8,),
}


def halves(
    films: pd.DataFrame, books: pd.DataFrame
) -> tuple[pd.DataFrame, ...]:
    """Put both shops together; keep the last tenth of days to choose by."""
    log = pd.concat([films, books], ignore_index=True)
    return split_by_time(log, (0.9, 0.1))


def recommender(
    films: pd.DataFrame,
    books: pd.DataFrame,
    sizes: Mapping[str, Any] = SMALL,
) -> Score:
    """Train three models that know nothing of each other."""
    past, recent = halves(films, books)
    schema = Schema([Categorical(column) for column in COLUMNS], TASKS)
    schema.fit(past)
    train, validation = schema.encode(past), schema.encode(recent)
    models = {
        task: single_task(schema, task, seed=0, **sizes)
        for task in schema.task_names
    }
    for model in models.values():
        fit(
            model, train, validation, epochs=15, patience=2,
            learning_rate=3e-3, progress=False,
        )  # fmt: skip

    def score(rows: pd.DataFrame) -> dict[str, Any]:
        examples = schema.encode(rows, labels=False)
        return {
            task: predict(model, examples)[task]
            for task, model in models.items()
        }

    return score
