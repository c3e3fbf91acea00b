"""Predict with a model, and measure the predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from mtlrec_utils import evidence
from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.losses import named_outputs, task_kind


class _Predictor:
    """A model's forward pass, traced once for batches of any length."""

    def __init__(self, model: Any) -> None:
        self.inputs = [x.name for x in model.inputs]
        self._graph = keras.Model(
            {x.name: x for x in model.inputs}, named_outputs(model)
        )
        specs = {
            x.name: tf.TensorSpec((None, *x.shape[1:]), x.dtype)
            for x in model.inputs
        }
        self.run = tf.function(
            lambda inputs: self._graph(inputs, training=False),
            input_signature=[specs],
            autograph=False,
            jit_compile=False,
        )
        # Traced by name: TensorFlow counts tracing calls and would warn a
        # loop over many models of "retracing".
        self.run.get_concrete_function()


def predict(
    model: Any, examples: Examples, batch_size: int = 8192
) -> dict[str, np.ndarray]:
    """Return a model's predictions, dropout off.

    The forward pass is traced at the first call and kept with the model.

    Args:
        model: functional, with one named output per task.
        examples: rows to predict; labels are not needed.
        batch_size: rows at a time.

    Returns:
        task -> float32 [N]: probability (binary) or value (regression);
        [N, K] probabilities for a multiclass task.

    Raises:
        ValueError: a model without named outputs, or a bad batch size.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r} must be at least 1.")
    predictor = _predictor(model)
    inputs = {name: examples.inputs[name] for name in predictor.inputs}
    found = {
        task: np.empty((len(examples), *output.shape[1:]), np.float32)
        for task, output in named_outputs(model).items()
    }
    for start in range(0, len(examples), batch_size):
        rows = slice(start, start + batch_size)
        batch = {
            name: tf.constant(array[rows]) for name, array in inputs.items()
        }
        for task, values in predictor.run(batch).items():
            found[task][rows] = values.numpy()
    return {
        task: values[:, 0] if values.shape[1] == 1 else values
        for task, values in found.items()
    }


def _predictor(model: Any) -> _Predictor:
    # Kept in the instance dictionary, past Keras' tracking: it is neither
    # a layer nor part of what is saved, and it goes when the model goes.
    kept = vars(model).get("_mtlrec_predictor")
    if kept is None:
        kept = _Predictor(model)
        vars(model)["_mtlrec_predictor"] = kept
    return kept


def evaluate(
    model: Any, examples: Examples, batch_size: int = 8192
) -> pd.DataFrame:
    """Measure a model on the rows whose labels are known.

    Args:
        model: functional, with one named output per task.
        examples: rows with labels of the tasks to measure; tasks that the
            model does not predict are left out, and the other way round.
        batch_size: rows at a time.

    Returns:
        Columns task, metric, value; see ``measure``.

    Raises:
        ValueError: no common task, or labels that a metric cannot use.
    """
    kinds = {t: task_kind(model, t) for t in named_outputs(model)}
    return measure(predict(model, examples, batch_size), examples, kinds)


def measure(
    predictions: Mapping[str, np.ndarray],
    examples: Examples,
    kinds: Mapping[str, str],
) -> pd.DataFrame:
    """Measure predictions on the rows whose labels are known.

    Args:
        predictions: task -> [N] or [N, K], as from ``predict``.
        examples: the rows that were predicted.
        kinds: task -> "binary", "regression" or "multiclass".

    Returns:
        Columns task, metric, value. Binary: auc, log_loss and, where the
        examples have users, gauc (NaN if no user has both classes).
        Regression: rmse. Multiclass: log_loss, accuracy.

    Raises:
        ValueError: no common task, or labels that a metric cannot use
            (a task with one class only has no AUC).
    """
    tasks = [task for task in predictions if task in examples.labels]
    if not tasks:
        raise ValueError(
            f"Predictions are of {', '.join(map(repr, predictions))}, but "
            "the examples have labels of "
            f"{', '.join(map(repr, examples.labels)) or 'no task'}."
        )
    rows = []
    for task in tasks:
        known = examples.masks[task] > 0
        groups = None if examples.users is None else examples.users[known]
        try:
            values = _task_metrics(
                kinds[task],
                examples.labels[task][known],
                predictions[task][known],
                groups,
            )
        except ValueError as error:
            raise ValueError(f"Task {task!r}: {error}") from error
        rows += [
            {"task": task, "metric": name, "value": value}
            for name, value in values.items()
        ]
    return pd.DataFrame(rows, columns=["task", "metric", "value"])


def _task_metrics(
    kind: str,
    labels: np.ndarray,
    predictions: np.ndarray,
    groups: np.ndarray | None,
) -> dict[str, float]:
    if not len(labels):
        raise ValueError("no row has a known label, nothing to measure.")
    if kind == "regression":
        return {"rmse": evidence.rmse(labels, predictions)}
    if kind == "multiclass":
        return {
            "log_loss": evidence.multiclass_log_loss(labels, predictions),
            "accuracy": evidence.accuracy(labels, predictions),
        }
    values = {"auc": evidence.auc(labels, predictions)}
    if groups is not None:
        values["gauc"] = _gauc(labels, predictions, groups)
    values["log_loss"] = evidence.log_loss(labels, predictions)
    return values


def _gauc(
    labels: np.ndarray, predictions: np.ndarray, groups: np.ndarray
) -> float:
    try:
        return evidence.gauc(labels, predictions, groups)
    except ValueError:  # predictions were checked: no user has both classes
        return float("nan")
