"""The two networks that every library builds, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MODELS = ("shared_bottom", "mmoe")
EMBEDDING_DIMENSION = 16
BOTTOM_UNITS = (256, 128)
N_EXPERTS = 8
EXPERT_UNITS = (128, 64)
TOWER_UNITS = (64,)


@dataclass(frozen=True)
class Setting:
    """What one comparison holds equal.

    Attributes:
        model: "shared_bottom" or "mmoe".
        batch_size: rows per update.
        learning_rate: of Adam.
        seed: of weights and of the order of rows.
        falls: whether the rate falls over the epoch, to a twentieth.
    """

    model: str
    batch_size: int
    learning_rate: float
    seed: int
    falls: bool = False

    def rate_at(self, share: float) -> float:
        """Return the learning rate when a share of the epoch is done."""
        if not self.falls:
            return self.learning_rate
        return self.learning_rate * max(1 - share, 0.05)


def flop_per_sample(
    model: str, n_fields: int, n_numbers: int, n_tasks: int
) -> int:
    """Floating-point operations of the matrix products of one training row.

    A product of [1, in] and [in, out] takes 2 in out; training takes three
    products per layer: forward, gradient of the input, gradient of the
    weights.
    """
    features = n_fields * EMBEDDING_DIMENSION + n_numbers
    if model == "shared_bottom":
        shared = _weights((features, *BOTTOM_UNITS))
        width = BOTTOM_UNITS[-1]
    else:
        shared = N_EXPERTS * _weights((features, *EXPERT_UNITS))
        shared += n_tasks * features * N_EXPERTS  # gates
        width = EXPERT_UNITS[-1]
    towers = n_tasks * _weights((width, *TOWER_UNITS, 1))
    return 3 * 2 * (shared + towers)


def _weights(widths: Sequence[int]) -> int:
    return sum(a * b for a, b in pairwise(widths))
