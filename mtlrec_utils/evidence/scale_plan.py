"""What training at another size takes: bytes, seconds, machines, money.

Closed forms of what workers send each other, a line through measured step
times, and a plan that says of every number where it comes from. Nothing
here trains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

FLOAT, INDEX = 4, 4  # bytes of a float32 value and of an int32 row number
GIVEN, MEASURED, ASSUMED, DERIVED, MIXED = (
    "given",
    "measured",
    "assumed",
    "closed form",
    "measured and assumed",
)


def ring_bytes(n_values: float, workers: int) -> float:
    """Return the bytes each worker sends in a ring all-reduce of floats.

    2 (n - 1) / n of its values: every value goes round once to be added
    and once to be told (Patarasuk & Yuan, J. Parallel Distrib. Comput.
    69, 2009).

    Raises:
        ValueError: no worker, or a negative number of values.
    """
    _at_least("workers", workers, 1)
    _at_least("n_values", n_values, 0)
    return 2 * (workers - 1) / workers * n_values * FLOAT


def gathered_bytes(
    rows_per_worker: float, dimension: int, workers: int
) -> float:
    """Return the bytes each worker sends when table rows are gathered.

    A table's gradient is a list of rows with their numbers; adding lists
    means that everybody gets everybody's: n - 1 times the own list.
    """
    _at_least("workers", workers, 1)
    return (workers - 1) * rows_per_worker * (dimension * FLOAT + INDEX)


def expected_distinct(probabilities: Any, lookups: int) -> float:
    """Return how many ids so many draws are expected to hit at least once.

    sum_i 1 - (1 - p_i)^B. Independent draws are assumed.

    Args:
        probabilities: of the ids of one field; they sum to 1.
        lookups: B, 0 or more.

    Raises:
        ValueError: probabilities outside 0 to 1, or with another sum.
    """
    p = np.asarray(probabilities, dtype=float)
    _at_least("lookups", lookups, 0)
    if (p < 0).any() or not math.isclose(p.sum(), 1.0, abs_tol=1e-6):
        raise ValueError(
            f"probabilities must be 0 or more and sum to 1, not {p.sum():g}. "
            "Divide counts by their sum."
        )
    with np.errstate(divide="ignore"):
        return float(-np.expm1(lookups * np.log1p(-np.minimum(p, 1))).sum())


def distinct_rows(ids: Any, batch: int, seed: int = 0) -> tuple[float, float]:
    """Return distinct table rows of a batch, counted and expected.

    Args:
        ids: [N, C], each column a field of its own.
        batch: rows of a batch; counted is a mean over the whole ones of
            a shuffled epoch.
        seed: of the shuffle.

    Raises:
        ValueError: there is no whole batch.
    """
    ids = np.asarray(ids)
    _at_least("rows of ids", len(ids), batch)
    order = np.random.default_rng(seed).permutation(len(ids))
    starts = range(0, len(ids) - batch + 1, batch)
    counted = np.mean(
        [
            sum(len(np.unique(c)) for c in ids[order[s : s + batch]].T)
            for s in starts
        ]
    )
    expected = sum(
        expected_distinct(np.bincount(c) / len(c), batch) for c in ids.T
    )
    return float(counted), float(expected)


@dataclass(frozen=True)
class StepCost:
    """Seconds of a step on one worker: fixed + per_row x rows."""

    fixed: float
    per_row: float

    def seconds(self, rows: float) -> float:
        """Return the seconds of a step of so many rows."""
        return self.fixed + self.per_row * rows


def fit_step_cost(rows: Sequence[int], seconds: Sequence[float]) -> StepCost:
    """Put a line through measured step times, by relative least squares.

    Relative, so that long steps do not outvote short ones.

    Raises:
        ValueError: fewer than two different sizes, a time that is not
            positive, or a line that falls with the rows.
    """
    x, y = np.asarray(rows, float), np.asarray(seconds, float)
    if x.shape != y.shape or len(np.unique(x)) < 2 or (y <= 0).any():
        raise ValueError(
            "fit_step_cost needs positive times at two sizes or more; got "
            f"{list(rows)} and {list(seconds)}."
        )
    left = np.stack([np.ones_like(x), x], axis=1) / y[:, None]
    fixed, per_row = np.linalg.lstsq(left, np.ones_like(y), rcond=None)[0]
    if per_row <= 0:
        raise ValueError(
            "The measured steps do not take longer with more rows; measure "
            "larger batches on a quieter machine."
        )
    return StepCost(max(float(fixed), 0.0), float(per_row))


@dataclass(frozen=True)
class Workload:
    """What is to be trained.

    Attributes:
        rows: training rows of one epoch.
        ids: rows of the embedding table.
        dimension: values of one row.
        fields: look-ups of one training row.
        dense_values: trained values outside the table.
        slots: values that the optimizer keeps for each trained one.
        epochs: passes over the rows.
    """

    rows: float
    ids: float
    dimension: int = 16
    fields: int = 20
    dense_values: float = 30_000
    slots: int = 2
    epochs: int = 1


@dataclass(frozen=True)
class Machine:
    """What it is to be trained on. Every number is an assumption.

    Attributes:
        memory_gigabytes: that tables may fill.
        gigabits_per_second: of the network, each way.
        speed: how many times as fast as the measured worker.
        price_per_hour: in any currency.
    """

    memory_gigabytes: float = 8.0
    gigabits_per_second: float = 1.0
    speed: float = 2.0
    price_per_hour: float = 0.1


def table_gigabytes(work: Workload) -> float:
    """Return the size of the table with its optimizer slots, in 10^9 B."""
    return work.ids * work.dimension * (1 + work.slots) * FLOAT / 1e9


def machines_for_memory(work: Workload, machine: Machine) -> int:
    """Return how many machines hold the sharded table."""
    return max(1, math.ceil(table_gigabytes(work) / machine.memory_gigabytes))


def step_bytes(work: Workload, machines: int, batch: int) -> float:
    """Return what one machine sends in a step, the table sharded by rows.

    The dense weights go round a ring. Of its look-ups, (n - 1) / n lie on
    other machines; it sends their numbers and later their gradients, and
    as owner of a share of the table it sends as many vectors to others.
    Repeated ids are not merged, so this is an upper bound.
    """
    away = batch * work.fields * (machines - 1) / machines
    vectors = away * (2 * work.dimension * FLOAT + INDEX)
    return ring_bytes(work.dense_values, machines) + vectors


def hours(
    work: Workload,
    machine: Machine,
    cost: StepCost,
    machines: int,
    batch: int,
) -> float:
    """Return the hours of training; computing and sending do not overlap."""
    steps = work.epochs * work.rows / (machines * batch)
    return steps * sum(_step(work, machine, cost, machines, batch)) / 3600


def _step(
    work: Workload,
    machine: Machine,
    cost: StepCost,
    machines: int,
    batch: int,
) -> tuple[float, float]:
    computing = cost.seconds(batch) / machine.speed
    wire = machine.gigabits_per_second * 1e9 / 8
    return computing, step_bytes(work, machines, batch) / wire


def capacity_plan(
    work: Workload,
    machine: Machine,
    cost: StepCost,
    *,
    batch: int = 4096,
    deadline_hours: float | None = None,
    most: int = 4096,
) -> pd.DataFrame:
    """Plan a training run on paper.

    Args:
        work: what to train.
        machine: on what.
        cost: measured step time of one worker.
        batch: rows of a step on each machine.
        deadline_hours: take the fewest machines that end in this time;
            None takes those that the table needs.
        most: machines there are.

    Returns:
        One row per number: quantity, value, unit and basis: "given",
        "measured", "assumed", "closed form" (follows from the rows above
        by arithmetic alone) or "measured and assumed".

    Raises:
        ValueError: no number of machines up to `most` meets the deadline.
    """
    n = machines_for_memory(work, machine)
    if deadline_hours is not None:
        options = range(n, most + 1)
        spent = (hours(work, machine, cost, k, batch) for k in options)
        enough = [
            k
            for k, h in zip(options, spent, strict=True)
            if h <= deadline_hours
        ]
        if not enough:
            raise ValueError(
                f"Not even {most} machines end in {deadline_hours:g} hours. "
                "Allow more time or a larger batch."
            )
        n = enough[0]
    computing, sending = _step(work, machine, cost, n, batch)
    total = hours(work, machine, cost, n, batch)
    seconds = computing + sending
    rows = [
        ("training rows", work.rows * work.epochs, "rows", GIVEN),
        ("ids", work.ids, "table rows", GIVEN),
        ("batch per machine", batch, "rows", GIVEN),
        ("fixed time of a step", cost.fixed, "s", MEASURED),
        ("time of a row", cost.per_row * 1e6, "µs", MEASURED),
        ("speed of a machine", machine.speed, "x", ASSUMED),
        ("memory for tables", machine.memory_gigabytes, "GB", ASSUMED),
        ("network", machine.gigabits_per_second, "Gbit/s", ASSUMED),
        ("price", machine.price_per_hour, "per hour", ASSUMED),
        ("table and slots", table_gigabytes(work), "GB", DERIVED),
        ("machines", n, "", DERIVED if deadline_hours is None else MIXED),
        (
            "sent by a machine",
            step_bytes(work, n, batch) / 1e6,
            "MB per step",
            DERIVED,
        ),
        ("computing", computing * 1e3, "ms per step", MIXED),
        ("sending", sending * 1e3, "ms per step", ASSUMED),
        ("share of computing", computing / seconds, "", MIXED),
        ("time", total, "h", MIXED),
        ("cost", total * n * machine.price_per_hour, "", MIXED),
    ]
    return pd.DataFrame(rows, columns=["quantity", "value", "unit", "basis"])


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{name}={value!r} must be at least {least}.")
