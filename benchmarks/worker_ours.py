"""This course's package: fused table, stacked experts, row-sparse Adam."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks import architecture as a
from benchmarks import data
from mtlrec_utils.data import Examples, Task
from mtlrec_utils.data.features import IdColumns
from mtlrec_utils.learning import evaluate, predict
from mtlrec_utils.learning.runs import run
from mtlrec_utils.learning.settings import Settings, chosen_optimizer
from mtlrec_utils.learning.steps import TrainingProgram
from mtlrec_utils.models import mmoe, shared_bottom


class Encoded(NamedTuple):
    """What a model reads of a schema, for ids that are row numbers."""

    id_columns: tuple[IdColumns, ...]
    field_sizes: tuple[int, ...]
    number_names: tuple[str, ...]
    tasks: tuple[Task, ...]


class Ours:
    """``fit``, with the one trace that ``replicate`` shares between runs."""

    packages = ("tensorflow", "keras", "numpy")

    def __init__(self, table: data.Table, setting: a.Setting) -> None:
        self.setting = setting
        self.schema = Encoded(
            tuple(
                IdColumns(name, f, f + 1, f, False)
                for f, name in enumerate(data.FIELDS)
            ),
            table.field_sizes,
            data.NUMBERS,
            tuple(Task(name) for name in data.TASKS),
        )
        self.train_part = _examples(table, table.train_rows)
        self.test_part = _examples(table, table.test_rows)
        self.done = 0

    def first_step(self) -> None:
        self.model = self._build()
        optimizer, set_rate = chosen_optimizer(
            self.model, None, self.setting.learning_rate
        )
        self.program = TrainingProgram(self.model, optimizer, set_rate)
        self.train(1)

    def train(self, steps: int) -> None:
        stop = self.done + steps * self.setting.batch_size
        rows = np.arange(self.done, min(stop, len(self.train_part)))
        run(
            self.program,
            self.train_part.subset(rows),
            None,
            Settings(batch_size=self.setting.batch_size, seed=self.done),
            rate=self.setting.rate_at(self.done / len(self.train_part)),
        )
        self.done = stop

    def predict(self, as_typed: bool = False) -> np.ndarray:
        found = predict(self.model, self.test_part, **self._batch(as_typed))
        return np.stack([found[task] for task in data.TASKS], axis=1)

    def evaluate(self, as_typed: bool = False) -> None:
        evaluate(self.model, self.test_part, **self._batch(as_typed))

    def _batch(self, as_typed: bool) -> dict[str, int]:
        return {} if as_typed else {"batch_size": self.setting.batch_size}

    def gauge(self, size: int = 2048, repeats: int = 3) -> float:
        """GFLOP/s of a large float32 matrix product here and now, at best."""
        x = tf.random.stateless_uniform((size, size), (1, 2))
        product = tf.function(tf.matmul, jit_compile=False)
        product(x, x)
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            product(x, x).numpy()
            best = min(best, time.perf_counter() - start)
        return 2 * size**3 / best / 1e9

    def _build(self) -> Any:
        shared = {
            "embedding_dimension": a.EMBEDDING_DIMENSION,
            "tower_units": a.TOWER_UNITS,
            "seed": self.setting.seed,
        }
        if self.setting.model == "shared_bottom":
            return shared_bottom(
                self.schema, bottom_units=a.BOTTOM_UNITS, **shared
            )
        return mmoe(
            self.schema,
            n_experts=a.N_EXPERTS,
            expert_units=a.EXPERT_UNITS,
            **shared,
        )


def _examples(table: data.Table, rows: slice) -> Examples:
    labels = {t: table.labels[rows, i] for i, t in enumerate(data.TASKS)}
    return Examples(
        ids=table.ids[rows],
        numbers=table.numbers[rows],
        labels=labels,
        masks={t: np.ones_like(label) for t, label in labels.items()},
        users=None,
        rows=np.arange(rows.start, rows.stop),
    )


LIBRARY = Ours
