"""Comparing tuned models: same search for all, one family of verdicts."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import Categorical, Schema, Task
from mtlrec_utils.learning.tuned import replicate_tuned
from mtlrec_utils.models import shared_bottom, single_task

SIZES = {"bottom_units": (4,), "tower_units": ()}


@pytest.fixture(scope="module")
def found():
    """Two tasks that depend on the item, tuned over two learning rates."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user": random.integers(40, size=1200),
            "item": random.integers(8, size=1200),
        }
    )
    chance = 0.15 + 0.1 * frame["item"]
    for task in ("click", "like"):
        frame[task] = (random.random(1200) < chance).astype(int)
    schema = Schema(
        [Categorical("user"), Categorical("item")],
        [Task("click"), Task("like")],
    ).fit(frame[:600])
    parts = [
        schema.encode(frame[a:b], user="user")
        for a, b in [(0, 600), (600, 900), (900, 1200)]
    ]
    run = replicate_tuned(
        {
            "click alone": partial(single_task, schema, "click", **SIZES),
            "like alone": partial(single_task, schema, "like", **SIZES),
            "shared": partial(shared_bottom, schema, **SIZES),
        },
        {"embedding_dimension": [2], "learning_rate": [1e-6, 3e-2]},
        *parts,
        seeds=range(2),
        epochs=3,
        batch_size=64,
    )
    return run, parts[2]


def test_every_model_has_the_same_number_of_trials(found):
    run, _ = found
    assert {len(s.table) for s in run.searches.values()} == {2}
    # A rate of a millionth learns nothing in three epochs.
    assert {s.best["learning_rate"] for s in run.searches.values()} == {3e-2}


def test_models_run_with_the_settings_that_won(found):
    run, _ = found
    scores = run.replication.table.query("metric == 'auc'")["value"]
    assert scores.min() > 0.6


def test_comparisons_are_one_family_over_both_tasks(found):
    run, test = found
    table = run.compare(
        [("shared", "click alone + like alone")],
        {"click": "auc", "like": "auc"},
        test,
        resamples=100,
    )
    assert table["task"].tolist() == ["click", "like"]
    assert set(table["n_compared"]) == {2}
    click = run.replication.table.query(
        "model == 'click alone' and metric == 'auc'"
    )["value"]
    assert table["baseline"][0] == pytest.approx(click.mean(), abs=1e-6)


def test_costs_of_joined_models_add_up(found):
    run, _ = found
    both = run.cost("click alone + like alone", "parameters")
    assert both == run.cost("click alone", "parameters") + run.cost(
        "like alone", "parameters"
    )
    assert run.cost("shared", "parameters") < both


def test_an_unknown_model_is_named(found):
    run, test = found
    with pytest.raises(ValueError, match="No model is called 'mmoe'"):
        run.compare([("mmoe", "shared")], {"click": "auc"}, test)
