"""Serve for the benchmarks; also by plain Keras `predict`.

python -m benchmarks.worker_serving MODEL STATE BACKEND BATCH_ROWS
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.serving import OPEN
from mtlrec_utils.serving import store
from mtlrec_utils.serving.backends import BACKENDS
from mtlrec_utils.serving.server import Settings, serve


class KerasPredict:
    """Answers by ``model.predict``, as many tutorials serve."""

    def __init__(self, folder: Path) -> None:
        import keras

        manifest = store.read_manifest(folder)
        layer = keras.layers.TFSMLayer(
            str(folder / store.SAVED_MODEL), call_endpoint=manifest.signature
        )
        inputs = {
            name: keras.Input((width,), dtype="int32", name=name)
            for name, width in manifest.inputs.items()
        }
        self._model = keras.Model(inputs, layer(**inputs))

    def score(self, inputs: Any) -> Any:
        return self._model.predict(dict(inputs), verbose=0)


def main() -> None:
    model, state, backend, batch_rows = sys.argv[1:]
    BACKENDS["keras"] = KerasPredict
    settings = Settings(
        Path(model),
        Path(state),
        port=0,
        backend=backend,
        batch_rows=int(batch_rows),
        limits=OPEN,
    )
    serve(settings, end_with_input=True)


if __name__ == "__main__":
    main()
