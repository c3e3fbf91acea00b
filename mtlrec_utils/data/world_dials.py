"""The dials of the simulated world: allowed ranges and random streams.

Every part of the world draws from a stream of its own, named by a string.
Turning one dial therefore leaves all other draws as they were: a world with
`text_signal=0` has the same users, tastes and clicks as one with
`text_signal=1`, only its words differ.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

SIZES: Mapping[str, tuple[int, int]] = {
    "n_users": (10, 2_000_000),
    "n_items": (10, 1_000_000),
    "n_rows": (1, 50_000_000),
    "n_segments": (1, 20),
    "seed": (0, 2**63 - 1),
}
DIALS: Mapping[str, tuple[float, float]] = {
    "task_correlation": (-1, 1),
    "domain_similarity": (0, 1),
    "user_overlap": (0, 1),
    "domain_shift": (0, 3),
    "prior_shift": (-3, 3),
    "popularity_skew": (0, 3),
    "exposure_bias": (0, 1),
    "position_bias": (0, 2),
    "confounding": (0, 3),
    "session_memory": (0, 1),
    "text_signal": (0, 1),
    "drift": (0, 1),
    "taste_strength": (0, 3),
    "segment_strength": (0, 1),
}


def check_size(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a whole number in its range."""
    low, high = SIZES[name]
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not low <= int(value) <= high:  # type: ignore[call-overload]
        raise ValueError(
            f"{name} must be a whole number from {low} to {high}, "
            f"but it is {value!r}."
        )


def check_dial(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a number in the dial's range."""
    low, high = DIALS[name]
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not low <= float(value) <= high:  # type: ignore[arg-type]
        raise ValueError(
            f"{name} must be a number from {low} to {high}, "
            f"but it is {value!r}."
        )


def stream(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """Return the generator of one named part of the world.

    Streams with different names (or numbers) are statistically independent:
    the name is hashed into the spawn key of a `SeedSequence`.
    """
    key = (zlib.crc32(name.encode()), *numbers)
    return np.random.default_rng(
        np.random.SeedSequence(entropy=int(seed), spawn_key=key)
    )
