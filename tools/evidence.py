"""Recompute the result tables that the lessons quote.

    python -m tools.evidence [TABLE ...] [--list]

An experiment is a module ``source/evidence/TABLE.py`` with

* ``SEEDS``: the seeds it runs,
* ``units()``: a list of settings, each a dictionary that JSON can hold,
* ``run(unit)``: a frame of results for one setting,
* ``table(results)``: the frame to keep, made from all of them together, and
* optionally ``missing()``: a sentence when its data are not there, else None.

Each unit's result is stored in ``build/evidence/TABLE/`` as soon as it is
there, so an interrupted run goes on where it stopped.  A stored unit is used
again only while the package, the experiment and the unit are the same.
The table goes to ``datasets/results/TABLE.csv`` with its seeds, versions,
date and command.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import pandas as pd

from mtlrec_utils.evidence import write_results
from mtlrec_utils.whole_file import whole_file
from tools import checksums

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "source" / "evidence"
STORE = ROOT / "build" / "evidence"
RESULTS = ROOT / "datasets" / "results"
# What a result depends on; the classroom only shows results.
CODE = ("data", "models", "learning", "evidence", "capstone")


def experiment_names() -> list[str]:
    """Names of all experiments, in order."""
    return sorted(p.stem for p in EXPERIMENTS.glob("[!_]*.py"))


def load(name: str) -> ModuleType:
    """Import one experiment by its name."""
    path = EXPERIMENTS / f"{name}.py"
    if not path.exists():
        known = ", ".join(experiment_names())
        sys.exit(f"There is no experiment {name!r}; there are: {known}.")
    spec = importlib.util.spec_from_file_location(f"evidence_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_hash(name: str) -> str:
    """Hash of everything a stored unit of this experiment depends on."""
    digest = hashlib.sha256((EXPERIMENTS / f"{name}.py").read_bytes())
    for folder in CODE:
        for path in sorted((ROOT / "mtlrec_utils" / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def stored(name: str, unit: dict, code: str) -> Path:
    """Where the result of one unit is kept."""
    key = json.dumps([code, unit], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:20]
    return STORE / name / f"{digest}.parquet"


def result_of(module: ModuleType, unit: dict, path: Path) -> pd.DataFrame:
    """Return the unit's result: the stored one, or a fresh run."""
    if not path.exists():
        frame = module.run(unit)
        with whole_file(path) as part:
            frame.to_parquet(part, index=False)
    return pd.read_parquet(path)


def make(name: str) -> None:
    """Run one experiment and write its table."""
    module = load(name)
    reason = module.missing() if hasattr(module, "missing") else None
    if reason:
        print(f"{name}: left as it is. {reason}")
        return
    code, started, frames = code_hash(name), time.perf_counter(), []
    units = module.units()
    for number, unit in enumerate(units, start=1):
        frames.append(result_of(module, unit, stored(name, unit, code)))
        seconds = time.perf_counter() - started
        print(
            f"{name}: {number}/{len(units)} {unit} {seconds:.0f} s", flush=True
        )
    path = write_results(
        module.table(pd.concat(frames, ignore_index=True)),
        RESULTS / f"{name}.csv",
        seeds=list(module.SEEDS),
        command=f"python -m tools.evidence {name}",
    )
    print(f"wrote {path.relative_to(ROOT)}")


def main() -> None:
    """Make the named tables, or all of them."""
    parser = argparse.ArgumentParser(description="Recompute result tables.")
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(experiment_names()))
        return
    for name in arguments.tables or experiment_names():
        make(name)
    checksums.main()


if __name__ == "__main__":
    main()
