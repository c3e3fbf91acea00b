"""Two domains of which only one has labels, and what differs between them.

A row has two signal inputs and four nuisance inputs. The signal means the
same everywhere: x ~ N(+-d / (2 sqrt 2) each, I) for label 1 and 0, so that
the two classes are d apart. The nuisance is N(0, I), plus

* in the source: +-`spurious` each, by the label, which helps there;
* in the target: `shift` each, whatever the label.

`target_prior` is the share of ones in the target; in the source it is half.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, log, sqrt

import numpy as np
import pandas as pd

N_SIGNAL, N_NUISANCE = 2, 4
INPUTS = tuple(f"x_{k}" for k in range(N_SIGNAL + N_NUISANCE))
DISTANCE = 2.14


@dataclass(frozen=True)
class TwoDomains:
    """Rows of both domains, and the best that can be done in the target.

    Attributes:
        train: source and target, mixed. Columns x_0 ... x_5, label, domain
            (1: target) and labelled (1: source).
        test: other rows of the target, labelled.
        best_auc: of a model that knows the truth and reads the signal.
        best_accuracy: the same.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    best_auc: float
    best_accuracy: float


def two_domains(
    n_rows: int = 3000,
    *,
    spurious: float = 0.0,
    shift: float = 1.5,
    target_prior: float = 0.5,
    seed: int = 0,
) -> TwoDomains:
    """Draw both domains.

    Args:
        n_rows: rows of the source, of the target, and of the test.
        spurious: from 0 up, what the nuisance tells of the source's label.
        shift: mean of the target's nuisance.
        target_prior: share of ones in the target, between 0 and 1.
        seed: same seed, same rows.

    Raises:
        ValueError: fewer than 10 rows, or a number out of its range.
    """
    if n_rows < 10 or not spurious >= 0 or not np.isfinite(shift):
        raise ValueError(
            f"n_rows is {n_rows} (10 or more), spurious {spurious} (0 or "
            f"more), shift {shift} (finite)."
        )
    if not 0 < target_prior < 1:
        raise ValueError(f"target_prior is {target_prior} (0 ... 1).")
    rng = np.random.default_rng(seed)

    def drawn(target: bool) -> pd.DataFrame:
        label = (rng.random(n_rows) < (target_prior if target else 0.5)) * 1
        sign = 2.0 * label[:, None] - 1.0
        x = rng.normal(size=(n_rows, len(INPUTS)))
        x[:, :N_SIGNAL] += sign * DISTANCE / 2 / sqrt(N_SIGNAL)
        x[:, N_SIGNAL:] += shift if target else spurious * sign
        return pd.DataFrame(x, columns=list(INPUTS)).assign(
            label=label, domain=int(target), labelled=int(not target)
        )

    train = pd.concat([drawn(False), drawn(True)], ignore_index=True)
    train = train.iloc[rng.permutation(len(train))].reset_index(drop=True)
    return TwoDomains(
        train,
        drawn(True).assign(labelled=1),
        _normal(DISTANCE / sqrt(2)),
        _best_accuracy(target_prior),
    )


def _best_accuracy(prior: float) -> float:
    """Return the accuracy of the best threshold on the signal."""
    threshold = log((1 - prior) / prior) / DISTANCE
    ones = _normal(DISTANCE / 2 - threshold)
    return prior * ones + (1 - prior) * _normal(DISTANCE / 2 + threshold)


def _normal(x: float) -> float:
    return 0.5 * (1 + erf(x / sqrt(2)))
