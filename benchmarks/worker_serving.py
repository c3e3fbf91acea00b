"""Serve for the benchmarks; also by plain Keras `predict`.

python -m benchmarks.worker_serving MODEL STATE BACKEND BATCH_ROWS
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.serving import OPEN, keras_file
from mtlrec_utils.serving.backends import BACKENDS
from mtlrec_utils.serving.server import Settings, serve


class KerasPredict:
    """Answers by ``model.predict``, as many tutorials serve."""

    def __init__(self, folder: Path) -> None:
        import keras

        from mtlrec_utils import models  # noqa: F401  (registers layers)
        from mtlrec_utils.learning.losses import named_outputs

        model = keras.models.load_model(
            keras_file(folder.parents[1], folder.name)
        )
        self._model = keras.Model(
            {x.name: x for x in model.inputs}, named_outputs(model)
        )

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
