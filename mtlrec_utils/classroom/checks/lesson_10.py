"""Checks of lesson 10: the gated sum, temperature, collapsed experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "10.1",
    hints=[
        "Two steps: weights [B, E] from the logits, then a sum over experts.",
        "Give the weights a third axis, `weights[:, :, None]`, multiply, and "
        "sum over axis 1, the experts.",
        "For large logits subtract each row's largest first: "
        "`np.exp(logits - logits.max(axis=1, keepdims=True))`.",
    ],
)
def gated_sum(answer: Callable[..., Any]) -> None:
    """Check shape, limit cases, the softmax axis and large logits."""
    random = np.random.default_rng(10)
    logits = random.normal(size=(4, 3))
    experts = random.normal(size=(4, 3, 5))
    found = _array(answer(logits, experts), "result")
    if found.shape != (4, 5):
        raise NotYet(
            f"4 rows, 3 experts and 5 units give shape {found.shape}; the sum "
            "over experts leaves [B, H], here (4, 5)."
        )
    equal = _array(answer(np.zeros((4, 3)), experts), "result")
    if np.allclose(equal, experts.sum(axis=1)):
        raise NotYet(
            "Equal logits give the sum of the experts, not their mean: the "
            "weights of a row must sum to 1."
        )
    of_batch = np.exp(logits) / np.exp(logits).sum(axis=0)
    if np.allclose(found, np.einsum("be,beh->bh", of_batch, experts)):
        raise NotYet(
            "The softmax runs over the batch, the wrong axis: a row's weights "
            "depend on the other rows. Sum over axis 1, the experts."
        )
    if np.allclose(found, np.einsum("be,beh->bh", logits, experts)):
        raise NotYet("The logits are used as weights: a softmax is missing.")
    alone = _array(answer(logits[:1], experts[:1]), "result")
    if not np.allclose(alone, found[:1]):
        raise NotYet(
            "A row alone gives another result than in a batch. Each row is "
            "mixed by its own weights only."
        )
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if not np.allclose(found, np.einsum("be,beh->bh", weights, experts)):
        raise NotYet(
            "The weighted sum is not right. With equal logits it must be the "
            "mean of the experts; check that weight e meets expert e."
        )
    single = _array(answer(logits[:, :1], experts[:, :1]), "result")
    if not np.allclose(single, experts[:, 0]):
        raise NotYet("With one expert the result must be that expert.")
    with np.errstate(all="ignore"):
        chosen = _array(answer(1000 * np.eye(3), experts[:3]), "result")
    if not np.isfinite(chosen).all():
        raise NotYet(
            "Logits of 1000 give NaN: exp(1000) is infinite. Subtract each "
            "row's largest logit first; the weights stay the same."
        )
    if not np.allclose(chosen, experts[range(3), range(3)]):
        raise NotYet(
            "A logit of 1000 against 0 must choose that expert alone."
        )


@exercise(
    "10.2",
    hints=[
        "Raise the weights to the power 1 / T, then make the rows sum to 1.",
        "Tiny powers of numbers below 1 become 0, and 0 / 0 is NaN. Divide "
        "each row by its largest weight before raising it.",
        "`relative = weights / weights.max(axis=1, keepdims=True)`, then "
        "`relative ** (1 / temperature)`, then divide by the row sums.",
    ],
)
def at_temperature(answer: Callable[..., Any]) -> None:
    """Check the limits, a hand value, row sums and small temperatures."""
    weights = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    same = _array(answer(weights, 1.0), "result")
    if same.shape != weights.shape:
        raise NotYet(
            f"Weights of shape {weights.shape} give shape {same.shape}; the "
            "shape must stay."
        )
    sharp = _array(answer(weights, 0.5), "result")
    squares = weights**2
    if np.allclose(sharp, squares):
        raise NotYet(
            "The powers are right, but the rows no longer sum to 1. Divide "
            "each by its sum."
        )
    if np.allclose(sharp, squares / squares.sum(axis=0)):
        raise NotYet(
            "Divided by sums over the batch; the weights of a row, axis 1, "
            "must sum to 1."
        )
    roots = np.sqrt(weights)
    if np.allclose(sharp, roots / roots.sum(axis=1, keepdims=True)):
        raise NotYet(
            "Upside down: a temperature below 1 must sharpen the weights. The "
            "power is 1 / T, not T."
        )
    powers = np.exp(weights / 0.5)
    if np.allclose(sharp, powers / powers.sum(axis=1, keepdims=True)):
        raise NotYet(
            "This takes the weights for logits. The logits are the logarithms "
            "of the weights, which makes weights ** (1 / T)."
        )
    if not np.allclose(same, weights):
        raise NotYet("Temperature 1 must leave the weights as they are.")
    if not np.allclose(sharp, squares / squares.sum(axis=1, keepdims=True)):
        raise NotYet(
            "Temperature 0.5 must give the squares of the weights, divided "
            "by their row sums."
        )
    with np.errstate(all="ignore"):
        # 0.4 to the power of 1000 is below the smallest double.
        near_even = np.array([[0.4, 0.3, 0.3], [0.3, 0.3, 0.4]])
        one_hot = _array(answer(near_even, 0.001), "result")
        zero = _array(answer(np.array([[0.0, 0.4, 0.6]]), 2.0), "result")
    if not np.isfinite(one_hot).all():
        raise NotYet(
            "Temperature 0.001 gives NaN: powers of 1000 are all 0, and 0 / 0 "
            "is NaN. Divide each row by its largest weight first."
        )
    if not np.allclose(one_hot, [[1, 0, 0], [0, 0, 1]]):
        raise NotYet(
            "A temperature near 0 must put all weight on the row's largest."
        )
    if not np.isfinite(zero).all() or zero[0, 0] != 0:
        raise NotYet(
            "A weight of 0 must stay 0. Its logarithm is minus infinity: "
            "work with powers of the weights instead."
        )
    flat = _array(answer(weights, 1e6), "result")
    if not np.allclose(flat, 1 / 3, atol=1e-4):
        raise NotYet("A very high temperature must make all weights equal.")


@exercise(
    "10.3",
    hints=[
        "Take the mean over the rows first; everything else reads the mean.",
        "0 log 0 counts as 0: leave experts out whose mean weight is 0.",
        "`mean = gates.mean(axis=0)`; idle are `np.flatnonzero(mean < 0.1 / "
        "len(mean))`.",
    ],
)
def expert_use(answer: Callable[..., Any]) -> None:
    """Check even, choosy and collapsed gates."""
    even = np.full((6, 4), 0.25)
    evenness, idle = _use(answer, even)
    if np.isclose(evenness, np.log(4)) or np.isclose(evenness, 2):
        raise NotYet(
            f"Four experts used alike have evenness {evenness:.3f}; divide "
            "the entropy by its largest value, log E, to get 1."
        )
    if np.isclose(evenness, -1):
        raise NotYet("The sign is wrong: an entropy is not negative.")
    if not np.isclose(evenness, 1):
        raise NotYet(
            f"Four experts used alike must have evenness 1, not "
            f"{evenness:.3f}."
        )
    choosy = np.eye(4)[[0, 1, 2, 3, 3, 2, 1, 0]]
    evenness, idle = _use(answer, choosy)
    if np.isclose(evenness, 0):
        raise NotYet(
            "Rows that each pick one expert, all in turn, have not collapsed. "
            "Take the entropy of the mean gate, not the mean of the rows' "
            "entropies."
        )
    if not np.isclose(evenness, 1):
        raise NotYet(
            "Experts picked in turn are used alike: evenness 1, not "
            f"{evenness:.3f}. Take the mean over the rows, axis 0, first."
        )
    if idle:
        raise NotYet("Experts picked in turn are not idle; the list is [].")
    evenness, idle = _use(answer, np.eye(3)[[1, 1, 1, 1]])
    if np.isnan(evenness):
        raise NotYet(
            "One expert that does everything gives NaN: 0 times log 0. Leave "
            "the zeros out, they add nothing."
        )
    if not np.isclose(evenness, 0, atol=1e-6):
        raise NotYet(
            "One expert that does everything has evenness 0, not "
            f"{evenness:.3f}."
        )
    if idle == [1]:
        raise NotYet(
            "Expert 1 does everything here; the idle ones are the others, "
            "[0, 2]."
        )
    if idle != [0, 2]:
        raise NotYet(f"Experts 0 and 2 are idle here, not {idle}.")
    mixed = np.tile([0.9, 0.024, 0.026, 0.05], (5, 1))
    _, idle = _use(answer, mixed)
    if idle != [1]:
        raise NotYet(
            "Of four experts with mean weights 0.9, 0.024, 0.026 and 0.05 "
            "only number 1 is idle: a tenth of the equal share 1 / 4 is "
            f"0.025. The answer was {idle}."
        )


def _use(answer: Callable[..., Any], gates: Floats) -> tuple[float, list[int]]:
    with np.errstate(all="ignore"):
        found = answer(gates)
    if not isinstance(found, tuple) or len(found) != 2:
        raise NotYet("Return two things: the evenness and the list.")
    evenness, idle = found
    if np.ndim(evenness):
        raise NotYet(
            f"The evenness has shape {np.shape(evenness)}; it must be one "
            "number for all rows. Take the mean over the rows first."
        )
    return float(evenness), [int(expert) for expert in np.ravel(idle)]


def _array(value: Any, name: str) -> Floats:
    if not hasattr(value, "__array__"):
        raise NotYet(f"The {name} must be an array.")
    return np.asarray(value, dtype=np.float64)
