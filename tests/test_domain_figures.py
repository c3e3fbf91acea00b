"""Figures of lesson 19: what they draw and what they say."""

import itertools

import pandas as pd
import pytest

from mtlrec_utils.classroom import domain_figures as figures


def cells(similarities, rows, domains, methods):
    """Made-up cells whose value grows by .01 per method."""
    return pd.DataFrame(
        {
            "similarity": s,
            "rows": n,
            "domain": domain,
            "metric": metric,
            "method": method,
            "value": 0.5 + 0.01 * i,
            "value_low": 0.48 + 0.01 * i,
            "value_high": 0.52 + 0.01 * i,
            "difference": 0.01 * i,
            "low": 0.01 * i - 0.02,
            "high": 0.01 * i + 0.02,
            "verdict": "helps" if i > 2 else "cannot tell",
            "best": 0.8,
        }
        for s, n, domain, metric, (i, method) in itertools.product(
            similarities,
            rows,
            domains,
            ("auc", "log_loss"),
            enumerate(methods),
        )
    )


@pytest.fixture
def table():
    return cells(
        (0.0, 0.5, 1.0),
        (0,),
        figures.DOMAINS,
        [*figures.LOOKS, "base rate"],
    )


def test_shares_are_of_all_rows():
    figure, alt = figures.shares_figure({"a": 900, "b": 90, "c": 10})
    assert "a 90.0 %, b 9.0 %, c 1.0 %" in alt
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([90, 9, 1])


def test_the_grid_has_a_panel_per_domain_and_all_methods(table):
    figure, alt = figures.grid_figure(table, "auc", "A finding")
    titles = [ax.get_title() or ax.get_title(loc="left") for ax in figure.axes]
    assert titles == list(figures.DOMAINS)
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert set(figures.LOOKS) <= set(labels)
    assert "base rate" in labels and "best possible score" in labels
    assert "average: separate 0.500" in alt and "shop:" in alt
    assert figure._suptitle.get_text() == "A finding"


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_a_cell_says_every_verdict(table, metric):
    figure, alt = figures.cell_figure(table, 0.5, "shop", metric)
    assert "STAR +0.050 (helps)" in alt
    assert "pooled +0.010 (cannot tell)" in alt
    assert "separate +" not in alt
    [ax] = figure.axes
    title = ax.get_title() or ax.get_title(loc="left")
    assert ("right" if metric == "auc" else "left") in title
