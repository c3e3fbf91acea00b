"""Figures of the lesson on small and fast models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    NEUTRAL_COLOUR,
    style,
)

# From the whole model to what is left of it; the order of every figure.
VARIANTS = (
    "mmoe",
    "float16",
    "dynamic_int8",
    "int8",
    "low rank",
    "hashed",
    "compositional",
    "student",
    "distilled",
    "student int8",
)
SHOWN = {
    "mmoe": "MMoE, float32",
    "float16": "MMoE, float16",
    "dynamic_int8": "MMoE, dynamic int8",
    "int8": "MMoE, full int8",
    "low rank": "low-rank experts",
    "hashed": "hashed tables",
    "compositional": "compositional tables",
    "student": "small, from labels",
    "distilled": "small, distilled",
    "student int8": "small, distilled, int8",
}
METRICS = {
    "auc": "AUC",
    "log_loss": "log loss",
    "expected_calibration_error": "calibration error",
}
_TABLE, _REST = "#17508C", "#C08A1E"
_ONE, _MANY = "#214565", "#E0700E"


def shares_figure(
    counts: Mapping[str, Mapping[str, int]], title: str
) -> tuple[Figure, str]:
    """Draw how many parameters stand in tables and how many elsewhere.

    Args:
        counts: variant -> layer -> parameters; the table's layer is called
            "embedding".
        title: the finding.
    """
    figure, ax = new_figure(size=(7.0, 0.9 + 0.42 * len(counts)))
    words = []
    for i, (name, layers) in enumerate(counts.items()):
        tables = layers.get("embedding", 0) / 1e3
        rest = sum(layers.values()) / 1e3 - tables
        ax.barh(i, tables, color=_TABLE, label="tables" if not i else None)
        ax.barh(
            i,
            rest,
            left=tables,
            color=_REST,
            hatch="//",
            edgecolor="white",
            label="all other layers" if not i else None,
        )
        words.append(
            f"{SHOWN.get(name, name)} {tables:.1f} and {rest:.1f} thousand"
        )
    ax.set_yticks(range(len(counts)), [SHOWN.get(n, n) for n in counts])
    ax.set_ylim(len(counts) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("parameters, in thousands")
    ax.set_title(title)
    ax.legend(loc="lower right")
    return figure, (
        "Parameters in tables and in all other layers, variant by variant: "
        f"{'; '.join(words)}."
    )


def variants_figure(
    quality: pd.DataFrame, live: pd.DataFrame, title: str
) -> tuple[Figure, str]:
    """Draw size, latency and AUC of every variant, side by side.

    Args:
        quality: the results ``slim_models``.
        live: of ``learning.compress.latency``, the same names.
        title: the finding; of sizes and AUC, since latencies change from
            run to run.
    """
    rows = quality.query("metric == 'auc' and baseline == 'mmoe'")
    names = [name for name in VARIANTS if name in set(rows["variant"])]
    place = {name: i for i, name in enumerate(names)}
    figure, axes = new_figure(
        1, 3, size=(10.2, 1.4 + 0.36 * len(names)), sharey=True
    )
    click = rows.query("task == 'click'").set_index("variant")
    kilobytes = click["bytes"].loc[names] / 1000
    axes[0].barh(range(len(names)), kilobytes, color=BASELINE_COLOUR)
    for i, value in enumerate(kilobytes):
        axes[0].text(value + 6, i, f"{value:.0f}", va="center", fontsize=9)
    axes[0].set_xlim(0, 1.18 * kilobytes.max())
    axes[0].set_xlabel("file, kB")
    sizes = sorted(live["batch"].unique())
    looks = zip(sizes, (_ONE, _MANY), ("o", "s"), strict=False)
    for size, tint, mark in looks:
        part = live[live["batch"] == size].set_index("variant").loc[names]
        axes[1].hlines(
            range(len(names)), part["p50"], part["p99"], color=tint, lw=1.4
        )
        axes[1].plot(
            part["p50"],
            range(len(names)),
            color=tint,
            marker=mark,
            linestyle="none",
            label=f"{size} row{'s' if size > 1 else ''}",
        )
    axes[1].set_xscale("log")
    axes[1].set_xlabel("ms a call: p50, line to p99")
    axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    words = []
    for task, shift in (("click", -0.14), ("like", 0.14)):
        part = rows[rows["task"] == task].set_index("variant").loc[names]
        _differences(axes[2], part, place, task, shift)
        words += [
            f"{SHOWN[name]} {task} {part['difference'][name]:+.4f}"
            for name in names
            if name != "mmoe"
        ]
    axes[2].axvline(0, color=NEUTRAL_COLOUR, lw=1.2)
    axes[2].locator_params(axis="x", nbins=4)
    axes[2].set_xlabel("AUC minus that of the MMoE")
    axes[2].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    axes[0].set_yticks(range(len(names)), [SHOWN[name] for name in names])
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    for ax in axes:
        ax.grid(axis="y", visible=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    bytes_of = ", ".join(
        f"{SHOWN[name]} {kilobytes[name]:.0f} kB" for name in names
    )
    return figure, (
        "Ten variants in three panels: size of the file, latency of a call "
        f"at {' and '.join(map(str, sizes))} rows, AUC minus that of the "
        f"MMoE. Sizes: {bytes_of}. AUC: {', '.join(words)}."
    )


def _differences(
    ax: Any,
    part: pd.DataFrame,
    place: Mapping[str, int],
    task: str,
    shift: float = 0.0,
) -> None:
    """Draw one task's differences with their intervals."""
    look = style(task)
    y = [place[name] + shift for name in part.index]
    ax.hlines(y, part["low"], part["high"], color=look["color"], lw=1.6)
    ax.plot(
        part["difference"],
        y,
        color=look["color"],
        marker=look["marker"],
        linestyle="none",
        label=look["label"],
    )


