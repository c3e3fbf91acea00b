"""DeepCTR by its documented recipe: feature columns, model, compile, fit.

One thing differs from the recipe: ``l2_reg_embedding`` is 0, because no other
library here penalises its tables. That makes DeepCTR's steps cheaper.
"""

from __future__ import annotations

import keras
import numpy as np
from deepctr.feature_column import DenseFeat, SparseFeat
from deepctr.models import MMOE, SharedBottom

from benchmarks import architecture as a
from benchmarks import data
from benchmarks.keras_fit import KerasFit


class DeepCTR(KerasFit):
    """DeepCTR's models have a list of outputs, one per task."""

    packages = ("deepctr", "tensorflow", "keras", "numpy")

    def build(self) -> keras.Model:
        columns = [
            SparseFeat(name, size, embedding_dim=a.EMBEDDING_DIMENSION)
            for name, size in zip(data.FIELDS, self.field_sizes, strict=True)
        ]
        columns += [DenseFeat(name, 1) for name in data.NUMBERS]
        shared = {
            "tower_dnn_hidden_units": a.TOWER_UNITS,
            "l2_reg_embedding": 0,
            "seed": self.setting.seed,
            "task_types": ["binary"] * len(data.TASKS),
            "task_names": data.TASKS,
        }
        if self.setting.model == "shared_bottom":
            return SharedBottom(
                columns, bottom_dnn_hidden_units=a.BOTTOM_UNITS, **shared
            )
        return MMOE(
            columns,
            num_experts=a.N_EXPERTS,
            expert_dnn_hidden_units=a.EXPERT_UNITS,
            **shared,
        )

    def labels(self, labels: np.ndarray) -> list[np.ndarray]:
        return [
            np.ascontiguousarray(labels[:, i]) for i in range(len(data.TASKS))
        ]


LIBRARY = DeepCTR
