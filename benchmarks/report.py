"""From measurements to a table: medians of rounds, ratios round by round."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

import pandas as pd

from benchmarks import data
from benchmarks.architecture import flop_per_sample
from benchmarks.rounds import OURS

KEYS = ["model", "batch_size", "library"]
_ACTIVITIES = (
    "train",
    "predict",
    "evaluate",
    "typed_predict",
    "typed_evaluate",
)


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """One row per model, batch size and library.

    Columns ending in ``_per_s`` are medians over rounds. ``X_ratio`` is how
    many times as fast ours is at X: the median of the ratios within rounds,
    with ``X_low`` and ``X_high`` the smallest and largest; ``X_cpu_ratio``
    the same by processor seconds instead of the clock. The first round never
    counts.
    """
    rows = []
    for keys, part in measured.groupby(KEYS, sort=False):
        setting = measured[
            (measured["model"] == keys[0])
            & (measured["batch_size"] == keys[1])
        ]
        own = _rounds(setting[setting["library"] == OURS])
        rows.append(
            {
                **dict(zip(KEYS, keys, strict=True)),
                **_one(keys[0], _rounds(part), own),
                **_to_same_auc(_rounds(part), own),
            }
        )
    return pd.DataFrame(rows)


def _rounds(part: pd.DataFrame) -> pd.DataFrame:
    """Quantities side by side, one row per round."""
    return part.pivot_table(index="round", columns="quantity", values="value")


def _one(model: str, part: pd.DataFrame, own: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    counted, own_counted = part.loc[1:], own.loc[1:]
    for what in _ACTIVITIES:
        seconds, cpu = f"{what}_s", f"{what}_cpu_s"
        if seconds not in part or seconds not in own:
            continue
        speed = counted[f"{what}_rows"] / counted[seconds]
        ratio = counted[seconds] / own_counted[seconds]
        found |= {
            f"{what}_per_s": speed.median(),
            f"{what}_ratio": ratio.median(),
            f"{what}_low": ratio.min(),
            f"{what}_high": ratio.max(),
            f"{what}_cpu_ratio": (counted[cpu] / own_counted[cpu]).median(),
        }
        if what == "train" and "gemm_gflops" in own:
            flop = flop_per_sample(
                model, data.N_FIELDS, data.N_NUMBERS, len(data.TASKS)
            )
            share = speed * flop / 1e9 / own_counted["gemm_gflops"]
            found["share_of_peak"] = share.median()
    for task in data.TASKS:
        found[f"auc_{task}"] = _last(part, f"auc_{task}")
    found["peak_mb"] = _last(part, "peak_mb")
    if "first_step_s" in part:
        first = part["first_step_s"]
        found |= {
            "first_step_s": first.median(),
            "first_step_low": first.min(),
            "first_step_high": first.max(),
        }
    return found


def _last(part: pd.DataFrame, quantity: str) -> float:
    if quantity not in part:
        return nan
    values = part[quantity].dropna()
    return nan if values.empty else float(values.iloc[-1])


def _to_same_auc(part: pd.DataFrame, own: pd.DataFrame) -> dict[str, Any]:
    """Ours' training time until it has this library's final AUC, both tasks.

    As a fraction of the library's time for the epoch; start-up is in neither.
    NaN when ours does not get there within the epoch.
    """
    columns = [f"auc_{task}" for task in data.TASKS]
    if not {*columns, "train_s"} <= {*part} or not {*columns} <= {*own}:
        return {"time_to_same_auc": nan}
    final = part[columns].dropna().iloc[-1]
    there = (own[columns] >= final).all(axis=1)
    if not there.any():
        return {"time_to_same_auc": nan}
    spent = own["train_s"].cumsum()[there.idxmax()]
    return {"time_to_same_auc": spent / part["train_s"].sum()}


# (model, batch size, library, column, least ratio) of the aims.
AIMS = [
    ("shared_bottom", 4096, "DeepCTR", "train_ratio", 1.6),
    ("shared_bottom", 512, "DeepCTR", "train_ratio", 4.0),
    ("mmoe", 4096, "DeepCTR", "train_ratio", 1.2),
    ("mmoe", 512, "DeepCTR", "train_ratio", 2.7),
    *(
        (model, batch, "torch-rechub", "train_ratio", 3.0)
        for model in ("shared_bottom", "mmoe")
        for batch in (4096, 512)
    ),
    *(
        (model, batch, "plain Keras", f"{what}_ratio", 2.0)
        for what in _ACTIVITIES[1:]
        for model in ("shared_bottom", "mmoe")
        for batch in (4096, 512)
    ),
]
_CEILINGS = [
    *(
        (model, batch, "DeepCTR", "time_to_same_auc", 1 / 3)
        for model in ("shared_bottom", "mmoe")
        for batch in (4096, 512)
    ),
    *(("mmoe", batch, OURS, "first_step_s", 2.0) for batch in (4096, 512)),
]


def text(table: pd.DataFrame, best: Mapping[str, float]) -> str:
    """The report for a terminal."""
    lines = []
    for (model, batch), part in table.groupby(
        ["model", "batch_size"], sort=False
    ):
        lines += [
            "",
            f"{model}, batch {batch}",
            _HEAD,
            *map(_line, part.to_dict("records")),
        ]
    ceiling = ", ".join(f"{task} {value:.4f}" for task, value in best.items())
    lines += ["", f"Test AUC of the true probabilities: {ceiling}", ""]
    return "\n".join([*lines, "Aims", *aims(table)])


_HEAD = (
    f"{'':13s}{'samples/s':>10s}{'ours is faster':>21s}{'(CPU)':>7s}"
    f"{'AUC click':>10s}{'conv.':>8s}{'peak MB':>9s}{'first step':>11s}"
    f"{'of peak':>8s}{'same AUC in':>12s}"
    f"{'predict/s':>11s}{'ours':>6s}{'evaluate/s':>12s}{'ours':>6s}"
)


def _line(row: Mapping[str, Any]) -> str:
    def show(column: str, form: str, width: int) -> str:
        value = row.get(column, nan)
        return f"{'-' if pd.isna(value) else format(value, form):>{width}s}"

    spread = "-"
    if row["library"] != OURS and "train_ratio" in row:
        spread = (
            f"{row['train_ratio']:.2f} "
            f"({row['train_low']:.2f}-{row['train_high']:.2f})"
        )
    return (
        f"{row['library']:13s}{show('train_per_s', ',.0f', 10)}{spread:>21s}"
        f"{show('train_cpu_ratio', '.2f', 7)}"
        f"{show('auc_click', '.4f', 10)}{show('auc_conversion', '.4f', 8)}"
        f"{show('peak_mb', ',.0f', 9)}{show('first_step_s', '.2f', 9)} s"
        f"{show('share_of_peak', '.0%', 8)}"
        f"{show('time_to_same_auc', '.2f', 12)}"
        f"{show('predict_per_s', ',.0f', 11)}"
        f"{show('predict_ratio', '.2f', 6)}"
        f"{show('evaluate_per_s', ',.0f', 12)}"
        f"{show('evaluate_ratio', '.2f', 6)}"
    )


def aims(table: pd.DataFrame) -> list[str]:
    """Each aim, what was measured, and whether it is met."""
    indexed = table.set_index(KEYS)
    lines = []
    for aim, at_least in [(a, True) for a in AIMS] + [
        (c, False) for c in _CEILINGS
    ]:
        *keys, column, bound = aim
        if tuple(keys) not in indexed.index or column not in indexed:
            continue
        value = indexed.loc[tuple(keys), column]
        if column.startswith("typed") and pd.isna(value):
            continue  # measured at one batch size only
        met = value >= bound if at_least else value <= bound
        sign = ">=" if at_least else "<="
        found = "not reached" if pd.isna(value) else f"{value:.2f}"
        lines.append(
            f"  {'met   ' if met else 'MISSED'} {keys[0]}, batch {keys[1]}, "
            f"{keys[2]}: {column} {found} (aim {sign} {bound:.2f})"
        )
    return lines
