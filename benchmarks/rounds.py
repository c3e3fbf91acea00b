"""Libraries take turns: A B C A B C ..., all processes staying alive.

A machine that is busy for a while then slows every library of a round, and
the ratio within a round stays right. Every measurement becomes one row of a
long table: model, batch_size, library, quantity, round, value.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import data
from benchmarks.architecture import Setting
from benchmarks.protocol import Worker, WorkerError
from mtlrec_utils.evidence import auc

OURS = "ours"
PLAIN = "plain Keras"


class Log:
    """The long table of measurements.

    Attributes:
        versions: library -> versions of its packages.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self.versions: dict[str, dict[str, str]] = {}

    def add(
        self,
        setting: Setting,
        library: str,
        turn: int,
        **values: float | None,
    ) -> None:
        """Add one row for each value that was measured."""
        self._rows += [
            {
                "model": setting.model,
                "batch_size": setting.batch_size,
                "library": library,
                "quantity": quantity,
                "round": turn,
                "value": value,
            }
            for quantity, value in values.items()
            if value is not None
        ]

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows)


class Comparison:
    """The libraries of one setting, each in its process.

    A library whose process fails is reported and left out from then on.

    Args:
        libraries: name -> Python and module; "ours" is one of them.
        path: of the table.
        setting: held equal.
        own: of a library: what of the setting is its own.
        log: to write measurements to.
    """

    def __init__(
        self,
        libraries: Mapping[str, tuple[Path, str]],
        path: Path,
        setting: Setting,
        own: Mapping[str, Mapping[str, Any]],
        log: Log,
    ) -> None:
        self.setting, self.log = setting, log
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self._predictions = folder / "predictions.npy"
        self._table = data.load(path)
        self.workers = {
            name: Worker(python, module, folder / f"{module}.log")
            for name, (python, module) in libraries.items()
        }
        for name in [*self.workers]:
            of_it = asdict(replace(setting, **own.get(name, {})))
            answer = self.ask(name, "load", path=str(path), setting=of_it)
            if answer:
                log.versions[name] = answer["versions"]

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self.workers.values():
            worker.close()
        self._folder.cleanup()

    def ask(
        self, name: str, do: str, **arguments: Any
    ) -> dict[str, Any] | None:
        """One library's answer; None when it failed, now or before."""
        if name not in self.workers:
            return None
        try:
            return self.workers[name].ask(do, **arguments)
        except WorkerError as error:
            print(f"{name} is left out from here on: {error}", flush=True)
            self.workers.pop(name).close()
            return None

    def each(
        self, do: str, **arguments: Any
    ) -> list[tuple[str, dict[str, Any]]]:
        """Ask all libraries, one after the other."""
        answers = [(n, self.ask(n, do, **arguments)) for n in [*self.workers]]
        return [(name, answer) for name, answer in answers if answer]

    def first_steps(self, start: int) -> None:
        """Build each model and make its first update."""
        for name, answer in self.each("first_step"):
            self.log.add(
                self.setting, name, start, first_step_s=answer["wall"]
            )

    def train(self, rounds: int, steps: int) -> None:
        """Take turns through one epoch; AUC of ours after every round."""
        for turn in range(rounds):
            # The very first step of the epoch is already done.
            now = steps - (turn == 0)
            for name, answer in self.each("train", steps=now):
                self.log.add(
                    self.setting,
                    name,
                    turn,
                    train_s=answer["wall"] * steps / now,
                    train_cpu_s=answer["cpu"] * steps / now,
                    train_rows=steps * self.setting.batch_size,
                    peak_mb=answer["peak_mb"],
                )
            gauge = self.ask(OURS, "gauge")
            if gauge:
                self.log.add(
                    self.setting, OURS, turn, gemm_gflops=gauge["result"]
                )
            print(f"  round {turn + 1} of {rounds}", flush=True)
            last = turn == rounds - 1
            for name in [*self.workers] if last else [OURS]:
                self._record_auc(name, turn)

    def infer(self, rounds: int, typed_rounds: int) -> None:
        """Take turns at predicting and at evaluating the test rows.

        Args:
            rounds: with the batch size of the setting.
            typed_rounds: of ours and plain Keras as one types it, without
                a batch size.
        """
        n_rows = len(self._table.ids) - self._table.n_train
        for name in [n for n in self.workers if n in (PLAIN, "DeepCTR")]:
            self.ask(name, "prepare_evaluation")
        for turn in range(rounds):
            for do in ("predict", "evaluate"):
                for name, answer in self.each(do):
                    self._record_inference(name, turn, do, answer, n_rows)
        for turn in range(typed_rounds):
            for do in ("predict", "evaluate"):
                for name in (OURS, PLAIN):
                    answer = self.ask(name, do, as_typed=True)
                    what = f"typed_{do}"
                    self._record_inference(name, turn, what, answer, n_rows)

    def _record_inference(
        self,
        name: str,
        turn: int,
        what: str,
        answer: dict[str, Any] | None,
        n_rows: int,
    ) -> None:
        if answer is None:
            return
        self.log.add(
            self.setting,
            name,
            turn,
            **{
                f"{what}_s": answer["wall"],
                f"{what}_cpu_s": answer["cpu"],
                f"{what}_rows": n_rows,
            },
        )

    def _record_auc(self, name: str, turn: int) -> None:
        path = str(self._predictions)
        if self.ask(name, "predict", save_to=path) is None:
            return
        found = np.load(path)
        labels = self._table.labels[self._table.test_rows]
        self.log.add(
            self.setting,
            name,
            turn,
            **{
                f"auc_{task}": auc(labels[:, i], found[:, i])
                for i, task in enumerate(data.TASKS)
            },
        )


def best_auc(table: data.Table) -> dict[str, float]:
    """Test AUC of the true probabilities: nobody can expect more."""
    rows = table.test_rows
    return {
        task: auc(table.labels[rows, i], table.truth[rows, i])
        for i, task in enumerate(data.TASKS)
    }


def compare(
    libraries: Mapping[str, tuple[Path, str]],
    path: Path,
    settings: list[Setting],
    *,
    rounds: int,
    steps: Callable[[Setting], int],
    starts: int,
    own: Mapping[str, Mapping[str, Any]],
    log: Log,
) -> None:
    """Measure every setting; first steps of fresh processes `starts` times."""
    typed = set()
    for setting in settings:
        print(f"{setting.model}, batch {setting.batch_size} ...", flush=True)
        for start in range(starts):
            with Comparison(libraries, path, setting, own, log) as comparison:
                comparison.first_steps(start)
                if start == starts - 1:
                    comparison.train(rounds, steps(setting))
                    # A default batch size needs no second setting.
                    once = 0 if setting.model in typed else min(rounds, 3)
                    comparison.infer(min(rounds, 6), once)
                    typed.add(setting.model)
