"""Checks of lesson 16: a pulled minimum, a table carried over, a crossing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "16.1",
    hints=[
        "Set the gradient in theta to 0: two terms, one per part.",
        "-X'(y - X theta) / n + strength (theta - source) = 0.",
        "Collect theta: (X'X / n + strength I) theta = X'y / n + strength "
        "source; np.linalg.solve does the rest.",
    ],
)
def pulled_minimum(answer: Callable[..., Any]) -> None:
    """Check both limits, the mean over rows and the gradient."""
    rng = np.random.default_rng(0)
    inputs, source = rng.normal(size=(20, 3)), np.array([1.0, -2.0, 0.5])
    labels = inputs @ np.array([0.0, 1.0, 2.0]) + rng.normal(size=20)

    def found(strength: float) -> Floats:
        value = np.asarray(
            answer(labels.copy(), inputs.copy(), source.copy(), strength)
        )
        if value.shape != (3,):
            raise NotYet(
                f"Three inputs have three weights, [k]; the shape is "
                f"{value.shape}."
            )
        return value

    plain = np.linalg.lstsq(inputs, labels, rcond=None)[0]
    if not np.allclose(found(0.0), plain):
        raise NotYet(
            f"At strength 0 it is least squares, {plain.round(3)}, not "
            f"{found(0.0).round(3)}."
        )
    far = found(1e9)
    if np.allclose(far, 0, atol=1e-3):
        raise NotYet(
            "A strong pull leads to 0: that is weight decay. The pull must "
            "lead to the source; it stands on the right-hand side too."
        )
    if not np.allclose(far, source, atol=1e-3):
        raise NotYet(
            f"At strength 1e9 it stays at the source, {source}, not "
            f"{far.round(3)}."
        )
    wanted = _pulled(labels, inputs, source, 0.3)
    value = found(0.3)
    if np.allclose(value, _pulled(labels, inputs, source, 0.3 / 20)):
        raise NotYet(
            "The squared error is a mean over n rows, so its curvature is "
            "X'X / n; you have the sum."
        )
    if not np.allclose(value, wanted):
        raise NotYet(
            f"At strength 0.3 the gradient must be 0; at your answer it is "
            f"{_slope(labels, inputs, source, 0.3, value).round(3)}."
        )


def _pulled(
    labels: Floats, inputs: Floats, source: Floats, strength: float
) -> Floats:
    n, k = inputs.shape
    return np.asarray(
        np.linalg.solve(
            inputs.T @ inputs / n + strength * np.eye(k),
            inputs.T @ labels / n + strength * source,
        )
    )


def _slope(
    labels: Floats,
    inputs: Floats,
    source: Floats,
    strength: float,
    at: Floats,
) -> Floats:
    error = labels - inputs @ at
    return np.asarray(
        -inputs.T @ error / len(labels) + strength * (at - source)
    )


@exercise(
    "16.2",
    hints=[
        "First a dictionary: id -> its row in the source's table.",
        "Start from a copy of the fresh table.",
        "For each target id that the dictionary knows, copy that row.",
    ],
)
def carried_over(answer: Callable[..., Any]) -> None:
    """Check order, unknown ids, and that nothing is changed in place."""
    table = np.arange(8.0).reshape(4, 2) + 10
    fresh = -np.arange(6.0).reshape(3, 2) - 1
    source_ids, target_ids = ["d", "a", "c", "b"], ["b", "x", "d"]
    given = table.copy(), fresh.copy()
    found = np.asarray(answer(given[0], source_ids, given[1], target_ids))
    if not (np.array_equal(given[0], table)):
        raise NotYet("The source's table was changed; it may only be read.")
    if not np.array_equal(given[1], fresh):
        raise NotYet(
            "The fresh table was changed in place; work on a copy of it."
        )
    if found.shape != fresh.shape:
        raise NotYet(
            f"The target has 3 ids and vectors of 2: [3, 2], not "
            f"{found.shape}."
        )
    if np.array_equal(found, table[:3]):
        raise NotYet(
            "These are the source's first rows. A row belongs to an id, not "
            "to a place: look each target id up in `source_ids`."
        )
    if np.array_equal(found[1], np.zeros(2)):
        raise NotYet(
            'The new id "x" has a row of zeros. It keeps the target\'s '
            "fresh row: equal rows would be told apart by nothing."
        )
    if not np.array_equal(found[1], fresh[1]):
        raise NotYet(
            'The source never saw "x", so its row stays the fresh one, '
            f"{fresh[1]}, not {found[1]}."
        )
    wanted = np.stack([table[3], fresh[1], table[0]])
    if not np.array_equal(found, wanted):
        raise NotYet(
            f'"b" is row 3 of the source and "d" is row 0: expected '
            f"{wanted.tolist()}, got {found.tolist()}."
        )


@exercise(
    "16.3",
    hints=[
        "Look at the difference scratch - frozen: above 0, scratch loses.",
        "Find the first place at which it is 0 or below.",
        "Between this place and the one before, the share of the way is "
        "before / (before - here); walk it on np.log(rows).",
    ],
)
def overtaking(answer: Callable[..., Any]) -> None:
    """Check the logarithm, both ends, and that the first crossing counts."""
    rows = np.array([10.0, 1000.0, 100_000.0])
    frozen = np.array([0.5, 0.5, 0.5])

    def found(*scratch: float) -> float | None:
        value = answer(rows.copy(), np.array(scratch), frozen.copy())
        return None if value is None else float(value)

    middle = found(0.6, 0.4, 0.3)
    if middle is None:
        raise NotYet(
            "Losses 0.6, 0.4 and 0.3 cross 0.5 between 10 and 1,000 rows, "
            "but the answer is None. Lower is better for a loss."
        )
    if np.isclose(middle, 505):
        raise NotYet(
            "505 is half-way between 10 and 1,000. On the logarithm, "
            "half-way is 100."
        )
    if np.isclose(middle, 1000):
        raise NotYet(
            "1,000 is the first number measured after the crossing; "
            "interpolate between it and the one before."
        )
    if not np.isclose(middle, 100):
        raise NotYet(
            "Losses 0.6 and 0.4 at 10 and 1,000 rows cross 0.5 at 100 rows, "
            f"not at {middle:g}."
        )
    if found(0.8, 0.7, 0.6) is not None:
        raise NotYet("Scratch never gets to 0.5 here: return None.")
    start = found(0.4, 0.3, 0.2)
    if start is None or not np.isclose(start, 10):
        raise NotYet(
            "Scratch is ahead from the first number on: return it, 10, not "
            f"{start}."
        )
    twice = answer(
        np.array([1.0, 10.0, 100.0, 1000.0]),
        np.array([0.6, 0.4, 0.6, 0.4]),
        np.full(4, 0.5),
    )
    if twice is None or not np.isclose(float(twice), 10**0.5):
        raise NotYet(
            "The curves cross three times here; the first crossing counts, "
            f"at {10**0.5:.2f} rows, not at {twice}."
        )
