"""Basic recommenders beside implicit and keras-rs: quality and time.

    python -m benchmarks.retrieval_peers [--seeds 5] [--save FILE]

Alternating least squares and item neighbours beside implicit 0.7.3, two
towers beside keras-rs 0.4.0: same training rows, same settings, same test,
both libraries in turns, each training in a process of its own on one core.
The data are those of the evidence table ``basics``; a million interactions
drawn at random stand beside them for the time alone.

A row of the table is a model on one data set: median seconds of both sides,
the ratio (theirs / ours, median of the seeds, smallest and largest behind
it), and recall@20 and NDCG@20 of both, with the verdict over all seeds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.__main__ import pin
from benchmarks.environments import RETRIEVAL, python_of
from benchmarks.protocol import ROOT
from benchmarks.ranking_speed import interactions
from mtlrec_utils.evidence import (
    compare_per_group,
    full_ranking,
    write_results,
)
from tools.evidence import load

K = 20
CONTESTS = {
    "ALS": ("our_als", "implicit_als"),
    "item neighbours": ("our_neighbours", "implicit_neighbours"),
    "two towers": ("our_towers", "keras_rs_towers"),
}
LIBRARY = {"ALS": "implicit", "item neighbours": "implicit",
           "two towers": "keras-rs"}  # fmt: skip
MILLION = "a million, at random"


def data_sets() -> dict[str, list]:
    """Return name -> training matrix and, where there is one, the test's."""
    basics = load("basics")
    found = {}
    for name in basics.DATA:
        if name == "MovieLens-100K" and (reason := basics.missing()):
            print(f"{name} is left out. {reason}")
            continue
        train, _, test = basics.prepared(name)["matrices"]
        found[name] = [train, test]
    found[MILLION] = [interactions(20_000, 5_000, 1_450_000), None]
    return found


def trained(python: Path, name: str, train, seed: int) -> dict:
    """Train once in a process of its own; return scores and seconds."""
    users, items = train.nonzero()
    with tempfile.TemporaryDirectory() as folder:
        source, target = (Path(folder) / f"{x}.npz" for x in ("in", "out"))
        np.savez(
            source, users=users, items=items, shape=train.shape, seed=seed
        )
        done = subprocess.run(
            [
                str(python),
                "-m",
                "benchmarks.retrieval_trainers",
                name,
                str(source),
                str(target),
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "2",
                "CUDA_VISIBLE_DEVICES": "-1",
            },
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{name}:\n{done.stderr[-2000:]}")
        return dict(np.load(target))


def contest(model: str, data: list, peer: Path, seeds: int) -> dict:
    """Let both sides train in turns; return a row of the table."""
    train, test = data
    seconds, values = [], []
    for seed in range(seeds):
        pair = [
            trained(python, name, train, seed)
            for python, name in zip(
                (Path(sys.executable), peer), CONTESTS[model], strict=True
            )
        ]
        seconds.append([float(side["seconds"]) for side in pair])
        if test is not None:
            rankings = [full_ranking(test, x["scores"], train) for x in pair]
            values.append([(r.recall(K), r.ndcg(K)) for r in rankings])
    spent = np.array(seconds)
    ratios = spent[:, 1] / spent[:, 0]
    row = {
        "our_seconds": np.median(spent[:, 0]),
        "their_seconds": np.median(spent[:, 1]),
        "ours_is_faster": np.median(ratios),
        "smallest": ratios.min(),
        "largest": ratios.max(),
    }
    for m, metric in enumerate(("recall", "ndcg") if values else ()):
        ours, theirs = (
            np.stack([of_seed[side][m] for of_seed in values])
            for side in (0, 1)
        )
        found = compare_per_group(ours, theirs, metric=metric)
        row |= {
            f"our_{metric}@{K}": ours.mean(),
            f"their_{metric}@{K}": theirs.mean(),
            f"{metric}@{K}_verdict": found.verdict,
        }
    return row


def main() -> None:
    """Run all contests and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--save", type=Path, help="write the table here")
    options = parser.parse_args()
    peer = python_of(RETRIEVAL)
    machine = pin(1)
    rows = []
    for name, data in data_sets().items():
        for model in CONTESTS:
            if name == MILLION and model == "two towers":
                continue
            row = contest(model, data, peer, options.seeds)
            rows.append(
                {
                    "data": name,
                    "interactions": data[0].nnz,
                    "model": model,
                    "library": LIBRARY[model],
                    **row,
                }
            )
            print(pd.DataFrame(rows[-1:]).round(4).to_string(), flush=True)
    if options.save:
        command = ["python", "-m", "benchmarks.retrieval_peers", *sys.argv[1:]]
        write_results(
            pd.DataFrame(rows),
            options.save,
            seeds=list(range(options.seeds)),
            command=" ".join(command),
            machine=machine,
        )


if __name__ == "__main__":
    main()
