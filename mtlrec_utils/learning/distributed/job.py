"""What is trained, on a file: the same for every way of running it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from mtlrec_utils import models
from mtlrec_utils.data import Schema
from mtlrec_utils.data.stream import ShardStream
from mtlrec_utils.learning.checkpoints import Checkpoint
from mtlrec_utils.learning.optimizers import RowSparseAdam
from mtlrec_utils.whole_file import whole_file

OPTIMIZERS = ("row_sparse_adam", "adam", "sgd")


@dataclass(frozen=True)
class Job:
    """A training run that any number of processes can take part in.

    Attributes:
        shards: folder of parquet shards, the same on every machine.
        schema: file of ``Schema.save``.
        output: folder for the checkpoint and the summary; several machines
            need it to be a shared one.
        model: name of a function of ``mtlrec_utils.models`` that takes a
            schema, such as "shared_bottom".
        arguments: of that function.
        batch_size: rows of a step over all devices together.
        epochs: passes over the shards.
        optimizer: "row_sparse_adam" (TensorFlow), "adam" or "sgd".
        learning_rate: of the optimizer.
        seed: of the order of rows and of the initial weights.
        buffer_groups: see ``ShardStream``.
        checkpoint_every: steps between two checkpoints; one more is made
            at the end.
    """

    shards: str
    schema: str
    output: str
    model: str = "shared_bottom"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 1024
    epochs: int = 1
    optimizer: str = "row_sparse_adam"
    learning_rate: float = 1e-3
    seed: int = 0
    buffer_groups: int = 4
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        for name in ("epochs", "checkpoint_every", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"Job: {name}={getattr(self, name)!r} must be at least 1."
                )
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"Job: optimizer={self.optimizer!r} is unknown; use one of "
                f"{', '.join(OPTIMIZERS)}."
            )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the job as JSON, whole or not at all."""
        with whole_file(path) as part:
            part.write_text(json.dumps(asdict(self), indent=1), "utf-8")
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Job:
        """Read what ``save`` wrote.

        Raises:
            ValueError: the file is not a job.
        """
        try:
            return cls(**json.loads(Path(path).read_text("utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a job ({error}). Job(...).save makes one."
            ) from error

    def stream(self) -> ShardStream:
        """Open the shards."""
        return ShardStream(
            self.shards,
            Schema.load(self.schema),
            self.batch_size,
            seed=self.seed,
            buffer_groups=self.buffer_groups,
        )

    def build_model(self) -> keras.Model:
        """Build the model with its initial weights.

        Raises:
            ValueError: no model is called so.
        """
        build = getattr(models, self.model, None)
        if build is None:
            raise ValueError(
                f"Job: mtlrec_utils.models has no {self.model!r}."
            )
        schema = Schema.load(self.schema)
        return build(schema, seed=self.seed, **self.arguments)

    def build_optimizer(self) -> Any:
        """Make the optimizer.

        Raises:
            ValueError: the row-sparse one on another back end.
        """
        if self.optimizer == "row_sparse_adam":
            if keras.backend.backend() != "tensorflow":
                raise ValueError(
                    "row_sparse_adam is written in TensorFlow; on "
                    f"{keras.backend.backend()} use Job(optimizer='adam')."
                )
            return RowSparseAdam(learning_rate=self.learning_rate)
        kinds = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
        return kinds[self.optimizer](learning_rate=self.learning_rate)

    def checkpoint(self) -> Checkpoint:
        """Open the training state; that of another job is refused.

        Where and on how many devices it ran is left out: a run may go on
        elsewhere.
        """
        run = asdict(self)
        for name in ("shards", "schema", "output", "checkpoint_every"):
            del run[name]
        return Checkpoint(self.output, run)
