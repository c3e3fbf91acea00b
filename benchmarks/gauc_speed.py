"""GAUC and AUC: how fast, against what people usually write.

    python benchmarks/gauc_speed.py [--rows 1000000] [--users 50000]

All methods run on the same data, interleaved in one process, so that a busy
machine slows all of them; the ratio of medians is printed beside the values,
which must agree. The usual way of GAUC (pandas groupby + scikit-learn) takes
about a minute at full size and is run once, unless --repeats-slow says more.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from mtlrec_utils import evidence


def impressions(
    n_rows: int, n_users: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (20 % positive), float32 scores and users of a random log."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1.6, 1.0, n_rows)
    labels = (rng.random(n_rows) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    scores = (logit + rng.normal(size=n_rows)).astype(np.float32)
    return labels, scores, rng.integers(0, n_users, n_rows)


def gauc_by_groupby(
    labels: np.ndarray, scores: np.ndarray, users: np.ndarray
) -> float:
    """Impression-weighted AUC per user, written the usual way."""
    frame = pd.DataFrame({"label": labels, "score": scores, "user": users})
    total = weight = 0.0
    for _, rows in frame.groupby("user"):
        if rows["label"].nunique() < 2:
            continue
        value = roc_auc_score(rows["label"], rows["score"])
        total += len(rows) * value
        weight += len(rows)
    return total / weight


def timed(function: Callable[[], float]) -> tuple[float, float]:
    """Value and seconds of one call."""
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--repeats-slow", type=int, default=1)
    options = parser.parse_args()
    labels, scores, users = impressions(options.rows, options.users)
    methods: dict[str, Callable[[], float]] = {
        "GAUC ours": lambda: evidence.gauc(labels, scores, users),
        "AUC ours": lambda: evidence.auc(labels, scores),
        "AUC scikit-learn": lambda: roc_auc_score(labels, scores),
        "GAUC pandas + scikit-learn": lambda: gauc_by_groupby(
            labels, scores, users
        ),
    }
    slow = "GAUC pandas + scikit-learn"
    values: dict[str, float] = {}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for repeat in range(options.repeats):
        for name, function in methods.items():
            if name == slow and repeat >= options.repeats_slow:
                continue
            values[name], spent = timed(function)
            seconds[name].append(spent)
    median = {name: statistics.median(s) for name, s in seconds.items()}
    print(f"{options.rows:,} rows, {options.users:,} users")
    for name in methods:
        print(
            f"{name:28s} {values[name]:.9f}  median {median[name]:8.3f} s "
            f"of {len(seconds[name])}"
        )
    for metric, ours, theirs in (
        ("GAUC", "GAUC ours", slow),
        ("AUC", "AUC ours", "AUC scikit-learn"),
    ):
        agree = abs(values[ours] - values[theirs])
        print(
            f"{metric}: {median[theirs] / median[ours]:.1f} times as fast, "
            f"values differ by {agree:.1e}"
        )


if __name__ == "__main__":
    main()
