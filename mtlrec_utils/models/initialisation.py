"""Initial weights: each part of a model draws from a seed of its own."""

from __future__ import annotations

import zlib
from typing import Any

import keras
from keras import ops

register = keras.saving.register_keras_serializable("mtlrec")


def derived_seed(seed: int | None, *parts: str | int) -> int | None:
    """Give each named part of a model its own seed.

    One seed handed to every layer starts all experts and all towers with
    the same weights; a seed drawn from the part's name does not, and a
    new layer leaves the others' weights as they were.

    Args:
        seed: the model's seed, or None for Keras' global generator.
        parts: what tells this use of the seed from every other.

    Returns:
        An integer in 0 .. 2**31 - 1; None when ``seed`` is None.
    """
    if seed is None:
        return None
    text = "/".join(str(part) for part in (seed, *parts))
    return zlib.crc32(text.encode()) & 0x7FFFFFFF


def seeded(initializer: Any, seed: int | None, *parts: str | int) -> Any:
    """Copy an initialiser for one weight, with a seed of the weight's own.

    One instance used for two weights gives both the same values, even
    when it has no seed.

    Args:
        initializer: a name or an instance; its own seed, if it has one,
            goes before ``seed``.
        seed: the layer's seed, or None.
        parts: what tells this weight from every other.
    """
    initializer = keras.initializers.get(initializer)
    config = initializer.get_config()
    if "seed" in config:
        own = config["seed"]
        if isinstance(own, dict):  # a SeedGenerator
            own = own["config"]["seed"]
        config["seed"] = derived_seed(seed if own is None else own, *parts)
    return type(initializer).from_config(config)


@register
class PerExpert(keras.initializers.Initializer):
    """Fill slice e of an [E, ...] weight as if it were a weight alone.

    An initialiser reads its fans from the shape. Over [E, in, out] it
    would take E for part of the input and start every expert too small
    (standard deviation .018 instead of .051 for 8 experts of 512 x 256).

    Args:
        initializer: what fills one expert's slice. Each expert draws from
            a seed of its own, derived from the initialiser's.
    """

    def __init__(self, initializer: Any = "glorot_uniform") -> None:
        self.initializer = keras.initializers.get(initializer)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Return values of shape [E, ...]."""
        return ops.stack(
            [
                seeded(self.initializer, None, "expert", expert)(
                    tuple(shape[1:]), dtype=dtype
                )
                for expert in range(shape[0])
            ]
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"initializer": keras.initializers.serialize(self.initializer)}
