"""Figures of the lesson on scaling out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR, NEUTRAL_COLOUR
from mtlrec_utils.evidence.scale_plan import (
    Machine,
    StepCost,
    Workload,
    capacity_plan,
    gathered_bytes,
    hours,
    machines_for_memory,
    ring_bytes,
)

# Colours of this lesson, each with a marker or a hatch of its own.
COMPUTING, SENDING, TABLE = "#0072B2", "#B45A00", "#009E73"


def pipelines_figure(
    per_row: Mapping[int, float], others: Mapping[str, float], title: str
) -> tuple[Figure, str]:
    """Draw the processor time of a row by its number of columns.

    Args:
        per_row: columns -> microseconds of a row, fed row by row.
        others: other pipelines -> microseconds of a row.
        title: the finding.
    """
    figure, ax = new_figure(size=(6.6, 3.6))
    x, y = np.array(sorted(per_row.items())).T
    slope, start = np.polyfit(x, y, 1)
    ax.plot(x, y, "o", color=SENDING, label="row by row")
    ends = np.array([0, x.max()])
    ax.plot(
        ends,
        start + slope * ends,
        color=SENDING,
        ls=(0, (4, 2)),
        lw=1.2,
        label=f"line: {start:.1f} + {slope:.1f} per column",
    )
    looks = ((COMPUTING, "s"), (TABLE, "D"))
    for (name, value), (colour, mark) in zip(
        others.items(), looks, strict=False
    ):
        ax.plot(x.max(), value, mark, color=colour, label=name)
    ax.set(xlabel="columns", ylabel="processor µs per row", title=title)
    ax.set_ylim(bottom=0)
    ax.legend()
    words = ", ".join(f"{name} {value:.1f}" for name, value in others.items())
    return figure, (
        f"Processor microseconds per row against columns, fed row by row: "
        f"{y[0]:.1f} at {x[0]:.0f} and {y[-1]:.1f} at {x[-1]:.0f} columns, "
        f"with a fitted line. At {x[-1]:.0f} columns: {words}."
    )


def placement_figure() -> tuple[Figure, str]:
    """Draw what each of two workers holds, in two ways to share work."""
    figure, axes = new_figure(1, 2, size=(7.6, 3.0))
    for ax, title, tables in zip(
        axes,
        ("Data parallel: copies", "Table sharded: halves"),
        (("whole table", "whole table"), ("rows 0, 2, …", "rows 1, 3, …")),
        strict=True,
    ):
        for worker, table in enumerate(tables):
            left = 2.6 * worker
            high = 1.3 if table.startswith("whole") else 0.65
            _box(ax, left, 0.0, 0.45, "half of the rows", BASELINE_COLOUR)
            _box(ax, left, 0.75, 0.45, "dense weights", COMPUTING)
            _box(ax, left, 1.5, high, table, TABLE)
            ax.text(left + 1, -0.35, f"worker {worker}", ha="center")
        arrow = {"arrowstyle": "<->", "color": SENDING, "lw": 1.8}
        for height in (0.97, 1.82):
            ax.annotate(
                "", (2.0, height), (2.6, height), arrowprops=dict(arrow)
            )
        ax.set_title(title)
        ax.set(xlim=(-0.1, 4.7), ylim=(-0.55, 2.95))
        ax.axis("off")
    return figure, (
        "Two panels of two workers each. Left, data parallel: each worker "
        "holds half of the rows, all dense weights and the whole table; "
        "gradients of both go over the wire. Right, the table sharded: each "
        "holds half of the rows, all dense weights and half of the table's "
        "rows; gradients and looked-up rows go over the wire."
    )


def _box(
    ax: Axes, left: float, low: float, high: float, text: str, colour: str
) -> None:
    ax.add_patch(
        Rectangle(
            (left, low), 2.0, high, facecolor="white", edgecolor=colour, lw=2
        )
    )
    ax.text(left + 1, low + high / 2, text, ha="center", va="center", size=9)


def sent_figure(
    distinct: pd.DataFrame, table_rows: int, dimension: int, dense: int
) -> tuple[Figure, str]:
    """Draw what each of two workers sends in a step, by batch.

    Args:
        distinct: columns batch (rows of one worker), counted and expected
            (distinct table rows of such a batch).
        table_rows: of the whole table.
        dimension: of one row.
        dense: trained values outside the table.
    """
    figure, ax = new_figure(size=(6.6, 3.6))
    batch = distinct["batch"]
    counted, expected = (
        [gathered_bytes(n, dimension, 2) / 1e3 for n in distinct[name]]
        for name in ("counted", "expected")
    )
    whole = ring_bytes(table_rows * dimension, 2) / 1e3
    ring = ring_bytes(dense, 2) / 1e3
    ax.plot(batch, expected, color=TABLE, label="rows, closed form")
    ax.plot(batch, counted, "D", color=TABLE, label="rows, counted")
    ax.axhline(whole, color=SENDING, ls=(0, (5, 2)), label="whole table")
    ax.axhline(ring, color=COMPUTING, ls=(0, (1, 1)), label="dense weights")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_yscale("log")
    ax.set(
        xlabel="rows of a batch on one worker",
        ylabel="kB sent per worker and step",
        title="A gradient of rows grows with the batch, then stops",
    )
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        f"Kilobytes that each of two workers sends per step, by batch. Rows "
        f"of the table: counted {counted[0]:.1f} at {batch.iloc[0]} rows and "
        f"{counted[-1]:.1f} at {batch.iloc[-1]:,}; the closed form runs "
        f"through the points. Level lines: the whole table as a dense "
        f"gradient {whole:.1f}, the dense weights {ring:.1f}."
    )


def plan_figure(
    cost: StepCost,
    work: Workload,
    *,
    network: float = 1.0,
    batch: int = 4096,
    billion_ids: float = 0.1,
) -> tuple[Figure, str]:
    """Draw the hours of a run on paper against its number of machines.

    Args:
        cost: measured.
        work: what to train; its number of ids is replaced.
        network: Gbit/s, assumed.
        batch: rows of a step on each machine.
        billion_ids: rows of the table, in 10^9.
    """
    work = replace(work, ids=billion_ids * 1e9)
    machine = Machine(gigabits_per_second=network)
    least = machines_for_memory(work, machine)
    counts = np.unique(np.geomspace(1, 256, 25).round().astype(int))
    spent = np.array([hours(work, machine, cost, n, batch) for n in counts])
    free = Machine(gigabits_per_second=1e9)
    alone = np.array([hours(work, free, cost, n, batch) for n in counts])
    figure, ax = new_figure(size=(6.6, 3.7))
    ax.plot(counts, spent, "o-", color=SENDING, label="with sending")
    ax.plot(
        counts,
        alone,
        color=COMPUTING,
        ls=(0, (4, 2)),
        label="computing alone",
    )
    ax.axvspan(counts[0], least, color=NEUTRAL_COLOUR, alpha=0.12, lw=0)
    ax.axvline(
        least,
        color=NEUTRAL_COLOUR,
        ls=(0, (1, 1)),
        label=f"table fits from {least} on",
    )
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_yscale("log")
    plan = capacity_plan(work, machine, cost, batch=batch)
    value = plan.set_index("quantity")["value"]
    share = value["share of computing"]
    ax.set(
        xlabel="machines",
        ylabel="hours",
        title=f"Machines for the table: {least}. Then {value['time']:.3g} h, "
        f"{share:.0%} computing",
    )
    ax.legend()
    return figure, (
        f"Hours of a run of {work.rows:.0e} rows and {work.ids:.0e} ids "
        f"against machines, network {network:g} Gbit/s and batches of "
        f"{batch:,}. The table fits from {least} machines on; there it takes "
        f"{value['time']:.3g} hours, computing alone "
        f"{hours(work, free, cost, least, batch):.3g}."
    )
