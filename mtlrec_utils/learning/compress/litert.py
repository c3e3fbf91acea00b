"""Export a model to LiteRT (TensorFlow Lite), and run the file.

A LiteRT file holds the forward pass and its weights and nothing else. It
needs no Keras: a small interpreter runs it. Four precisions:

* float32: the model as it is;
* float16: weights stored in half precision, computed in float32;
* dynamic_int8: weights of 1,024 numbers or more stored as 8-bit integers;
  activations are rounded on the way, by the range of each batch;
* int8: activations too are 8-bit integers, with ranges read off a
  representative set before.

A quantised weight w is s q with an integer q from -127 to 127 and one scale
s, so it is off by s / 2 = max |w| / 254 at most.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.losses import named_outputs
from mtlrec_utils.whole_file import whole_file

PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")


def export_litert(
    model: Any,
    path: str | Path,
    precision: str = "float32",
    *,
    representative: Examples | None = None,
    rows: int = 500,
) -> Path:
    """Write a model as a LiteRT file; it appears whole or not at all.

    Args:
        model: functional, with one named output per task.
        path: of the file, usually "....tflite"; its folder is made.
        precision: one of ``PRECISIONS``.
        representative: rows as they will be served, for "int8": training
            rows, never test rows.
        rows: how many of them to look at, spread over all.

    Raises:
        ValueError: an unknown precision, "int8" without representative
            rows, or rows with other columns than the model reads.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision={precision!r}: choose one of {', '.join(PRECISIONS)}."
        )
    sample = None
    if precision == "int8":
        sample = _checked_sample(model, representative, rows)
    content = _converted(model, precision, sample)
    with whole_file(path) as part:
        part.write_bytes(content)
    return Path(path)


def _checked_sample(
    model: Any, representative: Examples | None, rows: int
) -> dict[str, np.ndarray]:
    """Return the inputs of some representative rows."""
    if representative is None or not len(representative):
        raise ValueError(
            "precision='int8' needs representative rows to read the range "
            "of every activation off; pass representative=train."
        )
    if rows < 1:
        raise ValueError(f"rows={rows!r} must be at least 1.")
    n = min(rows, len(representative))
    chosen = np.linspace(0, len(representative) - 1, n).astype(int)
    sample = {}
    for x in model.inputs:
        given = representative.inputs[x.name]
        if given.shape[1] != x.shape[1]:
            raise ValueError(
                f"representative has {given.shape[1]} columns of {x.name}, "
                f"but the model reads {x.shape[1]}. Encode the rows with "
                "the schema the model was built from."
            )
        sample[x.name] = given[chosen]
    return sample


def _converted(
    model: Any, precision: str, sample: Mapping[str, np.ndarray] | None
) -> bytes:
    graph = keras.Model(
        {x.name: x for x in model.inputs}, named_outputs(model)
    )
    specs = {
        x.name: tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=x.name)
        for x in model.inputs
    }

    def forward(**inputs: Any) -> Any:
        return graph(inputs, training=False)

    module = tf.Module()
    module.weights = [v.value for v in graph.variables]
    module.forward = tf.function(forward, autograph=False)
    # From a SavedModel weights become constants. Handed over as a function
    # they stay variables, and the file has no values for them.
    with _quietly(), tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(
            module,
            folder,
            signatures=module.forward.get_concrete_function(**specs),
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _set_precision(converter, precision, sample)
        return bytes(converter.convert())


def _set_precision(
    converter: Any, precision: str, sample: Mapping[str, np.ndarray] | None
) -> None:
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if sample is not None:
        converter.representative_dataset = lambda: _one_by_one(sample)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        ]


