"""The world of many domains: its truth, exactly."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data.many_domains import (
    BASES,
    DOMAINS,
    STRENGTH,
    many_domains,
)
from mtlrec_utils.evidence import auc


@pytest.mark.parametrize("similarity", [0.0, 0.3, 1.0])
def test_tastes_of_two_domains_have_the_cosine_asked_for(similarity):
    tastes = many_domains((9, 9, 9, 9), similarity=similarity).tastes
    cosine = np.einsum("dgk,egk->gde", tastes, tastes)
    wanted = np.where(np.eye(4), 1.0, similarity)
    np.testing.assert_allclose(cosine, np.tile(wanted, (16, 1, 1)), atol=1e-12)


def logits(world, domain):
    """Logits without the base rate, [groups, genres]."""
    rows = world.test[world.test["domain"] == DOMAINS[domain]]
    wide = rows.drop_duplicates(["group", "genre"]).pivot(
        index="group", columns="genre", values="chance"
    )
    assert wide.shape == (16, 16) and not wide.isna().any(axis=None)
    return np.log(wide / (1 - wide)).to_numpy() - BASES[domain]


def test_chances_follow_the_formula():
    """The topics that explain one domain explain the other."""
    world = many_domains((10, 10), similarity=0.5, n_test=20_000, seed=3)
    first, second = logits(world, 0), logits(world, 1)
    topics = np.linalg.pinv(world.tastes[0]) @ first / STRENGTH
    for found, tastes in zip((first, second), world.tastes, strict=True):
        wanted = STRENGTH * tastes @ topics
        np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert np.abs(first - second).max() > 1
    same = many_domains((10, 10), similarity=1.0, n_test=20_000, seed=3)
    np.testing.assert_allclose(logits(same, 0), logits(same, 1), atol=1e-9)


def test_clicks_come_with_their_chance():
    world = many_domains((200_000, 10), seed=1)
    rows = world.train.query("domain == 'feed'")
    parts = rows.groupby(pd.cut(rows["chance"], 10), observed=True)
    means = parts[["click", "chance"]].mean()
    error = np.sqrt(0.25 / parts.size())
    assert (np.abs(means["click"] - means["chance"]) < 4 * error).all()


def test_best_is_what_the_truth_scores():
    world = many_domains(n_test=60_000, seed=2)
    for row in world.best.itertuples():
        rows = world.test[world.test["domain"] == row.domain]
        p, y = rows["chance"].to_numpy(), rows["click"].to_numpy()
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        assert auc(y, p) == pytest.approx(row.auc, abs=0.006)
        assert loss == pytest.approx(row.log_loss, abs=0.006)


def test_more_rows_elsewhere_leave_a_domain_as_it_is():
    """A domain that joins late finds the others unchanged."""

    def of(world, domain):
        rows = world.train[world.train["domain"] == domain]
        return rows.sort_values(list(rows)).reset_index(drop=True)

    few, more = many_domains((50, 40)), many_domains((90, 40, 30, 7))
    pd.testing.assert_frame_equal(of(few, "search"), of(more, "search"))
    pd.testing.assert_frame_equal(few.test, more.test[: len(few.test)])
    sizes = more.train["domain"].value_counts()
    assert dict(sizes) == {"feed": 90, "search": 40, "shop": 30, "tv": 7}
    again = many_domains((50, 40))
    pd.testing.assert_frame_equal(few.train, again.train)
    other = many_domains((50, 40), seed=1)
    assert not few.train.equals(other.train)


@pytest.mark.parametrize(
    ("n_rows", "options", "message"),
    [
        ((), {}, "n_rows"),
        ((1,) * 5, {}, "n_rows"),
        ((10, 0), {}, "n_rows"),
        ((10,), {"similarity": 1.1}, "similarity"),
        ((10,), {"n_groups": 1}, "n_groups"),
    ],
)
def test_refuses(n_rows, options, message):
    with pytest.raises(ValueError, match=message):
        many_domains(n_rows, **options)
