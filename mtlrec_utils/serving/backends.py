"""Two ways to run an exported model, with one face.

LiteRT runs a flat file by an interpreter without TensorFlow's runtime. If the
package ``ai_edge_litert`` is there it is used, and a server never imports
TensorFlow; else the same interpreter comes with TensorFlow, whose import
costs seconds at the start and some hundred MB of memory, and nothing after.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtlrec_utils.serving import store
from mtlrec_utils.serving.store import ModelError

Inputs = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]


class Backend(Protocol):
    """What runs a model: one call at a time."""

    def score(self, inputs: Inputs) -> Outputs:
        """Return task -> float32 [N, 1] or [N, K] for encoded rows."""


class LiteRT:
    """Runs ``model.tflite`` on one thread."""

    def __init__(self, folder: Path) -> None:
        path = folder / store.LITERT
        if not path.is_file():
            raise ModelError(
                f"Version {folder.name!r} was exported without LiteRT. "
                "Export it with formats=('litert', ...)."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it moves house
            self._interpreter = _interpreter()(
                model_content=path.read_bytes(), num_threads=1
            )
        self._run = self._interpreter.get_signature_runner(store.SIGNATURE)
        self._turn = threading.Lock()

    def score(self, inputs: Inputs) -> Outputs:
        """Return task -> float32 [N, 1] or [N, K] for encoded rows."""
        with self._turn:
            return dict(self._run(**inputs))


class SavedModel:
    """Runs the signature of ``saved_model/`` by TensorFlow."""

    def __init__(self, folder: Path) -> None:
        path = folder / store.SAVED_MODEL
        if not path.is_dir():
            raise ModelError(
                f"Version {folder.name!r} was exported without a SavedModel. "
                "Export it with formats=('saved_model', ...)."
            )
        import tensorflow as tf

        self._tensor = tf.constant
        self._kept = tf.saved_model.load(str(path))
        self._run = self._kept.signatures[store.SIGNATURE]

    def score(self, inputs: Inputs) -> Outputs:
        """Return task -> float32 [N, 1] or [N, K] for encoded rows."""
        tensors = {name: self._tensor(x) for name, x in inputs.items()}
        found = self._run(**tensors)
        return {task: values.numpy() for task, values in found.items()}


BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "litert": LiteRT,
    "saved_model": SavedModel,
}


def _interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter
    return Interpreter
