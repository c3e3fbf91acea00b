"""Checks of lesson 05: in-batch softmax, a search by cells, a leak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from mtlrec_utils.classroom.checks import NotYet, exercise


@exercise(
    "05.1",
    hints=[
        "All scores at once: `U @ V.T - log_q[items]`; column c is the item "
        "of row c, so its log Q is log_q[items[c]].",
        "`items[:, None] == items[None, :]` marks the row's own item. Keep "
        "the diagonal, which is the positive.",
        "Put -inf where an item stands twice, then "
        "`np.log(np.exp(scores).sum(axis=1)) - np.diag(scores)`.",
    ],
)
def in_batch_loss(answer: Callable[..., Any]) -> None:
    """Check by hand values, a moved duplicate, a uniform Q."""
    random = np.random.default_rng(7)
    users, items = random.normal(size=(2, 5, 3))
    numbers = np.array([4, 1, 4, 0, 2])
    log_q = np.log([0.4, 0.3, 0.1, 0.1, 0.1])
    zero = np.zeros(5)
    with np.errstate(all="ignore"):
        plain = np.asarray(answer(users, items, numbers, zero), dtype=float)
        found = np.asarray(answer(users, items, numbers, log_q), dtype=float)
    if plain.shape != (5,):
        raise NotYet(
            f"The answer has shape {plain.shape}; one loss per row is (5,)."
        )
    if not np.isfinite(plain).all():
        raise NotYet(
            "Some losses are not finite: the diagonal is the positive and "
            "must not be hidden."
        )
    scores = users @ items.T
    same = numbers[:, None] == numbers
    np.fill_diagonal(same, False)
    hidden = np.where(same, -np.inf, scores)
    wanted = logsumexp(hidden, axis=1) - np.diag(scores)
    if np.allclose(plain, logsumexp(scores, axis=1) - np.diag(scores)):
        raise NotYet(
            "Rows 0 and 2 hold the same item: each counts the other's as a "
            "negative. Hide it."
        )
    if np.allclose(plain, logsumexp(hidden, axis=0) - np.diag(scores)):
        raise NotYet(
            "The softmax runs over users: sum over the items of a row, axis 1."
        )
    zeroed = np.where(same, 0, scores)
    if np.allclose(plain, logsumexp(zeroed, axis=1) - np.diag(scores)):
        raise NotYet(
            "A score of 0 is not hidden: e^0 = 1 stays in the sum. Use -inf."
        )
    if not np.allclose(plain, wanted):
        raise NotYet(
            f"With log Q = 0 the losses are {wanted.round(3)}, not "
            f"{plain.round(3)}."
        )
    if np.allclose(found, plain):
        raise NotYet("log Q changes nothing here; take it off the scores.")
    added, off = hidden + log_q[numbers], hidden - log_q[numbers]
    if np.allclose(found, logsumexp(added, axis=1) - np.diag(added)):
        raise NotYet(
            "log Q is added; a popular item must be pushed down *less*: take "
            "it off."
        )
    if np.allclose(found, logsumexp(off, axis=1) - np.diag(scores)):
        raise NotYet("Take log Q off the positive's score too.")
    if not np.allclose(found, logsumexp(off, axis=1) - np.diag(off)):
        raise NotYet(
            "With the correction the losses are "
            f"{(logsumexp(off, axis=1) - np.diag(off)).round(3)}, not "
            f"{found.round(3)}. Column c needs log_q[items[c]]."
        )


@exercise(
    "05.2",
    hints=[
        "First the cells: `np.argsort(-centres @ user)[:n_probe]`.",
        "The candidates are the items whose cell is among them: "
        "`np.flatnonzero(np.isin(cell, near))`.",
        "Order the candidates by inner product and translate their places "
        "back into item numbers: `candidates[order[:k]]`.",
    ],
)
def search(answer: Callable[..., Any]) -> None:
    """Check by a brute force over the cells that count."""
    random = np.random.default_rng(11)
    vectors = random.normal(size=(60, 3))
    centres = 3 * random.normal(size=(6, 3))
    cell = np.argmax(vectors @ centres.T, axis=1)
    user = random.normal(size=3)
    ranked = np.argsort(-centres @ user)
    exact = np.argsort(-vectors @ user)
    every = np.asarray(answer(user, vectors, centres, cell, 6, 4))
    if every.shape != (4,):
        raise NotYet(f"The answer has shape {every.shape}; k numbers: (4,).")
    if every.tolist() == exact[::-1][:4].tolist():
        raise NotYet("The list is worst first; the best comes first.")
    if every.tolist() != exact[:4].tolist():
        raise NotYet(
            "With all cells the answer is that of the exact search: "
            f"{exact[:4].tolist()}, not {every.tolist()}."
        )
    inside = np.flatnonzero(np.isin(cell, ranked[:2]))
    wanted = inside[np.argsort(-vectors[inside] @ user)][:3]
    found = np.asarray(answer(user, vectors, centres, cell, 2, 3))
    places = np.argsort(-vectors[inside] @ user)[:3]
    if found.tolist() == places.tolist():
        raise NotYet(
            "These are places among the candidates; return the items' own "
            "numbers."
        )
    far = np.linalg.norm(centres - user, axis=1)
    near = np.flatnonzero(np.isin(cell, np.argsort(far)[:2]))
    if (
        found.tolist()
        == near[np.argsort(-vectors[near] @ user)][:3].tolist()
        != wanted.tolist()
    ):
        raise NotYet(
            "The cells are chosen by distance; here the largest inner "
            "products with the centres decide."
        )
    if found.tolist() == exact[:3].tolist() != wanted.tolist():
        raise NotYet("This compares with every item, not with two cells.")
    if found.tolist() != wanted.tolist():
        raise NotYet(
            f"In two cells the best are {wanted.tolist()}, not "
            f"{found.tolist()}."
        )


@exercise(
    "05.3",
    hints=[
        "A pair is user *and* item: compare both at once.",
        "`pd.MultiIndex.from_frame(cart[['user', 'item']])` makes pairs "
        "that have `isin`.",
        "The share is `asked.isin(pairs).mean()`, the clean cart "
        "`cart[~pairs.isin(asked)]`.",
    ],
)
def find_leak(answer: Callable[..., Any]) -> None:
    """Check by a small case in which every shortcut gives another number."""
    cart = pd.DataFrame(
        {"user": [0, 0, 1, 2, 2, 3], "item": [5, 6, 6, 5, 7, 8]},
        index=[10, 11, 12, 13, 14, 15],
    )
    test = pd.DataFrame({"user": [0, 1, 2, 4], "item": [6, 5, 7, 8]})
    before = cart.copy()
    found = answer(cart, test)
    if not isinstance(found, tuple) or len(found) != 2:
        raise NotYet("Return two things: the share and the clean cart.")
    share, clean = float(found[0]), found[1]
    if not cart.equals(before):
        raise NotYet("The cart was changed; work on a copy.")
    if np.isclose(share, 4 / 4):
        raise NotYet(
            "This asks whether the *item* is in anybody's cart; the pair of "
            "user and item must be."
        )
    if np.isclose(share, 2 / 6):
        raise NotYet(
            "This is the share of the cart; asked is the share of the test "
            "pairs."
        )
    if np.isclose(share, 3 / 4):
        raise NotYet(
            "This asks whether the *user* has a cart; the pair of user and "
            "item must be in it."
        )
    if not np.isclose(share, 2 / 4):
        raise NotYet(f"Two of four test pairs stand in the cart, not {share}.")
    if not isinstance(clean, pd.DataFrame):
        raise NotYet("The second thing is a frame: the rows that stay.")
    if clean.index.tolist() == [11, 14]:
        raise NotYet("These are the rows that leak; return the others.")
    if clean.index.tolist() != [10, 12, 13, 15]:
        raise NotYet(
            "The rows 10, 12, 13 and 15 stay, with their index; you have "
            f"{clean.index.tolist()}."
        )
