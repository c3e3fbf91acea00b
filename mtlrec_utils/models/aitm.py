"""AITM: each step of a funnel learns from the step before it.

The ends are those of ``multitask.py``. A task of a funnel predicts the
chance of its step *on every row*, so the schema says what holds outside
its sample space: Task("click_and_purchase", label="purchase",
sample_space="click", outside=0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.features_and_towers import (
    activated,
    chosen_tasks,
    joined_features,
    output_width,
    task_logits,
    tasks_by_name,
)
from mtlrec_utils.models.information_transfer import (
    Calibrator,
    TransferAttention,
)
from mtlrec_utils.models.initialisation import derived_seed, seeded
from mtlrec_utils.models.layers import MLP


def aitm(
    schema: Any,
    tasks: Sequence[str] | None = None,
    *,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    alpha: float = 0.6,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a funnel whose steps hand on what they know.

    With p_t handed over by the step before, of width k:

        z_t = sum_(u in {p_t, q_t}) softmax_u(h2(u) . h3(u) / sqrt k) h1(u).

    Each task t has a bottom of its own on the shared embedding, q_t
    ("bottom_<task>"). The first tower reads z_1 = q_1. Later ones read
    z_t, the attention ("attention_<task>") over q_t and the vector that
    the step before hands over ("transferred_<task>", one layer on
    z_(t-1)). With one task this is a plain multi-layer perceptron.

    Args:
        schema: a fitted ``Schema``.
        tasks: names in the order of the funnel, first step first; None
            takes the schema's order.
        embedding_dimension: width of one id's embedding.
        bottom_units: widths of each bottom's layers; the last is k.
        tower_units: widths of each task's tower; () for none.
        alpha: weight of the calibrators ("calibrator_<task>"), which
            charge for a binary task predicted likelier than the binary
            task before it; 0 for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, tasks that are unknown, repeated or
            out of order, a calibrated task that is unknown on some rows, a
            bad width or alpha.

    Source: Xi et al., "Modeling the Sequential Dependence among Audience
    Multi-step Conversions", KDD 2021.
    """
    steps = _steps(schema, tasks)
    inputs, features = joined_features(schema, embedding_dimension, seed)
    hidden: dict[str, Any] = {}
    before = None
    for name in steps:
        own = _bottom(name, bottom_units, dropout, seed)(features)
        hidden[name] = own
        if before is not None:
            handed = _transfer(name, own.shape[-1], seed)(hidden[before])
            attention = TransferAttention(
                seed=derived_seed(seed, "attention", name),
                name=f"attention_{name}",
            )
            hidden[name], _ = attention([handed, own])
        before = name
    widths = {name: output_width(task) for name, task in steps.items()}
    logits = task_logits(widths, hidden, tower_units, dropout, seed)
    outputs = activated(steps, _calibrated(steps, logits, alpha))
    return keras.Model(inputs, outputs, name="aitm")


def transfer_weights(
    model: keras.Model, examples: Any, batch_size: int = 8192
) -> dict[str, np.ndarray]:
    """Read how much each step listens to the step before it.

    Args:
        model: from ``aitm``.
        examples: ``Examples``, or their ``inputs`` dictionary.
        batch_size: rows at a time.

    Returns:
        {task: [N] float32 in (0, 1)}, the weight of what was handed over,
        for every task but the first; a task's own view has the rest.

    Raises:
        ValueError: the model hands nothing over.
    """
    reads = {
        layer.name.removeprefix("attention_"): layer.output[1]
        for layer in model.layers
        if isinstance(layer, TransferAttention)
    }
    if not reads:
        raise ValueError(
            f"Model {model.name!r} hands nothing from task to task; build "
            "it with aitm(...) and two tasks or more."
        )
    inputs = getattr(examples, "inputs", examples)
    inputs = {x.name: np.asarray(inputs[x.name]) for x in model.inputs}
    reader = keras.Model({x.name: x for x in model.inputs}, reads)
    n_rows = len(next(iter(inputs.values())))
    found = {task: np.empty(n_rows, "float32") for task in reads}
    for start in range(0, n_rows, batch_size):
        rows = slice(start, start + batch_size)
        batch = {name: x[rows] for name, x in inputs.items()}
        for task, weights in reader(batch, training=False).items():
            found[task][rows] = keras.ops.convert_to_numpy(weights)[:, 0]
    return found


