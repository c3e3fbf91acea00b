"""Figures of lesson 17: every method of the tables, at its value."""

from __future__ import annotations

import numpy as np
import pytest

from mtlrec_utils.classroom import mapping_figures as figures
from mtlrec_utils.evidence import read_results
from tools.method_sources import MAPPINGS, ROOT

RESULTS = ROOT / "datasets" / "results"
BASELINES = {"item mean", "always 5", "one constant", "no user, no mean"}


@pytest.fixture(scope="module")
def worlds():
    return read_results(RESULTS / "cross_domain_mapping.csv").frame


def test_every_method_of_the_tables_has_its_look_and_its_code(worlds):
    amazon = read_results(RESULTS / "amazon_17.csv").frame
    for table in (worlds, amazon):
        methods = set(table["method"]) - BASELINES
        assert methods <= set(figures.LOOKS)
        assert methods - {"identity"} == set(MAPPINGS.values())
    assert len(set(figures.LOOKS.values())) == len(figures.LOOKS)


def test_networks_stand_at_their_differences_with_their_intervals(worlds):
    figure, told = figures.networks_figure(worlds, "Found")
    pairs = worlds.query(
        "part == 'networks' and metric == 'rmse' and against == 'EMCDR'"
    )
    for ax, similarity in zip(figure.axes, (0.0, 0.5, 1.0), strict=True):
        drawn = {c.get_label(): c for c in ax.containers}
        assert set(drawn) == set(figures.NETWORKS)
        for method, container in drawn.items():
            here = (pairs["dial"] == similarity) & (pairs["method"] == method)
            rows = pairs[here].sort_values("linked")
            marks, _, (bars,) = container
            at = np.asarray(marks.get_ydata(), float)
            np.testing.assert_allclose(at, rows["difference"])
            ends = np.array([s[:, 1] for s in bars.get_segments()], float)
            np.testing.assert_allclose(ends, rows[["low", "high"]].to_numpy())
            assert f"{rows['difference'].iloc[0]:+.4f}" in told
    assert figure.get_suptitle() == "Found"


def test_the_grid_shows_closed_forms_alone(worlds):
    figure, told = figures.grid_figure(worlds, "rmse", "Found")
    labels = figure.axes[-1].get_legend_handles_labels()[1]
    assert set(figures.CLOSED_FORMS) <= set(labels)
    assert not set(figures.NETWORKS) & set(labels)
    assert "six methods" in told
