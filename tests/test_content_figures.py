"""Figures of lesson 20: what they draw is what the table says."""

import pandas as pd
import pytest

from mtlrec_utils.classroom import content_figures


def cell(**facts):
    value = facts.pop("value")
    return {
        "metric": "gauc",
        "domain": "books",
        "signal": 0.7,
        "similarity": 0.9,
        "past": "films",
        "value": value,
        "value_low": value - 0.01,
        "value_high": value + 0.01,
        "verdict": "helps",
        "best": 0.9,
    } | facts


METHODS = (*content_figures.LOOKS, "zero-shot")
ROWS = [
    cell(part="rows", rows=n, method=name, value=0.5 + n / 5e4 + k / 100)
    for n in (50, 5000)
    for k, name in enumerate(METHODS)
]
SHOP = [
    cell(
        part="shop",
        rows=0,
        method="zero-shot",
        similarity=similarity,
        signal=signal,
        past=past,
        value=0.5 + signal * (similarity if past == "films" else 1) / 10,
        verdict="helps" if similarity * signal else "cannot tell",
    )
    for signal, similarity in ((0.0, 0.9), (0.7, 0.0), (0.7, 0.9))
    for past in content_figures.PASTS
]
TABLE = pd.DataFrame([*ROWS, *SHOP])


def test_rows_and_zero_shot():
    figure, alt = content_figures.rows_figure(TABLE, "title")
    [ax] = figure.axes
    drawn = {c.get_label(): c for c in ax.containers}
    assert set(drawn) == set(content_figures.LOOKS)
    line = drawn["item mean"][0]
    assert line.get_xdata().tolist() == [50, 5000]
    assert line.get_ydata().tolist() == pytest.approx([0.501, 0.6])
    assert "item mean 0.501 to 0.600" in alt
    assert "best possible score at 0.900" in alt


@pytest.mark.parametrize("dial", ["similarity", "signal"])
def test_the_dial_shows_its_own_axis(dial):
    figure, alt = content_figures.dial_figure(TABLE, dial, "gauc")
    [ax] = figure.axes
    for container in ax.containers:
        x = container[0].get_xdata().tolist()
        assert x == ([0.0, 0.9] if dial == "similarity" else [0.0, 0.7])
    title = ax.get_title()
    assert title.endswith("cannot tell, helps")
    assert "past in books" in alt


def test_words_of_the_verdicts():
    found = content_figures.verdicts_by_rows(TABLE, "fine-tuned")
    assert found == "helps at 50, helps at 5,000"


def test_the_diagram_names_its_parts():
    _, alt = content_figures.towers_figure()
    assert "same encoder" in alt
