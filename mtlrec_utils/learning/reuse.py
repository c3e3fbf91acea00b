"""Trace a model once and train it with many initial weights."""

from __future__ import annotations

import inspect
import json
import weakref
from collections.abc import Callable
from typing import Any

import keras

from mtlrec_utils.learning.checkpoints import assign, to_numpy
from mtlrec_utils.learning.settings import Settings, chosen_optimizer
from mtlrec_utils.learning.steps import TrainingProgram

Builder = Callable[..., Any]

# A builder's latest program stays for as long as the builder does, so that
# a second call with the same builders traces nothing.
_programs: weakref.WeakKeyDictionary[Builder, tuple[str, TrainingProgram]] = (
    weakref.WeakKeyDictionary()
)


def built(build: Builder, seed: int) -> Any:
    """Build a model from a seed.

    Args:
        build: has an argument ``seed``, or one required argument, or none;
            before the last sort, Keras' seeds are set.
        seed: starting point of the initial weights.

    Raises:
        ValueError: a function of another sort, or one that returns
            something else than a Keras model.
    """
    parameters = inspect.signature(build).parameters.values()
    required = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if any(p.name == "seed" for p in parameters) and not (
        set(required) - {"seed"}
    ):
        model = build(seed=seed)
    elif len(required) == 1:
        model = build(seed)
    elif not required:
        keras.utils.set_random_seed(seed)
        model = build()
    else:
        raise ValueError(
            f"A builder takes the seed or nothing; this one requires "
            f"{', '.join(required)}. Wrap it: lambda seed: build(..., "
            "seed=seed)."
        )
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"The builder returned {type(model).__name__}, not a Keras model."
        )
    return model


def program_for(
    build: Builder,
    model: Any,
    optimizer: Any,
    rate: Any,
    settings: Settings,
) -> tuple[TrainingProgram, bool]:
    """Return a program that will train as if ``model`` were its own.

    Args:
        build: what built the model.
        model: freshly built.
        optimizer: to copy; None for the default.
        rate: learning rate of the default optimizer.
        settings: of the run; their balancing is part of the program.

    Returns:
        The program, its weights and optimizer at the start; and whether
        the loop sets the learning rate.
    """
    if optimizer is not None:
        optimizer = type(optimizer).from_config(optimizer.get_config())
    optimizer, set_rate = chosen_optimizer(
        model, optimizer, rate, settings.rate_factors
    )
    key = (
        _architecture(model)
        + _optimizer_text(optimizer, set_rate)
        + str(settings.balancing_text())
        + ("" if settings.anchor is None else str([settings.anchor.layers]))
    )
    known = _kept(build)
    if known is not None and known[1].model is model:
        raise ValueError(
            "The builder returned the same model twice. Build a new one at "
            "each call, or seeds would continue each other's training."
        )
    if known is None or known[0] != key:
        program = TrainingProgram(
            model,
            optimizer,
            set_rate,
            settings.balancing,
            settings.balance_at,
            settings.anchor,
        )
        _keep(build, key, program)
        return program, set_rate
    program = known[1]
    assign(program.model.weights, to_numpy(model.weights))
    program.reset_optimizer()
    return program, set_rate


def _kept(build: Builder) -> tuple[str, TrainingProgram] | None:
    try:
        return _programs.get(build)
    except TypeError:  # not hashable
        return None


def _keep(build: Builder, key: str, program: TrainingProgram) -> None:
    try:
        _programs[build] = (key, program)
    except TypeError:  # not hashable, or cannot be referenced weakly
        return


def _architecture(model: Any) -> str:
    """Describe a model but for its seeds; equal texts compute the same.

    A model that cannot be described equals no other.
    """
    try:
        config = {**model.get_config(), "name": None}
        layers = [layer["config"]["name"] for layer in config["layers"]]
        names = {name: i for i, name in enumerate(layers)}
        return json.dumps(_anonymous(config, names), default=str)
    except (NotImplementedError, KeyError, TypeError, ValueError):
        return f"model {id(model)}"


def _anonymous(value: Any, names: dict[str, int]) -> Any:
    """Drop seeds, and number the layers: Keras counts their names on."""
    if isinstance(value, dict):
        return {
            str(k): _anonymous(v, names)
            for k, v in value.items()
            if k != "seed"
        }
    if isinstance(value, list | tuple):
        return [_anonymous(v, names) for v in value]
    if isinstance(value, str) and value in names:
        return names[value]
    return value


def _optimizer_text(optimizer: Any, set_rate: bool) -> str:
    config = optimizer.get_config()
    config.pop("name", None)
    if set_rate:
        config.pop("learning_rate", None)
    return type(optimizer).__name__ + json.dumps(config, default=str)
