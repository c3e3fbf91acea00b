"""Lesson 15's live models get what the stored table chose for them."""

from types import SimpleNamespace

import pytest

from mtlrec_utils.classroom import course_folder
from mtlrec_utils.classroom.classifier_settings import tuned_settings
from mtlrec_utils.evidence import read_results

LABELS = {"segment": 690, "category": 500, "relation": 4000}


@pytest.fixture(name="table")
def _table():
    folder = course_folder("datasets") / "results"
    return read_results(folder / "world_classifier.csv").frame


def test_every_live_model_has_settings_of_the_table(table):
    found = tuned_settings(table, SimpleNamespace(observed=LABELS.get))
    assert len(found) == 6
    alone = found["relation alone"]
    assert (alone["epochs"], alone["loss_weights"]) == (800 // 32, None)
    losses = table[table["metric"] == "multiclass_log_loss"]
    for row in losses.to_dict("records"):
        if row["question"] == "with both" and row["labels"] == "all":
            own = found[f"{row['task']} alone"]
            assert own["learning_rate"] == row["baseline_learning_rate"]
            joint = found["all, mlp"]
            assert joint["learning_rate"] == row["candidate_learning_rate"]
            assert joint["loss_weights"]["segment"] == row["candidate_weight"]
        if row["question"] == "encoder":
            own = found[f"all, {row['candidate_model']}"]
            assert own["learning_rate"] == row["candidate_learning_rate"]
            assert own["loss_weights"]["relation"] == 1
            assert own["loss_weights"]["category"] == row["candidate_weight"]


def test_no_model_takes_more_steps_than_the_table_allowed(table):
    found = tuned_settings(table, SimpleNamespace(observed=LABELS.get))
    for name, options in found.items():
        tasks = [name.split()[0]] if "alone" in name else LABELS
        rows = sum(LABELS[task] for task in tasks)
        assert 700 < options["epochs"] * -(-rows // 128) <= 800
