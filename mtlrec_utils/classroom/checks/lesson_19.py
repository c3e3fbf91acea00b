"""Checks of lesson 19: an average, moving means, a star's layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mtlrec_utils.classroom.checks import NotYet, exercise

Floats = npt.NDArray[np.float64]


@exercise(
    "19.1",
    hints=[
        "np.bincount(domain, minlength=D) counts the rows of each domain, "
        "and with the losses as weights it adds them up.",
        "np.where(count > 0, total / np.maximum(count, 1), np.nan).",
        "Weights are train_rows, only of domains that have test rows.",
    ],
)
def by_domain(answer: Callable[..., Any]) -> None:
    """Check means per domain, weights of the average, an absent domain."""
    rng = np.random.default_rng(0)
    losses = rng.random(12)
    domain = np.array([0, 1, 2, 1, 1, 0, 2, 2, 2, 2, 2, 1])
    rows = np.array([1000.0, 100.0, 10.0])

    def found(losses: Floats, domain: npt.NDArray, rows: Floats) -> tuple:
        value = answer(losses.copy(), domain.copy(), rows.copy())
        if not isinstance(value, tuple) or len(value) != 2:
            raise NotYet("Return two things: the means [D], and the average.")
        means = np.asarray(value[0], dtype=float)
        if means.shape != rows.shape:
            raise NotYet(
                f"There are {len(rows)} domains, so {len(rows)} means; the "
                f"shape is {means.shape}."
            )
        return means, float(value[1])

    means, average = found(losses, domain, rows)
    wanted = np.array([losses[domain == d].mean() for d in range(3)])
    if not np.allclose(means, wanted):
        raise NotYet(
            f"The domains' means are {wanted.round(3)}, not {means.round(3)}."
        )
    if np.isclose(average, losses.mean()):
        raise NotYet(
            "This is the mean of the test rows. The test set has many rows "
            "of the small domains, traffic has not: weigh by train_rows."
        )
    if np.isclose(average, wanted.mean()):
        raise NotYet("Here every domain counts the same. Weigh by train_rows.")
    if not np.isclose(average, rows @ wanted / rows.sum()):
        raise NotYet(
            f"Expected {rows @ wanted / rows.sum():.4f} for the average, "
            f"got {average:.4f}."
        )
    with np.errstate(all="ignore"):
        means, average = found(losses, domain, np.append(rows, 50.0))
    if not np.isnan(means[3]):
        raise NotYet(
            "The last domain has no test row; its mean is NaN, not "
            f"{means[3]:g}: nobody knows it."
        )
    if np.isnan(average):
        raise NotYet(
            "One domain without test rows makes the whole average NaN; "
            "leave it out."
        )
    if not np.isclose(average, rows @ wanted / rows.sum()):
        raise NotYet(
            "A domain that is left out takes its weight with it: divide by "
            "the training rows of the others alone."
        )


@exercise(
    "19.2",
    hints=[
        "own = domain[:, None] == np.arange(D) is the table [B, D] of who "
        "belongs where.",
        "own.T @ x adds up each domain's rows; divide by max(count, 1).",
        "The step is (1 - momentum) where count > 0, and 0 elsewhere.",
    ],
)
def moved(answer: Callable[..., Any]) -> None:
    """Check the step, whose rows move what, and absent domains."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 3)) + 5
    domain = np.array([0, 2, 2, 0, 0, 2, 2])
    means = rng.normal(size=(4, 3))

    def found(x: Floats, domain: npt.NDArray, momentum: float) -> Floats:
        with np.errstate(all="ignore"):
            value = np.asarray(
                answer(x.copy(), domain.copy(), means.copy(), momentum),
                dtype=float,
            )
        if value.shape != means.shape:
            raise NotYet(
                f"Four domains and three numbers: {means.shape}, not "
                f"{value.shape}."
            )
        return value

    value = found(x, domain, 0.75)
    absent = value[[1, 3]]
    if np.isnan(absent).any():
        raise NotYet(
            "A domain without a row has become NaN, for good: 0 / 0. "
            "Its mean must stay as it is."
        )
    if np.allclose(absent, 0.75 * means[[1, 3]]):
        raise NotYet(
            "A domain without a row moves towards 0, as if it had rows of "
            "zeros. Its step must be 0."
        )
    if not np.array_equal(absent, means[[1, 3]]):
        raise NotYet("A domain without a row must keep its mean exactly.")
    if np.allclose(value[0], 0.75 * means[0] + 0.25 * x.mean(axis=0)):
        raise NotYet(
            "Domain 0 has moved towards the mean of the whole batch; its own "
            "rows alone count."
        )
    own = x[domain == 0].mean(axis=0)
    if np.allclose(value[0], 0.25 * means[0] + 0.75 * own):
        raise NotYet("Momentum is the share of the old mean that is kept.")
    if not np.allclose(value[0], 0.75 * means[0] + 0.25 * own):
        raise NotYet(
            f"Domain 0 moves to {(0.75 * means[0] + 0.25 * own).round(3)}, "
            f"not {value[0].round(3)}."
        )
    own = x[domain == 2].mean(axis=0)
    if not np.allclose(value[2], 0.75 * means[2] + 0.25 * own):
        raise NotYet(
            "Domain 0 is right and domain 2, with another number of rows, "
            "is not."
        )


