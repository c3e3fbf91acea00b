"""Settings of the classifiers of lesson 15, as the stored table chose them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

TASKS = ("segment", "category", "relation")
BATCH, STEPS = 128, 800
ENCODERS = ("mlp", "attention", "both")


def tuned_settings(table: pd.DataFrame, train: Any) -> dict[str, Any]:
    """Return the options of ``fit`` for each model that is run live.

    Args:
        table: the frame of the results table ``world_classifier``.
        train: the ``Examples`` to train on; their numbers of labels say how
            many epochs are 800 steps.

    Returns:
        "<task> alone" and "all, <encoder>" -> options.
    """
    losses = table[table["metric"] == "multiclass_log_loss"]
    with_both = losses[
        (losses["labels"] == "all") & (losses["question"] == "with both")
    ].set_index("task")
    found = {}
    for task in TASKS:
        rate = with_both["baseline_learning_rate"][task]
        found[f"{task} alone"] = _options(train, [task], float(rate), 1.0)
    for encoder in ENCODERS:
        # The MLP encoder is what the two others are compared with.
        side = "baseline" if encoder == "mlp" else "candidate"
        rows = losses[
            (losses["question"] == "encoder")
            & (losses["baseline_model"] == " + ".join(TASKS))
        ]
        if encoder != "mlp":
            rows = rows[rows["candidate_model"] == encoder]
        row = rows.iloc[0]
        found[f"all, {encoder}"] = _options(
            train, TASKS, row[f"{side}_learning_rate"], row[f"{side}_weight"]
        )
    return found


def _options(
    train: Any, tasks: Sequence[str], rate: float, weight: float
) -> dict[str, Any]:
    """Give a model its steps: as many epochs as fit into them."""
    rows = sum(train.observed(task) for task in tasks)
    epochs = max(1, STEPS // -(-rows // BATCH))
    lesser = dict.fromkeys(tasks, float(weight)) | {"relation": 1.0}
    return {
        "learning_rate": float(rate),
        "loss_weights": lesser if len(tasks) > 1 else None,
        "epochs": epochs,
        "patience": max(2, epochs // 8),
        "batch_size": BATCH,
    }
