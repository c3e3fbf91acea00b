"""Train one model.

The model knows nothing of losses; ``losses.py`` has them. The loop over
steps is compiled in ``steps.py``, the epochs run in ``runs.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.anchors import L2SP
from mtlrec_utils.learning.balancing.method import Balancing
from mtlrec_utils.learning.history import History
from mtlrec_utils.learning.progress import wanted
from mtlrec_utils.learning.runs import run
from mtlrec_utils.learning.settings import Settings, chosen_optimizer
from mtlrec_utils.learning.steps import TrainingProgram


def fit(
    model: Any,
    train: Examples,
    validation: Examples | None = None,
    *,
    epochs: int = 1,
    batch_size: int = 512,
    optimizer: Any = None,
    learning_rate: Any = 1e-3,
    decay: str | None = None,
    loss_weights: Mapping[str, float] | None = None,
    patience: int | None = None,
    seed: int = 0,
    balancing: Balancing | None = None,
    balance_at: str = "parameters",
    conflicts: bool = False,
    anchor: L2SP | None = None,
    rate_factors: Mapping[str, float] | None = None,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
) -> History:
    """Train a model on the tasks it predicts.

    The loss of a batch is sum_t w_t L_t, with L_t the mean over the rows
    whose label of task t is known; regularisers of the model are added.

    Args:
        model: functional, with one named output per task.
        train: rows to learn from, with labels of every task of the model
            (of others too, which are left alone). Rows without a known
            label of any of the model's tasks are left out.
        validation: rows to judge each epoch by; required by `patience`.
        epochs: passes over the training rows, at most.
        batch_size: rows per update; an epoch's last batch may be smaller.
        optimizer: a Keras optimizer; None is ``RowSparseAdam`` for a model
            with an embedding table, else ``keras.optimizers.Adam``. One
            that has already trained this model goes on from its state.
        learning_rate: of the default optimizer: a float or a Keras
            schedule.
        decay: "linear" or "cosine" takes a float learning rate down to 0
            over all epochs; None keeps it.
        loss_weights: task -> weight of its loss; those not named weigh 1.
        patience: stop when the total validation loss has not fallen for
            so many epochs, and give back the best epoch's weights. None:
            no early stop, and the last epoch's weights stay.
        seed: of the order of rows and of dropout.
        balancing: a method of ``learning.balancing``, such as
            ``PCGrad()``. It is given the losses times their
            `loss_weights`; weights of one task's own keep that task's
            gradient. A batch without a known label of some task is not
            balanced.
        balance_at: what a method that looks at gradients looks at.
            "parameters": the weights that two tasks or more share.
            "representation": what shared layers hand on to tasks' own
            ones; cheaper, and another algorithm: conflicts are judged row
            by row before they meet in a weight, and the norm of a
            combined gradient there bounds that at the weights only up to
            a constant (Sener & Koltun, NeurIPS 2018, section 3.3).
        conflicts: measure, after each epoch, how the tasks' gradients of
            each shared layer agree (``History.conflicts``).
        anchor: pull the weights towards where they are now, for
            fine-tuning: ``L2SP(strength)``.
        rate_factors: layer -> factor on its learning rate, such as
            {"embedding": 0.1}; 1 for those not named.
        progress: show a line of progress; None decides (see
            ``progress.wanted``).
        checkpoint: folder for the state after each epoch. The same call
            again goes on from there, or returns at once if it had ended.

    Returns:
        The losses of each epoch.

    Raises:
        TrainingDiverged: a loss or weight became NaN or infinite. The
            model is left as it is.
        CheckpointError: the folder holds another run.
        ValueError: arguments or examples that do not fit the model.
    """
    settings = Settings(
        epochs,
        batch_size,
        decay,
        dict(loss_weights or {}),
        patience,
        seed,
        balancing,
        balance_at,
        conflicts,
        anchor,
        rate_factors,
    )
    optimizer, set_rate = chosen_optimizer(
        model, optimizer, learning_rate, rate_factors
    )
    settings.check(learning_rate if set_rate else optimizer, validation)
    program = TrainingProgram(
        model, optimizer, set_rate, balancing, balance_at, anchor
    )
    return run(
        program,
        train,
        validation,
        settings,
        rate=learning_rate if set_rate else None,
        shown=wanted(progress),
        label=model.name,
        checkpoint=checkpoint,
    )
