"""Checks of lesson 20: a bag, a kernel of two, a test for hidden ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtlrec_utils.classroom.checks import NotYet, exercise


@exercise(
    "20.1",
    hints=[
        "`ids != 1` says where a word is, [B, L]; it needs one more axis to "
        "stand beside `table[ids]`, [B, L, d].",
        "Multiply, sum over the words, divide by their number.",
        "Divide by at least 1: `np.maximum(count, 1)`.",
    ],
)
def bag(answer: Callable[..., Any]) -> None:
    """Check padding above and below the line, and the empty text."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(9, 3)) + 1.0
    ids = np.array([[2, 5, 5, 8], [4, 3, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]])
    with np.errstate(all="ignore"):
        found = np.asarray(answer(ids.copy(), table.copy()), dtype=float)
    if found.shape != (4, 3):
        raise NotYet(
            f"Four texts, embeddings of 3: [4, 3], not {found.shape}."
        )
    if not np.allclose(found[0], table[[2, 5, 5, 8]].mean(axis=0)):
        raise NotYet(
            "A text without padding is the mean of its embeddings, a word "
            "that stands twice counted twice."
        )
    if np.allclose(found[1], table[ids[1]].mean(axis=0)):
        raise NotYet("The embedding of padding, row 1, is part of the mean.")
    if np.allclose(found[1], table[[4, 3]].sum(axis=0) / 4):
        raise NotYet(
            "The sum leaves padding out, but you divide by all places: a "
            "short text gets a short vector."
        )
    if not np.allclose(found[1], table[[4, 3]].mean(axis=0)):
        raise NotYet(f"The second text has the words 4 and 3; {found[1]}?")
    if not np.allclose(found[2], table[0]):
        raise NotYet("Row 0 is an unknown word, and a word. Only 1 is none.")
    if not np.isfinite(found[3]).all():
        raise NotYet("A text of padding alone gives NaN; it must be zeros.")
    if not np.allclose(found[3], 0):
        raise NotYet("A text of padding alone must be zeros.")


@exercise(
    "20.2",
    hints=[
        "Column c of a word goes into filter f by pointwise[c, f], after it "
        "was weighed by depthwise[k, c].",
        "No sum is left: the kernel is a product with three axes.",
        "depthwise[:, :, None] * pointwise[None, :, :]",
    ],
)
def one_kernel(answer: Callable[..., Any]) -> None:
    """Check the shape, and that both convolve alike."""
    rng = np.random.default_rng(0)
    depthwise, pointwise = rng.normal(size=(3, 4)), rng.normal(size=(4, 4))
    found = np.asarray(answer(depthwise.copy(), pointwise.copy()))
    if found.shape == (3, 4):
        raise NotYet(
            "That is a matrix product: it has summed over the columns d "
            "before any word was seen. The kernel has three axes."
        )
    if found.shape != (3, 4, 4):
        raise NotYet(f"[w, d, f] is [3, 4, 4], not {found.shape}.")
    words = rng.normal(size=(3, 4))  # one window
    wanted = (words * depthwise).sum(axis=0) @ pointwise
    value = np.einsum("wd,wdf->f", words, found)
    if np.allclose(found, depthwise[:, :, None] * pointwise.T[None]):
        raise NotYet(
            "Columns and filters are exchanged in the pointwise kernel."
        )
    if not np.allclose(value, wanted):
        raise NotYet(
            f"On one window the two steps give {wanted.round(3)}, your "
            f"kernel {value.round(3)}."
        )


@exercise(
    "20.3",
    hints=[
        "Item i must be found under its new name with its own words: "
        "renamed[new_item[i]] = catalogue[i] for all i.",
        "`renamed[new_item] = catalogue` does that; `catalogue[new_item]` "
        "does the opposite.",
        "Rows are renamed too: new_user[users], new_item[items].",
    ],
)
def largest_change(answer: Callable[..., Any]) -> None:
    """Check an honest scorer, and three that look at ids."""
    rng = np.random.default_rng(0)
    catalogue = rng.normal(size=(6, 3))
    users, items = rng.integers(4, size=30), rng.integers(6, size=30)
    new_user = np.array([3, 0, 1, 2])
    new_item = np.array([3, 5, 0, 4, 1, 2])  # not its own inverse

    def changed(extra: Callable[..., Any]) -> float:
        def make(words: Any) -> Callable[..., Any]:
            return lambda u, i: words[i].sum(axis=1) + extra(u, i)

        value = answer(
            make, catalogue.copy(), users, items, new_user, new_item
        )
        if np.ndim(value) or not np.isfinite(value):
            raise NotYet("Return one number: the largest absolute change.")
        return float(value)

    if changed(lambda u, i: 0.0) > 1e-12:
        raise NotYet(
            "This scorer reads words only, yet your test finds a change: the "
            "renamed catalogue gives items other words."
        )
    if changed(lambda u, i: 1.0 * i) < 1e-6:
        raise NotYet(
            "A scorer that adds the item's number goes unnoticed: rename the "
            "items of the rows, too."
        )
    if changed(lambda u, i: 1.0 * u) < 1e-6:
        raise NotYet(
            "A scorer that adds the user's number goes unnoticed: rename the "
            "users of the rows, too."
        )
    wanted = float(np.abs(new_user[users] - users).max())
    found = changed(lambda u, i: -1.0 * u)
    if not np.isclose(found, wanted):
        raise NotYet(
            f"The largest change is {wanted:g} here, not {found:g}: take "
            "absolute values, then the largest over the rows."
        )
