"""A domain that joins late: a model with more domains goes on from one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.data.schema import Schema
from mtlrec_utils.data.vocabulary import FIRST_KNOWN


def carry_domains(
    source: Any,
    source_schema: Schema,
    target: Any,
    target_schema: Schema,
    domain: str = "domain",
) -> list[Any]:
    """Copy a model of some domains into one that has more of them.

    What all domains share is copied. Weights per domain keep their domain;
    a new one starts at the mean of the old ones. The old domains are served
    as before, and a fine-tuning on rows of the new one alone, with the
    shared layers frozen, leaves that so.

    Args:
        source: trained, from ``models`` with a domain in its gates or
            weights (not ``pooled_domains``).
        source_schema: what it was built from.
        target: the same function's model of ``target_schema``; changed in
            place.
        target_schema: equal but for more values of the domain.
        domain: name of the feature that tells the domain.

    Returns:
        The new domains.

    Raises:
        ValueError: schemas that differ elsewhere, a domain that went
            missing, none that is new, or weights that do not fit. Nothing
            is copied then.
    """
    old, new = (
        list(schema.vocabulary(domain).values)
        for schema in (source_schema, target_schema)
    )
    added = [value for value in new if value not in set(old)]
    if (
        not added
        or set(old) - set(new)
        or not _alike(source_schema, target_schema, domain)
    ):
        raise ValueError(
            f"The target's domains are {new}, the source's {old}. Fit the "
            "target's schema on rows with the same values of all other "
            "features, all old domains and new ones."
        )
    places = [new.index(value) for value in old]
    ours = {weight.path: np.asarray(weight) for weight in source.weights}
    copies = {}
    for weight in target.weights:
        value = ours.get(weight.path)
        grown = None
        if value is not None:
            grown = _grown(value, tuple(weight.shape), places, len(new))
        if grown is None:
            raise ValueError(
                f"Weight {weight.path!r} of the target has no counterpart "
                "that fits. Build both with the same function and widths, "
                "one that does not read the domain as a feature."
            )
        copies[weight.path] = grown
    for weight in target.weights:
        weight.assign(copies[weight.path])
    return added


def _alike(source: Schema, target: Schema, domain: str) -> bool:
    """Whether two schemas say the same of all features but the domain."""
    if source.features != target.features:
        return False
    forms = [schema.to_dict() for schema in (source, target)]
    for form in forms:
        form["learned"]["vocabularies"].pop(domain)
    return bool(forms[0] == forms[1])


def _grown(
    value: npt.NDArray, shape: tuple[int, ...], places: list[int], n: int
) -> npt.NDArray | None:
    """Return a weight in the target's shape; None if it does not fit."""
    if value.shape == shape:
        return value
    for first in (0, FIRST_KNOWN):  # weights [D, ...], and a table of ids
        before = (first + len(places), *shape[1:])
        if value.shape == before and shape[0] == first + n:
            grown = np.empty(shape, value.dtype)
            grown[:] = value[first:].mean(axis=0)
            grown[:first] = value[:first]
            grown[[first + place for place in places]] = value[first:]
            return grown
    return None
