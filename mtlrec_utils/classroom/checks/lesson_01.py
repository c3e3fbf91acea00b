"""Checks of lesson 01: numbers of a log, interests, propensities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.classroom.checks import NotYet, exercise


@exercise(
    "01.1",
    hints=[
        "Drop repeated pairs first: density counts pairs, not rows.",
        "Density: distinct pairs / (users that occur x items that occur). "
        "Repeats: 1 - distinct pairs / rows.",
        '`rows["item"].value_counts().iloc[0] / len(rows)` is the head.',
    ],
)
def three_numbers(answer: Callable[..., Any]) -> None:
    """Check by a log small enough to count by hand."""
    rows = pd.DataFrame(
        {"user": [3, 3, 3, 8, 8, 3], "item": [5, 5, 9, 5, 5, 7]}
    )
    wanted = {"density": 4 / 6, "repeats": 2 / 6, "head": 4 / 6}
    found = answer(rows)
    if not isinstance(found, dict) or set(found) != set(wanted):
        raise NotYet(
            'Return a dictionary with the keys "density", "repeats" and '
            '"head".'
        )
    if np.isclose(found["density"], 6 / 6):
        raise NotYet(
            "The density counts rows; a pair that occurs three times fills "
            "one cell. Drop repeated pairs."
        )
    if np.isclose(found["density"], 4 / (9 * 10)):
        raise NotYet(
            "The density is divided by the largest numbers; count the users "
            "and items that occur."
        )
    if np.isclose(found["repeats"], 4 / 6):
        raise NotYet(
            "The repeats are the rows after the first of their pair, not "
            "the rows that are first."
        )
    if np.isclose(found["head"], 2 / 4):
        raise NotYet(
            "The head is a share of all rows, repeated ones included; do "
            "not drop pairs there."
        )
    for name, value in wanted.items():
        if not np.isclose(found[name], value):
            raise NotYet(
                f"Two users, three items, six rows, two of them repeats: "
                f"{name} is {value:.3f}, not {found[name]:.3f}."
            )


@exercise(
    "01.2",
    hints=[
        "Bring the rows into order of time, compute, and go back to their "
        "own order with `reindex`.",
        '`groupby(["user", "genre"])["click"]` has `cumsum` (this row '
        "included: take its click off) and `cumcount` (rows before).",
        "(cumsum - click + prior * base) / (cumcount + prior), on the sorted "
        "rows; then `.reindex(rows.index)`.",
    ],
)
def interest(answer: Callable[..., Any]) -> None:
    """Check by hand values, by order, and by changing the future."""
    rows = pd.DataFrame(
        {
            "time": [1.0, 2, 3, 4, 5, 6],
            "user": [1, 1, 1, 2, 1, 1],
            "genre": ["a", "a", "b", "a", "a", "a"],
            "click": [1, 0, 1, 1, 1, 0],
        },
        index=[10, 11, 12, 13, 14, 15],
    )
    wanted = np.array([0.3, 1.6 / 3, 0.3, 0.3, 1.6 / 4, 2.6 / 5])
    found = _series(answer(rows.copy(), 2, 0.3), rows)
    if np.isclose(found[0], 1.6 / 3):
        raise NotYet(
            "The first row knows its own click already: its rate must be "
            "the base. Take the row's click off the running sum, and count "
            "only the rows before it."
        )
    if np.isclose(found[0], 2.6 / 6):
        raise NotYet(
            "The first row knows clicks that come later: that is the future. "
            "Use running sums, not sums over the whole group."
        )
    if np.isclose(found[0], 0.6 / 3):
        raise NotYet(
            "The row itself is counted among the rows before it; "
            "`cumcount()` begins at 0, as it should."
        )
    if np.isclose(found[2], 1.6 / 4):
        raise NotYet(
            "Row 3 is the user's first of its genre, but it counts other "
            "genres; group by user and genre."
        )
    if np.isclose(found[3], 1.6 / 4):
        raise NotYet(
            "Row 4 is the first of its user, but it counts other users; "
            "group by user and genre."
        )
    if not np.allclose(found, wanted):
        place = int(np.argmax(~np.isclose(found, wanted)))
        raise NotYet(
            f"With prior 2 and base 0.3, row {place + 1} of six has the rate "
            f"{wanted[place]:.3f}, not {found[place]:.3f}. Check which rows "
            "come before it, and that the prior counts above and below."
        )
    turned = rows.iloc[::-1]
    again = answer(turned.copy(), 2, 0.3)
    if not np.allclose(_series(again, turned), wanted[::-1]):
        raise NotYet(
            "With the same rows in another order the rates differ: sort by "
            "time first, then give the answer the order of the input."
        )


def _series(found: Any, rows: pd.DataFrame) -> np.ndarray:
    if not isinstance(found, pd.Series) or len(found) != len(rows):
        raise NotYet(
            "Return a Series with one rate per row, like a column of the "
            "frame."
        )
    if list(found.index) != list(rows.index):
        raise NotYet(
            "The answer has another index than the rows: end with "
            "`.reindex(rows.index)`."
        )
    return found.to_numpy(dtype=float)


@exercise(
    "01.3",
    hints=[
        "Each click counts 1 / examination; each impression counts 1.",
        "`np.bincount(item, weight, minlength=n_items)` sums per item.",
        "`np.maximum(examination, smallest)` clips; divide where an item was "
        "shown, NaN elsewhere.",
    ],
)
def preference(answer: Callable[..., Any]) -> None:
    """Check by hand values, clipping, and items never shown."""
    item = np.array([0, 0, 0, 2, 2])
    click = np.array([1, 0, 1, 0, 1])
    looked = np.array([1.0, 0.25, 0.5, 1.0, 0.25])
    with np.errstate(all="ignore"):
        found = np.asarray(answer(item, click, looked, 4), dtype=float)
    if found.shape != (4,):
        raise NotYet(
            f"The answer has shape {found.shape}; one number per item is (4,)."
        )
    if np.isclose(found[0], 2 / 3):
        raise NotYet(
            "This is the plain click rate: divide each click by the chance "
            "that it was looked at."
        )
    if np.isclose(found[0], 3.0):
        raise NotYet(
            "This is a sum; divide by the item's number of impressions, "
            "clicked or not."
        )
    if np.isclose(found[0], (1 / 1 + 1 / 0.5) / 2):
        raise NotYet(
            "Divided by the clicks; divide by all impressions of the item."
        )
    if np.isclose(found[0], 2 / 1.75):
        raise NotYet(
            "This divides the sum of clicks by the sum of examinations, "
            "which is another estimate; divide each click by its own."
        )
    if not np.allclose(found[[0, 2]], [1.0, 2.0]):
        raise NotYet(
            f"Item 2 was shown twice and clicked once, where it is looked at "
            f"with 0.25: (0 + 4) / 2 = 2, not {found[2]:.3f}."
        )
    if not np.isnan(found[[1, 3]]).all():
        raise NotYet(
            "Items 1 and 3 were never shown: nothing is known, so NaN, "
            f"not {found[1]:g}."
        )
    clipped = answer(item, click, looked, 4, smallest=0.5)
    if not np.isclose(clipped[2], 1.0):
        raise NotYet(
            "With smallest=0.5 the click at 0.25 counts 1 / 0.5: clip with "
            "np.maximum(examination, smallest)."
        )
