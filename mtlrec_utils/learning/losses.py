"""Task losses: one masked mean per task, weighed outside the model.

A model only predicts. What it is trained on is decided here:

* the kind of a task is read from the model's last layer of that name:
  sigmoid is binary, softmax is multiclass, linear is regression (a layer
  of another sort may say so in an attribute ``kind``);
* binary cross-entropy, sparse categorical cross-entropy or squared error
  per row;
* the mean over the rows whose mask is 1 (PLE, RecSys 2020, equation 9):
  sum(m l) / sum(m), and 0 where no row counts.

Cross-entropies are computed from the logits that enter the last layer, so
they stay exact, with a gradient that never vanishes, for logits of any
size. If there are none to be had (a product of probabilities, say), the
probability is kept ``keras.config.epsilon()`` = 1e-7 away from 0 and 1.

A task's last layer may say more about how it is trained, by any of:

* ``row_loss(ends, label, known)``, in ``keras.ops``: the loss of each
  row, [B], from what enters the layer (float32, in the layer's own
  structure), the labels [B] and where they are known [B] (0 or 1; the
  label is 0 where it is not);
* ``every_row = True``: the loss is the mean over all rows, and
  ``row_loss`` decides what a row without a label costs. For binary tasks;
* ``trained = False``: the output is predicted and measured, but has no
  loss of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from mtlrec_utils.data.examples import Examples

_KIND_OF_ACTIVATION = {
    "sigmoid": "binary",
    "softmax": "multiclass",
    "linear": "regression",
}

# On the device, in tasks judged on every row: a label that nobody knows.
UNKNOWN_LABEL = -1.0


class TaskLosses:
    """The losses of a model's tasks, and the graph that leads to them.

    Attributes:
        model: the model.
        tasks: names of the trained outputs, in the model's order.
        kinds: output -> "binary", "regression" or "multiclass", for the
            outputs that are not trained too.
        every_row: the tasks whose loss is a mean over all rows.
        inputs: names of the model's inputs.
        graph: a model that shares all layers but ends in logits where the
            loss can use them.

    Raises:
        ValueError: the model is not functional with a dictionary of
            outputs, none of them is trained, a task's kind cannot be told,
            or a layer says ``every_row`` of a task that is not binary or
            without a ``row_loss``.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        outputs = named_outputs(model)
        self.tasks = trained_tasks(model)
        self.inputs = tuple(x.name for x in model.inputs)
        self.kinds = {t: task_kind(model, t) for t in outputs}
        self.every_row = frozenset(
            t for t in self.tasks if self._judged_on_every_row(t)
        )
        self._row_losses = {}
        self._from_logits = {}
        ends = {}
        for task in self.tasks:
            layer = _last_layer(model, task)
            if hasattr(layer, "row_loss"):
                self._row_losses[task] = layer.row_loss
                ends[task] = layer.input
                continue
            logits = _logits(model, task)
            self._from_logits[task] = logits is not None
            ends[task] = outputs[task] if logits is None else logits
        self.graph = keras.Model({x.name: x for x in model.inputs}, ends)

    def _judged_on_every_row(self, task: str) -> bool:
        layer = _last_layer(self.model, task)
        if not getattr(layer, "every_row", False):
            return False
        if self.kinds[task] != "binary" or not hasattr(layer, "row_loss"):
            raise ValueError(
                f"Task {task!r}: its last layer says `every_row = True`, "
                "which is for binary tasks with a method `row_loss`."
            )
        return True

    def per_row(
        self,
        inputs: Mapping[str, Any],
        labels: Mapping[str, Any],
        masks: Mapping[str, Any],
        training: bool,
    ) -> dict[str, Any]:
        """Run the model; return task -> loss of each row, [B] float32.

        Labels of masked rows are never looked at; their loss is that of
        label 0, or what the last layer's ``row_loss`` makes of it.

        Args:
            inputs: of the model, each [B, ...].
            labels: task -> [B], as ``tensors`` makes them.
            masks: task -> [B], the weight of each row in its mean.
            training: dropout on, and losses that layers add.
        """
        ends = self.graph(inputs, training=training)
        return {
            task: self._loss(
                task,
                keras.tree.map_structure(
                    lambda end: ops.cast(end, "float32"), ends[task]
                ),
                labels[task],
                masks[task],
            )
            for task in self.tasks
        }

    def _loss(self, task: str, end: Any, label: Any, mask: Any) -> Any:
        known = mask > 0
        if task in self.every_row:
            known = label != UNKNOWN_LABEL
        label = ops.where(known, label, 0)
        if task in self._row_losses:
            known = ops.cast(known, "float32")
            return self._row_losses[task](end, label, known)
        from_logits = self._from_logits[task]
        if self.kinds[task] == "multiclass":
            return ops.sparse_categorical_crossentropy(
                label, end, from_logits=from_logits
            )
        value = ops.squeeze(end, -1)
        if self.kinds[task] == "binary":
            return ops.binary_crossentropy(label, value, from_logits)
        return ops.square(value - label)


def masked_sum(losses: Any, mask: Any) -> Any:
    """Return sum(m l); a masked row adds exactly 0, whatever its loss."""
    return ops.sum(ops.where(mask > 0, mask * losses, 0.0))