@exercise(
    "19.3",
    hints=[
        "kernel * kernels is [D, in, out]: NumPy repeats the shared one.",
        'np.einsum("bi,dio->bdo", x, ...) sends all rows through all domains.',
        "Pick with np.eye(D)[domain], or [np.arange(B), domain].",
    ],
)
def star_layer(answer: Callable[..., Any]) -> None:
    """Check product, sum of the biases, and the choice of the domain."""
    rng = np.random.default_rng(2)
    x, domain = rng.normal(size=(6, 3)), np.array([0, 1, 1, 2, 0, 2])
    kernel, bias = rng.normal(size=(3, 2)), rng.normal(size=2)
    kernels, biases = rng.normal(size=(3, 3, 2)), rng.normal(size=(3, 2))

    def found(*parts: npt.NDArray) -> Floats:
        value = np.asarray(answer(*(part.copy() for part in parts)))
        if value.shape != (6, 2):
            raise NotYet(f"Six rows of two: (6, 2), not {value.shape}.")
        return value

    def rows(of: Callable[[int], Any]) -> Floats:
        return np.stack([of(i) for i in range(6)])

    def plain(i: int, choice: Callable[[Any], Any]) -> Any:
        d = domain[i]
        return x[i] @ choice(kernels[d]) + bias + biases[d]

    value = found(x, domain, kernel, bias, kernels, biases)
    wanted = rows(lambda i: plain(i, lambda own: kernel * own))
    if np.allclose(value, rows(lambda i: plain(i, lambda own: kernel + own))):
        raise NotYet(
            "The kernels are added. STAR multiplies them, so that a domain's "
            "kernel of ones leaves the shared one as it is."
        )
    product = rows(
        lambda i: (
            x[i] @ (kernel * kernels[domain[i]]) + bias * biases[domain[i]]
        )
    )
    if np.allclose(value, product):
        raise NotYet(
            "Biases are added, not multiplied: a domain's bias starts at 0, "
            "and the product would then be 0."
        )
    if np.allclose(value, rows(lambda i: wanted[i] - bias)):
        raise NotYet("The shared bias is missing.")
    mean = np.stack(
        [x @ (kernel * kernels[d]) + bias + biases[d] for d in range(3)]
    )
    if np.allclose(value, mean.mean(axis=0)) or np.allclose(
        value, mean.sum(axis=0)
    ):
        raise NotYet("All domains serve every row. Pick the row's own domain.")
    if np.allclose(value, mean[0]):
        raise NotYet("Every row is served by domain 0; read `domain`.")
    if not np.allclose(value, wanted):
        raise NotYet(
            f"The first row gives {wanted[0].round(3)}, not "
            f"{value[0].round(3)}."
        )
