"""Cost of one training step under each balancing method.

    python -m benchmarks.balancing_cost [--tasks 2 4 8] [--save FILE]
    python -m benchmarks.balancing_cost --tasks 4 --methods all \
        --save datasets/results/balancing_cost.csv  # the table lessons quote

One core, the rows and networks of the other benchmarks with more tasks. All
methods live in one process and take turns of a few steps; a ratio is taken
within a round, against the plain sum of the losses. README.md in this folder
says how to read such ratios.
"""

from __future__ import annotations

import argparse
import inspect
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np
import pandas as pd
import tensorflow as tf

from benchmarks import architecture as a
from benchmarks import data
from benchmarks.__main__ import pin
from benchmarks.worker_ours import Encoded
from mtlrec_utils.data import Examples, Task
from mtlrec_utils.data.features import IdColumns
from mtlrec_utils.evidence import write_results
from mtlrec_utils.learning import balancing
from mtlrec_utils.learning.settings import chosen_optimizer
from mtlrec_utils.learning.steps import TrainingProgram
from mtlrec_utils.models import mmoe, shared_bottom

PLAIN = "plain sum"
DEFAULT = (
    "UncertaintyWeights",
    "FAMO",
    "GradNorm",
    "PCGrad at representation",
    "PCGrad",
    "MetaBalance at representation",
    "MetaBalance",
)
RATE = 1e-3
ALL = "all"  # every method, at the parameters and as in DEFAULT


class Program(NamedTuple):
    """A compiled model and the rows it trains on."""

    name: str
    program: TrainingProgram
    rows: data.Table
    examples: Any

    def steps(self, first: int, n: int, order: Any, batch: int) -> float:
        """Train for some steps; return the processor seconds."""
        start = time.process_time()
        self.program.run(
            self.examples,
            order,
            batch,
            range(first, first + n),
            np.full(n, RATE),
            dict.fromkeys(self.program.losses.tasks, 1.0),
        )
        return time.process_time() - start


def method(name: str, tasks: Sequence[str]) -> tuple[Any, str]:
    """Make a method from its name, and say where it looks."""
    kind, _, at = name.partition(" at ")
    arguments = (tasks[0],) if kind == "MetaBalance" else ()
    return getattr(balancing, kind)(*arguments), at or "parameters"


def every_method() -> list[str]:
    """Return the names of all methods, and where DEFAULT looks besides."""
    kinds = (getattr(balancing, name) for name in balancing.__all__)
    names = [
        kind.__name__
        for kind in kinds
        if isinstance(kind, type)
        and issubclass(kind, balancing.Balancing)
        and not inspect.isabstract(kind)
        and kind is not balancing.Balancing
    ]
    return [*names, *(name for name in DEFAULT if name not in names)]


def build(network: str, schema: Encoded, seed: int = 0) -> Any:
    shared = {
        "embedding_dimension": a.EMBEDDING_DIMENSION,
        "tower_units": a.TOWER_UNITS,
        "seed": seed,
    }
    if network == "shared_bottom":
        return shared_bottom(schema, bottom_units=a.BOTTOM_UNITS, **shared)
    return mmoe(
        schema, n_experts=a.N_EXPERTS, expert_units=a.EXPERT_UNITS, **shared
    )


def rows_of(table: data.Table, tasks: Sequence[str]) -> Examples:
    """Give every task labels of its own, drawn from the true chances."""
    rng = np.random.default_rng(1)
    labels = {
        task: (rng.random(len(table.ids)) < table.truth[:, k % 2]).astype(
            "float32"
        )
        for k, task in enumerate(tasks)
    }
    return Examples(
        ids=table.ids,
        numbers=table.numbers,
        labels=labels,
        masks={t: np.ones_like(label) for t, label in labels.items()},
        users=None,
        rows=np.arange(len(table.ids)),
    )


def compare(
    network: str,
    n_tasks: int,
    names: Sequence[str],
    table: data.Table,
    options: argparse.Namespace,
) -> pd.DataFrame:
    """Measure methods in turns; one row per method."""
    tasks = [f"task_{k}" for k in range(n_tasks)]
    schema = Encoded(
        tuple(
            IdColumns(name, f, f + 1, f, False)
            for f, name in enumerate(data.FIELDS)
        ),
        table.field_sizes,
        data.NUMBERS,
        tuple(Task(task) for task in tasks),
    )
    examples, order = rows_of(table, tasks), tf.range(len(table.ids))
    programs, loaded = [], None
    for name in (PLAIN, *names):
        model = build(network, schema)
        optimizer, set_rate = chosen_optimizer(model, None, RATE)
        chosen = () if name == PLAIN else method(name, tasks)
        program = TrainingProgram(model, optimizer, set_rate, *chosen)
        loaded = loaded or program.load(examples)
        programs.append(Program(name, program, table, loaded))
    per_round = options.steps
    seconds = np.empty((options.rounds, len(programs)))
    for turn in range(-1, options.rounds):  # the first traces and warms up
        first = (turn + 1) * per_round
        for p, program in enumerate(programs):
            spent = program.steps(first, per_round, order, options.batch)
            if turn >= 0:
                seconds[turn, p] = spent / per_round
    ratios = seconds / seconds[:, :1]
    return pd.DataFrame(
        {
            "model": network,
            "tasks": n_tasks,
            "method": [p.name for p in programs],
            "relative_cost": np.median(ratios, axis=0).round(3),
            "lowest": ratios.min(axis=0).round(3),
            "highest": ratios.max(axis=0).round(3),
            "milliseconds": (1e3 * np.median(seconds, axis=0)).round(1),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.balancing_cost",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--tasks", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--models", nargs="+", default=a.MODELS)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=DEFAULT,
        help="names of learning.balancing, with ' at representation', or "
        "'all'",
    )
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=4, help="in one turn")
    parser.add_argument("--save", type=Path, help="write the table here")
    options = parser.parse_args()
    if list(options.methods) == [ALL]:
        options.methods = every_method()
    pinned = pin(1)
    n_rows = options.batch * options.steps * (options.rounds + 1)
    table = data.generate(n_rows, n_rows)
    found = []
    for network in options.models:
        for n_tasks in options.tasks:
            part = compare(network, n_tasks, options.methods, table, options)
            print(part.to_string(index=False), flush=True)
            found.append(part)
            tf.keras.backend.clear_session()
    if options.save:
        write_results(
            pd.concat(found, ignore_index=True),
            options.save,
            seeds=[0],
            command=shlex.join(
                ["python", "-m", "benchmarks.balancing_cost", *sys.argv[1:]]
            ),
            machine=pinned,
        )


if __name__ == "__main__":
    main()