def masked_mean(losses: Any, mask: Any) -> Any:
    """Return sum(m l) / sum(m), and 0 where every row is masked.

    Args:
        losses: [B], loss of each row.
        mask: [B], 0 or 1 (or any weight from 0 up).
    """
    count = ops.sum(mask)
    return masked_sum(losses, mask) / ops.where(count > 0, count, 1.0)


def task_weights(
    loss_weights: Mapping[str, float] | None, tasks: tuple[str, ...]
) -> dict[str, float]:
    """Return a weight for each task; those not named weigh 1.

    Raises:
        ValueError: an unknown task, or a weight that is negative or not
            finite, or weights that are all 0.
    """
    given = dict(loss_weights or {})
    unknown = [task for task in given if task not in tasks]
    if unknown:
        raise ValueError(
            f"loss_weights names {', '.join(map(repr, unknown))}, but the "
            f"model's tasks are {', '.join(map(repr, tasks))}."
        )
    for task, weight in given.items():
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(
                f"loss_weights[{task!r}] = {weight!r}: a weight must be a "
                "finite number of at least 0."
            )
    weights = {task: float(given.get(task, 1.0)) for task in tasks}
    if not any(weights.values()):
        raise ValueError(
            "loss_weights are all 0: nothing would be learned. Give at "
            "least one task a weight above 0."
        )
    return weights


def named_outputs(model: Any) -> dict[str, Any]:
    """Return task -> symbolic output of a functional model.

    Raises:
        ValueError: the model is not functional, reads something else than
            "ids" and "numbers", or has outputs without names.
    """
    if not isinstance(model, keras.Model) or not hasattr(model, "output"):
        raise ValueError(
            f"Expected a functional Keras model, got {type(model).__name__}."
            " Build it with keras.Model(inputs, {task name: output})."
        )
    outputs = model.output
    if not isinstance(outputs, Mapping):
        raise ValueError(
            f"Model {model.name!r} has outputs without task names. Build "
            "it with keras.Model(inputs, {task name: output})."
        )
    unknown = {x.name for x in model.inputs} - {"ids", "numbers"}
    if unknown:
        raise ValueError(
            f"Model {model.name!r} reads {sorted(unknown)}, but examples "
            "have 'ids' and 'numbers'. Name its inputs so."
        )
    return dict(outputs)


def trained_tasks(model: Any) -> tuple[str, ...]:
    """Return the names of a model's outputs that have a loss.

    Raises:
        ValueError: there is none, or the model is not functional with a
            dictionary of outputs.
    """
    tasks = tuple(
        task
        for task in named_outputs(model)
        if getattr(_last_layer(model, task), "trained", True)
    )
    if not tasks:
        raise ValueError(
            f"No output of model {model.name!r} is trained: every last "
            "layer says `trained = False`."
        )
    return tasks


def task_kind(model: Any, task: str) -> str:
    """Read a task's kind from the model's last layer of that name.

    Returns:
        "binary", "regression" or "multiclass".

    Raises:
        ValueError: the layer does not tell.
    """
    layer = _last_layer(model, task)
    kind = getattr(layer, "kind", None)
    if kind in _KIND_OF_ACTIVATION.values():
        return str(kind)
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", None)
    if name not in _KIND_OF_ACTIVATION:
        raise ValueError(
            f"Cannot tell the kind of task {task!r}: the last layer "
            f"{layer.name!r} has neither a sigmoid, softmax or linear "
            "activation nor an attribute `kind`."
        )
    return _KIND_OF_ACTIVATION[name]


def _last_layer(model: Any, task: str) -> Any:
    return model.output[task]._keras_history.operation


def _logits(model: Any, task: str) -> Any:
    """Return what enters a task's last activation, if it is a plain one."""
    layer = _last_layer(model, task)
    if not isinstance(layer, keras.layers.Activation):
        return None
    if layer.activation.__name__ not in _KIND_OF_ACTIVATION:
        return None
    try:
        return layer.input
    except (AttributeError, ValueError):  # used more than once
        return None


def tensors(
    examples: Examples, losses: TaskLosses
) -> dict[str, dict[str, tf.Tensor]]:
    """Copy what a model needs of some examples to the device, once.

    Masks say which rows a task's mean is taken over. For a task judged on
    every row they are 1, and unknown labels are ``UNKNOWN_LABEL``.
    """
    labels, masks = {}, {}
    for task in losses.tasks:
        label, mask = examples.labels[task], examples.masks[task]
        if task in losses.every_row:
            label = np.where(mask > 0, label, UNKNOWN_LABEL)
            mask = np.ones_like(mask)
        labels[task] = tf.constant(label, label_type(losses.kinds[task]))
        masks[task] = tf.constant(mask, tf.float32)
    inputs = {
        name: tf.constant(examples.inputs[name]) for name in losses.inputs
    }
    return {"inputs": inputs, "labels": labels, "masks": masks}


def label_type(kind: str) -> tf.DType:
    """Return the type of a task's labels on the device."""
    return tf.int32 if kind == "multiclass" else tf.float32
