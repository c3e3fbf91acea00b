"""EMCDR with a network.

Bridges with a closed form are in ``models.classic.bridges``, PTUPCDR is
``models.ptupcdr``, SSCDR ``semi_supervised``. All learn from linked users
alone: what they are given holds nothing of a cold user's target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.models.initialisation import seeded

Floats = NDArray[np.float64]
Mapping = Callable[[ArrayLike], Floats]


def mlp_bridge(
    source: ArrayLike,
    target: ArrayLike,
    *,
    hidden: int = 16,
    weight_decay: float = 1e-2,
    learning_rate: float = 1e-2,
    epochs: int = 200,
    batch_size: int = 64,
    seed: int = 0,
) -> Mapping:
    """Train EMCDR's network: one tanh layer, squared error of the vectors.

    Args:
        source: vectors of the linked users in the source, [n, k].
        target: the same users' in the target, [n, m].
        hidden: width of the layer.
        weight_decay: of Adam (decoupled).
        learning_rate: at the start; it falls to 0 along a cosine.
        epochs: passes over the users.
        batch_size: users per step.
        seed: of weights and order.

    Returns:
        A function: source vectors [n, k] in, target vectors [n, m] out.

    Raises:
        ValueError: shapes that do not pair up, or NaN.

    Source: Man et al., "Cross-domain recommendation: an embedding and
    mapping approach", IJCAI 2017.
    """
    x, y = linked_vectors(source, target)
    layers = tanh_layers(hidden, y.shape[1], seed)
    network = keras.Sequential([keras.Input((x.shape[1],)), *layers])
    steps = epochs * -(-len(x) // batch_size)
    network.compile(falling_adam(learning_rate, weight_decay, steps), "mse")
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            network.train_on_batch(x[rows], y[rows])
    return as_function(layers)


def linked_vectors(
    source: ArrayLike, target: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the linked users' vectors, [n, k] and [n, m], checked.

    Raises:
        ValueError: shapes that do not pair up, no users, or NaN.
    """
    x, y = (np.asarray(v, dtype="float32") for v in (source, target))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not len(x):
        raise ValueError(
            f"Vectors of shapes {x.shape} and {y.shape} do not pair up: pass "
            "a row per linked user."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(
            "Vectors hold NaN or infinite numbers. Pass linked users only."
        )
    return x, y


def tanh_layers(
    hidden: int, units: int, seed: int
) -> list[keras.layers.Dense]:
    """Return the two layers of the map: tanh [hidden], linear [units]."""
    return [
        keras.layers.Dense(
            width,
            activation=activation,
            kernel_initializer=seeded("glorot_uniform", seed, name),
            name=name,
        )
        for name, width, activation in (
            ("hidden", hidden, "tanh"),
            ("vector", units, None),
        )
    ]


def falling_adam(
    learning_rate: float, weight_decay: float, steps: int
) -> keras.optimizers.Adam:
    """Return Adam whose learning rate falls to 0 in so many steps."""
    falling = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.Adam(falling, weight_decay=weight_decay)


def as_function(layers: Sequence[keras.layers.Dense]) -> Mapping:
    """Return the trained map in NumPy: vectors [n, k] in, [n, m] out."""
    first, second = (
        [w.astype(np.float64) for w in layer.get_weights()] for layer in layers
    )

    def carried(vectors: ArrayLike) -> Floats:
        given = np.asarray(vectors, dtype=np.float64)
        hidden_layer = np.tanh(given @ first[0] + first[1])
        return np.asarray(hidden_layer @ second[0] + second[1])

    return carried
