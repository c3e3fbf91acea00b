"""Checks of lesson 04: a step of BPR, Procrustes, a change of basis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtlrec_utils.classroom.checks import NotYet, exercise


def _close(found: Any, wanted: Any) -> bool:
    return bool(np.allclose(found, wanted, rtol=1e-5, atol=1e-8))


@exercise(
    "04.1",
    hints=[
        "With x = p·q - p·r the loss is log(1 + e^-x); its derivative in x "
        "is -1 / (1 + e^x).",
        "Then the chain rule: x changes by q - r with p, by p with q and by "
        "-p with r.",
        "`weight = -1 / (1 + np.exp(p @ q - p @ r))`, and the gradients are "
        "`weight * (q - r)`, `weight * p`, `-weight * p`.",
    ],
)
def bpr_gradients(answer: Callable[..., Any]) -> None:
    """Check by the differences of the loss, and what goes wrong often."""
    random = np.random.default_rng(3)
    p, q, r = random.normal(size=(3, 4))
    found = answer(p.copy(), q.copy(), r.copy())
    if not isinstance(found, (tuple, list)) or len(found) != 3:
        raise NotYet("Return three gradients: of p, of q and of r.")
    found = [np.asarray(g, dtype=float) for g in found]
    for name, gradient in zip("pqr", found, strict=True):
        if gradient.shape != (4,):
            raise NotYet(
                f"The gradient of {name} has shape {gradient.shape}; it is "
                "as long as the vector, (4,)."
            )
    x = p @ q - p @ r
    weight = -1 / (1 + np.exp(x))
    wanted = [weight * (q - r), weight * p, -weight * p]
    if all(_close(g, -w) for g, w in zip(found, wanted, strict=True)):
        raise NotYet(
            "These are the directions in which the loss *falls*: the "
            "gradient has the other sign."
        )
    if _close(found[0], (1 + weight) / weight * wanted[0] * -1):
        raise NotYet(
            "The weight is sigma(x) where it should be 1 - sigma(x): a pair "
            "in the right order needs the smaller step."
        )
    if _close(found[2], wanted[1]):
        raise NotYet(
            "The gradient of r has the sign of that of q. One must rise "
            "where the other falls."
        )
    if _close(found[0], weight * q):
        raise NotYet(
            "p is in both products: its gradient holds q and r, as q - r."
        )
    for name, gradient, value in zip("pqr", found, wanted, strict=True):
        if not _close(gradient, value):
            raise NotYet(
                f"The gradient of {name} is {value.round(3)} here, not "
                f"{gradient.round(3)}."
            )


@exercise(
    "04.2",
    hints=[
        "Take the means of both sets off first.",
        "The matrix found.T @ truth, [d, d], says how the axes of both go "
        "together. Take its singular value decomposition.",
        "`left, _, right = np.linalg.svd(found.T @ truth)`; the turn is "
        "`left @ right`. NumPy's `right` is transposed already.",
    ],
)
def turn(answer: Callable[..., Any]) -> None:
    """Check by a known rotation, moved and with noise."""
    random = np.random.default_rng(4)
    found = random.normal(size=(40, 3)) + [2.0, -1, 4]
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    truth = (found - found.mean(axis=0)) @ rotation + [5.0, 5, -9]
    truth = truth + 0.1 * random.normal(size=truth.shape)
    mine = np.asarray(answer(found.copy(), truth.copy()), dtype=float)
    if mine.shape != (3, 3):
        raise NotYet(f"The turn has shape {mine.shape}; it is (3, 3).")
    ours, theirs = found - found.mean(0), truth - truth.mean(0)
    if _close(mine, np.linalg.lstsq(ours, theirs, rcond=None)[0]):
        raise NotYet(
            "This is the best matrix of all; it stretches too. A turn has "
            "R'R = I."
        )
    if not _close(mine.T @ mine, np.eye(3)):
        raise NotYet("R'R is not the identity: this is no turn or mirror.")
    left, _, right = np.linalg.svd(ours.T @ theirs)
    wanted = left @ right
    if _close(mine, wanted.T):
        raise NotYet("This turns the truth towards what was found: transpose.")
    if _close(mine, left @ right.T):
        raise NotYet(
            "NumPy returns the right vectors transposed already: "
            "`left @ right`."
        )
    raw_left, _, raw_right = np.linalg.svd(found.T @ truth)
    if _close(mine, raw_left @ raw_right):
        raise NotYet("The means are still in: take them off both sets first.")
    if not _close(mine, wanted):
        raise NotYet(
            "Another turn lies nearer: "
            f"|F R - T| is {np.linalg.norm(ours @ mine - theirs):.2f}, and "
            f"can be {np.linalg.norm(ours @ wanted - theirs):.2f}."
        )


@exercise(
    "04.3",
    hints=[
        "The scores are P Q'. With P A for P, what must stand for Q' so that "
        "A goes away?",
        "(P A)(A⁻¹ Q') = P Q'. So the new Q' is A⁻¹ Q'.",
        "Transposed: `Q @ np.linalg.inv(A).T`.",
    ],
)
def same_scores(answer: Callable[..., Any]) -> None:
    """Check that scores stay, for a matrix that is no turn."""
    random = np.random.default_rng(5)
    users, items = random.normal(size=(6, 3)), random.normal(size=(7, 3))
    change = np.array([[2.0, 1, 0], [0, 0.5, 3], [1, 0, 1]])
    found = answer(users.copy(), items.copy(), change.copy())
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise NotYet("Return two sets of vectors: of users and of items.")
    mine, others = (np.asarray(v, dtype=float) for v in found)
    if mine.shape != (6, 3) or others.shape != (7, 3):
        raise NotYet(
            f"The shapes are {mine.shape} and {others.shape}; they stay "
            "(6, 3) and (7, 3)."
        )
    if not _close(mine, users @ change):
        raise NotYet("The new user vectors are P @ A, as the text asks.")
    inverse = np.linalg.inv(change)
    for wrong, why in {
        "items @ A": "A must go away: the items need its inverse",
        "items @ inverse": "the inverse must be transposed: Q holds items in "
        "rows, the scores use Q'",
        "items @ A.T": "the transpose is the inverse of a turn only",
    }.items():
        value = {
            "items @ A": items @ change,
            "items @ inverse": items @ inverse,
            "items @ A.T": items @ change.T,
        }[wrong]
        if _close(others, value):
            raise NotYet(f"The scores moved: {why}.")
    moved = np.abs(mine @ others.T - users @ items.T).max()
    if moved > 1e-8:
        raise NotYet(f"A score moved by {moved:.3f}; none may.")
