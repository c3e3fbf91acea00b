"""Teach a small model by the predictions of a large one.

The student gets, beside each task's own output, a second one that is trained
on the teacher's prediction: a soft target. Both are losses of their own, so
``learning.fit`` does the rest, and the student itself never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.history import History
from mtlrec_utils.learning.losses import (
    named_outputs,
    task_kind,
    task_weights,
    trained_tasks,
)
from mtlrec_utils.learning.prediction import predict
from mtlrec_utils.learning.training import fit
from mtlrec_utils.models.layers import LabelUnit

SUFFIX = "_soft"
_CLOSEST = 1e-7  # a probability of 1 has no logit


@keras.saving.register_keras_serializable("mtlrec")
class SoftTarget(keras.layers.Layer):
    """A binary task's logit z, softened and trained on a soft target q.

    It predicts sigmoid(z / T), and its loss of a row is

        T^2 (-q log sigmoid(z / T) - (1 - q) log(1 - sigmoid(z / T))).

    With q = sigmoid(v / T) of the teacher's logit v, its derivative by z is
    T (sigmoid(z / T) - sigmoid(v / T)): for large T it tends to (z - v) / 4,
    which matches logits; the factor T^2 keeps it of one size.

    Args:
        temperature: T, above 0.

    Raises:
        ValueError: a temperature that is not positive and finite.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural
    Network", NIPS 2014 workshop, section 2 and 2.1.
    """

    kind = "binary"

    def __init__(self, temperature: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.temperature = _checked_temperature(temperature)

    def call(self, logit: Any) -> Any:
        """Return sigmoid(z / T), in the shape of the logit."""
        return ops.sigmoid(logit / self.temperature)

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return the loss of each row, [B]."""
        softened = ops.squeeze(ends, -1) / self.temperature
        loss = ops.binary_crossentropy(label, softened, from_logits=True)
        return self.temperature**2 * loss

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of the logit."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {**super().get_config(), "temperature": self.temperature}


def distil(
    student: Any,
    teacher: Any,
    train: Examples,
    validation: Examples | None = None,
    *,
    weight: float = 0.5,
    temperature: float = 2.0,
    loss_weights: Mapping[str, float] | None = None,
    **fit_options: Any,
) -> History:
    """Train a student on labels and on a teacher's predictions.

    Task t with weight w_t has the loss

        w_t ((1 - weight) L_t(label) + weight L_t(teacher)),

    each a mean over the rows where the label of t is known. A regression's
    soft target is the teacher's value.

    Args:
        student: functional, built for the same columns; trained in place.
        teacher: a trained model that predicts the student's tasks.
        train: rows to learn from.
        validation: rows to judge each epoch by, with both losses.
        weight: 0 is plain training, 1 leaves the labels out.
        temperature: of the soft targets of binary tasks, above 0.
        loss_weights: task -> w_t; 1 for those not named.
        **fit_options: of ``learning.fit``.

    Returns:
        The losses of each epoch; the soft ones carry the name of the task
        and "_soft".

    Raises:
        ValueError: a weight outside [0, 1], a bad temperature, a task that
            the teacher does not predict or that cannot be distilled, or
            what ``fit`` refuses.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight={weight!r} must be in [0, 1].")
    pupil = with_soft_targets(student, temperature)
    tasks = trained_tasks(student)
    predicted = named_outputs(teacher)
    missing = [task for task in tasks if task not in predicted]
    if missing:
        raise ValueError(
            f"The teacher predicts {', '.join(map(repr, predicted))}, but "
            f"the student also {', '.join(map(repr, missing))}. Train a "
            "teacher of all the student's tasks."
        )
    weights = {}
    for task, own in task_weights(loss_weights, tasks).items():
        weights[task] = own * (1 - weight)
        weights[task + SUFFIX] = own * weight
    kinds = {task: task_kind(teacher, task) for task in tasks}

    def softened(rows: Examples) -> Examples:
        return soft_examples(rows, predict(teacher, rows), kinds, temperature)

    return fit(
        pupil,
        softened(train),
        None if validation is None else softened(validation),
        loss_weights=weights,
        **fit_options,
    )


def with_soft_targets(student: Any, temperature: float) -> keras.Model:
    """Give each task of a model a second output for the teacher's word.

    Returns:
        A model that shares all layers with the student and also predicts
        "<task>_soft": ``SoftTarget`` of a binary task's logit, or a
        regression's value once more.

    Raises:
        ValueError: a task of another kind, or without a logit of its own.
    """
    temperature = _checked_temperature(temperature)
    outputs = named_outputs(student)
    soft = {}
    for task in trained_tasks(student):
        last = outputs[task]._keras_history.operation
        if not isinstance(last, keras.layers.Activation | LabelUnit):
            raise ValueError(
                f"Task {task!r} ends in {type(last).__name__}: only tasks "
                "that end in a logit or a value can be distilled."
            )
        kind, name = task_kind(student, task), task + SUFFIX
        if kind == "binary":
            second = SoftTarget(temperature, dtype="float32", name=name)
        elif kind == "regression":
            second = type(last).from_config(
                {**last.get_config(), "name": name}
            )
        else:
            raise ValueError(
                f"Task {task!r} is {kind}: only binary and regression tasks "
                "can be distilled."
            )
        soft[name] = second(last.input)
    return keras.Model(
        {x.name: x for x in student.inputs},
        {**outputs, **soft},
        name=student.name,
    )


def soft_examples(
    examples: Examples,
    predictions: Mapping[str, np.ndarray],
    kinds: Mapping[str, str],
    temperature: float,
) -> Examples:
    """Add a teacher's predictions to some rows, as labels "<task>_soft".

    A probability p becomes sigmoid(logit(p) / T). T -> 0 gives the
    teacher's decision, 0 or 1 (0.5 where p is 0.5), T -> infinity 0.5
    everywhere. Each soft label has the mask of its task.

    Args:
        examples: the rows that were predicted.
        predictions: task -> [N].
        kinds: task -> "binary" or "regression".
        temperature: T, above 0.

    Raises:
        ValueError: a bad temperature, or a task without labels.
    """
    temperature = _checked_temperature(temperature)
    labels, masks = dict(examples.labels), dict(examples.masks)
    for task, kind in kinds.items():
        if task not in examples.masks:
            raise ValueError(
                f"The rows have no labels of task {task!r}, so it is not "
                "known which of them count. Encode them with that task."
            )
        soft = np.asarray(predictions[task], np.float64)
        if kind == "binary":
            p = np.clip(soft, _CLOSEST, 1 - _CLOSEST)
            # tanh does not overflow, however cold: the same sigmoid.
            half = np.log(p / (1 - p)) / (2 * temperature)
            soft = (1 + np.tanh(half)) / 2
        mask = examples.masks[task]
        labels[task + SUFFIX] = np.where(mask > 0, soft, 0).astype("float32")
        masks[task + SUFFIX] = mask
    return replace(examples, labels=labels, masks=masks)


def _checked_temperature(temperature: float) -> float:
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(
            f"temperature={temperature!r} must be a finite number above 0."
        )
    return float(temperature)
