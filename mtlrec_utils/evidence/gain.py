"""What sharing brought: gains over tasks with different metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.evidence import arrays
from mtlrec_utils.evidence.metrics import higher_is_better

Gain = Literal["relative", "above_chance", "difference"]


def improvement(
    value: ArrayLike, baseline: ArrayLike, metric: str, kind: Gain = "relative"
) -> NDArray[np.float64]:
    """Gain of one task, positive when better; scalars or shapes [S].

    With M the value, B the baseline and s = 1 where higher is better, else -1:

    * ``"relative"``: s (M - B) / B.
    * ``"above_chance"``: (M - .5) / (B - .5) - 1 for AUC and GAUC, whose
      floor is .5 and not 0 (RelaImpr, Yan et al., ICML 2014); any other
      metric as "relative".
    * ``"difference"``: s (M - B), in the unit of the metric.

    Raises:
        ValueError: Unknown metric or kind; NaN; a baseline of 0 (or at or
            below .5 for ``"above_chance"``), which has no relative gain.
    """
    ours = arrays.without_nan(value, "value").astype(np.float64)
    theirs = arrays.without_nan(baseline, "baseline").astype(np.float64)
    sign = 1.0 if higher_is_better(metric) else -1.0
    if kind == "difference":
        return sign * (ours - theirs)
    if kind not in ("relative", "above_chance"):
        raise ValueError(
            f"kind {kind!r} is unknown; choose 'relative', 'above_chance' "
            "or 'difference'."
        )
    floor = 0.0
    if kind == "above_chance" and metric in ("auc", "gauc"):
        floor = 0.5
    if (theirs <= floor).any():
        raise ValueError(
            f"the baseline {metric} is {theirs.min():g}, not above "
            f"{floor:g}: it has no relative gain; use kind='difference'."
        )
    return sign * (ours - theirs) / (theirs - floor)


def multi_task_gain(
    values: Mapping[str, ArrayLike],
    baselines: Mapping[str, ArrayLike],
    metrics: Mapping[str, str] | str,
    kind: Gain = "relative",
) -> float | NDArray[np.float64]:
    """Delta m: the mean gain over tasks against tuned single-task models.

    Delta m = (1/T) sum_t s_t (M_t - B_t) / B_t (Maninis et al., CVPR 2019;
    Vandenhende et al., TPAMI 2021). It adds unlike things: 1 % of an RMSE
    weighs as much as 1 % of an AUC, whose floor is .5. Read it beside
    kind="above_chance" and kind="difference".

    Args:
        values: Task name -> value, or values of S seeds, shape [S].
        baselines: The same tasks of the single-task baseline.
        metrics: Task name -> metric name, or one name for all tasks.
        kind: See ``improvement``.

    Returns:
        A float, or an array [S].

    Raises:
        ValueError: The tasks differ; see also ``improvement``.
    """
    named = (
        dict.fromkeys(values, metrics)
        if isinstance(metrics, str)
        else dict(metrics)
    )
    if not values or set(values) != set(baselines) or set(values) - set(named):
        raise ValueError(
            f"values has tasks {sorted(values)}, baselines "
            f"{sorted(baselines)}, metrics {sorted(named)}; give the same "
            "tasks to each."
        )
    gains = [
        improvement(values[task], baselines[task], named[task], kind)
        for task in values
    ]
    mean = np.mean(np.stack(np.broadcast_arrays(*gains)), axis=0)
    return float(mean) if mean.ndim == 0 else mean
