"""How long a call takes, and how many bytes a file has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def latency(
    variants: Mapping[str, Callable[[Any], Any]],
    batches: Mapping[int, Any],
    *,
    rounds: int = 30,
    calls: int = 10,
    warm_up: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how long one call of each variant takes, in turns.

    A machine is never quiet for long. So all variants are warmed up first,
    then take turns of a few calls, in a new order each round: what slows
    the machine down meets all of them.

    Args:
        variants: name -> function of a batch. The first one is what the
            others are divided by.
        batches: number of rows -> the batch, as the functions take it.
        rounds: turns of each variant.
        calls: calls in one turn.
        warm_up: calls of each variant before any is timed.
        seed: of the order.

    Returns:
        One row per batch size and variant: batch, variant, p50 and p99 in
        milliseconds over all its calls, and relative, the median over
        rounds of its median call over that of the first variant.

    Raises:
        ValueError: no variant or batch, or a number below 1.
    """
    if not variants or not batches:
        raise ValueError("latency needs at least one variant and one batch.")
    if min(rounds, calls, warm_up) < 1:
        raise ValueError(
            f"rounds={rounds}, calls={calls} and warm_up={warm_up} must be "
            "at least 1."
        )
    rng = np.random.default_rng(seed)
    names, tables = list(variants), []
    for size, batch in batches.items():
        for call in variants.values():
            _timed(call, batch, warm_up)
        spent = np.empty((rounds, len(names), calls))
        for turn in range(rounds):
            for place in rng.permutation(len(names)):
                call = variants[names[place]]
                spent[turn, place] = _timed(call, batch, calls)
        middle = np.median(spent, axis=2)  # [rounds, variants]
        each = spent.transpose(1, 0, 2).reshape(len(names), -1)
        tables.append(
            pd.DataFrame(
                {
                    "batch": size,
                    "variant": names,
                    "p50": 1e3 * np.quantile(each, 0.5, axis=1),
                    "p99": 1e3 * np.quantile(each, 0.99, axis=1),
                    "relative": np.median(middle / middle[:, :1], axis=0),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _timed(call: Callable[[Any], Any], batch: Any, n: int) -> list[float]:
    """Return the seconds of each of n calls."""
    spent = []
    for _ in range(n):
        start = time.perf_counter()
        call(batch)
        spent.append(time.perf_counter() - start)
    return spent


def size_on_disk(path: str | Path) -> int:
    """Return the bytes of a file, or of all files in a folder.

    Raises:
        FileNotFoundError: there is nothing.
    """
    path = Path(path)
    if path.is_dir():
        return sum(
            file.stat().st_size for file in path.rglob("*") if file.is_file()
        )
    return path.stat().st_size
