"""Requests per second of the server while p99 stays at 20 ms or below.

    python -m benchmarks.serving_speed \
        --save datasets/results/serving_speed.csv

A request has 8 rows. The server and its load share two cores, so these are
numbers of the pair: what the load spends on TLS and JSON is missing at the
server. All servers live for the whole run, each in its process, and take
turns; medians of the rounds count. Kept is the number of connections with the
most requests per second among those whose median p99 is at most 20 ms; if
there is none, the least connections.

"keras" is `model.predict(..., verbose=0)` behind the same server, as many
tutorials serve.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import serving
from benchmarks.__main__ import pin
from mtlrec_utils.evidence import write_results
from mtlrec_utils.serving.load import Load, load
from mtlrec_utils.serving.process import RunningServer, start_command
from mtlrec_utils.serving.server import Settings

ROWS = 8
MOST = 20.0  # milliseconds
BACKENDS = ("litert", "saved_model", "keras")
BATCHES = (64, 1)


def measure(
    folder: Path, state: Path, rows: list[Any], options: argparse.Namespace
) -> pd.DataFrame:
    """Return one row per server, connections and round."""
    token = serving.token_of(Settings(folder, state))
    found = []
    with ExitStack() as running:
        servers: dict[tuple[str, int], tuple[RunningServer, float]] = {}
        for backend in BACKENDS:
            for batch in BATCHES:
                began = time.perf_counter()
                server = start_command(
                    worker(folder, state, backend, batch), state, 120
                )
                seconds = time.perf_counter() - began
                running.enter_context(server)
                servers[backend, batch] = server, seconds
                send(server, token, rows, 50, 4, 0)  # warm
        for turn in range(options.rounds):
            for (backend, batch), (server, seconds) in servers.items():
                slow = backend == "keras"
                n = options.requests // (8 if slow else 1)
                for connections in options.connections:
                    met = send(server, token, rows, n, connections, turn)
                    found.append(
                        {
                            "backend": backend,
                            "batch_rows": batch,
                            "connections": connections,
                            "per_second": met.per_second,
                            "p50": met.percentile(50),
                            "p99": met.percentile(99),
                            "failed": n - met.statuses[200],
                            "start_seconds": seconds,
                        }
                    )
    return pd.DataFrame(found)


def worker(folder: Path, state: Path, backend: str, batch: int) -> list[str]:
    """Return the command of one server."""
    command = [sys.executable, "-m", "benchmarks.worker_serving"]
    return [*command, str(folder), str(state), backend, str(batch)]


def send(
    server: RunningServer,
    token: str,
    rows: list[Any],
    n: int,
    connections: int,
    seed: int,
) -> Load:
    """Send n requests."""
    requests = serving.requests_of(rows, n, ROWS, seed)
    return asyncio.run(
        load(
            server.address,
            server.authority,
            token,
            requests,
            connections=connections,
        )
    )


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Best connections of each server, medians over rounds."""
    key = ["backend", "batch_rows", "connections"]
    middle = measured.groupby(key, sort=False, as_index=False).agg(
        per_second=("per_second", "median"),
        lowest=("per_second", "min"),
        highest=("per_second", "max"),
        p50=("p50", "median"),
        p99=("p99", "median"),
        failed=("failed", "sum"),
        start_seconds=("start_seconds", "first"),
    )
    best = []
    for _, part in middle.groupby(key[:2], sort=False):
        fast = part[part["p99"] <= MOST]
        kept = fast.nlargest(1, "per_second") if len(fast) else part.head(1)
        best.append(kept.assign(within=bool(len(fast))))
    return pd.concat(best, ignore_index=True).round(2)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving_speed",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--requests", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[1, 4, 16]
    )
    parser.add_argument("--save", type=Path, help="write the table here")
    options = parser.parse_args()
    pinned = pin(2)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        rows = serving.prepare(folder)
        found = measure(folder, Path(place) / "state", rows, options)
    print(found.round(2).to_string(index=False))
    table = summary(found)
    print(table.to_string(index=False))
    if options.save:
        write_results(
            table,
            options.save,
            seeds=[0],
            command=shlex.join(
                ["python", "-m", "benchmarks.serving_speed", *sys.argv[1:]]
            ),
            machine=pinned,
            rows_per_request=ROWS,
        )


if __name__ == "__main__":
    main()
