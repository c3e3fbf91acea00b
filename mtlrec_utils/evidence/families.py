"""Many comparisons at once: Holm's correction and one tidy table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from mtlrec_utils.evidence.compare import Comparison, compare, with_interval
from mtlrec_utils.evidence.verdicts import holm_factors


def holm_corrected(
    comparisons: Mapping[Any, Comparison],
) -> dict[Any, Comparison]:
    """The comparisons of one family, each judged at Holm's level.

    With many pairs one in twenty would "help" by luck. Holm's procedure (1979)
    keeps the chance of any false finding below 1 - confidence. Each interval
    is widened to the level at which Holm tests its pair, so that the verdict
    word is still read off the interval.

    Raises:
        ValueError: No comparisons, different confidences, or a comparison
            that is corrected already.
    """
    if not comparisons:
        raise ValueError("comparisons is empty; pass at least one.")
    if any(c.n_compared > 1 for c in comparisons.values()):
        raise ValueError(
            "a comparison is corrected already; pass those of compare()."
        )
    if len({c.confidence for c in comparisons.values()}) > 1:
        raise ValueError("confidences differ; compare all with the same one.")
    p_values = [c.p_value for c in comparisons.values()]
    factors = holm_factors(p_values)
    corrected = {}
    for (name, plain), factor in zip(
        comparisons.items(), factors, strict=True
    ):
        widened = with_interval(plain, (1 - plain.confidence) / factor)
        corrected[name] = replace(
            widened,
            n_compared=len(comparisons),
            adjusted_p_value=float(min(1.0, plain.p_value * factor)),
        )
    return corrected


def compare_many(
    labels: ArrayLike,
    candidates: Mapping[str, ArrayLike],
    baseline: ArrayLike,
    *,
    metric: str = "auc",
    groups: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Several candidates against one baseline, with Holm's correction.

    Arguments as ``compare``, with ``candidates`` name -> scores. For a family
    over several tasks, join the results of ``compare`` in one dictionary
    and pass it to ``holm_corrected``.
    """
    return holm_corrected(
        {
            name: compare(
                labels,
                scores,
                baseline,
                metric=metric,
                groups=groups,
                mask=mask,
                confidence=confidence,
                resamples=resamples,
                seed=seed,
            )
            for name, scores in candidates.items()
        }
    )


def comparison_table(
    comparisons: Mapping[Any, Comparison] | Sequence[Comparison],
    names: Sequence[str] = ("comparison",),
) -> pd.DataFrame:
    """One tidy row per comparison, ready for ``write_results``.

    Args:
        comparisons: Name -> comparison; a name may be a tuple such as
            ``(model, task)``. A plain list gives rows without names.
        names: Column name of each part of the name, such as
            ``("model", "task")``.

    Returns:
        The name columns, then every field of ``Comparison`` and "verdict".
    """
    if not isinstance(comparisons, Mapping):
        return pd.DataFrame([_row(c) for c in comparisons])
    rows = []
    for key, comparison in comparisons.items():
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) != len(names):
            raise ValueError(
                f"the name {key!r} has {len(parts)} parts, names has "
                f"{len(names)}; give one column name per part."
            )
        rows.append(dict(zip(names, parts, strict=True)) | _row(comparison))
    return pd.DataFrame(rows)


def _row(comparison: Comparison) -> dict[str, Any]:
    return vars(comparison) | {"verdict": comparison.verdict}
