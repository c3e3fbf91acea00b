"""What determines a training run: equal descriptions, equal weights."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import keras

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.checkpoints import fingerprint
from mtlrec_utils.learning.losses import task_weights
from mtlrec_utils.learning.settings import Settings
from mtlrec_utils.learning.steps import TrainingProgram


def run_identity(
    program: TrainingProgram,
    train: Examples,
    validation: Examples | None,
    settings: Settings,
    rate: float | None,
) -> dict[str, Any]:
    """Describe a run, for its checkpoint.

    Args:
        program: model, losses, optimizer and balancing.
        train: rows to learn from.
        validation: rows to judge by, or None.
        settings: of the run.
        rate: learning rate that the loop sets; None where it does not.

    Returns:
        What JSON can hold.
    """
    identity = asdict(replace(settings, balancing=None))
    for option in ("balance_at", "conflicts"):
        del identity[option]
    identity["balancing"] = settings.balancing_text()
    if settings.decay is None:
        del identity["epochs"]  # a longer run goes on from a shorter one
    config = program.optimizer.get_config()
    config.pop("name", None)
    if rate is not None:
        config.pop("learning_rate", None)  # as last written by the loop
    return {
        **identity,
        "loss_weights": task_weights(
            settings.loss_weights, program.losses.tasks
        ),
        "learning_rate": rate,
        "model": [
            [v.name, list(v.shape), str(v.dtype)]
            for v in program.model.weights
        ],
        "tasks": list(program.losses.tasks),
        "optimizer": type(program.optimizer).__name__,
        "optimizer_config": _text(config),
        "train": fingerprint(train),
        "validation": fingerprint(validation),
    }


def _text(value: Any) -> str:
    """Write any configuration as text that compares."""
    return str(keras.saving.serialize_keras_object(value))
