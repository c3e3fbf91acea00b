"""torch-rechub by its documented recipe: features, generator, trainer.

One thing differs from its defaults: no weight decay, because no other library
here has it. Its perceptrons have batch normalisation, which cannot be
switched off.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import MMOE, SharedBottom
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator, PredictDataset

from benchmarks import architecture as a
from benchmarks import data
from benchmarks.turns import Turns


class TorchRechub:
    """``train_one_epoch`` over the data loader of its generator."""

    packages = ("torch-rechub", "torch", "numpy")

    def __init__(self, table: data.Table, setting: a.Setting) -> None:
        torch.manual_seed(setting.seed)
        self.setting = setting
        self.field_sizes = table.field_sizes
        test_x = table.columns(table.test_rows)
        test_y = table.labels[table.test_rows]
        generator = DataGenerator(
            table.columns(table.train_rows), table.labels[table.train_rows]
        )
        self.train_part, _, self.test_part = generator.generate_dataloader(
            x_val=test_x,
            y_val=test_y,
            x_test=test_x,
            y_test=test_y,
            batch_size=setting.batch_size,
        )
        self.unlabelled = DataLoader(
            PredictDataset(test_x), batch_size=setting.batch_size
        )

    def first_step(self) -> None:
        self.trainer = MTLTrainer(
            self._build(),
            task_types=["classification"] * len(data.TASKS),
            optimizer_params={"lr": self.setting.learning_rate},
        )
        self._turns = Turns(
            lambda: self.trainer.train_one_epoch(
                self._turns.counted(self.train_part)
            )
        )
        self.train(1)

    def train(self, steps: int) -> None:
        self._turns.take(steps)

    def predict(self) -> np.ndarray:
        model = self.trainer.model
        return np.array(self.trainer.predict(model, self.unlabelled))

    def evaluate(self) -> None:
        self.trainer.evaluate(self.trainer.model, self.test_part)

    def _build(self) -> torch.nn.Module:
        features = [
            SparseFeature(name, size, embed_dim=a.EMBEDDING_DIMENSION)
            for name, size in zip(data.FIELDS, self.field_sizes, strict=True)
        ]
        features += [DenseFeature(name) for name in data.NUMBERS]
        tasks = ["classification"] * len(data.TASKS)
        towers = [{"dims": list(a.TOWER_UNITS)} for _ in data.TASKS]
        if self.setting.model == "shared_bottom":
            return SharedBottom(
                features, tasks, {"dims": list(a.BOTTOM_UNITS)}, towers
            )
        return MMOE(
            features,
            tasks,
            a.N_EXPERTS,
            {"dims": list(a.EXPERT_UNITS)},
            towers,
        )


LIBRARY = TorchRechub
