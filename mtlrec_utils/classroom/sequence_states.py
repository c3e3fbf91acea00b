"""What a next-item model keeps of a list, and where it looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.data.vocabulary import PADDING

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer]

# The layer whose output is the state of each place.
_STATES = {"gru4rec": "recurrent", "sasrec": "norm"}


def states_of(model: Any, ids: Ids) -> Floats:
    """Return the state of each place, before the catalogue is scored.

    Args:
        model: a ``gru4rec`` or ``sasrec``.
        ids: item numbers as ``Schema.encode`` gives them, [B, L].

    Returns:
        States [B, L, d], computed without dropout.

    Raises:
        ValueError: another model.
    """
    if model.name not in _STATES:
        raise ValueError(
            f"States of {model.name!r} are not known here; pass a "
            f"{' or a '.join(_STATES)}."
        )
    output = model.get_layer(_STATES[model.name]).output
    return _inside(model, [output], ids)[0]


def attention_by_age(model: Any, ids: Ids) -> Floats:
    """Return how much the last place looks at each click, by its age.

    Args:
        model: a ``sasrec`` of one block.
        ids: item numbers as ``Schema.encode`` gives them, [B, L]; only full
            lists are read.

    Returns:
        Mean over lists and heads, [L], the last click first; sums to 1.

    Raises:
        ValueError: no list is full.
    """
    full = ids[(ids != PADDING).all(axis=1)]
    if not len(full):
        raise ValueError(
            f"None of {len(ids)} lists is full; cut longer histories."
        )
    attention = model.get_layer("attention_0")
    seen = [
        model.get_layer("norm_seen_0").output,
        model.get_layer("tokens").output[1],
    ]
    weights = attention.weights_of(_inside(model, seen, full))
    by_age = np.asarray(weights)[:, :, -1, ::-1].mean(axis=(0, 1))
    return np.asarray(by_age, dtype=np.float64)


def _inside(model: Any, outputs: list[Any], ids: Ids) -> list[Floats]:
    import keras  # importing the classroom needs no TensorFlow

    found = keras.Model(model.inputs, outputs)({"ids": ids})
    return [np.asarray(values) for values in keras.tree.flatten(found)]
