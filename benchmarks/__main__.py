"""Measure this course's package against other libraries, in one run.

    python -m benchmarks [--rows 1000000] [--rounds 13] [--cores 1]

Same rows, same network, same batch size, one epoch; libraries take turns.
README.md in this folder explains how to read the table.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from benchmarks import data, report
from benchmarks.architecture import MODELS, Setting
from benchmarks.environments import PEERS, NoEnvironmentError, python_of
from benchmarks.protocol import ROOT
from benchmarks.rounds import OURS, PLAIN, Log, best_auc, compare
from mtlrec_utils.evidence import write_results

TABLES = ROOT / "build" / "benchmarks"


def main() -> None:
    options = _options()
    pinned = pin(options.cores)
    print(f"Running on {pinned}.", flush=True)
    # Every turn ends on a whole batch of every size.
    turn = int(options.rows * data.TRAIN_SHARE / options.rounds)
    turn -= turn % max(options.batches)
    if not turn:
        sys.exit("Too few rows: a round would be less than a batch.")
    path = _table(options.rows, turn * options.rounds, options.seed)
    settings = [
        Setting(model, batch, options.rate, options.seed)
        for model in options.models
        for batch in options.batches
    ]
    log = Log()
    compare(
        _libraries(options),
        path,
        settings,
        rounds=options.rounds,
        steps=lambda setting: turn // setting.batch_size,
        starts=options.starts,
        own={
            OURS: {
                "learning_rate": options.own_rate or options.rate,
                "falls": options.own_falls,
            }
        },
        log=log,
    )
    best = best_auc(data.load(path))
    table = report.summary(log.frame)
    print(report.text(table, best))
    if options.save:
        write_results(
            table,
            options.save,
            seeds=[options.seed],
            command=f"python -m benchmarks {shlex.join(sys.argv[1:])}".strip(),
            versions=log.versions,
            machine=pinned,
            best_auc=best,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=13)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[4096, 512])
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument(
        "--own-rate", type=float, help="learning rate of ours, if another"
    )
    parser.add_argument(
        "--own-falls",
        action="store_true",
        help="the rate of ours falls over the epoch, to a twentieth",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument(
        "--starts", type=int, default=1, help="fresh processes per first step"
    )
    parser.add_argument("--save", type=Path, help="write the table here")
    parser.add_argument(
        "--without", nargs="+", default=[], help="libraries to leave out"
    )
    for peer in PEERS:
        parser.add_argument(
            f"--python-{peer.key}",
            help=f"a Python that has {peer.name} (or ${peer.variable})",
        )
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds: at least 2, because the first never counts")
    return options


def pin(n_cores: int) -> str:
    """Keep this process, and those it starts, on some cores."""
    if not hasattr(os, "sched_setaffinity"):
        return f"all {os.cpu_count()} cores (this system cannot pin)"
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[-n_cores:])
    return f"{len(allowed[-n_cores:])} of {len(allowed)} cores"


def _table(n_rows: int, n_train: int, seed: int) -> Path:
    """The file of the rows; drawn when it is not there yet."""
    path = TABLES / f"{n_rows}-{n_train}-{seed}.npz"
    if not path.exists():
        data.save(data.generate(n_rows, n_train, seed), path)
    return path


def _libraries(options: argparse.Namespace) -> dict[str, tuple[Path, str]]:
    own = Path(sys.executable)
    found = {OURS: (own, "benchmarks.worker_ours")}
    for peer in PEERS:
        if peer.name in options.without:
            continue
        chosen = getattr(options, f"python_{peer.key.replace('-', '_')}")
        try:
            found[peer.name] = (python_of(peer, chosen), peer.module)
        except NoEnvironmentError as error:
            print(f"{peer.name} is left out, no environment: {error}")
    if PLAIN not in options.without:
        found[PLAIN] = (own, "benchmarks.worker_plain_keras")
    return found


if __name__ == "__main__":
    main()
