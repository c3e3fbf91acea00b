"""Figures of lesson 08: what they draw is what the table says."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.classroom import cold_figures


def table():
    """Two models, two amounts of known rows, one text signal."""
    rows = [
        {
            "text_signal": 0.7,
            "kind": kind,
            "known": known,
            "metric": metric,
            "candidate_model": "both",
            "baseline_model": "ids",
            "candidate": 0.60 if metric == "log_loss" else 0.70,
            "baseline": 0.66 if metric == "log_loss" else 0.50,
            "best": 0.58 if metric == "log_loss" else 0.75,
            "candidate_hidden": "(16,)",
            "baseline_hidden": "()",
            "candidate_learning_rate": 0.01,
            "baseline_learning_rate": 0.003,
        }
        for kind in cold_figures.KINDS
        for known in ("0", "1-3")
        for metric in ("log_loss", "auc")
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("metric", "gaps"),
    [
        ("log_loss", {"ids": 0.08, "both": 0.02}),
        ("auc", {"ids": 0.25, "both": 0.05}),
    ],
)
def test_distances_from_the_best_are_drawn(metric, gaps):
    figure, alt = cold_figures.known_figure(
        table(), 0.7, metric, models=("ids", "both")
    )
    for ax in figure.axes:
        drawn = {
            line.get_label(): line.get_ydata()
            for line in ax.get_lines()
            if line.get_label() in gaps
        }
        assert set(drawn) == set(gaps)
        for name, gap in gaps.items():
            np.testing.assert_allclose(drawn[name], [gap, gap])
    assert f"ids {gaps['ids']:.3f}, both {gaps['both']:.3f}" in alt


def test_regret_is_drawn_with_its_mean():
    values = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    figure, alt = cold_figures.regret_figure({"UCB1": values}, "title")
    (line,) = figure.axes[0].get_lines()
    np.testing.assert_allclose(line.get_ydata(), [2, 3, 4])
    assert "UCB1 4.0" in alt


def test_settings_of_either_side():
    assert cold_figures.tuned_settings(table(), "both") == (
        {"tower_units": (16,)},
        {"learning_rate": 0.01},
    )
    assert cold_figures.tuned_settings(table(), "ids") == (
        {"tower_units": ()},
        {"learning_rate": 0.003},
    )
    with pytest.raises(ValueError, match="no model 'content'"):
        cold_figures.tuned_settings(table(), "content")
