"""Figures of the lesson on scaling out say what their numbers say."""

import pandas as pd
import pytest

from mtlrec_utils.classroom import scale_figures as figures
from mtlrec_utils.evidence import scale_plan as plan

WORK = plan.Workload(rows=1e9, ids=1e8, dimension=8, fields=8)
COST = plan.StepCost(fixed=0.01, per_row=3e-5)


def texts(ax):
    _, labels = ax.get_legend_handles_labels()
    return labels


def test_the_line_of_the_pipelines_is_the_fitted_one():
    figure, alt = figures.pipelines_figure(
        {1: 7.0, 3: 11.0, 9: 23.0}, {"whole batches": 0.5}, "title"
    )
    assert "line: 5.0 + 2.0 per column" in texts(figure.axes[0])
    assert "7.0 at 1 and 23.0 at 9 columns" in alt
    assert "whole batches 0.5" in alt


def test_what_is_sent_is_the_closed_form():
    distinct = pd.DataFrame(
        {"batch": [8, 64], "counted": [6, 30], "expected": [6.2, 29.0]}
    )
    figure, alt = figures.sent_figure(distinct, 50, 4, 100)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    counted = lines["rows, counted"].get_ydata()
    assert counted == pytest.approx([6 * 20 / 1e3, 30 * 20 / 1e3])
    assert lines["whole table"].get_ydata()[0] == pytest.approx(0.8)
    assert lines["dense weights"].get_ydata()[0] == pytest.approx(0.4)
    assert "0.1 at 8 rows and 0.6 at 64" in alt


@pytest.mark.parametrize(
    ("billion_ids", "machines"), [(0.05, 1), (0.1, 2), (1, 12)]
)
def test_the_plan_starts_where_the_table_fits(billion_ids, machines):
    figure, alt = figures.plan_figure(COST, WORK, billion_ids=billion_ids)
    assert f"table fits from {machines} on" in texts(figure.axes[0])
    assert f"fits from {machines} machines on" in alt
    spent = figure.axes[0].lines[0].get_ydata()
    alone = figure.axes[0].lines[1].get_ydata()
    assert spent[0] == pytest.approx(alone[0])
    assert (spent[1:] > alone[1:]).all()


def test_the_placement_names_both_ways():
    figure, alt = figures.placement_figure()
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["Data parallel: copies", "Table sharded: halves"]
    assert "half of the table's rows" in alt
