"""Checks of lesson 09: masked loss, shared bottom, reading verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.classroom.checks import NotYet, exercise
from mtlrec_utils.data import Categorical, Schema, Task

TASKS = ("click", "like", "finish")


@exercise(
    "09.1",
    hints=[
        "First pick the rows with mask 1; only then compute anything.",
        "NaN times 0 is NaN: multiplying by the mask does not remove a row. "
        "Index with `mask > 0` instead.",
        "`known = mask > 0`; return 0.0 if `not known.any()`; otherwise the "
        "mean of the cross-entropy of `labels[known]`.",
    ],
)
def masked_loss(answer: Callable[..., Any]) -> None:
    """Check by hand values, indifference to masked rows, and scale."""
    labels = np.array([1.0, 0.0, 1.0, 1.0])
    p = np.array([0.5, 0.2, 0.9, 0.8])
    mask = np.array([1.0, 1.0, 0.0, 0.0])
    hand = (np.log(2) - np.log(0.8)) / 2

    everything = _number(answer(labels, p, np.ones(4)))
    whole = float(np.mean([np.log(2), *-np.log([0.8, 0.9, 0.8])]))
    if np.isclose(everything, -whole):
        raise NotYet("The sign is wrong: a loss is positive.")
    if np.isclose(everything, 4 * whole):
        raise NotYet(
            "This is a sum; the mean divides by the number of known rows. "
            "A sum grows with the batch."
        )
    if not np.isclose(everything, whole):
        raise NotYet(
            f"With every label known the loss is {whole:.4f}, not "
            f"{everything:.4f}. Check the cross-entropy of a single row: "
            "label 1 and probability 0.5 give log 2."
        )
    found = _number(answer(labels, p, mask))
    if np.isclose(found, whole):
        raise NotYet(
            "The mask is ignored: rows with mask 0 count like the others."
        )
    if np.isclose(found, hand / 2):
        raise NotYet(
            "Divided by all 4 rows of the batch; divide by the 2 whose "
            "label is known. Else the loss shrinks with every missing label."
        )
    if not np.isclose(found, hand):
        raise NotYet(
            f"Two known rows of four give {hand:.4f}, not {found:.4f}."
        )
    for strange in (-1.0, 1e6, np.nan):
        changed = np.where(mask > 0, labels, strange)
        if not np.isclose(_number(answer(changed, p, mask)), hand):
            raise NotYet(
                f"A masked label of {strange:g} changes the loss. NaN times "
                "0 is NaN: pick the known rows, do not multiply."
            )
    nothing = _number(answer(labels, p, np.zeros(4)))
    if nothing != 0:
        raise NotYet(
            f"A batch without a known label gives {nothing}; it must give 0. "
            "A mean over no rows divides by 0."
        )


def _number(value: Any) -> float:
    if np.ndim(value):
        raise NotYet(
            f"The loss has shape {np.shape(value)}; it must be one number."
        )
    return float(value)


@exercise(
    "09.2",
    hints=[
        "One Dense layer reads the embedding; everything else reads that "
        "layer.",
        "Loop over `schema.task_names`; in the loop make new layers: a tower "
        "Dense with relu, and an output Dense(1) with sigmoid.",
        'Collect the outputs in a dictionary and return `keras.Model({"ids": '
        "ids}, outputs)`.",
    ],
)
def three_tasks(answer: Callable[..., Any]) -> None:
    """Check outputs, and which weights each task's gradient reaches."""
    schema, ids = _small_schema()
    model = answer(schema)
    outputs = getattr(model, "output", None)
    if not isinstance(outputs, dict):
        raise NotYet(
            "The model's output must be a dictionary of task name and "
            "prediction: keras.Model(inputs, {...})."
        )
    if set(outputs) != set(TASKS):
        raise NotYet(
            f"The outputs are {', '.join(sorted(outputs))}; they must be "
            f"{', '.join(sorted(TASKS))}, the names in `schema.task_names`."
        )
    for task, values in _predictions(model, ids).items():
        if values.shape != (len(ids), 1):
            raise NotYet(
                f"The output {task!r} has shape {values.shape}; one "
                f"probability per row is ({len(ids)}, 1)."
            )
    # First, because a softmax over one value has no gradient to look at.
    _check_probabilities(model, ids)
    reached = _reached(model, ids)
    common = set.intersection(*reached.values())
    tables = {w.path for w in model.trainable_weights if _is_table(w, schema)}
    if not common - tables:
        raise NotYet(
            "No layer after the embedding gets a gradient from all three "
            "tasks: each task has a bottom of its own. Build the bottom "
            "once, outside the loop."
        )
    for task in TASKS:
        others = set.union(*(reached[t] for t in TASKS if t != task))
        if not reached[task] - others:
            raise NotYet(
                f"The task {task!r} has no weights of its own: all tasks go "
                "through one tower. Make new layers in each round of the "
                "loop."
            )