def count_violations(
    predictions: Mapping[str, Any], tasks: Sequence[str]
) -> dict[str, int]:
    """Count the rows where a step is predicted likelier than its opener.

    Args:
        predictions: task -> [N] probabilities on the same rows, as from
            ``learning.predict``.
        tasks: the funnel, first step first; at least one.

    Returns:
        {task: rows with y_t > y_(t-1)} for every task but the first. Equal
        predictions are no violation.

    Raises:
        ValueError: a task without predictions, or other shapes.
    """
    _check_repeats(tasks)
    missing = [task for task in tasks if task not in predictions]
    if missing:
        raise ValueError(
            f"No predictions of {', '.join(map(repr, missing))}; there are "
            f"some of {', '.join(map(repr, predictions))}."
        )
    values = {task: np.asarray(predictions[task]) for task in tasks}
    shapes = {task: value.shape for task, value in values.items()}
    if len(set(shapes.values())) > 1 or any(
        len(s) != 1 for s in shapes.values()
    ):
        raise ValueError(
            f"Predictions must be vectors over the same rows, not {shapes}."
        )
    return {
        later: int((values[later] > values[earlier]).sum())
        for earlier, later in zip(tasks, tasks[1:], strict=False)
    }


def _steps(schema: Any, names: Sequence[str] | None) -> dict[str, Any]:
    """Return the funnel's tasks in order, or say why they are none."""
    if names is None:
        names = list(tasks_by_name(schema))
    _check_repeats(names)
    steps = chosen_tasks(schema, names)
    opened: list[str] = []
    columns = {task.label_column: name for name, task in steps.items()}
    for name, task in steps.items():
        opener = columns.get(task.sample_space)
        if opener is not None and opener not in opened:
            raise ValueError(
                f"Task {name!r} happens only after {opener!r}, its sample "
                "space, so it cannot come first. Order the tasks as the "
                "funnel runs."
            )
        opened.append(name)
    return steps


def _check_repeats(names: Sequence[str]) -> None:
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise ValueError(
            f"tasks={names!r}: give a list of task names, at least one and "
            "none twice, in the order of the funnel."
        )


def _bottom(
    name: str, units: Sequence[int], dropout: float, seed: int | None
) -> keras.layers.Layer:
    widths = positive_widths("bottom_units", units)
    if not widths:
        raise ValueError(
            "bottom_units is empty; its last width is what steps hand on."
        )
    return MLP(
        widths,
        dropout=dropout,
        seed=derived_seed(seed, "bottom", name),
        name=f"bottom_{name}",
    )


def _transfer(name: str, width: int, seed: int | None) -> keras.layers.Layer:
    return keras.layers.Dense(
        width,
        activation="relu",
        kernel_initializer=seeded("glorot_uniform", seed, "transferred", name),
        name=f"transferred_{name}",
    )


def _calibrated(
    steps: Mapping[str, Any], logits: Mapping[str, Any], alpha: float
) -> dict[str, Any]:
    """Put a calibrator behind the logit of each binary task but one."""
    calibrated = dict(logits)
    binary = [name for name, task in steps.items() if task.kind == "binary"]
    for earlier, later in zip(binary, binary[1:], strict=False):
        layer = Calibrator(alpha, name=f"calibrator_{later}")
        if not layer.alpha:
            continue
        for name in (earlier, later):
            task = steps[name]
            if task.sample_space is not None and task.outside is None:
                raise ValueError(
                    f"Task {name!r} is known on some rows only, so its "
                    "chance there is no chance over all rows to compare "
                    "with. Say outside=0 in the Task, or alpha=0."
                )
        calibrated[later] = layer([logits[later], logits[earlier]])
    return calibrated
