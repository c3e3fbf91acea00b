"""What the benchmarks of the server share: a model to serve, and requests.

python -m benchmarks.serving FOLDER    # export the model there
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mtlrec_utils.serving import TokenStore
from mtlrec_utils.serving.limits import Limits
from mtlrec_utils.serving.server import Settings

COLUMNS = ("user", "item", "position", "age_group", "region", "device")
VERSIONS = ("1", "2")
#: Nothing is limited that is not measured.
OPEN = Limits(rate=1e9, burst=1e9, free_guesses=10**9)


def prepare(folder: Path) -> list[dict[str, Any]]:
    """Export two versions, in another process; return rows to ask for.

    This process stays free of TensorFlow, so that it can be forked.
    """
    command = [sys.executable, "-m", "benchmarks.serving", str(folder)]
    subprocess.run(command, check=True)
    rows: list[dict[str, Any]] = json.loads(
        (folder / "rows.json").read_text("utf-8")
    )
    return rows


def export(folder: Path) -> None:
    """Export the MMoE of lesson 10, untrained."""
    from mtlrec_utils.data import Categorical, Schema, Task, World
    from mtlrec_utils.models import mmoe
    from mtlrec_utils.serving import activate, export_model

    world = World(n_users=400, n_items=100, seed=1)
    log = world.with_features(world.log(5000, domain="films"))
    schema = Schema(
        [Categorical(column) for column in COLUMNS],
        [Task("click"), Task("like", sample_space="click")],
    ).fit(log)
    sizes = {"n_experts": 4, "expert_units": (16,), "tower_units": (8,)}
    for seed, version in enumerate(VERSIONS):
        model = mmoe(schema, embedding_dimension=8, seed=seed, **sizes)
        export_model(model, schema, folder, version)
        model.save(keras_file(folder, version))
    activate(folder, VERSIONS[0])
    rows = log[list(COLUMNS)].to_json(orient="records")
    (folder / "rows.json").write_text(rows, "utf-8")


def keras_file(folder: Path, version: str) -> Path:
    """Where a version lies as Keras saves it: beside the folder of all."""
    return folder.with_name(f"{version}.keras")


def token_of(settings: Settings, scope: str = "score") -> str:
    """Issue a token."""
    return TokenStore(settings.tokens).issue(scope, (scope,))


def requests_of(
    rows: list[dict[str, Any]], n: int, size: int, seed: int
) -> list[list[dict[str, Any]]]:
    """Draw n requests of some rows."""
    rng = np.random.default_rng(seed)
    return [
        [rows[i] for i in rng.integers(len(rows), size=size)] for _ in range(n)
    ]


if __name__ == "__main__":
    export(Path(sys.argv[1]))
