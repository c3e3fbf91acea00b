"""Gradual unfreezing: from the outputs to the inputs, group by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.learning.history import History
from mtlrec_utils.learning.training import fit
from mtlrec_utils.learning.transfer.freezing import (
    freeze,
    layer_groups,
    unfreeze,
)


def fit_gradually(
    model: Any,
    train: Examples,
    validation: Examples | None = None,
    *,
    stages: Sequence[Sequence[str]] = (
        ("towers",),
        ("bottom",),
        ("embedding",),
    ),
    **fit_options: Any,
) -> list[History]:
    """Train in stages; each one thaws some layers more.

    Layers near the outputs know least about the target, and their errors
    would otherwise run through everything below. Each stage is a run of
    ``fit`` of its own, with a fresh optimizer. All layers learn in the end
    if all are named.

    Args:
        model: pre-trained; changed in place. All its layers are frozen
            first.
        train: rows of the target to learn from.
        validation: rows to judge each epoch by.
        stages: for each stage, groups of ``layer_groups`` or layers.
        **fit_options: of ``fit``, the same in every stage; but an
            ``optimizer`` belongs to one run and is refused.

    Returns:
        The history of each stage.

    Raises:
        ValueError: no stages, an optimizer, or a name that is neither a
            group nor a layer.

    Source: J. Howard, S. Ruder, "Universal language model fine-tuning for
    text classification", ACL 2018, section 3.3; there for language models,
    one layer and one epoch a stage.
    """
    if not stages:
        raise ValueError("stages is empty: name at least one group.")
    if fit_options.get("optimizer") is not None:
        raise ValueError(
            "An optimizer is built for the layers of one stage. Give "
            "learning_rate instead."
        )
    freeze(model, *layer_groups(model))
    histories = []
    for names in stages:
        unfreeze(model, *names)
        histories.append(fit(model, train, validation, **fit_options))
    return histories
