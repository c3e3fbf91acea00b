"""Training steps on JAX under ``keras.distribution``.

Nothing here says who sends what: arrays carry a layout over the devices,
and the compiler puts the communication in. The model file is the same.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.distributed.batches import padded
from mtlrec_utils.learning.distributed.job import Job
from mtlrec_utils.learning.losses import TaskLosses, masked_mean
from mtlrec_utils.machine import cpu_count

KINDS = ("data", "table")


class JaxSteps:
    """A model whose steps run on all JAX devices.

    Args:
        job: what to train.
        kind: "data" copies the model to every device and splits the
            batch; "table" splits the embedding table instead, by rows if
            their number allows it, else by columns.

    Attributes:
        devices: number of devices.
        is_chief: always true: one process drives them all.
        model: the Keras model.
        table_layout: how the table lies on the devices.

    Raises:
        ValueError: another back end, more CPU devices than cores, or a
            table that the devices cannot share evenly.
    """

    is_chief = True

    def __init__(self, job: Job, kind: str) -> None:
        require_jax()
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} must be one of {KINDS}.")
        import jax

        self._jax = jax
        self.devices = len(jax.devices())
        if jax.default_backend() == "cpu" and self.devices > cpu_count():
            raise ValueError(
                f"{self.devices} CPU devices on {cpu_count()} core(s): their "
                "all-reduce would wait for each other for ever. Use as many "
                "devices as cores."
            )
        self.table_layout: tuple[str | None, str | None] = (None, None)
        keras.distribution.set_distribution(self._distribution(job, kind))
        self.model = job.build_model()
        self.optimizer = job.build_optimizer()
        self.optimizer.build(self.model.trainable_variables)
        self.losses = TaskLosses(self.model)
        self._rows = -(-job.batch_size // self.devices) * self.devices
        self._data = "batch" if kind == "data" else None
        self._run = jax.jit(self._step)

    def _distribution(self, job: Job, kind: str) -> Any:
        names = keras.distribution.list_devices()
        if kind == "data":
            return keras.distribution.DataParallel(devices=names)
        mesh = keras.distribution.DeviceMesh(
            (1, self.devices), ("batch", "model"), names
        )
        layouts = keras.distribution.LayoutMap(mesh)
        rows, columns = table_shape(job.build_model())
        if rows % self.devices == 0:
            self.table_layout = ("model", None)
        elif columns % self.devices == 0:
            self.table_layout = (None, "model")
        else:
            raise ValueError(
                f"A table of {rows} rows and {columns} columns cannot be "
                f"shared evenly by {self.devices} devices. Choose an "
                "embedding_dimension that they divide."
            )
        layouts[".*embedding/table"] = self.table_layout
        return keras.distribution.ModelParallel(
            layout_map=layouts, batch_dim_name="batch"
        )

    def step(self, batch: Examples) -> dict[str, float]:
        """Train on one batch; return the masked mean loss of each task."""
        arrays = padded(batch, self._rows, self.losses)
        mesh = keras.distribution.distribution().device_mesh
        arrays = self._jax.tree.map(
            lambda array: keras.distribution.distribute_tensor(
                array,
                keras.distribution.TensorLayout(
                    (self._data, *[None] * (array.ndim - 1)), mesh
                ),
            ),
            arrays,
        )
        model, optimizer = self.model, self.optimizer
        before = [
            [v.value for v in variables]
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                optimizer.variables,
            )
        ]
        losses, *after = self._run(*before, arrays)
        for variables, values in zip(
            (
                model.trainable_variables,
                model.non_trainable_variables,
                optimizer.variables,
            ),
            after,
            strict=True,
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return {task: float(loss) for task, loss in losses.items()}

    def _step(self, trained: Any, others: Any, slots: Any, batch: Any) -> Any:
        """Forward, gradients, update, as a function of all that changes."""
        model = self.model

        def loss_of(values: Any) -> Any:
            mapping = [
                *zip(model.trainable_variables, values, strict=True),
                *zip(model.non_trainable_variables, others, strict=True),
            ]
            masks = batch["masks"]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                rows = self.losses.per_row(
                    batch["inputs"], batch["labels"], masks, training=True
                )
                means = {t: masked_mean(rows[t], masks[t]) for t in rows}
                total = sum(means.values(), *[sum(self.losses.graph.losses)])
            moved = [
                scope.get_current_value(v)
                for v in model.non_trainable_variables
            ]
            return total, (means, moved)

        (_, (means, moved)), gradients = self._jax.value_and_grad(
            loss_of, has_aux=True
        )(trained)
        trained, slots = self.optimizer.stateless_apply(
            slots, gradients, trained
        )
        return means, trained, moved, slots

    def state(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return weights and optimizer variables."""
        return (
            [np.asarray(v.value) for v in self.model.variables],
            [np.asarray(v.value) for v in self.optimizer.variables],
        )

    def restore(
        self, weights: list[np.ndarray], optimizer: list[np.ndarray]
    ) -> None:
        """Put a state back."""
        for variables, values in (
            (self.model.variables, weights),
            (self.optimizer.variables, optimizer),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)


def table_shape(model: Any) -> tuple[int, int]:
    """Return rows and columns of a model's embedding table.

    Raises:
        ValueError: it has none.
    """
    for variable in model.trainable_variables:
        if variable.path.endswith("embedding/table"):
            return tuple(variable.shape)
    raise ValueError(f"Model {model.name!r} has no embedding table to share.")


def require_jax() -> None:
    """Refuse ``keras.distribution`` where it does nothing.

    Raises:
        ValueError: the back end is not JAX. On TensorFlow, Keras accepts a
            distribution and trains on one device without a word.
    """
    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(
            f"keras.distribution does nothing on the {backend} back end: it "
            "is accepted, and all runs on one device. Set KERAS_BACKEND=jax "
            "before Keras is imported, or use a tf.distribute strategy."
        )
