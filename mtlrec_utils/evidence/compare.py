"""Is it real? Paired comparison of two models, over users and seeds.

Two things vary when a model is trained and tested: the seed of the training
and the users who happen to be in the test set. The interval of ``compare``
holds both. Write the difference of seed s on users F as

    d(s, F) = mu + a_s + b_F + e_sF

The mean over S seeds then has the variance A + U - C, where

* A = (variance of d_s over the seeds) / S: seeds, and the part e of the users'
  noise that differs from seed to seed;
* U = bootstrap variance over users of the mean over seeds: b, and the same e;
* C = bootstrap variance of what is left of d(s, F) after its means over seeds
  and users are taken out, / S: e alone, which A and U both hold.

It is the two-way analysis of variance of users crossed with seeds, with the
bootstrap in the place of the users' sum of squares, because an AUC is no sum
over users. The interval is mean +- t * sqrt(A + max(U - C, 0)) with
Satterthwaite's degrees of freedom (Biometrics Bulletin, 1946), at least S - 1.

With 5 seeds that is honest where resampling the 5 seeds is not: their
bootstrap variance is 4/5 of the right one, and a normal quantile (2.0) stands
where a t quantile (2.8) belongs. ``benchmarks/interval_coverage.py`` counts
how often each interval holds the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from mtlrec_utils.evidence.metrics import higher_is_better
from mtlrec_utils.evidence.resampled_metrics import resampled_metric
from mtlrec_utils.evidence.resampling import PerGroup, Resampled
from mtlrec_utils.evidence.verdicts import sentence, verdict


@dataclass(frozen=True)
class Comparison:
    """A candidate against a baseline on one metric.

    Attributes:
        metric: Name of the metric.
        candidate: Its value, mean over the seeds.
        baseline: The baseline's value, mean over the seeds.
        difference: candidate - baseline, in the unit of the metric.
        low: Lower end of the interval of the difference.
        high: Upper end of the interval of the difference.
        p_value: Two-sided p value of "no difference", from the same t.
        standard_error: Of the difference.
        degrees_of_freedom: Of its t distribution.
        n_seeds: Seeds S; 1 means: these two trained models only.
        n_groups: Users (or rows) that count.
        n_skipped: Users without a value of their own (GAUC: one class only).
        unit: "users" or "rows": what was resampled.
        confidence: Of the interval before any correction.
        n_compared: Comparisons in the Holm family; 1 if uncorrected.
        adjusted_p_value: Holm's p value; equals p_value if uncorrected.
        higher_is_better: Direction of the metric.
    """

    metric: str
    candidate: float
    baseline: float
    difference: float
    low: float
    high: float
    p_value: float
    standard_error: float
    degrees_of_freedom: float
    n_seeds: int
    n_groups: int
    n_skipped: int
    unit: str
    confidence: float
    n_compared: int
    adjusted_p_value: float
    higher_is_better: bool

    @property
    def verdict(self) -> str:
        """ "helps", "hurts" or "cannot tell", read off the interval."""
        return verdict(self.low, self.high, self.higher_is_better)

    def sentence(
        self,
        candidate: str = "the candidate",
        baseline: str = "the baseline",
        task: str | None = None,
    ) -> str:
        """The finding in one plain sentence, computed from the interval."""
        return sentence(self, candidate, baseline, task)


def compare(
    labels: ArrayLike,
    candidate: ArrayLike,
    baseline: ArrayLike,
    *,
    metric: str = "auc",
    groups: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Difference of two models with an interval over users and seeds.

    Seed s of the candidate is paired with seed s of the baseline, and both
    are read on the same resampled users.

    Args:
        labels: Shape [N].
        candidate: Scores, probabilities or values of S trained models,
            [S, N], or of one, [N]; of several classes [S, N, K]
            ("multiclass_log_loss" also takes [N, K]).
        baseline: The same; S = 1 stands beside any S (a baseline that has no
            seed).
        metric: "auc", "gauc", "log_loss", "normalised_entropy", "brier",
            "rmse", "mae", "r2", "accuracy" or "multiclass_log_loss".
        groups: User of each row, [N]: rows of one user are resampled
            together. None resamples rows, which is right only if rows are
            independent; "gauc" needs groups.
        mask: 0/1 or boolean, [N]: rows that count (a task's sample space).
        confidence: Of the interval, between 0 and 1.
        resamples: Bootstrap resamples; 1000 know the standard error to 2 %.
        seed: Of the bootstrap; same seed, same interval. Swapping candidate
            and baseline mirrors it.

    Raises:
        ValueError: Bad arrays (as in the metric itself), numbers of seeds
            that differ, fewer than 2 groups, or a metric that more than 5 %
            of the resamples leave without a value (too few positives).
    """
    resampled = resampled_metric(
        labels, candidate, baseline, metric, groups, mask
    )
    return _comparison(resampled, metric, confidence, resamples, seed)


