"""From an interval to a word: verdicts, corrections, sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from mtlrec_utils.evidence import arrays

if TYPE_CHECKING:
    from mtlrec_utils.evidence.compare import Comparison

_SHOWN_NAMES = {
    "auc": "AUC",
    "gauc": "GAUC",
    "log_loss": "log loss",
    "multiclass_log_loss": "log loss",
    "normalised_entropy": "normalised entropy",
    "brier": "Brier score",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R2",
    "ndcg": "NDCG",
    "mrr": "MRR",
    "hit_rate": "hit rate",
}


def verdict(low: float, high: float, higher_is_better: bool = True) -> str:
    """The word for an interval of candidate - baseline.

    "helps" if it lies wholly on the good side of 0, "hurts" if wholly on the
    bad side, "cannot tell" if it holds 0 (an end at 0 included).

    Raises:
        ValueError: NaN, or low above high.
    """
    if np.isnan(low) or np.isnan(high) or low > high:
        raise ValueError(f"[{low}, {high}] is no interval; pass low <= high.")
    if low <= 0 <= high:
        return "cannot tell"
    return "helps" if (low > 0) == higher_is_better else "hurts"


class Interval(NamedTuple):
    """A mean and the ends of its interval."""

    mean: float
    low: float
    high: float


def paired_interval(
    differences: ArrayLike, confidence: float = 0.95
) -> Interval:
    """t interval of the mean of independent paired differences.

    For differences that share nothing, such as one per simulated world, each
    with its own users. For models tested on the same users take ``compare``.

    Args:
        differences: candidate - baseline of each world, [S], S >= 2.
        confidence: Between 0 and 1.

    Raises:
        ValueError: Fewer than 2 differences, NaN, a confidence outside 0..1.
    """
    values = arrays.finite_column(differences, "differences")
    values = values.astype(np.float64)
    if len(values) < 2:
        raise ValueError(
            "an interval needs at least 2 differences; run more worlds."
        )
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence is {confidence}; give a share such as 0.95."
        )
    error = values.std(ddof=1) / np.sqrt(len(values))
    quantile = -special.stdtrit(len(values) - 1, (1 - confidence) / 2)
    reach = float(quantile * error)
    mean = float(values.mean())
    return Interval(mean, mean - reach, mean + reach)


def paired_row(
    own: ArrayLike, base: ArrayLike, higher_is_better: bool = True
) -> dict[str, float | str]:
    """What a table of independent worlds says of one candidate.

    Args:
        own: values of the candidate, one per world, [S], S >= 2.
        base: those of the baseline in the same worlds, [S].
        higher_is_better: False for losses.

    Returns:
        "value" and its interval "value_low" to "value_high"; "difference" to
        the baseline, its paired interval "low" to "high", and the "verdict".

    Raises:
        ValueError: as ``paired_interval``, or another number of worlds.
    """
    values = np.asarray(own, dtype=np.float64)
    others = np.asarray(base, dtype=np.float64)
    if values.shape != others.shape:
        raise ValueError(
            f"own has shape {values.shape}, base {others.shape}; give one "
            "value per world for both."
        )
    level, gain = paired_interval(values), paired_interval(values - others)
    return {
        "value": level.mean,
        "value_low": level.low,
        "value_high": level.high,
        "difference": gain.mean,
        "low": gain.low,
        "high": gain.high,
        "verdict": verdict(gain.low, gain.high, higher_is_better),
    }


def holm_factors(p_values: ArrayLike) -> NDArray[np.float64]:
    """What each p value is multiplied by in Holm's procedure (>= 1).

    The k-th smallest of m is multiplied by m - k + 1, and by more where a
    smaller p value has already failed at its own level.
    """
    p = arrays.probabilities(arrays.column(p_values, "p_values"), "p_values")
    p = p.astype(np.float64)
    m = len(p)
    order = np.argsort(p, kind="stable")
    steps = np.arange(m, 0, -1, dtype=np.float64)
    running = np.maximum.accumulate(p[order] * steps)
    factors = np.empty(m)
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = running / p[order]
    factors[order] = np.where(p[order] > 0, np.maximum(ratio, steps), steps)
    return factors


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p values, [m]: compare them with 0.05 as they are.

    Holm, A simple sequentially rejective multiple test procedure,
    Scandinavian Journal of Statistics, 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    return np.minimum(1.0, p * holm_factors(p_values))


def shown_name(metric: str) -> str:
    """A metric's name in prose: "AUC", "log loss", "NDCG@10"."""
    name, at, cut = metric.partition("@")
    return _SHOWN_NAMES.get(name, name.replace("_", " ")) + at + cut


def _decimals(low: float, high: float) -> int:
    """Digits that show the interval's width and keep the ends' signs."""
    for digits in range(3, 12):
        ends = round(low, digits), round(high, digits)
        same_sign = np.array_equal(np.sign(ends), np.sign((low, high)))
        wide = ends[1] - ends[0] > 1.5 * 10**-digits
        if same_sign and (wide or low == high):
            return digits
    return 12


def _counted(n: int, unit: str) -> str:
    return f"{n:,} {unit[:-1] if n == 1 else unit}"


def sentence(
    comparison: Comparison,
    candidate: str,
    baseline: str,
    task: str | None,
) -> str:
    """The finding of a comparison in one sentence; see Comparison."""
    c = comparison
    opening = f"For {task}, " if task else ""
    if c.verdict == "cannot tell":
        finding = f"we cannot tell {candidate} from {baseline}"
        against = ""
    else:
        finding = f"{candidate} {c.verdict}"
        against = f" against {baseline}"
    text = opening + finding
    digits = _decimals(c.low, c.high)
    change, low, high = (
        f"{value:+z.{digits}f}" for value in (c.difference, c.low, c.high)
    )
    interval = f"{100 * c.confidence:g} % interval"
    if c.n_compared > 1:
        interval = f"Holm-corrected {interval} over {c.n_compared} comparisons"
    counts = ", ".join(
        [_counted(c.n_seeds, "seeds"), _counted(c.n_groups, c.unit)]
    )
    text = (
        f"{text}: {shown_name(c.metric)} {change}{against} "
        f"({interval} {low} to {high}, {counts})."
    )
    return text[0].upper() + text[1:]
