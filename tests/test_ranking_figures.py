"""Figures of the ranking lesson: what they measure and what they tell."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.classroom import ranking_figures as figures

TABLE = pd.DataFrame(
    [
        {
            "kind": kind,
            "shop": "all",
            "metric": metric,
            "candidate_model": name,
            "baseline_model": baseline,
            "baseline": 0.7,
            "best": 0.8,
            "difference": 0.01 * i,
            "low": 0.01 * i - 0.005,
            "high": 0.01 * i + 0.005,
            "verdict": "helps" if i else "cannot tell",
        }
        for kind in ("one taste", "segments")
        for metric in ("auc", "log_loss")
        for i, (name, baseline) in enumerate(
            [("logistic", "mlp"), ("DCN", "mlp"), ("DIN", "DCN")]
        )
    ]
)


def test_parallel_lines_do_not_cross():
    odds = np.array([[0.3], [-1.0], [2.0]]) + np.array([1.0, 0.0, -0.5, 4.0])
    assert figures.crossing(pd.DataFrame(odds)) == pytest.approx(0, abs=1e-12)
    odds[0, 0] += 1.2
    # of a single cell (1 - 1/3) (1 - 1/4) of it stays where it is
    rest = 1.2 * np.outer([2 / 3, -1 / 3, -1 / 3], [3 / 4, *[-1 / 4] * 3])
    assert figures.crossing(pd.DataFrame(odds)) == pytest.approx(rest.std())


def test_log_odds_by_hand():
    log = pd.DataFrame(
        {
            "age_group": ["under 20", "20-29", "20-29", "20-29", "under 20"],
            "genre": ["crime", "crime", "crime", "crime", "crime"],
            "click": [1, 1, 0, 0, 1],
        }
    )
    odds = figures.log_odds(log, "age_group", "genre")
    assert list(odds.index) == ["under 20", "20-29"]
    np.testing.assert_allclose(
        odds["crime"], np.log([2.5 / 0.5, 1.5 / 2.5]), rtol=1e-9
    )


def test_each_panel_shows_what_was_held_against_the_plain_network():
    figure, alt = figures.gains_figure(TABLE, ["one taste", "segments"])
    first, second = figure.axes
    assert [a.get_title() for a in (first, second)] == [
        "one taste",
        "segments",
    ]
    labels = [label.get_text() for label in first.get_yticklabels()]
    assert labels == ["DCN"]  # neither logistic regression nor DIN - DCN
    assert "DCN +0.010 (helps)" in alt and "DIN" not in alt
    assert "2 of 2 cells" in figure.get_suptitle()


def test_a_world_has_its_best_score_only_where_there_is_one():
    figure, alt = figures.world_figure(TABLE, "segments", "auc")
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "logistic: cannot tell",
        "DCN: helps",
    ]
    assert ax.get_legend() is not None and "plain network 0.700" in alt
    figure, _ = figures.world_figure(TABLE, "segments", "log_loss")
    assert figure.axes[0].get_legend() is None
    (ax,) = figure.axes[:1]
    assert "left" in (ax.get_title())


def test_attention_by_shop_leaves_padding_out():
    rows = pd.DataFrame(
        {
            "item": [1, 12],
            "history": [np.array([3, 11]), np.array([2])],
        }
    )
    weights = np.array([[-4.0, 1.0, 9.0], [2.0, 9.0, 9.0]])
    more = pd.DataFrame({"item": [13], "history": [np.array([10, 15])]})
    looks = figures.weights_by_shop(
        np.vstack([weights, [[0.5, 1.5, 9.0]]]),
        pd.concat([rows, more]),
        n_items=10,
    )
    assert looks.tolist() == [[4, 1], [2, 1]]
    figure, alt = figures.looks_figure(looks)
    assert "film and film 4.00, film and book 1.00" in alt
    assert "book and film 2.00, book and book 1.00" in alt
    titles = [figure.axes[0].get_title(loc=loc) for loc in ("left", "center")]
    assert "Own shop 2.50, other shop 1.50" in titles
