"""A pre-trained model as a module: into a file, out of it, into a new model.

Two formats, for two uses:

* a **Keras file** (``save_module``, ``load_module``) holds layers and
  weights. What comes back is an ordinary model: it can be cut, frozen and
  trained on. This is the format for fine-tuning.
* a **SavedModel** folder (``export_module``, ``exported_layer``) holds the
  forward pass only. It needs none of this package's code, and TensorFlow
  Serving reads it; but there are no layers left to freeze one by one.

``tensorflow_hub``, with which such folders used to be shared and read, is no
part of the course's environment: its version 0.16.1 does not even start there
(it imports ``pkg_resources``, which setuptools no longer ships). Keras 3 reads
the same folders by its own ``TFSMLayer``, which ``exported_layer`` makes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

import mtlrec_utils.models.layers  # noqa: F401 - a saved model finds them
from mtlrec_utils.whole_file import whole_file


def save_module(model: Any, path: str | Path) -> Path:
    """Write a model to a Keras file, layers and weights.

    Args:
        model: a functional model of this package.
        path: ends in ``.keras``; folders are made. An older file is
            replaced only when the new one is complete.

    Returns:
        The path.

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"{path.name} must end in .keras, Keras' own format.")
    with whole_file(path) as part:
        model.save(part)
    return path


def load_module(path: str | Path) -> Any:
    """Read a model from a Keras file: same predictions, free to train on.

    Raises:
        FileNotFoundError: no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; save_module it.")
    return keras.models.load_model(path)


def export_module(model: Any, folder: str | Path) -> Path:
    """Write a model's forward pass to a SavedModel folder.

    Dropout is off in it, and the batch size is free.

    Args:
        model: a functional model.
        folder: made; one that is there is replaced as a whole.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{os.getpid()}-{folder.name}")
    try:
        model.export(str(new), verbose=False)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def exported_layer(folder: str | Path) -> Any:
    """Read a SavedModel folder as a layer: inputs by name in, outputs out.

    Raises:
        FileNotFoundError: the folder holds no SavedModel.
    """
    if not (Path(folder) / "saved_model.pb").is_file():
        raise FileNotFoundError(
            f"{folder} holds no saved_model.pb; export_module makes one."
        )
    return keras.layers.TFSMLayer(str(folder), call_endpoint="serve")


def transfer_weights(
    source: Any, target: Any, layers: Iterable[str] | None = None
) -> list[str]:
    """Copy weights from one model into another, layer by layer.

    Ids mean the same in both only if both were built from one schema,
    fitted on training rows of both domains: then a user keeps the row of
    the table, and an item of the target has a row that the source has
    never trained.

    Args:
        source: the pre-trained model.
        target: changed in place.
        layers: names to copy; None: every layer with weights that both
            have.

    Returns:
        The names that were copied, in the target's order.

    Raises:
        ValueError: a layer that one of them lacks, none in common, or
            weights of another shape. Nothing is copied then.
    """
    ours = {layer.name: layer for layer in source.layers if layer.weights}
    theirs = {layer.name: layer for layer in target.layers if layer.weights}
    wanted = set(ours) & set(theirs) if layers is None else set(layers)
    for side, known in (("source", ours), ("target", theirs)):
        absent = sorted(wanted - set(known))
        if absent or not wanted:
            raise ValueError(
                f"The {side} has no {', '.join(absent) or 'common layer'}; "
                f"its layers with weights are {', '.join(known)}."
            )
    names = [name for name in theirs if name in wanted]
    for name in names:
        shapes = [
            [tuple(weight.shape) for weight in known[name].weights]
            for known in (ours, theirs)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Layer {name!r} has weights of shapes {shapes[0]} in the "
                f"source and {shapes[1]} in the target. Build both from one "
                "schema and with the same widths, or leave the layer out."
            )
    for name in names:
        theirs[name].set_weights(ours[name].get_weights())
    return names
