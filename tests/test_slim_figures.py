"""Figures of lesson 21 say what they show."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.classroom import slim_figures
from mtlrec_utils.evidence import calibration_bins


def quality():
    """A table like ``slim_models``, each variant a little worse."""
    rows = [
        {
            "variant": name,
            "baseline": "mmoe",
            "task": task,
            "metric": metric,
            "difference": -0.001 * i,
            "low": -0.001 * i - 0.002,
            "high": -0.001 * i + 0.002,
            "verdict": "cannot tell",
            "bytes": 200_000 - 15_000 * i,
        }
        for i, name in enumerate(slim_figures.VARIANTS)
        for task in ("click", "like")
        for metric in slim_figures.METRICS
    ]
    return pd.DataFrame(rows)


def live():
    return pd.DataFrame(
        [
            {"batch": n, "variant": name, "p50": 0.01 * n, "p99": 0.02 * n}
            for n in (1, 256)
            for name in slim_figures.VARIANTS
        ]
    )


def test_every_variant_has_its_size_and_difference_in_words():
    figure, alt = slim_figures.variants_figure(quality(), live(), "Small")
    assert len(figure.axes) == 3
    assert "MMoE, float32 200 kB" in alt
    assert "small, distilled, int8 65 kB" in alt
    assert "MMoE, full int8 like -0.0030" in alt
    names = [x.get_text() for x in figure.axes[0].get_yticklabels()]
    assert names == [slim_figures.SHOWN[n] for n in slim_figures.VARIANTS]


@pytest.mark.parametrize("metric", slim_figures.METRICS)
def test_one_metric_leaves_the_baseline_out(metric):
    figure, alt = slim_figures.metric_figure(quality(), metric, "like")
    assert len(figure.axes[0].get_yticklabels()) == 9
    assert "hashed tables -0.0050, cannot tell" in alt
    better = "right" if metric == "auc" else "left"
    ax = figure.axes[0]
    assert ax.get_title().endswith(better)


def test_shares_are_counted_by_layer():
    figure, alt = slim_figures.shares_figure(
        {"mmoe": {"embedding": 3000, "experts": 1500, "logit": 500}}, "Tables"
    )
    assert "MMoE, float32 3.0 and 2.0 thousand" in alt
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [3.0, 2.0]


def test_a_model_grows_with_its_ids():
    _, alt = slim_figures.growth_figure(1_000_000, 16, 32)
    # (1e6 * 16 + 15,000) * 4 bytes; 10,000 rows; 10,000 + 100 rows.
    assert "plain 64 MB, hashed 0.70 MB, compositional 0.71 MB" in alt


def test_calibration_tells_the_mean_gap():
    p = np.linspace(0.05, 0.95, 100)
    label = (np.arange(100) % 2).astype(float)
    bins = {"mmoe": calibration_bins(label, p, bins=2)}
    _, alt = slim_figures.calibration_figure(bins, "Off")
    # Bins of mean .275 and .725, half of the rows of each clicked.
    assert "MMoE, float32 0.227" in alt
