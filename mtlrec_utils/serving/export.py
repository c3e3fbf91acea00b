"""Write a trained model as a version that a server can load."""

from __future__ import annotations

import datetime
import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.schema import Schema
from mtlrec_utils.evidence import library_versions
from mtlrec_utils.serving import store
from mtlrec_utils.serving.store import Manifest, ModelError

PROBE_ROWS = 16


def export_model(
    model: Any,
    schema: Schema,
    folder: str | os.PathLike[str],
    version: str,
    *,
    formats: tuple[str, ...] = ("litert", "saved_model"),
) -> Path:
    """Write a model and its schema as a new version.

    Both formats have one signature, ``score``: named inputs (``ids`` int32
    [N, C], ``numbers`` float32 [N, M], those that the model reads) to task ->
    float32 [N, 1] (or [N, K]). The optimizer is not stored.

    Args:
        model: functional, with one named output per task.
        schema: the fitted schema of its rows.
        folder: of all versions of this model; made if it is not there.
        version: a new name.
        formats: "litert" (float32) and/or "saved_model".

    Returns:
        The version's folder. It is not served yet: see ``activate``.

    Raises:
        ModelError: the name is taken or none, an unknown format, or a model
            and a schema that do not belong together.
    """
    target = store.version_folder(folder, version)
    if target.exists():
        raise ModelError(
            f"Version {version!r} exists, and versions never change. Choose "
            "a new name."
        )
    if not formats or set(formats) - {"litert", "saved_model"}:
        raise ModelError(
            f"formats={formats!r}: choose of 'litert' and 'saved_model'."
        )
    probe = _probe(model, schema)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{version}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir()
        schema.save(part / store.SCHEMA)
        _write_graphs(model, part, formats)
        store.write_manifest(
            part,
            Manifest(
                version=version,
                created=datetime.datetime.now(datetime.UTC).isoformat(
                    timespec="seconds"
                ),
                signature=store.SIGNATURE,
                tasks=_kinds(model),
                inputs={x.name: int(x.shape[1]) for x in model.inputs},
                probe=probe,
                files=store.file_sums(part),
                libraries=library_versions(),
            ),
        )
        os.rename(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return target


def _kinds(model: Any) -> dict[str, str]:
    from mtlrec_utils.learning.losses import named_outputs, task_kind

    return {task: task_kind(model, task) for task in named_outputs(model)}


def _probe(model: Any, schema: Schema) -> dict[str, dict[str, list[Any]]]:
    """Draw encoded rows and predict them with the model itself."""
    from mtlrec_utils.learning import predict

    rng = np.random.default_rng(0)
    ids = np.zeros((PROBE_ROWS, schema.n_id_columns), np.int32)
    for place in schema.id_columns:
        size = schema.field_sizes[place.field]
        width = place.stop - place.start
        ids[:, place.start : place.stop] = rng.integers(
            size, size=(PROBE_ROWS, width)
        )
    numbers = rng.normal(size=(PROBE_ROWS, schema.n_numbers))
    examples = Examples(
        ids, numbers.astype(np.float32), {}, {}, None, np.arange(PROBE_ROWS)
    )
    for x in model.inputs:
        width = examples.inputs.get(x.name, np.empty((0, 0))).shape[1]
        if x.shape[1] != width:
            raise ModelError(
                f"The model reads {x.shape[1]} columns of {x.name!r}, this "
                f"schema makes {width}. Export a model with its own schema."
            )
    predicted = predict(model, examples)
    return {
        "inputs": {
            x.name: examples.inputs[x.name].tolist() for x in model.inputs
        },
        "outputs": {task: p.tolist() for task, p in predicted.items()},
    }


def _write_graphs(model: Any, part: Path, formats: tuple[str, ...]) -> None:
    import keras
    import tensorflow as tf

    from mtlrec_utils.learning.losses import named_outputs

    graph = keras.Model(
        {x.name: x for x in model.inputs}, named_outputs(model)
    )
    specs = {
        x.name: tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=x.name)
        for x in model.inputs
    }
    score = tf.function(
        lambda **inputs: graph(inputs, training=False), autograph=False
    ).get_concrete_function(**specs)
    module = tf.Module()
    # The variables themselves: Keras' wrappers around them are not tracked.
    module.kept = [variable.value for variable in model.variables]
    saved = part / store.SAVED_MODEL
    chatter = logging.getLogger("tensorflow")  # "Assets written to: ..."
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    try:
        tf.saved_model.save(
            module, str(saved), signatures={store.SIGNATURE: score}
        )
    finally:
        chatter.setLevel(level)
    if "litert" in formats:
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(saved), signature_keys=[store.SIGNATURE]
        )
        (part / store.LITERT).write_bytes(converter.convert())
    if "saved_model" not in formats:
        shutil.rmtree(saved)
