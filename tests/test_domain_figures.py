"""Figures of lesson 19: what they draw and what they say."""

import itertools

import pandas as pd
import pytest

from mtlrec_utils.classroom import domain_figures as figures
from mtlrec_utils.classroom import late_domain_figures, task_domain_figures


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
    titles = [ax.get_title() for ax in figure.axes]
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
    title = ax.get_title()
    assert ("right" if metric == "auc" else "left") in title


def test_a_late_domain_is_drawn_by_its_rows_against_alone_only():
    """The rows of the other baseline would double every line."""
    methods = [*late_domain_figures.LATE_LOOKS, "base rate"]
    made = cells((0.0, 1.0), (30, 500), ("tv",), methods)
    both = pd.concat(
        made.assign(baseline=name, value=made["value"] + shift)
        for name, shift in (("alone", 0.0), ("unknown", 0.1))
    )
    figure, alt = late_domain_figures.late_figure(both, "auc", "A finding")
    assert len(figure.axes) == 2
    for ax in figure.axes:
        lines = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
        assert set(methods) < set(lines)
        for i, method in enumerate(late_domain_figures.LATE_LOOKS):
            drawn = lines[method].lines[0].get_ydata()
            assert drawn == pytest.approx([0.5 + 0.01 * i] * 2)
    assert "At 30 rows, similarity 0: alone 0.500, new tower 0.510" in alt


@pytest.fixture
def tasks_and_domains():
    """Cells (domain, task), in which "domain" hurts and "STAR" helps."""
    methods = ["task and domain", *task_domain_figures.SHARING]
    made = pd.concat(
        cells((0.0,), (0,), ["films", "books", "average"], methods).assign(
            domain_similarity=s, task_correlation=0.9, task=task
        )
        for s, task in itertools.product(
            (0.0, 0.9), (*task_domain_figures.TASKS, "average")
        )
    )
    # The average is over both at once.
    made = made[(made["domain"] == "average") == (made["task"] == "average")]
    made["verdict"] = made["method"].map(
        lambda name: {"STAR": "helps", "domain": "hurts"}.get(
            name, "cannot tell"
        )
    )
    return made


def test_each_task_and_domain_has_a_panel_with_its_verdicts(
    tasks_and_domains,
):
    figure, alt = task_domain_figures.cells_figure(
        tasks_and_domains, 0.9, 0.9, "log_loss"
    )
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:3] == ["films, click", "films, like", "films, finish"]
    assert titles[3:] == ["books, click", "books, like", "books, finish"]
    assert "6 help, 6 hurt, of 48" in figure._suptitle.get_text()
    assert "books, finish: 6 cannot tell, 1 hurts, 1 helps" in alt
    names = list(task_domain_figures.SHARING)
    for ax in figure.axes:
        marks = [line for line in ax.lines if line.get_marker() != "None"]
        filled = [m.get_markerfacecolor() != "white" for m in marks]
        assert filled == [name in ("domain", "STAR") for name in names]
    for ax in figure.axes[::3]:
        assert [t.get_text() for t in ax.get_yticklabels()] == names


def test_chosen_methods_are_drawn_in_the_order_asked_for(tasks_and_domains):
    chosen = ["STAR", "both"]
    figure, _ = task_domain_figures.cells_figure(
        tasks_and_domains, 0.0, 0.9, "auc", chosen
    )
    assert "6 help, 0 hurt, of 12" in figure._suptitle.get_text()
    ticks = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert ticks == chosen
