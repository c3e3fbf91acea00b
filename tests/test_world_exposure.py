"""What the simulated platform shows, against the dials of exposure."""

import numpy as np
import pytest

from mtlrec_utils.data import World


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def log(world):
    return world.log(200_000)


def test_popularity_is_zipf_with_the_slope_of_the_dial():
    for skew in (0.0, 0.6, 1.2):
        world = World(popularity_skew=skew, exposure_bias=0.0)
        log = world.log(200_000, domain="films")
        shown = log[~log["random_exposure"]]
        count = shown["item"].value_counts()
        # Rank items by a second log: ranking by the counts themselves would
        # bend the curve by their noise.
        other = world.log(200_000, domain="films", draw=1)["item"]
        rank = other.value_counts().rank(ascending=False, method="first")
        top = rank[rank <= 100].index if skew else rank.index
        x = np.log(rank[top])
        y = np.log(count.reindex(top).fillna(0.5))
        weight = np.sqrt(count.reindex(top).fillna(0.5))
        slope = np.polyfit(x, y, 1, w=weight)[0]
        assert abs(slope + skew) < 0.03, skew


def test_exposure_bias_shows_what_users_like():
    means = []
    for bias in (0.0, 0.5, 1.0):
        world = World(exposure_bias=bias, position_bias=0.0)
        log = world.log(50_000)
        kept = log[~log["random_exposure"]]
        truth = world.truth(kept)["click"]
        means.append(truth.mean())
        by_place = truth.groupby(kept["position"]).mean()
        falls = by_place.iloc[0] - by_place.iloc[-1]
        noise = 4 * np.sqrt(2 * 0.06 / 6_000)
        assert (falls > 0.1) if bias else (abs(falls) < noise)
    assert means[0] + 0.03 < means[1] < means[2] - 0.03


def test_examination_curve_of_random_rows(world):
    # Uniform items at every place: clicks fall by examination alone.
    log = World(position_bias=0.8).log(400_000, exposure="random")
    clicks = log.groupby("position")["click"].agg(["mean", "size"])
    curve = World(position_bias=0.8).examination(np.arange(8))
    assert np.allclose(curve, (1 + np.arange(8)) ** -0.8)
    attraction = (log["click"].sum()) / curve[log["position"]].sum()
    p = attraction * curve
    z = (clicks["mean"] - p) / np.sqrt(p * (1 - p) / clicks["size"])
    assert (z.abs() < 4).all()
    assert (World(position_bias=0.0).examination([0, 7]) == 1).all()


def test_random_exposure_rows_are_uniform(world, log):
    flagged = log[log["random_exposure"]]
    n = len(log)
    assert abs(len(flagged) - 0.02 * n) < 4 * np.sqrt(0.02 * 0.98 * n)
    films = flagged[flagged["domain"] == "films"]
    everything = world.log(80_000, domain="films", exposure="random")
    assert everything["random_exposure"].all()
    for rows in (films, everything):
        items = np.bincount(rows["item"], minlength=800)
        places = np.bincount(rows["position"], minlength=8)
        for count in (items, places):
            expected = len(rows) / len(count)
            chi = ((count - expected) ** 2 / expected).sum()
            df = len(count) - 1
            assert abs(chi - df) < 4 * np.sqrt(2 * df)


def test_a_session_is_one_user_in_one_shop_going_down_a_list(log):
    sessions = log.groupby("session")
    assert (sessions[["user", "domain"]].nunique() == 1).all(axis=None)
    expected = np.arange(len(log)) % 8
    assert (log["position"] == expected).all()


def test_last_clicked_by_a_plain_loop(world):
    log = World(session_memory=1.0).log(4_001)
    last, session = -1, -1
    for row in log.itertuples():
        if row.session != session:
            last, session = -1, row.session
        assert row.last_clicked == last
        if row.click:
            last = row.item


def test_rows_stay_within_shop_and_membership(world, log):
    users = world.users().set_index("user")
    for shop, low, high in (("films", 0, 800), ("books", 800, 1600)):
        rows = log[log["domain"] == shop]
        assert rows["item"].between(low, high - 1).all()
        assert users.loc[rows["user"], f"in_{shop}"].all()
    share = (log["domain"] == "films").mean()
    # Sessions, not rows, are drawn: 25,000 of them.
    assert abs(share - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 25_000)
