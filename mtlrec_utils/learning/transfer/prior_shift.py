"""Prior shift: labels are rarer in one domain than in the other.

The distribution of inputs within each class is the same in both domains,
p(x | y), but not that of the labels, p(y). All functions are of arrays, for
binary labels; probabilities are those of label 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def prior_weights(
    labels: npt.ArrayLike,
    target_prior: float,
    source_prior: float | None = None,
) -> Floats:
    """Return the importance weight p_t(y) / p_s(y) of each source row, [N].

    Args:
        labels: 0 or 1 of the source's rows, [N].
        target_prior: share of ones in the target, between 0 and 1.
        source_prior: share of ones in the source; None: that of the labels,
            with which the weights have the mean 1.

    Raises:
        ValueError: other labels, one class only, a prior outside 0 ... 1.
    """
    y = np.asarray(labels, dtype=np.float64)
    if y.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be a list of 0 and 1.")
    source = _prior("source_prior", y.mean(), source_prior)
    target = _prior("target_prior", None, target_prior)
    return np.where(y == 1, target / source, (1 - target) / (1 - source))


def resampled_rows(
    labels: npt.ArrayLike, target_prior: float, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Draw source rows by their importance weights, with replacement.

    ``examples.subset(resampled_rows(...))`` is a source with the target's
    prior, of as many rows. The number of ones is exact up to rounding.

    Args:
        labels: 0 or 1 of the source's rows, [N].
        target_prior: share of ones in the target, between 0 and 1.
        seed: of the draw.

    Raises:
        ValueError: as ``prior_weights``.
    """
    prior_weights(labels, target_prior)  # refuses what makes no sense
    y = np.asarray(labels)
    rng = np.random.default_rng(seed)
    n_ones = round(target_prior * len(y))
    drawn = [
        rng.choice(np.flatnonzero(y == value), size=n)
        for value, n in ((1, n_ones), (0, len(y) - n_ones))
    ]
    return rng.permutation(np.concatenate(drawn))


def corrected_probabilities(
    probabilities: npt.ArrayLike, source_prior: float, target_prior: float
) -> Floats:
    """Return the probabilities under another prior, by Bayes' rule.

        p_t(1 | x) ~ p_s(1 | x) p_t(1) / p_s(1), likewise for 0

    The order of rows stays as it is, and with it the AUC.

    Args:
        probabilities: p_s(1 | x), in 0 ... 1, [N].
        source_prior: share of ones where they were learned.
        target_prior: share of ones where they are used.

    Raises:
        ValueError: probabilities or priors outside 0 ... 1.

    Source: Saerens, Latinne & Decaestecker, "Adjusting the Outputs of a
    Classifier to New a Priori Probabilities", Neural Computation 14, 2002,
    equation 2.4.
    """
    p = _probabilities(probabilities)
    source = _prior("source_prior", None, source_prior)
    target = _prior("target_prior", None, target_prior)
    ones = p * target / source
    zeros = (1 - p) * (1 - target) / (1 - source)
    return ones / (ones + zeros)


def estimated_prior(
    probabilities: npt.ArrayLike,
    source_prior: float,
    *,
    tolerance: float = 1e-8,
    max_rounds: int = 10_000,
) -> float:
    """Estimate the target's prior from its inputs alone, by EM.

    Each round corrects the probabilities by the prior found so far, and
    takes their mean as the next one. It climbs the likelihood of the
    target's inputs, which has one maximum. It rests on calibrated
    probabilities and on p(x | y) being the same in both domains.

    Args:
        probabilities: what a classifier of the source says of the target's
            rows, in 0 ... 1, [N].
        source_prior: share of ones where the classifier learned.
        tolerance: stop when a round moves the prior by less.
        max_rounds: and after so many rounds in any case.

    Returns:
        A number in 0 ... 1.

    Raises:
        ValueError: no rows, probabilities or prior outside 0 ... 1.

    Source: Saerens, Latinne & Decaestecker, Neural Computation 14, 2002,
    equation 2.9.
    """
    p = _probabilities(probabilities)
    source = _prior("source_prior", None, source_prior)
    prior = source
    for _ in range(max_rounds):
        if not 1e-12 < prior < 1 - 1e-12:
            break
        before = prior
        prior = float(corrected_probabilities(p, source, prior).mean())
        if abs(prior - before) < tolerance:
            break
    return prior


def _prior(name: str, found: float | None, given: float | None) -> float:
    value = found if given is None else given
    if value is None or not 0 < value < 1:
        raise ValueError(
            f"{name} is {value}; a share of ones lies between 0 and 1, and "
            "both classes must occur."
        )
    return float(value)


def _probabilities(values: npt.ArrayLike) -> Floats:
    p = np.asarray(values, dtype=np.float64)
    if p.ndim != 1 or not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            "probabilities must be a list of numbers in 0 ... 1, with at "
            f"least one; the shape is {p.shape}."
        )
    return p
