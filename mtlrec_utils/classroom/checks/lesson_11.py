"""Checks of lesson 11: cross-stitch, who reads whom, the seesaw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtlrec_utils.classroom.checks import NotYet, exercise


@exercise(
    "11.1",
    hints=[
        "Task t reads the sum over s of mixing[t, s] times hidden[s].",
        "Only the axis of tasks is summed over; rows and units stay.",
        '`np.einsum("ts,sbh->tbh", mixing, hidden)`',
    ],
)
def cross_stitch(answer: Callable[..., Any]) -> None:
    """Check shape, limit cases, and rows against columns."""
    random = np.random.default_rng(11)
    hidden = random.normal(size=(3, 4, 5))
    found = np.asarray(answer(hidden, np.eye(3)))
    if found.shape != (3, 4, 5):
        raise NotYet(
            "3 tasks, 4 rows and 5 units give the shape "
            f"{found.shape}; every task reads [B, H], so it is (3, 4, 5)."
        )
    if not np.allclose(found, hidden):
        raise NotYet(
            "With the identity each task must read its own representation, "
            "unchanged."
        )
    mixing = random.uniform(0.1, 1, size=(3, 3))
    found = np.asarray(answer(hidden, mixing))
    wanted = np.einsum("ts,sbh->tbh", mixing, hidden)
    if np.allclose(found, np.einsum("st,sbh->tbh", mixing, hidden)):
        raise NotYet(
            "Rows and columns are swapped: mixing[t, s] is what task t takes "
            "from task s, not what it gives."
        )
    shares = mixing / mixing.sum(axis=1, keepdims=True)
    if np.allclose(found, np.einsum("ts,sbh->tbh", shares, hidden)):
        raise NotYet(
            "The rows were rescaled to sum 1. They only start there; "
            "training may move them anywhere, so take them as they are."
        )
    if not np.allclose(found, wanted):
        raise NotYet(
            "The sum is not right. With mixing[0] = [0.5, 0.5, 0] task 0 "
            "must read the mean of the first two representations."
        )


@exercise(
    "11.2",
    hints=[
        "Start with an identity [T, T]: task t reads the block of task t.",
        "`np.repeat(..., own, axis=1)` makes a block of it.",
        "Glue `np.ones((n_tasks, shared), dtype=bool)` to its right.",
    ],
)
def readers(answer: Callable[..., Any]) -> None:
    """Check the blocks, the order, and the two limit cases."""
    found = np.asarray(answer(2, 2, 3))
    if found.shape != (2, 7):
        raise NotYet(
            "Two tasks with two own experts each and three shared ones: the "
            f"shape is (2, 7), not {found.shape}."
        )
    found = found.astype(bool)
    if found.all():
        raise NotYet(
            "Every task reads every expert: that is MMoE. Task 0 must not "
            "see the experts of task 1."
        )
    if not found[:, 4:].all():
        raise NotYet(
            "The shared experts come last, and every task reads all of them."
        )
    wanted = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=bool)
    if (found[:, :4] == ~wanted).all():
        raise NotYet("Each task reads the experts of the *other* one.")
    if (found[:, :4] == np.tile(np.eye(2, dtype=bool), 2)).all():
        raise NotYet(
            "Own experts stand in turns, one of each task. Put all experts "
            "of task 0 first: `np.repeat`, not `np.tile`."
        )
    if (found[:, :4] != wanted).any():
        raise NotYet(
            "Experts 0 and 1 belong to task 0, experts 2 and 3 to task 1."
        )
    for own, shared, what in [(0, 4, "MMoE"), (1, 0, "separate models")]:
        found = np.asarray(answer(3, own, shared))
        private = np.repeat(np.eye(3, dtype=bool), own, axis=1)
        limit = np.hstack([private, np.ones((3, shared), dtype=bool)])
        if found.shape != limit.shape or (found.astype(bool) != limit).any():
            raise NotYet(
                f"own={own} and shared={shared} must give {what}: for three "
                f"tasks a matrix of shape {limit.shape}."
            )


@exercise(
    "11.3",
    hints=[
        "Ask two questions of each row: did any task gain, did any lose?",
        "`(changes < 0).any(axis=1)` and `(changes > 0).any(axis=1)`.",
        "The two answers together pick one of four words.",
    ],
)
def name_models(answer: Callable[..., Any]) -> None:
    """Check each word, zeros, and more than two tasks."""
    cases = {
        "better": [[-0.1, -0.2], [-0.1, 0.0]],
        "worse": [[0.1, 0.2], [0.0, 0.1]],
        "seesaw": [[-0.1, 0.2], [0.5, -0.1]],
        "same": [[0.0, 0.0]],
    }
    rows = np.array([row for each in cases.values() for row in each])
    wanted = [word for word, each in cases.items() for _ in each]
    found = list(answer(rows))
    if len(found) != len(rows):
        raise NotYet(
            f"{len(rows)} models need {len(rows)} words; there are "
            f"{len(found)}."
        )
    flipped = {"better": "worse", "worse": "better"}
    if found == [flipped.get(word, word) for word in wanted]:
        raise NotYet(
            "Better and worse are swapped: these are changes of an *error*, "
            "so below 0 is better."
        )
    for row, word, mine in zip(rows, wanted, found, strict=True):
        if word != mine:
            raise NotYet(
                f"Changes of {row.tolist()} are called {mine!r}; they are "
                f"{word!r}."
            )
    three = np.array([[-0.1, 0.0, 0.2], [-5.0, -5.0, 0.1]])
    if list(answer(three)) != ["seesaw", "seesaw"]:
        raise NotYet(
            "With three tasks, one loss is enough for a seesaw, however much "
            "the others gain: do not add tasks up."
        )
