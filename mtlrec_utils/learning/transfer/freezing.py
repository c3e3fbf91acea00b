"""Which layers learn: by group, or by name.

A frozen layer has ``trainable = False``. ``learning.fit`` then computes no
gradient for it and keeps no optimizer slots, and batch normalisation inside
it normalises by its stored statistics and leaves them alone. Dropout is no
weight: it stays on in a frozen layer while the model is trained.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

_TOWERS = ("tower_", "logit_")


def layer_groups(model: Any) -> dict[str, list[str]]:
    """Return the layers that have weights, from the inputs to the outputs.

    Args:
        model: built.

    Returns:
        "embedding": tables of ids; "towers": what belongs to a task
        (layers called ``tower_...`` and ``logit_...``); "bottom":
        everything else. A group without a layer is left out.
    """
    groups: dict[str, list[str]] = {
        "embedding": [],
        "bottom": [],
        "towers": [],
    }
    for layer in model.layers:
        if not layer.weights:
            continue
        group = "bottom"
        if hasattr(layer, "field_sizes"):
            group = "embedding"
        elif layer.name.startswith(_TOWERS):
            group = "towers"
        groups[group].append(layer.name)
    return {group: names for group, names in groups.items() if names}


def freeze(model: Any, *names: str) -> list[str]:
    """Keep some layers as they are; leave the others as they were.

    Call it before ``fit``, which reads what learns when it begins.

    Args:
        model: built; changed in place.
        *names: groups of ``layer_groups``, or layers.

    Returns:
        The names of the layers that were frozen.

    Raises:
        ValueError: no name, or one that is neither a group nor a layer.
    """
    return _set(model, names, trainable=False)


def unfreeze(model: Any, *names: str) -> list[str]:
    """Let some layers learn; the counterpart of ``freeze``."""
    return _set(model, names, trainable=True)


def _set(model: Any, names: tuple[str, ...], trainable: bool) -> list[str]:
    groups = layer_groups(model)
    layers = {layer.name: layer for layer in model.layers}
    if not names:
        raise ValueError(
            f"Say which layers: groups ({', '.join(groups)}) or names."
        )
    chosen: list[str] = []
    for name in names:
        if name not in groups and name not in layers:
            raise ValueError(
                f"{name!r} is no group ({', '.join(groups)}) and no layer "
                f"({', '.join(layers)}) of model {model.name!r}."
            )
        chosen += groups.get(name, [name])
    for name in chosen:
        layers[name].trainable = trainable
    return list(dict.fromkeys(chosen))


def layer_table(model: Any) -> pd.DataFrame:
    """Tabulate the layers with weights: group, layer, weights, learns.

    ``weights`` counts numbers; ``learns`` how many of them are trained.
    """
    layers = {layer.name: layer for layer in model.layers}
    return pd.DataFrame(
        [
            {
                "group": group,
                "layer": name,
                "weights": _size(layers[name].weights),
                "learns": _size(layers[name].trainable_weights),
            }
            for group, names in layer_groups(model).items()
            for name in names
        ]
    )


def _size(weights: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)
