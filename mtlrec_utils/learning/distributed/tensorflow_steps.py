"""Training steps under any ``tf.distribute`` strategy, by a custom loop.

``fit`` is not used: under MultiWorkerMirroredStrategy it fails in Keras 3
(keras issues 20585 and 20329). The same few lines serve one device, the
devices of one machine, and many machines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.checkpoints import assign, to_numpy
from mtlrec_utils.learning.distributed.batches import padded, part
from mtlrec_utils.learning.distributed.job import Job
from mtlrec_utils.learning.losses import TaskLosses, masked_sum


class TensorFlowSteps:
    """A model whose steps run on all devices of a strategy.

    Every device takes its part of the batch. Its gradient is that of

        sum_t (sum of its masked losses of t) / (known labels of t in the
        whole batch),

    so the sum over devices is the gradient of the masked means of the
    whole batch, whatever labels fall to which device. A mean per device,
    averaged, would weigh a label more where there are few of them.

    Dropout draws differ from those of one device, and batch normalisation
    sees one device's part of a batch.

    Args:
        job: what to train.
        strategy: of ``tf.distribute``; None is one device.

    Attributes:
        devices: number of devices in step.
        is_chief: whether this process writes checkpoints.
        model: the Keras model.
    """

    def __init__(self, job: Job, strategy: Any = None) -> None:
        self._strategy = strategy or tf.distribute.get_strategy()
        self.devices = self._strategy.num_replicas_in_sync
        resolver = getattr(self._strategy, "cluster_resolver", None)
        self.is_chief = resolver is None or resolver.task_id in (None, 0)
        with self._strategy.scope():
            self.model = job.build_model()
            self.optimizer = job.build_optimizer()
            self.optimizer.build(self.model.trainable_variables)
        self.losses = TaskLosses(self.model)
        self._rows = -(-job.batch_size // self.devices) * self.devices
        self._run = tf.function(
            lambda batch: self._strategy.run(self._step, (batch,)),
            autograph=False,
            jit_compile=False,
        )

    def step(self, batch: Examples) -> dict[str, float]:
        """Train on one batch; return the masked mean loss of each task."""
        arrays = padded(batch, self._rows, self.losses)
        if self.devices == 1:
            mine = tf.nest.map_structure(tf.convert_to_tensor, arrays)
        else:
            mine = self._strategy.experimental_distribute_values_from_function(
                lambda context: tf.nest.map_structure(
                    tf.convert_to_tensor,
                    part(
                        arrays,
                        context.replica_id_in_sync_group,
                        context.num_replicas_in_sync,
                    ),
                )
            )
        found = self._run(mine)
        first = self._strategy.experimental_local_results(found)[0].numpy()
        return dict(zip(self.losses.tasks, first.tolist(), strict=True))

    def _step(self, batch: Any) -> Any:
        """Forward, gradients, all-reduce, update: one device."""
        masks, tasks = batch["masks"], self.losses.tasks
        context = tf.distribute.get_replica_context()
        known = self._summed(
            context, tf.stack([tf.reduce_sum(masks[t]) for t in tasks])
        )
        known = tf.where(known > 0, known, 1.0)
        with tf.GradientTape() as tape:
            rows = self.losses.per_row(
                batch["inputs"], batch["labels"], masks, training=True
            )
            shares = (
                tf.stack([masked_sum(rows[t], masks[t]) for t in tasks])
                / known
            )
            loss = tf.reduce_sum(shares)
            for penalty in self.losses.graph.losses:
                loss += penalty / context.num_replicas_in_sync
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        # Keras adds the gradients of all devices in here.
        self.optimizer.apply(gradients, variables)
        return self._summed(context, shares)

    def _summed(self, context: Any, value: Any) -> Any:
        if self.devices == 1:
            return value
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    def state(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return weights and optimizer variables."""
        return (
            to_numpy(self.model.variables),
            to_numpy(self.optimizer.variables),
        )

    def restore(
        self, weights: list[np.ndarray], optimizer: list[np.ndarray]
    ) -> None:
        """Put a state back."""
        assign(self.model.variables, weights)
        assign(self.optimizer.variables, optimizer)


def refuse_fit_on_workers(strategy: Any) -> None:
    """Refuse ``fit`` under a strategy where Keras 3 breaks in the middle.

    Raises:
        ValueError: the strategy spans several processes.
    """
    kinds = (
        tf.distribute.MultiWorkerMirroredStrategy,
        tf.distribute.ParameterServerStrategy,
    )
    if isinstance(strategy, kinds):
        raise ValueError(
            "model.fit does not work under a strategy of several processes "
            "in Keras 3: it fails on the first batch. Use train(job, "
            "TensorFlowSteps(job, strategy)), or MirroredStrategy on one "
            "machine, where fit works."
        )