def compare_per_group(
    candidate: ArrayLike,
    baseline: ArrayLike,
    *,
    metric: str,
    weights: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """``compare`` for values that exist per user, as recall or NDCG do.

    Args:
        candidate: Value of each user, [S, G] or [G], for example
            ``full_ranking(...).ndcg(10)`` of each seed.
        baseline: The same users in the same order.
        metric: Its name ("ndcg@10"); gives the direction.
        weights: Weight of each user in the mean, [G]; equal if None.
        confidence, resamples, seed: As in ``compare``.
    """
    resampled = PerGroup.from_values(candidate, baseline, weights)
    return _comparison(resampled, metric, confidence, resamples, seed)


def _comparison(
    resampled: Resampled,
    metric: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> Comparison:
    upward = higher_is_better(metric)
    _check_confidence(confidence)
    if resamples < 50:
        raise ValueError(
            f"resamples is {resamples}; take at least 50 (1000 for a table)."
        )
    values = resampled.point()  # [2, S]
    per_seed = values[0] - values[1]
    means = values.mean(axis=1)
    drawn = resampled.differences(resamples, np.random.default_rng(seed))
    error, freedom = _standard_error(per_seed, drawn, resampled.n_effective)
    difference = float(per_seed.mean())
    if abs(difference) < 1e-12 * max(1.0, float(np.abs(means).max())):
        difference = 0.0  # rounding of sums is no finding
    plain = Comparison(
        metric=metric,
        candidate=float(means[0]),
        baseline=float(means[1]),
        difference=difference,
        low=difference,
        high=difference,
        p_value=_p_value(difference, error, freedom),
        standard_error=error,
        degrees_of_freedom=freedom,
        n_seeds=len(per_seed),
        n_groups=resampled.n_groups,
        n_skipped=resampled.n_skipped,
        unit=resampled.unit,
        confidence=confidence,
        n_compared=1,
        adjusted_p_value=_p_value(difference, error, freedom),
        higher_is_better=upward,
    )
    return with_interval(plain, 1 - confidence)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence is {confidence}; give a share such as 0.95."
        )


def _standard_error(
    per_seed: NDArray[np.float64], drawn: NDArray[np.float64], n_groups: int
) -> tuple[float, float]:
    """Standard error of the mean over seeds, and its degrees of freedom.

    Args:
        per_seed: Difference of each seed on all users, [S].
        drawn: Differences on the resampled users, [resamples, S].
        n_groups: Groups that carry information about the users' variance.
    """
    n_seeds = len(per_seed)
    user_freedom = max(n_groups - 1, 1)
    # The bootstrap divides by G where a variance divides by G - 1.
    unbiased = n_groups / user_freedom
    of_mean = drawn.mean(axis=1)
    users = float(of_mean.var(ddof=1)) * unbiased
    if n_seeds == 1:
        return float(np.sqrt(users)), float(user_freedom)
    seed_freedom = n_seeds - 1
    seeds = float(per_seed.var(ddof=1)) / n_seeds
    rest = (drawn - of_mean[:, None]).var(axis=0, ddof=1).sum()
    both = float(rest) / seed_freedom / n_seeds * unbiased
    variance = seeds + max(users - both, 0.0)
    if variance == 0:
        return 0.0, float(seed_freedom)
    freedom = variance**2 / (
        seeds**2 / seed_freedom
        + users**2 / user_freedom
        + both**2 / (seed_freedom * user_freedom)
    )
    return float(np.sqrt(variance)), float(max(freedom, seed_freedom))


def _p_value(difference: float, error: float, freedom: float) -> float:
    if difference == 0:
        return 1.0
    if error == 0:
        return 0.0
    return float(2 * special.stdtr(freedom, -abs(difference) / error))


def with_interval(comparison: Comparison, level: float) -> Comparison:
    """The same comparison with the interval that errs in a share ``level``."""
    reach = 0.0
    if comparison.standard_error > 0:
        freedom = comparison.degrees_of_freedom
        quantile = -float(special.stdtrit(freedom, level / 2))
        reach = quantile * comparison.standard_error
    return replace(
        comparison,
        low=comparison.difference - reach,
        high=comparison.difference + reach,
    )