def _small_schema() -> tuple[Schema, Any]:
    random = np.random.default_rng(9)
    frame = pd.DataFrame(
        {
            "user": random.integers(20, size=256),
            "item": random.integers(10, size=256),
            "genre": random.integers(4, size=256),
        }
    )
    for task in TASKS:
        frame[task] = random.integers(2, size=256)
    schema = Schema(
        [Categorical("user"), Categorical("item"), Categorical("genre")],
        [Task(name) for name in TASKS],
    ).fit(frame)
    return schema, schema.encode(frame).ids


def _is_table(weight: Any, schema: Schema) -> bool:
    return int(weight.shape[0]) >= sum(schema.field_sizes)


def _reached(model: Any, ids: Any) -> dict[str, set[str]]:
    """Return task -> paths of the weights its gradient reaches."""
    import tensorflow as tf

    reached = {}
    for task in TASKS:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model({"ids": ids})[task])
        weights = model.trainable_weights
        gradients = tape.gradient(total, [w.value for w in weights])
        reached[task] = {
            weight.path
            for weight, gradient in zip(weights, gradients, strict=True)
            if gradient is not None
            and np.any(np.asarray(tf.convert_to_tensor(gradient)))
        }
    return reached


def _check_probabilities(model: Any, ids: Any) -> None:
    """Enlarge all weights: a probability still stays between 0 and 1.

    Whether an output is always 1 is asked before that: with large weights a
    sigmoid may round to 1 in every row, too.
    """
    for task, values in _predictions(model, ids).items():
        if np.allclose(values, 1):
            raise NotYet(
                f"The output {task!r} is always 1: a softmax over a single "
                "value. End with a sigmoid."
            )
    before = model.get_weights()
    model.set_weights([50 * w for w in before])
    enlarged = _predictions(model, ids)
    model.set_weights(before)
    for task, values in enlarged.items():
        if values.min() < 0 or values.max() > 1:
            raise NotYet(
                f"The output {task!r} is no probability: it leaves the range "
                "0 to 1. End with a sigmoid."
            )


def _predictions(model: Any, ids: Any) -> dict[str, Any]:
    return {t: np.asarray(p) for t, p in model({"ids": ids}).items()}


@exercise(
    "09.3",
    hints=[
        "The verdict is read off the interval, never off the difference.",
        '"Helps" means that the whole interval lies above 0: `low > 0`.',
        "Keep the rows with `low <= 0`; the answer is their smallest "
        "`n_likes`, or None if there is no such row.",
    ],
)
def stops_helping(answer: Callable[..., Any]) -> None:
    """Check by small tables with a trap each."""
    clear = _gains([(300, 0.01, 0.05), (1000, 0.01, 0.03), (3000, -0.02, 0.0)])
    _expect(
        answer,
        clear,
        3000,
        "With intervals above 0 at 300 and 1,000 likes only",
    )
    unsure = _gains([(300, 0.01, 0.05), (1000, -0.01, 0.04), (3000, -0.02, 0)])
    _expect(
        answer,
        unsure,
        1000,
        "An interval from −0.01 to 0.04 has a positive middle but says "
        "“cannot tell”; read `low`, not `difference`. There",
    )
    _expect(
        answer,
        unsure.iloc[::-1],
        1000,
        "The rows come in any order: take the smallest number, not the "
        "first row. With the same rows turned round",
    )
    hurts = _gains([(300, -0.05, -0.01), (1000, 0.01, 0.03)])
    _expect(
        answer,
        hurts,
        300,
        "“Hurts” is not “helps” either. With an interval below 0 at 300",
    )
    _expect(
        answer,
        _gains([(300, 0.01, 0.05), (1000, 0.01, 0.03)]),
        None,
        "If sharing helps in every row, the answer is None. There",
    )


def _gains(rows: list[tuple[int, float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["n_likes", "low", "high"])
    return frame.assign(difference=(frame["low"] + frame["high"]) / 2)


def _expect(
    answer: Callable[..., Any],
    rows: pd.DataFrame,
    wanted: int | None,
    what: str,
) -> None:
    found = answer(rows)
    same = found is None if wanted is None else found == wanted
    if not same:
        raise NotYet(f"{what}, the answer is {wanted}, not {found}.")