def _one_by_one(
    sample: Mapping[str, np.ndarray],
) -> Iterator[dict[str, np.ndarray]]:
    n = len(next(iter(sample.values())))
    for row in range(n):
        yield {name: x[row : row + 1] for name, x in sample.items()}


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep LiteRT's remarks to itself; what goes wrong is raised anyway.

    It says that ``tf.lite.Interpreter`` will move to another package, logs
    where it wrote, and writes more straight to file descriptor 2.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        with _descriptor_held_back():
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _descriptor_held_back() -> Iterator[None]:
    with warnings.catch_warnings(), tempfile.TemporaryFile() as remarks:
        warnings.filterwarnings(
            "ignore", "\\s*Warning: tf.lite.Interpreter is deprecated"
        )
        try:
            saved = os.dup(2)
        except OSError:  # a process without standard error
            yield
            return
        os.dup2(remarks.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


class LiteRTModel:
    """A LiteRT file, ready to run: inputs in, task -> scores out.

    It remembers the batch size of the last call; another one costs a new
    plan of its memory.

    Args:
        path: of a file by ``export_litert``.
        threads: that one call may use.

    Attributes:
        tasks: what it predicts.
        inputs: name -> number of columns.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a LiteRT file.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no LiteRT file {path.name!r}.")
        with _quietly():
            try:
                self._interpreter = tf.lite.Interpreter(
                    model_path=str(path), num_threads=threads
                )
                self._interpreter.allocate_tensors()
                runner = self._interpreter.get_signature_runner()
            except ValueError as error:
                raise ValueError(
                    f"{path.name} cannot be read as a LiteRT file with a "
                    "signature; write it with export_litert."
                ) from error
        self._in = runner.get_input_details()
        self._out = runner.get_output_details()
        self.tasks = tuple(sorted(self._out))
        self.inputs = {
            name: int(entry["shape_signature"][1])
            for name, entry in self._in.items()
        }
        self._batch = 0

    def __call__(
        self, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Score one batch.

        Args:
            inputs: name -> [B, columns]; others than the model's own are
                left alone.

        Returns:
            task -> float32 [B], or [B, K] for a multiclass task.

        Raises:
            ValueError: an input is missing or has other columns.
        """
        given = {name: self._input(inputs, name) for name in self._in}
        n = len(next(iter(given.values())))
        if n != self._batch:
            for name, entry in self._in.items():
                self._interpreter.resize_tensor_input(
                    entry["index"], (n, self.inputs[name])
                )
            self._interpreter.allocate_tensors()
            self._batch = n
        for name, entry in self._in.items():
            self._interpreter.set_tensor(entry["index"], given[name])
        self._interpreter.invoke()
        scores = {
            task: self._interpreter.get_tensor(self._out[task]["index"])
            for task in self.tasks
        }
        return {
            task: found[:, 0] if found.shape[1] == 1 else found
            for task, found in scores.items()
        }

    def predict(
        self, examples: Examples, batch_size: int = 4096
    ) -> dict[str, np.ndarray]:
        """Score all rows, as ``learning.predict`` does.

        Raises:
            ValueError: other columns than the model reads, no rows, or a
                batch size below 1.
        """
        if batch_size < 1 or not len(examples):
            raise ValueError(
                f"predict got {len(examples)} rows and batch_size="
                f"{batch_size!r}; both must be at least 1."
            )
        parts = [
            self({n: examples.inputs[n][i : i + batch_size] for n in self._in})
            for i in range(0, len(examples), batch_size)
        ]
        return {
            task: np.concatenate([part[task] for part in parts])
            for task in self.tasks
        }

    def _input(
        self, inputs: Mapping[str, np.ndarray], name: str
    ) -> np.ndarray:
        if name not in inputs:
            raise ValueError(
                f"The model reads {', '.join(self._in)}, but {name!r} is "
                "missing."
            )
        given = np.asarray(inputs[name], self._in[name]["dtype"])
        if given.ndim != 2 or given.shape[1] != self.inputs[name]:
            raise ValueError(
                f"{name} has shape {given.shape}, but the model reads "
                f"[rows, {self.inputs[name]}]."
            )
        return given
