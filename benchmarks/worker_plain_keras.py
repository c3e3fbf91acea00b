"""Keras as tutorials write it: an input and a table per field, Adam, fit."""

from __future__ import annotations

import keras
from keras import ops

from benchmarks import architecture as a
from benchmarks import data
from benchmarks.keras_fit import KerasFit


class PlainKeras(KerasFit):
    """The same network with nothing done for speed."""

    def build(self) -> keras.Model:
        inputs, parts = {}, []
        for name, size in zip(data.FIELDS, self.field_sizes, strict=True):
            inputs[name] = keras.Input((), dtype="int32", name=name)
            table = keras.layers.Embedding(size, a.EMBEDDING_DIMENSION)
            parts.append(table(inputs[name]))
        for name in data.NUMBERS:
            inputs[name] = keras.Input((1,), name=name)
            parts.append(inputs[name])
        features = keras.layers.Concatenate()(parts)
        outputs = {}
        for task, hidden in self._hidden(features).items():
            tower = _dense(hidden, a.TOWER_UNITS)
            outputs[task] = keras.layers.Dense(
                1, activation="sigmoid", name=task
            )(tower)
        return keras.Model(inputs, outputs)

    def _hidden(self, features: keras.KerasTensor) -> dict:
        """What each task's tower reads."""
        if self.setting.model == "shared_bottom":
            return dict.fromkeys(data.TASKS, _dense(features, a.BOTTOM_UNITS))
        experts = ops.stack(
            [_dense(features, a.EXPERT_UNITS) for _ in range(a.N_EXPERTS)],
            axis=1,
        )
        mixtures = {}
        for task in data.TASKS:
            gate = keras.layers.Dense(
                a.N_EXPERTS, activation="softmax", use_bias=False
            )(features)
            mixtures[task] = ops.sum(
                ops.expand_dims(gate, -1) * experts, axis=1
            )
        return mixtures


def _dense(x: keras.KerasTensor, units: tuple[int, ...]) -> keras.KerasTensor:
    for width in units:
        x = keras.layers.Dense(width, activation="relu")(x)
    return x


LIBRARY = PlainKeras
