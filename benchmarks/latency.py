"""Size and latency of one model: run by Keras, TensorFlow and LiteRT.

    python -m benchmarks.latency [--batch 1 256] \
        [--save datasets/results/latency.csv]

The MMoE of the other benchmarks with random weights (the time does not
depend on them), in every form it can be served in, and smaller versions of
it. All live in one process and take turns on one core, so ratios are those
of one run. Milliseconds belong to the machine that ran it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np
import pandas as pd
import tensorflow as tf

from benchmarks import architecture as a
from benchmarks import data
from benchmarks.__main__ import pin
from benchmarks.worker_ours import Encoded
from mtlrec_utils.data import Examples, Task
from mtlrec_utils.data.features import IdColumns
from mtlrec_utils.evidence import write_results
from mtlrec_utils.learning import predict
from mtlrec_utils.learning.compress import (
    PRECISIONS,
    LiteRTModel,
    export_litert,
    latency,
    size_on_disk,
)
from mtlrec_utils.models import (
    mmoe,
    shared_bottom,
    with_compact_tables,
    with_low_rank,
)

ROWS, RANK = 10_000, 16


def models_of(table: data.Table) -> dict[str, Any]:
    """Build the large model and its smaller versions, by name."""
    schema = Encoded(
        tuple(
            IdColumns(name, f, f + 1, f, False)
            for f, name in enumerate(data.FIELDS)
        ),
        table.field_sizes,
        data.NUMBERS,
        tuple(Task(task) for task in data.TASKS),
    )
    large = mmoe(
        schema,
        embedding_dimension=a.EMBEDDING_DIMENSION,
        n_experts=a.N_EXPERTS,
        expert_units=a.EXPERT_UNITS,
        tower_units=a.TOWER_UNITS,
        seed=0,
    )
    return {
        "mmoe": large,
        "hashed": with_compact_tables(large, ROWS, "hashed"),
        "compositional": with_compact_tables(large, ROWS, "compositional"),
        "low rank": with_low_rank(large, RANK, ["experts"]),
        "student": shared_bottom(
            schema,
            embedding_dimension=4,
            bottom_units=(32,),
            tower_units=(8,),
            seed=0,
        ),
    }


def examples_of(table: data.Table) -> Examples:
    """Return the rows without labels."""
    n = len(table.ids)
    return Examples(table.ids, table.numbers, {}, {}, None, np.arange(n))


def served(
    models: dict[str, Any], rows: Examples, folder: Path
) -> tuple[dict[str, Callable[[Any], Any]], dict[str, int]]:
    """Return every form as a function of a batch, and its bytes on disk."""
    large = models["mmoe"]
    calls: dict[str, Callable[[Any], Any]] = {}
    sizes: dict[str, int] = {}
    for precision in PRECISIONS:
        name = f"LiteRT {precision}"
        path = export_litert(
            large, folder / f"{name}.tflite", precision, representative=rows
        )
        calls[name], sizes[name] = LiteRTModel(path), size_on_disk(path)
    for kind, model in models.items():
        if kind != "mmoe":
            name = f"LiteRT float32, {kind}"
            path = export_litert(model, folder / f"{kind}.tflite")
            calls[name], sizes[name] = LiteRTModel(path), size_on_disk(path)

    large.save(folder / "model.keras")
    large.export(folder / "saved", verbose=False)
    loaded = tf.saved_model.load(folder / "saved")  # keeps the variables

    def by_signature(batch: Any) -> Any:
        return {
            task: found.numpy()
            for task, found in loaded.serve(
                {name: tf.constant(x) for name, x in batch.items()}
            ).items()
        }

    def by_predict(batch: Any) -> Any:
        n = len(batch["ids"])
        return predict(large, rows.subset(slice(0, n)))

    calls["SavedModel"] = by_signature
    sizes["SavedModel"] = size_on_disk(folder / "saved")
    calls["learning.predict"] = by_predict
    calls["keras predict"] = lambda batch: large.predict(batch, verbose=0)
    for name in ("learning.predict", "keras predict"):
        sizes[name] = size_on_disk(folder / "model.keras")
    return calls, sizes


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 256])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=10, help="in one turn")
    parser.add_argument("--save", type=Path, help="write the table here")
    options = parser.parse_args()
    pinned = pin(1)
    n_rows = max(2000, *options.batch)
    table = data.generate(n_rows, n_rows)
    rows = examples_of(table)
    with tempfile.TemporaryDirectory() as folder:
        calls, sizes = served(models_of(table), rows, Path(folder))
        found = latency(
            calls,
            {n: rows.subset(slice(0, n)).inputs for n in options.batch},
            rounds=options.rounds,
            calls=options.calls,
        )
    found["bytes"] = found["variant"].map(sizes)
    found = found.round({"p50": 4, "p99": 4, "relative": 3})
    with pd.option_context("display.width", 100):
        print(found.to_string(index=False))
    if options.save:
        write_results(
            found,
            options.save,
            seeds=[0],
            command=shlex.join(
                ["python", "-m", "benchmarks.latency", *sys.argv[1:]]
            ),
            machine=pinned,
        )


if __name__ == "__main__":
    main()
