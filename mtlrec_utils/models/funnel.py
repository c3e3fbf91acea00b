"""The conversion funnel in the entire space: ESMM and ESCM2.

Conversions are known on clicked rows only, yet a recommender must score
rows that nobody has clicked. The schema states the funnel with three
tasks on two columns:

>>> tasks = [
...     Task("click"),
...     Task("purchase", sample_space="click"),
...     Task("click_and_purchase", label="purchase",
...          sample_space="click", outside=0),
... ]                                                   # doctest: +SKIP

The third lives on every row: it is 0 where nobody clicked. The ends of
the models are those of ``multitask.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from mtlrec_utils.models.features_and_towers import (
    activated,
    chosen_tasks,
    joined_features,
    task_logits,
)
from mtlrec_utils.models.funnel_layers import (
    CounterfactualChance,
    ProductOfChances,
    UntrainedChance,
)


def esmm(
    schema: Any,
    click: str,
    conversion: str,
    *,
    embedding_dimension: int = 16,
    tower_units: Sequence[int] = (64, 32),
    debiasing: str | None = None,
    propensity_floor: float = 0.05,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build an entire-space model of clicks and conversions.

    Two towers share the embedding and nothing else. Outputs are pCTR,
    pCVR and, under the name of the task that lives on all rows, their
    product pCTCVR. pCTR and pCTCVR are trained; pCVR is read, unless it
    is debiased: then it has the counterfactual risk for a loss (see
    ``CounterfactualChance``), which ``loss_weights`` can weigh.

    Args:
        schema: a fitted ``Schema`` with the three tasks of the funnel.
        click: task of the click.
        conversion: task of the conversion, known on clicked rows.
        embedding_dimension: width of one id's embedding.
        tower_units: widths of each tower's layers; () for none.
        debiasing: None (ESMM), "ips" or "dr" (ESCM2).
        propensity_floor: the lowest pCTR to divide by, in (0, 1].
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: no such funnel in the schema (the message says what to
            write), an unknown debiasing, a bad width or floor.

    Source: Ma et al., "Entire Space Multi-Task Model", SIGIR 2018; Wang
    et al., "ESCM2", SIGIR 2022.
    """
    both = click_and_conversion(schema, click, conversion)
    last = _last_layer(conversion, debiasing, propensity_floor)
    inputs, features = joined_features(schema, embedding_dimension, seed)
    names = [conversion, click, *["imputation"] * (debiasing == "dr")]
    widths, hidden = dict.fromkeys(names, 1), dict.fromkeys(names, features)
    logits = task_logits(widths, hidden, tower_units, dropout, seed)
    clicks = {click: logits[click]}
    outputs = activated(chosen_tasks(schema, clicks), clicks)
    outputs[conversion] = last([logits[name] for name in names])
    outputs[both] = ProductOfChances(name=both)(
        [logits[click], logits[conversion]]
    )
    name = f"escm2_{debiasing}" if debiasing else "esmm"
    return keras.Model(inputs, outputs, name=name)


def _last_layer(
    conversion: str, debiasing: str | None, floor: float
) -> keras.layers.Layer:
    if debiasing is None:
        return UntrainedChance(name=conversion)
    if debiasing not in ("ips", "dr"):
        raise ValueError(
            f"debiasing={debiasing!r}: choose None, 'ips' or 'dr'."
        )
    return CounterfactualChance(floor, name=conversion)


def click_and_conversion(schema: Any, click: str, conversion: str) -> str:
    """Name the task of both, and check that the three make a funnel.

    Args:
        schema: with the three tasks (see the head of this module).
        click: task of the click.
        conversion: task of the conversion, known on clicked rows.

    Returns:
        The task whose label is the conversion's on clicked rows and 0 on
        all others.

    Raises:
        ValueError: they do not.
    """
    if click == conversion:
        raise ValueError(
            f"click and conversion are both {click!r}; they are two tasks."
        )
    opening, following = chosen_tasks(schema, [click, conversion]).values()
    column, space = following.label_column, opening.label_column
    if opening.sample_space == column:
        raise ValueError(
            f"Task {click!r} lives on the rows of {conversion!r}, so the "
            f"two are swapped: say click={conversion!r}, "
            f"conversion={click!r}."
        )
    if opening.sample_space is not None:
        raise ValueError(
            f"Task {click!r} lives on the rows where "
            f"{opening.sample_space!r} is 1, but the entire space is all "
            "rows. Encode only those rows and leave its sample_space out."
        )
    if following.sample_space != space or following.outside is not None:
        raise ValueError(
            f"Task {conversion!r} must be known exactly where {space!r} is "
            f"1. Write Task({conversion!r}, label={column!r}, "
            f"sample_space={space!r})."
        )
    for task in (opening, following):
        if task.kind != "binary":
            raise ValueError(
                f"Task {task.name!r} is of kind {task.kind!r}; a funnel is "
                "made of binary tasks, yes or no."
            )
    for task in schema.tasks:
        place = (task.label_column, task.sample_space, task.outside)
        if place == (column, space, 0) and task.kind == "binary":
            return str(task.name)
    raise ValueError(
        f"The schema has no task of {click!r} and {conversion!r} on all "
        f"rows. Add Task('{click}_and_{conversion}', label={column!r}, "
        f"sample_space={space!r}, outside=0)."
    )
