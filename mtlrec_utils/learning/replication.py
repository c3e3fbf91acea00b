"""Repeat a comparison over seeds: every model, every seed, same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.history import History
from mtlrec_utils.learning.prediction import measure, predict
from mtlrec_utils.learning.progress import wanted
from mtlrec_utils.learning.reuse import Builder, built, program_for
from mtlrec_utils.learning.runs import run
from mtlrec_utils.learning.settings import Settings

_SETTINGS = {field.name for field in fields(Settings)} - {"seed"}
_OPTIONS = _SETTINGS | {"learning_rate", "optimizer", "progress", "checkpoint"}


class ReplicationError(ValueError):
    """Training failed for one model and seed, which the message names."""


@dataclass(frozen=True)
class Replication:
    """What came of it.

    Attributes:
        table: columns model, seed, task, metric, value (on test rows),
            seconds (of training and validation, without tracing),
            parameters (trainable), steps (updates made).
        predictions: model -> task -> float32 [S, N] on the test rows, in
            the order of the seeds; [S, N, K] for a multiclass task.
        histories: model -> one ``History`` per seed.
        seeds: the S seeds.
    """

    table: pd.DataFrame
    predictions: dict[str, dict[str, np.ndarray]]
    histories: dict[str, list[History]]
    seeds: tuple[int, ...]

    def summary(self) -> pd.DataFrame:
        """Return mean and standard deviation over seeds.

        Columns model, task, metric, mean, std (NaN for one seed), seeds.
        """
        groups = self.table.groupby(["model", "task", "metric"], sort=False)
        found = groups["value"].agg(mean="mean", std="std", seeds="size")
        return found.reset_index()

    def _repr_html_(self) -> str:
        return self.summary().to_html(index=False)


def replicate(
    builders: Mapping[str, Builder],
    train: Examples,
    validation: Examples | None,
    test: Examples,
    *,
    seeds: Iterable[int] = range(5),
    per_model: Mapping[str, Mapping[str, Any]] | None = None,
    **fit_options: Any,
) -> Replication:
    """Train each model with each seed and measure it on the test rows.

    Each result is that of ``fit`` on a freshly built model with this seed.
    A builder's model is traced once: later seeds put their initial weights
    into it.

    Args:
        builders: name -> function that returns a new model. One that has
            an argument ``seed``, or one argument at all, is given the
            seed; before one without, Keras' seeds are set to it. The
            architecture must not depend on the seed.
        train: rows to learn from.
        validation: rows for early stopping, or None.
        test: rows to measure on, once per model and seed.
        seeds: one run each.
        per_model: name -> options of ``fit`` for this model only, such as
            the learning rate that was best for it on validation rows.
        **fit_options: options of ``fit`` for all models, except seed. An
            optimizer is copied for each model; a checkpoint folder gets a
            folder per model and seed.

    Raises:
        ReplicationError: a run failed; the message names model and seed.
        ValueError: no builders or seeds, unknown options, or test rows
            that cannot be measured.
    """
    seeds = tuple(seeds)
    options = _options(builders, seeds, per_model or {}, fit_options)
    rows: list[dict[str, Any]] = []
    predictions: dict[str, dict[str, np.ndarray]] = {}
    histories: dict[str, list[History]] = {}
    for name, build in builders.items():
        found: list[dict[str, np.ndarray]] = []
        histories[name] = []
        for seed in seeds:
            try:
                job = _train(
                    name, build, train, validation, test, seed, options[name]
                )
            except Exception as error:
                raise ReplicationError(
                    f"Model {name!r} with seed {seed}: {error}"
                ) from error
            found.append(job.predictions)
            histories[name].append(job.history)
            rows += job.rows(name, seed)
        predictions[name] = {
            task: np.stack([p[task] for p in found]) for task in found[0]
        }
    return Replication(pd.DataFrame(rows), predictions, histories, seeds)


@dataclass(frozen=True)
class _Trained:
    history: History
    predictions: dict[str, np.ndarray]
    measured: pd.DataFrame
    parameters: int

    def rows(self, name: str, seed: int) -> list[dict[str, Any]]:
        return [
            {
                "model": name,
                "seed": seed,
                **{str(column): entry for column, entry in row.items()},
                "seconds": self.history.seconds,
                "parameters": self.parameters,
                "steps": self.history.steps,
            }
            for row in self.measured.to_dict("records")
        ]


def _train(
    name: str,
    build: Builder,
    train: Examples,
    validation: Examples | None,
    test: Examples,
    seed: int,
    options: Mapping[str, Any],
) -> _Trained:
    options = dict(options)
    progress = options.pop("progress", None)
    folder = options.pop("checkpoint", None)
    optimizer = options.pop("optimizer", None)
    rate = options.pop("learning_rate", 1e-3)
    settings = Settings(seed=seed, **options)
    model = built(build, seed)
    settings.check(rate if optimizer is None else optimizer, validation)
    program, set_rate = program_for(build, model, optimizer, rate, settings)
    _check_test(test, program.losses.kinds)
    history = run(
        program,
        train,
        validation,
        settings,
        rate=rate if set_rate else None,
        shown=wanted(progress),
        label=f"{name}, seed {seed}",
        keep_line=False,
        checkpoint=folder and Path(folder) / f"{name}-seed-{seed}",
    )
    found = predict(program.model, test)
    return _Trained(
        history,
        found,
        measure(found, test, program.losses.kinds),
        sum(int(np.prod(v.shape)) for v in program.model.trainable_variables),
    )


def _check_test(test: Examples, kinds: Mapping[str, str]) -> None:
    """Find out before training whether the test rows can be measured."""
    missing = [task for task in kinds if task not in test.labels]
    if missing:
        raise ValueError(
            f"The model predicts {', '.join(map(repr, missing))}, but test "
            "has no labels of it. Encode the test rows with that task."
        )
    binary = {task: kind for task, kind in kinds.items() if kind == "binary"}
    if binary:
        flat = np.full(len(test), 0.5, np.float32)
        measure(dict.fromkeys(binary, flat), test, binary)


def _options(
    builders: Mapping[str, Builder],
    seeds: tuple[int, ...],
    per_model: Mapping[str, Mapping[str, Any]],
    common: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Check the arguments; return each model's options of ``fit``."""
    if not builders:
        raise ValueError("builders is empty: name at least one model.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={seeds}: give at least one, none twice.")
    strangers = [name for name in per_model if name not in builders]
    if strangers:
        raise ValueError(
            f"per_model names {', '.join(map(repr, strangers))}, but the "
            f"models are {', '.join(map(repr, builders))}."
        )
    options = {n: {**common, **per_model.get(n, {})} for n in builders}
    for name, given in options.items():
        unknown = sorted(given.keys() - _OPTIONS)
        if unknown:
            raise ValueError(
                f"Model {name!r}: unknown option {', '.join(unknown)}. "
                f"Options are {', '.join(sorted(_OPTIONS))}; seeds go into "
                "seeds=..."
            )
    return options
