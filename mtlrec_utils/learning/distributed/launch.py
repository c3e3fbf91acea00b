"""Start the processes of a job, watch them, start them again.

Plain processes and one environment variable, ``TF_CONFIG``, are all that
TensorFlow needs. When one worker dies the others cannot go on; they are
ended, and all start again from the last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mtlrec_utils.learning.distributed.job import Job
from mtlrec_utils.learning.distributed.loop import (
    SUMMARY,
    Summary,
    read_summary,
)

PLACES = ("one", "mirrored", "workers", "data", "table")
_MODULE = "mtlrec_utils.learning.distributed"


class WorkerDiedError(RuntimeError):
    """A process of a job ended before its work was done."""


@dataclass
class Workers:
    """Processes of one job that were started together.

    Attributes:
        processes: in order; the first is the chief if it is here.
        logs: file of what each of them wrote.
    """

    processes: list[subprocess.Popen[bytes]]
    logs: list[Path]

    def stop(self) -> None:
        """End all processes that still run, and wait for them."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all have ended well.

        Raises:
            WorkerDiedError: one has not; the others are stopped. The
                message holds the end of its log.
            TimeoutError: it took too long; all are stopped.
        """
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                codes = [process.poll() for process in self.processes]
                bad = [k for k, code in enumerate(codes) if code]
                if bad:
                    raise WorkerDiedError(self._death(bad[0]))
                if all(code == 0 for code in codes):
                    return
                if end is not None and time.monotonic() > end:
                    raise TimeoutError(
                        f"The job ran for {timeout:g} s and was stopped."
                    )
                time.sleep(0.05)
        finally:
            self.stop()

    def _death(self, number: int) -> str:
        code = self.processes[number].returncode
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        tail = self.logs[number].read_text("utf-8", "replace")[-1500:]
        return f"Worker {number} ended by {how}.\nThe end of its log:\n{tail}"


def launch(
    job_file: str | os.PathLike[str],
    place: str = "one",
    count: int = 1,
    *,
    addresses: Sequence[str] | None = None,
    index: int | None = None,
    restarts: int = 0,
    timeout: float | None = None,
) -> Summary:
    """Run a job to its end in processes of its own.

    Args:
        job_file: of ``Job.save``.
        place: "one" device; "mirrored", `count` logical CPU devices of one
            process (or its GPUs, if it has any); "workers", `count`
            processes on this machine, or one per address; "data" or
            "table", `count` JAX devices (CPU ones, unless JAX_PLATFORMS says
            otherwise).
        count: see `place`.
        addresses: "host:port" of every worker, the same list everywhere.
        index: which of the addresses this machine is.
        restarts: how often to start again when a worker has died.
        timeout: seconds for one attempt; None waits for ever.

    Raises:
        WorkerDiedError: a worker died once more than `restarts`.
        TimeoutError: an attempt took too long.
        ValueError: an unknown place, a count below 1, an index without
            addresses or outside them.
    """
    job = Job.load(job_file)
    for attempt in range(restarts + 1):
        workers = start_workers(
            job_file, place, count, addresses=addresses, index=index
        )
        try:
            workers.wait(timeout)
            break
        except WorkerDiedError:
            if attempt == restarts:
                raise
    return read_summary(job)


def start_workers(
    job_file: str | os.PathLike[str],
    place: str,
    count: int = 1,
    *,
    addresses: Sequence[str] | None = None,
    index: int | None = None,
) -> Workers:
    """Start the processes of a job and return at once; see ``launch``.

    The caller stops them (``Workers.wait`` does). If the caller itself
    dies, they end within a second.
    """
    _check(place, count, addresses, index)
    job = Job.load(job_file)
    output = Path(job.output)
    output.mkdir(parents=True, exist_ok=True)
    numbers: Sequence[int] = [0]
    if place == "workers":
        if addresses is None:
            addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        numbers = range(len(addresses)) if index is None else [index]
    if 0 in numbers:
        with contextlib.suppress(FileNotFoundError):
            (output / SUMMARY).unlink()
    workers = Workers([], [])
    try:
        for number in numbers:
            log = output / f"worker-{number}.log"
            with open(log, "wb") as file:
                workers.processes.append(
                    _process(
                        job_file, place, count, number, addresses or (), file
                    )
                )
            workers.logs.append(log)
    except BaseException:
        workers.stop()
        raise
    return workers


def _check(
    place: str, count: int, addresses: Sequence[str] | None, index: int | None
) -> None:
    if place not in PLACES:
        raise ValueError(
            f"place={place!r} is unknown; use one of {', '.join(PLACES)}."
        )
    if count < 1:
        raise ValueError(f"count={count!r} must be at least 1.")
    if addresses is not None and place != "workers":
        raise ValueError("addresses are for place='workers' only.")
    if index is not None and not 0 <= index < len(addresses or ()):
        raise ValueError(
            f"index={index!r} is not one of {len(addresses or ())} "
            "addresses. Count from 0, and give all workers' addresses."
        )


def _process(
    job_file: str | os.PathLike[str],
    place: str,
    count: int,
    number: int,
    addresses: Sequence[str],
    log: IO[bytes],
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", _MODULE, str(job_file)]
    command += ["--as", place, "--count", str(count)]
    return subprocess.Popen(
        command,
        env=worker_environment(place, count, number, addresses),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def worker_environment(
    place: str, count: int, number: int, addresses: Sequence[str]
) -> Mapping[str, str]:
    """Return the environment of one process of a job."""
    environment = {**os.environ, "MTLREC_PARENT": str(os.getpid())}
    package = str(Path(__file__).resolve().parents[3])
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (package, os.environ.get("PYTHONPATH")))
    )
    environment.pop("TF_CONFIG", None)
    environment["KERAS_BACKEND"] = "tensorflow"
    if place == "workers":
        task = {"type": "worker", "index": number}
        cluster = {"worker": list(addresses)}
        environment["TF_CONFIG"] = json.dumps(
            {"cluster": cluster, "task": task}
        )
    if place in ("data", "table"):
        flags = os.environ.get("XLA_FLAGS", "")
        environment["KERAS_BACKEND"] = "jax"
        environment.setdefault("JAX_PLATFORMS", "cpu")
        environment["XLA_FLAGS"] = (
            f"{flags} --xla_force_host_platform_device_count={count}".strip()
        )
    return environment


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET))
            for _ in range(count)
        ]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
