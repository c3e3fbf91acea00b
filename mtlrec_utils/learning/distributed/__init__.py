"""One training function on one device, several, or many machines.

``train(job, steps)`` reads, steps and keeps; ``steps`` says on what:

* ``TensorFlowSteps(job)``: one device;
* ``TensorFlowSteps(job, MirroredStrategy(...))``: devices of one machine;
* ``TensorFlowSteps(job, MultiWorkerMirroredStrategy())``: many processes;
* ``JaxSteps(job, "data")`` and ``JaxSteps(job, "table")``: JAX devices,
  the batch or the embedding table shared out.

``launch(job_file, "workers", 2)`` starts the processes for it, and so does

    python -m mtlrec_utils.learning.distributed JOB.json --workers 2

on one machine. On machine k of several, the same command takes all
addresses and k:

    python -m mtlrec_utils.learning.distributed JOB.json \\
        --addresses 10.0.0.1:2222 10.0.0.2:2222 --index 0

Tests run several processes on one machine; several machines were never
tried. Shards, schema and output must then lie on a disk that all share.

``model.fit`` is not a way to do the third: ``refuse_fit_on_workers`` says
why.
"""

from mtlrec_utils.learning.distributed.jax_steps import JaxSteps, require_jax
from mtlrec_utils.learning.distributed.job import Job
from mtlrec_utils.learning.distributed.launch import (
    WorkerDiedError,
    launch,
    start_workers,
)
from mtlrec_utils.learning.distributed.loop import (
    Summary,
    largest_difference,
    read_summary,
    save_start,
    train,
)
from mtlrec_utils.learning.distributed.tensorflow_steps import (
    TensorFlowSteps,
    refuse_fit_on_workers,
)

__all__ = [
    "JaxSteps",
    "Job",
    "Summary",
    "TensorFlowSteps",
    "WorkerDiedError",
    "largest_difference",
    "launch",
    "read_summary",
    "refuse_fit_on_workers",
    "require_jax",
    "save_start",
    "start_workers",
    "train",
]