def metric_figure(
    quality: pd.DataFrame, metric: str, task: str
) -> tuple[Figure, str]:
    """Draw one metric of one task: each variant minus the MMoE.

    Args:
        quality: the results ``slim_models``.
        metric: one of ``METRICS``.
        task: "click" or "like".
    """
    rows = quality.query(
        "metric == @metric and task == @task and baseline == 'mmoe' and "
        "variant != 'mmoe'"
    ).set_index("variant")
    names = [name for name in VARIANTS if name in rows.index]
    rows = rows.loc[names]
    place = {name: i for i, name in enumerate(names)}
    figure, ax = new_figure(size=(7.2, 1.2 + 0.34 * len(names)))
    _differences(ax, rows, place, task)
    ax.axvline(0, color=NEUTRAL_COLOUR, lw=1.2)
    ax.set_yticks(
        range(len(names)),
        [f"{SHOWN[n]}: {rows['verdict'][n]}" for n in names],
    )
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{METRICS[metric]} of {task}, minus that of the MMoE")
    better = "right" if metric == "auc" else "left"
    ax.set_title(f"Better is {better}")
    words = [
        f"{SHOWN[n]} {rows['difference'][n]:+.4f}, {rows['verdict'][n]}"
        for n in names
    ]
    return figure, (
        f"{METRICS[metric]} of {task}, each variant minus the MMoE: "
        f"{'; '.join(words)}."
    )


def calibration_figure(
    bins: Mapping[str, Any], title: str
) -> tuple[Figure, str]:
    """Draw observed against predicted shares, one line per variant.

    Args:
        bins: name -> ``CalibrationBins``.
        title: the finding.
    """
    figure, ax = new_figure(size=(5.6, 4.0))
    tints = ("#111111", "#0072B2", "#B45A00", "#B92FC4")
    top, words = 0.0, []
    for (name, part), tint, mark in zip(
        bins.items(), tints, "osD^", strict=False
    ):
        ax.plot(
            part.predicted,
            part.observed,
            color=tint,
            marker=mark,
            lw=1.3,
            label=SHOWN.get(name, name),
        )
        top = max(top, part.predicted.max(), part.observed.max())
        gap = np.abs(part.predicted - part.observed).mean()
        words.append(f"{SHOWN.get(name, name)} {gap:.3f}")
    ax.plot([0, top], [0, top], color=BASELINE_COLOUR, ls="--", lw=1)
    ax.set(xlabel="predicted share of clicks", ylabel="observed share")
    ax.set_title(title)
    ax.legend()
    return figure, (
        "Observed against predicted share of clicks in ten bins; mean gap: "
        f"{', '.join(words)}. The dashed line is perfect calibration."
    )


def growth_figure(ids: int, dimension: int, bits: int) -> tuple[Figure, str]:
    """Draw how large a model of so many ids is, table by table.

    Compact tables keep one row in a hundred; the other layers have 15,000
    weights.

    Args:
        ids: rows of the plain table.
        dimension: of one vector.
        bits: of one weight: 32, 16 or 8.
    """
    rows = -(-ids // 100)
    tables = {
        "plain": ids,
        "hashed": rows,
        "compositional": rows + -(-ids // rows),
    }
    figure, ax = new_figure(size=(6.8, 2.5))
    words = []
    for i, (name, n) in enumerate(tables.items()):
        megabytes = (n * dimension + 15_000) * bits / 8e6
        ax.barh(i, megabytes, color=_TABLE)
        text = (
            f"{megabytes:,.2f} MB"
            if megabytes < 10
            else (f"{megabytes:,.0f} MB")
        )
        ax.text(1.15 * megabytes, i, text, va="center", fontsize=9)
        words.append(f"{name} {text}")
    ax.set_xscale("log")
    ax.set_xlim(0.01, 3e6)
    ax.set_yticks(range(3), list(tables))
    ax.set_ylim(2.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("megabytes, tables and all other layers")
    ax.set_title(f"{ids:,} ids, {dimension} numbers each, {bits} bits")
    return figure, (
        f"Size of a model with {ids:,} ids of {dimension} numbers at {bits} "
        f"bits: {', '.join(words)}."
    )
