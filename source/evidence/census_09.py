"""Census-Income, income and marital status: alone, or together?

The official test file only (99,762 persons), split at random: no figure may
be compared with a published one. The survey weight is no input. Some
household columns all but spell out who never married, so everything is run
with and without them.
"""

import pandas as pd

from mtlrec_utils.data import (
    Categorical,
    Number,
    Schema,
    Task,
    split_at_random,
)
from mtlrec_utils.data.real import load_census_income
from mtlrec_utils.data.real.census_income import (
    CATEGORICAL_FEATURES,
    LEAKY_HOUSEHOLD_COLUMNS,
    NUMBER_FEATURES,
)
from mtlrec_utils.learning.tuned import replicate_tuned
from mtlrec_utils.models import mmoe, shared_bottom, single_task

SEEDS = range(5)
GRID = {"embedding_dimension": [4, 8], "learning_rate": [1e-3, 3e-3]}
INCOME, MARITAL = "income_over_50k", "never_married"
ALONE = "income alone + marital alone"
PAIRS = [
    ("shared_bottom", ALONE),
    ("mmoe", ALONE),
    ("mmoe", "shared_bottom"),
]
LOG = ("wage_per_hour", "capital_gains", "capital_losses")


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_census_income("test")
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """All columns, and those that do not leak the marital status."""
    return [{"household_columns": True}, {"household_columns": False}]


def features(household_columns: bool) -> list:
    """Return the features of a run."""
    dropped = () if household_columns else LEAKY_HOUSEHOLD_COLUMNS
    names = [name for name in CATEGORICAL_FEATURES if name not in dropped]
    return [
        *map(Categorical, names),
        *(
            Number(name, "log" if name in LOG else "standard")
            for name in NUMBER_FEATURES
        ),
    ]


def run(unit: dict) -> pd.DataFrame:
    """Tune, repeat and compare."""
    parts = split_at_random(load_census_income("test"), (0.6, 0.2, 0.2))
    schema = Schema(
        features(unit["household_columns"]), [Task(INCOME), Task(MARITAL)]
    ).fit(parts[0])
    train, validation, test = (schema.encode(part) for part in parts)
    sizes = {"bottom_units": (32,), "tower_units": (8,)}

    def alone(task: str):
        return lambda embedding_dimension, seed: single_task(
            schema,
            task,
            embedding_dimension=embedding_dimension,
            seed=seed,
            **sizes,
        )

    found = replicate_tuned(
        {
            "income alone": alone(INCOME),
            "marital alone": alone(MARITAL),
            "shared_bottom": lambda embedding_dimension, seed: shared_bottom(
                schema,
                embedding_dimension=embedding_dimension,
                seed=seed,
                **sizes,
            ),
            "mmoe": lambda embedding_dimension, seed: mmoe(
                schema,
                embedding_dimension=embedding_dimension,
                n_experts=4,
                expert_units=(8,),
                tower_units=(8,),
                seed=seed,
            ),
        },
        GRID,
        train,
        validation,
        test,
        seeds=SEEDS,
        epochs=8,
        patience=2,
        batch_size=1024,
    )
    compared = found.compare(PAIRS, {INCOME: "auc", MARITAL: "auc"}, test)
    compared = compared.replace({"baseline_model": {ALONE: "single_task"}})
    return compared.assign(
        household_columns=unit["household_columns"],
        n_train=len(train),
        n_test=len(test),
    )


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Keep everything."""
    return results
