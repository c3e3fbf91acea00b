"""Truth, best metrics and live answers of the simulated world."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from mtlrec_utils.data import World
from mtlrec_utils.data.world_responses import average_over_cause

EVERY_DIAL = World(
    seed=3,
    confounding=1.0,
    session_memory=0.8,
    drift=0.5,
    prior_shift=0.7,
    domain_shift=0.5,
    task_correlation=-0.3,
)
TASKS = ["like", "finish", "purchase", "watch_minutes"]


@pytest.fixture(scope="module")
def log():
    return EVERY_DIAL.log(200_000)


@pytest.fixture(scope="module")
def truth(log):
    return EVERY_DIAL.truth(log)


def largest_z(labels, p, variance, bins=20, by=None):
    """Largest |z| of label sums against their means, over bins of `by`."""
    order = np.argsort(p if by is None else by, kind="stable")
    worst = 0.0
    for part in np.array_split(order, bins):
        spread = np.sqrt(variance[part].sum())
        worst = max(worst, abs((labels[part] - p[part]).sum()) / spread)
    return worst


def test_truth_is_calibrated_for_clicks(log, truth):
    p = truth["click"].to_numpy()
    y = log["click"].to_numpy()
    assert largest_z(y, p, p * (1 - p)) < 4
    by_shop = (log["domain"] == "books").to_numpy()
    for here in (by_shop, ~by_shop, log["random_exposure"].to_numpy()):
        assert largest_z(y[here], p[here], (p * (1 - p))[here]) < 4


@pytest.mark.parametrize("task", TASKS[:3])
def test_truth_given_click_is_calibrated_on_clicked_rows(task, log, truth):
    clicked = (log["click"] == 1).to_numpy()
    p = truth[f"{task}_given_click"].to_numpy()[clicked]
    y = log[task].to_numpy()[clicked]
    assert largest_z(y, p, p * (1 - p)) < 4


def test_watch_minutes_has_the_mean_and_noise_stated(log, truth):
    clicked = (log["click"] == 1).to_numpy()
    mean = truth["watch_minutes"].to_numpy()[clicked]
    y = log["watch_minutes"].to_numpy(dtype=np.float64)[clicked]
    variance = mean**2 * np.expm1(0.25**2)
    assert largest_z(y, mean, variance) < 4
    best = EVERY_DIAL.best_metrics(log).set_index(["task", "metric"])["value"]
    rmse = np.sqrt(np.mean((y - mean) ** 2))
    assert rmse == pytest.approx(best["watch_minutes", "rmse"], rel=0.02)


def test_a_wrong_truth_would_be_noticed(log, truth):
    # The z-test has teeth: unconfounded, drift-free and memoryless truths
    # all fail on the same log.
    y = log["click"].to_numpy()
    right = truth["click"].to_numpy()
    for wrong in (
        {"drift": 0.0},
        {"session_memory": 0.0},
        {"position_bias": 0.6},
        {"prior_shift": 0.4},
        {"taste_strength": 0.9},
    ):
        p = replace(EVERY_DIAL, **wrong).truth(log)["click"].to_numpy()
        assert largest_z(y, p, p * (1 - p), by=right - p) > 5, wrong
    clicked = y == 1
    p = truth["purchase"].to_numpy()[clicked]
    y = log["purchase"].to_numpy()[clicked]
    assert largest_z(y, p, p * (1 - p)) > 5


def test_confounding_lifts_purchases_among_clicks_only():
    rows = World().log(2_000)
    for dial in (0.0, 1.0, 2.0):
        truth = World(confounding=dial).truth(rows)
        lift = truth["purchase_given_click"] - truth["purchase"]
        if dial:
            assert (lift > 0).all()
            assert lift.mean() > 0.1 * truth["purchase"].mean()
        else:
            assert np.allclose(lift, 0, atol=1e-15)
        for name in ("like", "finish"):
            assert truth[name].equals(truth[f"{name}_given_click"])


@pytest.mark.parametrize("weight", [0.1, 1.0, 3.0])
def test_hidden_cause_by_numerical_integration(weight):
    click = np.array([-6.0, -1.0, 0.0, 2.5, 8.0])
    purchase = np.array([-9.0, -4.0, -5.0, -3.0, 1.0])
    found = average_over_cause(click, purchase, weight)
    forms = [
        lambda h, a, b: expit(a + weight * h),
        lambda h, a, b: expit(b + weight * h),
        lambda h, a, b: expit(a + weight * h) * expit(b + weight * h),
    ]
    for values, form in zip(found, forms, strict=True):
        for value, a, b in zip(values, click, purchase, strict=True):
            exact = quad(
                lambda h, f=form, a=a, b=b: f(h, a, b) * norm.pdf(h),
                -12,
                12,
                epsabs=1e-12,
                limit=200,
            )[0]
            assert value == pytest.approx(exact, rel=1e-5, abs=1e-7)


def test_truth_of_one_row_by_hand():
    world = World(position_bias=0.7, prior_shift=0.4, session_memory=0.6)
    rows = pd.DataFrame(
        {
            "user": [17],
            "item": [901],
            "domain": ["books"],
            "position": [3],
            "last_clicked": [1003],
        },
        index=["only"],
    )
    topics = world.topics()
    hidden = world._parts.responder

    def z(r, name, weight):
        taste = world.tastes("books", name)[17] @ topics[901]
        bias = hidden.generosity[1, r, 17] + world._parts.items.appeal[r, 901]
        above = 1.2 * 0.5 * np.sqrt(weight**2 + 2 * 0.8**2) if r else 0.0
        return weight * taste + 0.8 * bias - above

    last = topics[1003] / np.linalg.norm(topics[1003])
    memory = 1.5 * 0.6 * last @ topics[901]
    truth = world.truth(rows).loc["only"]
    click = 4**-0.7 * expit(-0.9 + 0.4 + z(0, "click", 1.6) + memory)
    assert truth["click"] == pytest.approx(click)
    like = expit(-0.8 + 0.4 + z(1, "like", 1.6))
    assert truth["like"] == pytest.approx(like)
    longer = np.log(world.items()["minutes"][901] / 90) / 0.3
    finish = expit(-0.8 + 0.4 + z(2, "finish", 1.4) - 0.4 * longer)
    assert truth["finish"] == pytest.approx(finish, rel=1e-2)
    dearer = np.log(world.items()["price"][901] / 8) / 0.4
    bought = expit(-4.7 + 0.4 + z(3, "purchase", 1.2) - 0.4 * dearer)
    assert truth["purchase"] == pytest.approx(bought, rel=1e-2)
    share = expit(0.3 + z(4, "watch_minutes", 1.0))
    minutes = world.items()["minutes"][901]
    assert truth["watch_minutes"] == pytest.approx(share * minutes, rel=1e-2)


def test_truth_is_row_by_row(log, truth):
    some = log.sample(400, random_state=1)
    assert EVERY_DIAL.truth(some).equals(truth.loc[some.index])
    assert len(EVERY_DIAL.truth(log.iloc[:0])) == 0


def test_live_answers_have_the_probabilities_of_truth():
    rows = EVERY_DIAL.log(100_000, draw=9)
    rng = np.random.default_rng(4)
    live = EVERY_DIAL.respond(
        rows["user"],
        rows["item"],
        domain=rows["domain"],
        position=rows["position"],
        time=rows["time"],
        last_clicked=rows["last_clicked"],
        rng=rng,
    )
    truth = EVERY_DIAL.truth(rows)
    p = truth["click"].to_numpy()
    assert largest_z(live["click"].to_numpy(), p, p * (1 - p)) < 4
    clicked = (live["click"] == 1).to_numpy()
    assert live.loc[~clicked, TASKS].isna().all(axis=None)
    for task in TASKS[:3]:
        p = truth[f"{task}_given_click"].to_numpy()[clicked]
        y = live[task].to_numpy()[clicked]
        assert largest_z(y, p, p * (1 - p)) < 4
    mean = truth["watch_minutes"].to_numpy()[clicked]
    y = live["watch_minutes"].to_numpy(dtype=np.float64)[clicked]
    assert largest_z(y, mean, mean**2 * np.expm1(0.25**2)) < 4


def test_respond_broadcasts_and_repeats():
    world = World()

    def answer(seed):
        rng = np.random.default_rng(seed)
        items = np.arange(800)
        return world.respond(5, items, domain="films", rng=rng)

    assert len(answer(0)) == 800
    assert answer(0).equals(answer(0))
    assert not answer(0)["click"].equals(answer(1)["click"])
    one = world.respond(5, 6, domain="films", rng=np.random.default_rng(0))
    assert list(one) == ["click", *TASKS]
    assert len(one) == 1
    with pytest.raises(ValueError, match="rng"):
        world.respond(5, 6, domain="films", rng=0)
    with pytest.raises(ValueError, match="item 900"):
        world.respond(5, 900, domain="films", rng=np.random.default_rng(0))


ROWS = {
    "user": [0, 1],
    "item": [0, 800],
    "domain": ["films", "books"],
    "position": [0, 1],
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"user": [0, 3000]}, r"'user' holds 3000 \(row 1\)"),
        ({"user": [0, -1]}, "'user' holds -1"),
        ({"user": [0.5, 1]}, "'user' holds 0.5"),
        ({"user": ["a", "b"]}, "'user' must hold numbers"),
        ({"user": [0, None]}, "'user' has no finite number in row 1"),
        ({"item": [0, 1600]}, "'item' holds 1600"),
        ({"item": [0, 799]}, r"item 799 \(row 1\) is not sold in books"),
        ({"domain": ["films", "music"]}, "'music'"),
        ({"domain": ["films", None]}, "'domain' has missing values"),
        ({"position": [0, -1]}, "'position' holds -1"),
        ({"user": None}, "no column 'user'"),
        ({"item": None}, "no column 'item'"),
        ({"domain": None}, "no column 'domain'"),
        ({"position": None}, "'position'; with position_bias = 0.5"),
    ],
)
def test_truth_says_what_is_wrong_with_the_rows(change, told):
    rows = pd.DataFrame({k: v for k, v in {**ROWS, **change}.items() if v})
    with pytest.raises(ValueError, match=told):
        World().truth(rows)


def test_truth_asks_only_for_columns_that_matter():
    rows = pd.DataFrame(ROWS)
    plain = rows.drop(columns="position")
    assert len(World(position_bias=0).truth(plain)) == 2
    with pytest.raises(ValueError, match="'time'; with drift = 0.2"):
        World(drift=0.2).truth(rows)
    with pytest.raises(ValueError, match="'last_clicked'; with session"):
        World(session_memory=0.2).truth(rows)
    with pytest.raises(ValueError, match="DataFrame"):
        World().truth(ROWS)
