"""Ranking whole catalogues, and fitting classic recommenders: how fast.

    python benchmarks/ranking_speed.py [--users 5000] [--items 20000]

First the full evaluation: every item is scored for every user, items seen in
training are left out, and recall, NDCG, recall per popularity bucket, lists,
coverage and popularity bias are computed. Its budget is 2 s. scikit-learn's
NDCG of the same scores stands beside it; the values must agree.

Then a million interactions, fitted by each classic recommender. Seconds are
wall time; CPU seconds stand beside them, for a busy machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics import ndcg_score

from mtlrec_utils import evidence
from mtlrec_utils.models import classic

BUDGET_SECONDS = 2.0
K = 20


def interactions(
    n_users: int, n_items: int, n: int, seed: int = 0
) -> sparse.csr_array:
    """About n pairs: users of uneven activity, items by Zipf's law."""
    rng = np.random.default_rng(seed)
    zipf = 1 / (1 + np.arange(n_items))
    habit = rng.lognormal(size=n_users)
    return classic.interaction_matrix(
        rng.choice(n_users, n, p=habit / habit.sum()),
        rng.choice(n_items, n, p=zipf / zipf.sum()),
        (n_users, n_items),
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, wall seconds and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def evaluate(
    scores: np.ndarray,
    relevant: sparse.csr_array,
    seen: sparse.csr_array,
    popularity: np.ndarray,
) -> dict[str, float]:
    """Everything a table about a recommender says."""
    ranking = evidence.full_ranking(relevant, scores, seen)
    buckets = evidence.popularity_buckets(popularity)
    lists = classic.top_items(scores, K, seen)
    found = {
        "recall": ranking.recall(K).mean(),
        "ndcg": ranking.ndcg(K).mean(),
        "coverage": evidence.coverage(lists, scores.shape[1]),
        "popularity bias": evidence.popularity_bias(lists, popularity).mean(),
    }
    for bucket in range(3):
        part = ranking.among(buckets == bucket)
        found[f"recall, bucket {bucket}"] = part.recall(K).mean()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    options = parser.parse_args()

    seen = interactions(options.users, options.items, 60 * options.users)
    popularity = seen.sum(axis=0)
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(options.users, options.items))
    scores = (scores + np.log1p(popularity)).astype(np.float32)
    print(f"{options.users:,} users x {options.items:,} items")
    for per_user in (10, 100):
        relevant = interactions(
            options.users, options.items, per_user * options.users, seed=2
        )
        spent = []
        for _ in range(options.rounds):
            found, *seconds = timed(
                lambda relevant=relevant: evaluate(
                    scores, relevant, seen, popularity
                )
            )
            spent.append(seconds)
        wall, cpu = np.median(spent, axis=0)
        print(
            f"{relevant.nnz:8,} relevant: wall {wall:.2f} s, CPU {cpu:.2f} s, "
            f"budget {BUDGET_SECONDS:g} s"
        )
    print({name: round(float(value), 4) for name, value in found.items()})

    few = slice(0, 200)
    hidden = scores[few].copy()
    hidden[seen[few].nonzero()] = -1e9
    labels = relevant[few].toarray()
    labels[seen[few].nonzero()] = 0
    counted = labels.sum(axis=1) > 0
    theirs, wall, _ = timed(
        lambda: ndcg_score(labels[counted], hidden[counted], k=K)
    )
    ours = evidence.full_ranking(relevant[few], scores[few], seen[few]).ndcg(K)
    print(
        f"NDCG of 200 users, scikit-learn: {theirs:.9f} in {wall:.2f} s; "
        f"ours differs by {abs(theirs - ours.mean()):.1e}"
    )

    matrix = interactions(20_000, 5_000, round(1.45 * options.interactions))
    print(f"fitting {matrix.nnz:,} interactions of 20,000 x 5,000")
    models: list[classic.Recommender] = [
        classic.Popularity(),
        classic.ItemNeighbours(),
        classic.UserNeighbours(),
        classic.ImplicitALS(n_factors=32, n_sweeps=10),
        classic.RatingBiases(),
        classic.SlopeOne(),
    ]
    for model in models:
        _, wall, cpu = timed(lambda model=model: model.fit(matrix))
        _, listing, _ = timed(
            lambda model=model: model.recommend(np.arange(1000), K)
        )
        print(
            f"{type(model).__name__:16s} wall {wall:6.2f} s, CPU {cpu:6.2f} s;"
            f" 1,000 lists {listing:.2f} s"
        )


if __name__ == "__main__":
    main()
