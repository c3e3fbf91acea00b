"""Checks of lesson 22: shares of a mean, a resumed epoch, a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtlrec_utils.classroom.checks import NotYet, exercise


@exercise(
    "22.1",
    hints=[
        "What is the denominator of the masked mean over the whole batch? "
        "Every worker divides by it.",
        "Multiply the gradients by the mask, divide, and add up the rows of "
        "each worker: np.stack gives [workers, P].",
        "With no known label at all, divide by 1.",
    ],
)
def contributions(answer: Callable[..., Any]) -> None:
    """Check the sum, a worker without labels, and a batch without any."""
    gradients = np.random.default_rng(0).normal(size=(7, 3))
    mask = np.array([1, 0, 1, 1, 0, 1, 0])
    parts = [np.array([0, 1, 2]), np.array([3, 5]), np.array([4, 6])]

    def found(known: Any) -> Any:
        with np.errstate(all="ignore"):
            value = np.asarray(
                answer(gradients.copy(), known.copy(), list(parts)), float
            )
        if value.shape != (3, 3):
            raise NotYet(
                f"Three workers, three values each: [3, 3], not {value.shape}."
            )
        return value

    value = found(mask)
    if np.isnan(value).any():
        raise NotYet(
            "Worker 2 has no known label and contributes NaN: it must be 0."
        )
    whole = (gradients * mask[:, None]).sum(axis=0) / mask.sum()
    total = value.sum(axis=0)
    if np.allclose(total, gradients.mean(axis=0)):
        raise NotYet("Unknown labels count: the mask is not used.")
    if np.allclose(total, (gradients * mask[:, None]).mean(axis=0)):
        raise NotYet(
            "Divide by the number of known labels, 4, not by that of rows, 7."
        )
    means = [
        (gradients[p] * mask[p, None]).sum(axis=0) / max(mask[p].sum(), 1)
        for p in parts
    ]
    if np.allclose(total, np.sum(means, axis=0)) or np.allclose(
        total, np.mean(means, axis=0)
    ):
        raise NotYet(
            "Each worker divides by its own known labels: a mean of means. "
            "The denominator is that of the whole batch."
        )
    if not np.allclose(total, whole):
        raise NotYet(
            f"The contributions add up to {total.round(3)}; the masked mean "
            f"over the batch has {whole.round(3)}."
        )
    if np.abs(value[2]).max() > 1e-12:
        raise NotYet(
            "Worker 2 has no known label, so it contributes 0; each worker "
            "may use its own rows only."
        )
    if not np.allclose(found(np.zeros(7, int)), 0):
        raise NotYet("A batch without a known label must give zeros.")


@exercise(
    "22.2",
    hints=[
        "Batches start at rows 0, batch_size, 2 batch_size, ...; leave out "
        "the first `done` of them.",
        "range(done * batch_size, len(order), batch_size) lists the starts.",
        "np.array_split(batch, workers)[worker] is this worker's part.",
    ],
)
def rows_left(answer: Callable[..., Any]) -> None:
    """Check that all parts of all batches are the rows left, in order."""
    order = np.random.default_rng(1).permutation(23)

    def found(done: int, worker: int, workers: int) -> list[list[int]]:
        parts = answer(order.copy(), 5, done, worker, workers)
        return [np.asarray(part).tolist() for part in parts]

    whole = found(0, 0, 1)
    if len(whole) == 4:
        raise NotYet(
            "23 rows in batches of 5 are five batches: the last has 3 rows."
        )
    if [len(part) for part in whole] != [5, 5, 5, 5, 3]:
        raise NotYet(
            "One worker, nothing done: batches of 5, 5, 5, 5 and 3 rows, not "
            f"{[len(part) for part in whole]}."
        )
    if sum(whole, []) == sorted(order.tolist()):
        raise NotYet("The rows come sorted: take them from `order`.")
    if sum(whole, []) != order.tolist():
        raise NotYet("One worker takes all rows, in the epoch's order.")
    if found(2, 0, 1) != whole[2:]:
        raise NotYet(
            f"After 2 batches {len(whole[2:])} are left, exactly those of "
            f"the run that was not stopped; here are {len(found(2, 0, 1))}."
        )
    if found(5, 0, 1) != []:
        raise NotYet("After all five batches nothing is left: [].")
    parts = [found(1, worker, 2) for worker in range(2)]
    together = [a + b for a, b in zip(*parts, strict=True)]
    if [sorted(t) for t in together] != [sorted(w) for w in whole[1:]]:
        raise NotYet(
            "Together two workers must take every row of every batch once."
        )
    if together != whole[1:]:
        raise NotYet("The parts are contiguous: first worker, first rows.")
    if [len(part) for part in parts[0]] != [3, 3, 3, 2]:
        raise NotYet(
            "Of 5 rows worker 0 takes 3, of 3 rows 2; here "
            f"{[len(part) for part in parts[0]]}."
        )


@exercise(
    "22.3",
    hints=[
        "A float32 value has 4 bytes; each trained value comes with its "
        "slots.",
        "Machines: the table's bytes over the memory of one, rounded up.",
        "Steps: rows over machines times batch, rounded up; 3600 seconds "
        "are an hour.",
    ],
)
def on_paper(answer: Callable[..., Any]) -> None:
    """Check bytes, slots, rounding and the time."""

    def found(**changed: Any) -> tuple[float, float]:
        given = {
            "ids": 1000, "dimension": 10, "slots": 2, "memory": 50_000,
            "rows": 36_000, "batch": 10, "fixed": 0.5, "per_row": 0.05,
        }  # fmt: skip
        value = answer(**{**given, **changed})
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise NotYet("Return two numbers: (machines, hours).")
        return float(value[0]), float(value[1])

    machines, hours = found()
    if machines == 1:
        raise NotYet(
            "1,000 x 10 values with 2 slots each are 120,000 bytes: a "
            "float32 has 4 bytes, and slots need room too. 50,000 hold that "
            "on 3 machines."
        )
    if machines in (2.4, 2):
        raise NotYet("2.4 machines are 3: round up.")
    if machines != 3:
        raise NotYet(f"The example needs 3 machines, not {machines:g}.")
    if not np.isclose(hours, 1200 / 3600):
        raise NotYet(
            "36,000 rows on 3 machines of 10 rows a step are 1,200 steps of "
            f"1 second: {1200 / 3600:.3f} hours, not {hours:.3f}."
        )
    if found(slots=0)[0] != 1:
        raise NotYet("Without slots the table has 40,000 bytes: 1 machine.")
    if not np.isclose(found(rows=36_001)[1], 1201 / 3600):
        raise NotYet("One row more is one step more: 1,201 steps, rounded up.")
