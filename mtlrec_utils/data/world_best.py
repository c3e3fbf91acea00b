"""What a model that knows the truth would score, in closed form.

Labels are independent given their true probabilities p, so the expected
number of rightly ordered pairs is a sum over pairs of p_i (1 - p_j).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data.world_responses import BINARY, WATCH_NOISE
from mtlrec_utils.data.world_tastes import Floats


def best_table(
    truth: pd.DataFrame, clicked: npt.NDArray[np.bool_], given: str
) -> pd.DataFrame:
    """Return the tidy table of `World.best_metrics`.

    Args:
        truth: Frame of `World.truth`.
        clicked: Rows on which the tasks after the click are judged.
        given: Ending of the columns that hold their probabilities.
    """
    table = []
    for task in BINARY:
        p = truth["click"].to_numpy()
        if task != "click":
            p = truth[task + given].to_numpy()[clicked]
        table.append((task, "auc", expected_auc(p)))
        table.append((task, "log_loss", expected_log_loss(p)))
    mean = truth["watch_minutes"].to_numpy()[clicked]
    rmse = expected_rmse(mean, WATCH_NOISE)
    table.append(("watch_minutes", "rmse", rmse))
    return pd.DataFrame(table, columns=["task", "metric", "value"])


def expected_auc(probabilities: Floats) -> float:
    """Return the AUC expected of the true probabilities themselves.

    With weight p_i (1 - p_j) for the pair "i positive, j negative", i != j:
    the weight of pairs with p_i > p_j plus half the weight of ties, over the
    weight of all pairs (a ratio of expectations; the error against the mean
    AUC of finite samples is of order 1 / n). NaN where no pair can exist.
    """
    p = np.sort(np.asarray(probabilities, dtype=np.float64))
    if len(p) < 2:
        return float("nan")
    starts = np.flatnonzero(np.r_[True, np.diff(p) > 0])
    positive = np.add.reduceat(p, starts)
    negative = np.add.reduceat(1.0 - p, starts)
    alone = np.add.reduceat(p * (1.0 - p), starts)
    below = np.cumsum(negative) - negative
    tied = positive * negative - alone
    right = positive @ below + 0.5 * tied.sum()
    everything = positive.sum() * negative.sum() - alone.sum()
    return float(right / everything) if everything > 0 else float("nan")


def expected_log_loss(probabilities: Floats) -> float:
    """Return the mean entropy in nats: no model can expect less."""
    p = np.asarray(probabilities, dtype=np.float64)
    if not len(p):
        return float("nan")
    tiny = np.finfo(np.float64).tiny
    q = 1.0 - p
    entropy = p * np.log(np.maximum(p, tiny))
    entropy += q * np.log(np.maximum(q, tiny))
    return float(-entropy.mean())


def expected_rmse(means: Floats, relative_noise: float) -> float:
    """Return the root mean square of noise around the true means.

    The noise is a log-normal factor of mean 1 with `relative_noise` as the
    standard deviation of its logarithm.
    """
    mean = np.asarray(means, dtype=np.float64)
    if not len(mean):
        return float("nan")
    return float(np.sqrt(np.mean(mean**2) * np.expm1(relative_noise**2)))
