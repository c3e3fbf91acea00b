"""The files and calls that the lesson on small models compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def exported(
    models: Mapping[str, Any], train: Any, folder: str | Path
) -> dict[str, Any]:
    """Export every variant of the lesson to LiteRT, ready to run.

    Args:
        models: float32 models by name, "mmoe" and "distilled" among them.
        train: representative rows.
        folder: where the files go.

    Returns:
        name -> ``LiteRTModel``: the models, the MMoE at "float16",
        "dynamic_int8" and "int8", and "student int8", the distilled one
        with 8-bit weights.
    """
    from mtlrec_utils.learning.compress import (
        PRECISIONS,
        LiteRTModel,
        export_litert,
    )

    jobs = {name: (model, "float32") for name, model in models.items()}
    jobs |= {p: (models["mmoe"], p) for p in PRECISIONS[1:]}
    jobs["student int8"] = (models["distilled"], "dynamic_int8")
    return {
        name: LiteRTModel(
            export_litert(
                model,
                Path(folder) / f"{name}.tflite",
                precision,
                representative=train,
            )
        )
        for name, (model, precision) in jobs.items()
    }


def stored_sizes(model: Any, folder: str | Path) -> pd.DataFrame:
    """Store one model in the usual ways; return the kilobytes of each.

    The model is trained for one step of size 0 by Keras itself, so that it
    is compiled and its optimiser has what it stores.
    """
    import keras
    import tensorflow as tf

    from mtlrec_utils.learning.compress import export_litert, size_on_disk

    tf.get_logger().setLevel("WARNING")  # it logs where it wrote
    folder = Path(folder)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.save(folder / "plain.keras")
    copy.export(folder / "saved", verbose=False)
    export_litert(copy, folder / "model.tflite")
    copy.compile(keras.optimizers.Adam(0.0), "binary_crossentropy")
    row = {x.name: np.zeros((1, *x.shape[1:]), x.dtype) for x in model.inputs}
    copy.train_on_batch(row, {task: np.zeros((1, 1)) for task in model.output})
    copy.save(folder / "compiled.keras")
    sizes = {
        "weights alone, 4 bytes each": 4 * model.count_params(),
        "LiteRT, float32": size_on_disk(folder / "model.tflite"),
        ".keras": size_on_disk(folder / "plain.keras"),
        ".keras, compiled and trained": size_on_disk(
            folder / "compiled.keras"
        ),
        "SavedModel": size_on_disk(folder / "saved"),
    }
    return pd.DataFrame({"kB": pd.Series(sizes) / 1000})


def doors(
    model: Any, file: Any, examples: Any
) -> dict[str, Callable[[int], Any]]:
    """Return ways to score the first n of some rows, by name.

    Args:
        model: a Keras model.
        file: the same as a ``LiteRTModel``.
        examples: ``Examples``.
    """
    from mtlrec_utils.learning import predict

    def rows(n: int) -> Any:
        return examples.subset(slice(0, n))

    return {
        "LiteRT": lambda n: file(rows(n).inputs),
        "learning.predict": lambda n: predict(model, rows(n)),
        "model(x)": lambda n: model(_read(model, rows(n)), training=False),
        "model.predict": lambda n: model.predict(
            _read(model, rows(n)), verbose=0
        ),
    }


def _read(model: Any, examples: Any) -> dict[str, Any]:
    """Return the inputs that a model reads."""
    return {x.name: examples.inputs[x.name] for x in model.inputs}
