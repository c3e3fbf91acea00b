"""Checks of lesson 18: a reversed gradient, a distance, a prior by EM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "18.1",
    hints=[
        "The reversal lies between the bottom and the domain's tower: only "
        "what passes through it changes.",
        "The tower's own weights lie behind it: they get their gradient as "
        "it is, or the tower would never learn.",
        "Return (label - strength * domain, tower).",
    ],
)
def reversed_gradients(answer: Callable[..., Any]) -> None:
    """Check sign and strength at the bottom, and the tower's own part."""
    label, domain = np.array([1.0, -2.0, 0.5]), np.array([4.0, 1.0, -3.0])
    tower = np.array([0.3, -0.7])

    def found(strength: float) -> tuple[Floats, Floats]:
        value = answer(label.copy(), domain.copy(), tower.copy(), strength)
        if not isinstance(value, tuple) or len(value) != 2:
            raise NotYet(
                "Return two arrays: the bottom's gradient and the tower's."
            )
        return np.asarray(value[0]), np.asarray(value[1])

    bottom, own = found(0.5)
    if bottom.shape != label.shape or own.shape != tower.shape:
        raise NotYet(
            f"The shapes are those of the arguments, {label.shape} and "
            f"{tower.shape}, not {bottom.shape} and {own.shape}."
        )
    if np.allclose(bottom, label + 0.5 * domain):
        raise NotYet(
            "The bottom now helps the domain's tower: that is multi-task "
            "learning without a reversal. Mind the sign."
        )
    if np.allclose(bottom, label - domain):
        raise NotYet("`strength` is not used at the bottom.")
    if np.allclose(bottom, -0.5 * domain):
        raise NotYet("The bottom has lost the gradient of the label.")
    if not np.allclose(bottom, label - 0.5 * domain):
        raise NotYet(
            f"At strength 0.5 the bottom gets {label - 0.5 * domain}, not "
            f"{bottom}."
        )
    if np.allclose(own, -0.5 * tower) or np.allclose(own, -tower):
        raise NotYet(
            "The tower's gradient is reversed too: it would learn to be "
            "wrong, and fooling it would mean nothing."
        )
    if np.allclose(own, 0.5 * tower):
        raise NotYet(
            "The tower's gradient does not pass the reversal: strength has "
            "no part in it."
        )
    if not np.allclose(own, tower):
        raise NotYet(f"The tower gets {tower}, not {own}.")
    if not np.allclose(found(0.0)[0], label):
        raise NotYet("At strength 0 the bottom learns from the label alone.")


@exercise(
    "18.2",
    hints=[
        "Squared distances of all pairs: "
        "((a[:, None] - b[None]) ** 2).sum(-1).",
        "Divide them by `width` and take np.exp of minus that.",
        "mean k(s, s') + mean k(t, t') - 2 mean k(s, t), each mean over all "
        "pairs, a row with itself too.",
    ],
)
def discrepancy(answer: Callable[..., Any]) -> None:
    """Check equal samples, the sign, the width and a value by hand."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 2)), rng.normal(size=(4, 2)) + 1.0

    def kernel(x: Floats, y: Floats, width: float) -> Floats:
        square = ((x[:, None] - y[None]) ** 2).sum(-1)
        return np.exp(-square / width)

    def found(x: Floats, y: Floats, width: float = 2.0) -> float:
        value = np.asarray(answer(x.copy(), y.copy(), width), dtype=float)
        if value.shape != ():
            raise NotYet(f"Return one number, not the shape {value.shape}.")
        return float(value)

    value = found(a, b)
    own = [kernel(x, x, 2.0) for x in (a, b)]
    between = kernel(a, b, 2.0)
    if np.isclose(value, sum(k.mean() for k in own) - between.mean()):
        raise NotYet("The mean between the domains counts twice.")
    off = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in own]
    if np.isclose(value, sum(off) - 2 * between.mean()):
        raise NotYet(
            "Pairs of a row with itself are left out: that is the unbiased "
            "estimator, which can fall below 0. Here they belong."
        )
    if not np.isclose(found(a, a), 0):
        raise NotYet(
            f"Of a sample with itself it is 0, not {found(a, a):.3f}."
        )
    wanted = sum(k.mean() for k in own) - 2 * between.mean()
    if np.isclose(value, np.sqrt(wanted)):
        raise NotYet("Leave it squared: the root has no slope at 0.")
    if np.isclose(found(a, b, 8.0), value):
        raise NotYet("`width` is not used.")
    if not np.isclose(value, wanted):
        raise NotYet(f"Expected {wanted:.4f}, got {value:.4f}.")
    if not np.isclose(found(3 * a, 3 * b, 18.0), value):
        raise NotYet(
            "Vectors 3 times as long and a width 9 times as large must give "
            "the same: the width divides squared distances."
        )


@exercise(
    "18.3",
    hints=[
        "Correct the probabilities: p * t / s for 1, (1 - p) * (1 - t) / "
        "(1 - s) for 0, divided by their sum.",
        "The mean of the corrected probabilities is the next t; begin with "
        "t = s.",
        "Repeat some hundreds of times, always from the first probabilities.",
    ],
)
def target_prior(answer: Callable[..., Any]) -> None:
    """Check that EM goes to its end, from calibrated probabilities."""
    n, source = 1000, 0.5
    yes = 0.1 * 0.8 + 0.9 * 0.3  # a yes of 80 % of ones, 30 % of zeros
    p = np.r_[
        np.full(round(n * yes), 8 / 11), np.full(n - round(n * yes), 2 / 9)
    ]

    def found(values: Floats, prior: float) -> float:
        value = np.asarray(answer(values.copy(), prior), dtype=float)
        if value.shape != ():
            raise NotYet(f"Return one number, not the shape {value.shape}.")
        return float(value)

    value = found(p, source)
    if np.isclose(value, p.mean()):
        raise NotYet(
            f"The mean of the probabilities, {p.mean():.3f}, still believes "
            "in the source's prior. It is only the first round."
        )
    if np.isclose(value, (p > 0.5).mean()):
        raise NotYet(
            "Counting what lies above 0.5 counts the classifier's errors, too."
        )
    if np.isnan(value):
        raise NotYet("The answer is NaN.")
    if abs(value - 0.1) > 0.005:
        raise NotYet(
            f"Here the share of ones is 0.100; the answer is {value:.3f}. "
            "Go on until it stays, each round from the first probabilities, "
            "and divide by the sum of both classes."
        )
    skewed = p * 0.2 / 0.5 / (p * 0.2 / 0.5 + (1 - p) * 0.8 / 0.5)
    if abs(found(skewed, 0.2) - 0.1) > 0.005:
        raise NotYet(
            "With a classifier learned at a prior of 0.2 the answer is "
            f"{found(skewed, 0.2):.3f}, not 0.100: is `source_prior` used?"
        )
