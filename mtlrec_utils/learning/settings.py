"""What a training run is asked to do, and the optimizer it uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import keras
import numpy as np

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.anchors import L2SP
from mtlrec_utils.learning.balancing.method import (
    Balancing,
    LossBalancing,
)
from mtlrec_utils.learning.optimizers import RowSparseAdam, checked_factors

DECAY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + np.cos(np.pi * done)) / 2,
}

PLACES = ("parameters", "representation")


@dataclass(frozen=True)
class Settings:
    """What determines a run, besides model, optimizer and data."""

    epochs: int = 1
    batch_size: int = 512
    decay: str | None = None
    loss_weights: Mapping[str, float] | None = None
    patience: int | None = None
    seed: int = 0
    balancing: Balancing | None = None
    balance_at: str = "parameters"
    conflicts: bool = False
    anchor: L2SP | None = None
    rate_factors: Mapping[str, float] | None = None

    def check(self, rate: Any, validation: Examples | None) -> None:
        """Refuse settings that make no sense."""
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is None and name == "patience":
                continue
            whole = isinstance(value, int | np.integer)
            if not whole or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"{name}={value!r} must be a whole number of at least 1."
                )
        if not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise ValueError(
                f"seed={self.seed!r} must be a whole number of at least 0."
            )
        if self.patience is not None and validation is None:
            raise ValueError(
                "patience needs validation rows: pass validation=..., never "
                "the test rows."
            )
        if self.decay is not None and self.decay not in DECAY:
            raise ValueError(
                f"decay={self.decay!r}: choose 'linear', 'cosine' or None."
            )
        if self.decay is not None and not isinstance(rate, float):
            raise ValueError(
                "decay needs a float learning_rate and the default "
                "optimizer; a schedule or an own optimizer has its own."
            )
        if self.anchor is not None and not isinstance(self.anchor, L2SP):
            raise ValueError(
                f"anchor={self.anchor!r}: pass an instance, such as "
                "L2SP(strength=0.01)."
            )
        checked_factors(self.rate_factors)
        self._check_balancing()

    def balancing_text(self) -> str | None:
        """Describe the balancing; equal texts balance equally."""
        if self.balancing is None:
            return None
        kind = type(self.balancing)
        given = {
            f.name: getattr(self.balancing, f.name)
            for f in fields(self.balancing)
        }
        name = f"{kind.__module__}.{kind.__qualname__}"
        return f"{name}({given!r}) at {self.balance_at}"

    def _check_balancing(self) -> None:
        method, at = self.balancing, self.balance_at
        if at not in PLACES:
            raise ValueError(
                f"balance_at={at!r}: choose 'parameters' or 'representation'."
            )
        if method is not None and not isinstance(method, Balancing):
            name = getattr(method, "__name__", None)
            hint = (
                f"an instance: {name}()"
                if isinstance(method, type)
                else "a method of mtlrec_utils.learning.balancing, such as "
                "PCGrad()"
            )
            raise ValueError(f"balancing={method!r}: pass {hint}.")
        if at == "representation" and (
            method is None or isinstance(method, LossBalancing)
        ):
            what = "no balancing" if method is None else type(method).__name__
            raise ValueError(
                f"balance_at='representation' is for methods that look at "
                f"gradients; with {what} leave it out."
            )
        weights = dict(self.loss_weights or {})
        off = [task for task, weight in weights.items() if not weight]
        if method is not None and off:
            raise ValueError(
                f"loss_weights gives {', '.join(map(repr, off))} a weight of "
                "0, but balancing needs a loss of every task. Build the "
                "model without it, or leave balancing out."
            )


def chosen_optimizer(
    model: Any,
    optimizer: Any,
    learning_rate: Any,
    rate_factors: Mapping[str, float] | None = None,
) -> tuple[Any, bool]:
    """Return the optimizer, and whether the loop sets its learning rate.

    Raises:
        ValueError: not an optimizer, one built for another model, a rate
            that is not positive, or a rate beside an own optimizer.
    """
    if optimizer is not None:
        if rate_factors:
            raise ValueError(
                "rate_factors are for the default optimizer; give them to "
                "your own one, as in RowSparseAdam(1e-2, rate_factors=...)."
            )
        _check_optimizer(model, optimizer, learning_rate)
        return optimizer, False
    schedules = keras.optimizers.schedules.LearningRateSchedule
    scheduled = isinstance(learning_rate, schedules)
    if not scheduled and not (
        isinstance(learning_rate, float) and 0 < learning_rate < math.inf
    ):
        raise ValueError(
            f"learning_rate={learning_rate!r} must be a float above 0, such "
            "as 1e-3, or a Keras schedule."
        )
    sparse = any(hasattr(layer, "field_sizes") for layer in model.layers)
    chosen = keras.optimizers.Adam(learning_rate=learning_rate)
    if sparse or rate_factors:
        chosen = RowSparseAdam(
            learning_rate=learning_rate, rate_factors=rate_factors
        )
    if any(layer.compute_dtype == "float16" for layer in model.layers):
        chosen = keras.optimizers.LossScaleOptimizer(chosen)
    return chosen, not scheduled


def _check_optimizer(model: Any, optimizer: Any, rate: Any) -> None:
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            f"optimizer={optimizer!r} is not a Keras optimizer; pass an "
            "instance, such as RowSparseAdam(1e-3)."
        )
    if rate != 1e-3:
        raise ValueError(
            "learning_rate is for the default optimizer; give the rate to "
            "your own one, as in RowSparseAdam(1e-2)."
        )
    if optimizer.built:
        known = {id(v) for v in optimizer._trainable_variables}
        if known != {id(v) for v in model.trainable_variables}:
            raise ValueError(
                f"The optimizer was built for other weights than those of "
                f"model {model.name!r}. Make a new optimizer per model."
            )
