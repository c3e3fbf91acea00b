"""Figures of lesson 18: what they draw and what they say."""

import itertools

import pandas as pd
import pytest

from mtlrec_utils.classroom import alignment_figures as figures


@pytest.fixture
def table():
    """A made-up table with every cell: value .5 + .01 per method."""
    rows = []
    for (world, (spurious, prior)), (i, method), metric in itertools.product(
        figures.WORLDS.items(),
        enumerate(figures.LOOKS),
        ("auc", "accuracy"),
    ):
        value = 0.5 + 0.01 * i + (0.1 if world == "spurious" else 0)
        rows.append(
            {
                "spurious": spurious,
                "target_prior": prior,
                "method": method,
                "metric": metric,
                "value": value,
                "value_low": value - 0.02,
                "value_high": value + 0.02,
                "difference": 0.01 * i,
                "low": 0.01 * i - 0.02,
                "high": 0.01 * i + 0.02,
                "verdict": "helps" if i > 2 else "cannot tell",
                "best": 0.93,
            }
        )
    return pd.DataFrame(rows)


def test_methods_are_drawn_in_every_world(table):
    figure, alt = figures.methods_figure(table, "a title")
    assert len(figure.axes) == 2
    bars = figure.axes[0].containers
    assert len(bars) == len(figures.ALIGNED)
    assert list(bars[2].lines[0].get_ydata()) == pytest.approx(
        [0.62, 0.52, 0.52, 0.52]
    )
    assert "target AUC of DANN 1 0.62 (spurious)" in alt


def test_a_choice_of_worlds_and_methods(table):
    worlds = list(figures.WORLDS)[1:]
    figure, alt = figures.methods_figure(
        table, "a title", figures.CORRECTED, worlds=worlds
    )
    assert "spurious" not in alt and "DANN 1, weighted" in alt
    assert len(figure.axes[0].get_xticks()) == 3


def test_a_cell_names_every_verdict(table):
    figure, alt = figures.cell_figure(table, "spurious", "auc")
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels[0] == "DANN 0.3: cannot tell"
    assert labels[2] == "CORAL: helps"
    assert "MMD +0.040, helps" in alt


def test_the_two_domains():
    figure, alt = figures.domains_figure()
    assert len(figure.axes[0].lines) == 4
    assert "400 rows" in alt
