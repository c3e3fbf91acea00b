"""Training, prediction and evaluation by Keras' own ``fit`` and friends."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from benchmarks import data
from benchmarks.architecture import Setting
from benchmarks.turns import Turns


class _TakeTurns(keras.callbacks.Callback):
    def __init__(self, step: Any) -> None:
        super().__init__()
        self._step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step()


class KerasFit:
    """One ``fit`` over the epoch, from arrays; subclasses build the model.

    The test AUC within Keras is that of ``keras.metrics.AUC``, as
    tutorials do it.
    """

    packages: tuple[str, ...] = ("tensorflow", "keras", "numpy")

    def __init__(self, table: data.Table, setting: Setting) -> None:
        keras.utils.set_random_seed(setting.seed)
        self.setting = setting
        self.field_sizes = table.field_sizes
        self.train_x = table.columns(table.train_rows)
        self.test_x = table.columns(table.test_rows)
        self.train_y = self.labels(table.labels[table.train_rows])
        self.test_y = self.labels(table.labels[table.test_rows])

    def build(self) -> keras.Model:
        raise NotImplementedError

    def labels(self, labels: np.ndarray) -> Any:
        """Labels in the form of the model's outputs."""
        return {
            task: np.ascontiguousarray(labels[:, i])
            for i, task in enumerate(data.TASKS)
        }

    def first_step(self) -> None:
        self.model = self.build()
        self.model.compile(
            keras.optimizers.Adam(self.setting.learning_rate),
            loss=self._each("binary_crossentropy"),
        )
        self._turns = Turns(self._fit)
        self.train(1)

    def train(self, steps: int) -> None:
        self._turns.take(steps)

    def _fit(self) -> None:
        self.model.fit(
            self.train_x,
            self.train_y,
            batch_size=self.setting.batch_size,
            verbose=0,
            callbacks=[_TakeTurns(lambda: self._turns.step())],
        )

    def predict(self, as_typed: bool = False) -> np.ndarray:
        found = self.model.predict(
            self.test_x, verbose=0, **self._batch(as_typed)
        )
        values = found.values() if isinstance(found, dict) else found
        return np.concatenate(list(values), axis=1)

    def evaluate(self, as_typed: bool = False) -> None:
        self.model.evaluate(
            self.test_x, self.test_y, verbose=0, **self._batch(as_typed)
        )

    def prepare_evaluation(self) -> None:
        """Add the metrics; training goes without, to its advantage."""
        self.model.compile(
            self.model.optimizer,
            loss=self._each("binary_crossentropy"),
            metrics=self._each(["AUC"]),
        )

    def _batch(self, as_typed: bool) -> dict[str, int]:
        return {} if as_typed else {"batch_size": self.setting.batch_size}

    def _each(self, value: Any) -> Any:
        if isinstance(self.train_y, dict):
            return dict.fromkeys(data.TASKS, value)
        return [value for _ in data.TASKS]
