"""Figures of lesson 23 say what they draw."""

from pathlib import Path

import numpy as np
import pytest

from mtlrec_utils.classroom import serving_figures
from mtlrec_utils.evidence import read_results

TABLE = Path(__file__).parents[1] / "datasets" / "results" / "attacks_23.csv"


def test_guesses_are_told_as_they_are_drawn():
    figure, alt = serving_figures.guesses_figure(free=2, first=1, longest=4)
    limited, locked = figure.axes[0].lines
    assert limited.get_ydata()[0] == pytest.approx(200)
    assert locked.get_ydata()[0] == 4  # two free, one locks, one after it
    assert f"{int(locked.get_ydata()[-1]):,}" in alt


@pytest.mark.parametrize(
    ("length", "lock", "told"),
    [(2, "none", "certain"), (43, "growing", "e-74")],
)
def test_the_chance_of_a_hit(length, lock, told):
    figure, alt = serving_figures.chance_figure(length, lock)
    assert told in alt
    assert np.max(figure.axes[0].lines[0].get_ydata()) <= 1


def test_losses_tell_their_medians():
    _, alt = serving_figures.losses_figure([0.1, 0.2, 0.3], [1, 2, 3], "x")
    assert "0.20 and 2.00" in alt


def test_attacks_have_a_point_per_row():
    table = read_results(TABLE).frame
    figure, alt = serving_figures.attacks_figure(table, "the finding")
    assert len(figure.axes) == 3
    for attack in ("Membership", "Extraction", "Mean rank"):
        assert attack in alt
    click = table.query("setting == 'click, loss' and defence == 'none'")
    assert f"none {click['value'].iloc[0]:.2f}" in alt
