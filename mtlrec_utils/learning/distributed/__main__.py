"""The command line of distributed training; also what a worker runs."""

from __future__ import annotations

import argparse
import os
import threading
import time
from typing import Any

from mtlrec_utils.learning.distributed.launch import PLACES


def main(arguments: list[str] | None = None) -> None:
    """Launch a job, or (``--as``) take part in one."""
    parser = argparse.ArgumentParser(
        prog="python -m mtlrec_utils.learning.distributed",
        description="Train a job on one device, several, or many machines.",
    )
    parser.add_argument("job", help="file of Job.save")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine"
    )
    parser.add_argument(
        "--mirrored", type=int, metavar="N", help="devices of one process"
    )
    parser.add_argument(
        "--jax",
        nargs=2,
        metavar=("KIND", "N"),
        help="JAX devices; KIND is 'data' or 'table'",
    )
    parser.add_argument(
        "--addresses", nargs="+", help="host:port of every worker"
    )
    parser.add_argument(
        "--index", type=int, help="which address this machine is"
    )
    parser.add_argument(
        "--restarts", type=int, default=0, help="after a worker has died"
    )
    parser.add_argument(
        "--as", dest="place", choices=PLACES, help=argparse.SUPPRESS
    )
    parser.add_argument("--count", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.place:
        _end_with_parent()
        take_part(options.job, options.place, options.count)
        return
    from mtlrec_utils.learning.distributed.launch import launch

    place, count = "one", 1
    if options.workers or options.addresses:
        place, count = "workers", options.workers or len(options.addresses)
    elif options.mirrored:
        place, count = "mirrored", options.mirrored
    elif options.jax:
        place, count = options.jax[0], int(options.jax[1])
    print(
        launch(
            options.job,
            place,
            count,
            addresses=options.addresses,
            index=options.index,
            restarts=options.restarts,
        )
    )


def take_part(job_file: str, place: str, count: int) -> None:
    """Train as one process of a job."""
    from mtlrec_utils.learning.distributed.job import Job
    from mtlrec_utils.learning.distributed.loop import train

    job = Job.load(job_file)
    train(job, _steps(job, place, count))


def _steps(job: Any, place: str, count: int) -> Any:
    if place in ("data", "table"):
        from mtlrec_utils.learning.distributed.jax_steps import JaxSteps

        return JaxSteps(job, place)
    from mtlrec_utils.learning.distributed.tensorflow_steps import (
        TensorFlowSteps,
    )

    return TensorFlowSteps(job, strategy(place, count))


def strategy(place: str, count: int) -> Any:
    """Make the ``tf.distribute`` strategy of a place; None for one device.

    It must come before TensorFlow has done anything else in this process.
    """
    import tensorflow as tf

    if place == "one":
        return None
    if place == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.distribute.MirroredStrategy(
            [f"GPU:{k}" for k in range(min(count, len(gpus)))]
        )
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )
    return tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(count)])


def _end_with_parent() -> None:
    """End this process soon after the one that started it has ended."""
    parent = os.environ.get("MTLREC_PARENT")
    if not parent or not hasattr(os, "getppid"):
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
