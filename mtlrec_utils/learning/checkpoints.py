"""Training state on disk, so that a killed run ends as if never killed.

One file holds everything: weights, optimizer state, the best epoch's
weights, the losses so far and what run they belong to. It is written
beside the old one and then takes its place, so a reader never meets half
a file. Random draws need no saving: each epoch seeds its own.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.whole_file import whole_file

FILE = "training.npz"
_DAMAGE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or belongs to another run."""


@dataclass
class State:
    """A training run after some epoch.

    Attributes:
        epoch: epochs done.
        rows: rows of the history table.
        steps: updates made.
        seconds: spent so far.
        weights: of the model, after that epoch.
        optimizer: variables of the optimizer.
        best: weights of the best epoch; None when they are not kept.
        balancing: what the balancing method remembers.
        weight_rows: rows of the history's table of weights.
        conflict_rows: rows of the history's table of conflicts.
    """

    epoch: int
    rows: list[dict[str, Any]]
    steps: int
    seconds: float
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]
    best: list[np.ndarray] | None
    balancing: list[np.ndarray] = field(default_factory=list)
    weight_rows: list[dict[str, Any]] = field(default_factory=list)
    conflict_rows: list[dict[str, Any]] = field(default_factory=list)


class Checkpoint:
    """The training state in one folder.

    Args:
        folder: created when missing.
        run: what determines the result, JSON-able; a state of another run
            is refused.
    """

    def __init__(self, folder: str | Path, run: Mapping[str, Any]) -> None:
        self.path = Path(folder) / FILE
        self.run = json.loads(json.dumps(dict(run)))

    def load(self) -> State | None:
        """Return the stored state, or None when there is none yet.

        Raises:
            CheckpointError: the file is damaged or of another run.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            note = json.loads(str(arrays["note"]))
        except _DAMAGE as error:
            raise CheckpointError(
                f"{self.path} cannot be read as a checkpoint ({error}). "
                "Delete it to start anew."
            ) from error
        self._check(note["run"])
        best = _unpack(arrays, "best") if note["has_best"] else None
        return State(
            epoch=note["epoch"],
            rows=note["rows"],
            steps=note["steps"],
            seconds=note["seconds"],
            weights=_unpack(arrays, "weights"),
            optimizer=_unpack(arrays, "optimizer"),
            best=best,
            balancing=_unpack(arrays, "balancing"),
            weight_rows=note.get("weight_rows", []),
            conflict_rows=note.get("conflict_rows", []),
        )

    def _check(self, stored: Mapping[str, Any]) -> None:
        keys = sorted({*stored, *self.run})
        other = [k for k in keys if stored.get(k) != self.run.get(k)]
        if other:
            differences = "; ".join(
                f"{k}: stored {_short(stored.get(k))}, "
                f"now {_short(self.run.get(k))}"
                for k in other
            )
            raise CheckpointError(
                f"{self.path} belongs to another run ({differences}). Use "
                "another folder, or delete this one to start anew."
            )

    def save(self, state: State) -> None:
        """Write the state in place of the one before."""
        note = {
            "run": self.run,
            "epoch": state.epoch,
            "rows": state.rows,
            "steps": state.steps,
            "seconds": state.seconds,
            "has_best": state.best is not None,
            "weight_rows": state.weight_rows,
            "conflict_rows": state.conflict_rows,
        }
        arrays: dict[str, Any] = {
            "note": np.array(json.dumps(note)),
            **_pack("weights", state.weights),
            **_pack("optimizer", state.optimizer),
            **_pack("best", state.best or []),
            **_pack("balancing", state.balancing),
        }
        with whole_file(self.path) as part, part.open("wb") as file:
            np.savez(file, **arrays)


def fingerprint(examples: Examples | None) -> str | None:
    """Return a hash of all that training reads of some examples."""
    if examples is None:
        return None
    digest = hashlib.blake2b(digest_size=16)
    parts = {
        "ids": examples.ids,
        "numbers": examples.numbers,
        **{f"label {t}": a for t, a in examples.labels.items()},
        **{f"mask {t}": a for t, a in examples.masks.items()},
    }
    for name, array in sorted(parts.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def to_numpy(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copy variables' values."""
    return [np.array(v.numpy()) for v in variables]


def assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Put values back; all shapes must agree."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _pack(name: str, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    # NumPy's file format does not know bfloat16; float32 holds it exactly.
    return {
        f"{name}/{i}": a.astype("float32") if a.dtype.kind == "V" else a
        for i, a in enumerate(values)
    }


def _unpack(arrays: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    n = sum(key.startswith(f"{name}/") for key in arrays)
    return [arrays[f"{name}/{i}"] for i in range(n)]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
