"""The scores of a perfect model, in closed form and in fact."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mtlrec_utils.data import World
from mtlrec_utils.data.world_best import (
    expected_auc,
    expected_log_loss,
    expected_rmse,
)

EVERY_DIAL = World(
    seed=3,
    confounding=1.0,
    session_memory=0.8,
    drift=0.5,
    prior_shift=0.7,
    domain_shift=0.5,
    task_correlation=-0.3,
)


@pytest.fixture(scope="module")
def log():
    return EVERY_DIAL.log(200_000)


@pytest.fixture(scope="module")
def truth(log):
    return EVERY_DIAL.truth(log)


def test_no_score_beats_the_best_in_expectation():
    # Expected AUC of any other ordering of the same rows, by brute force.
    random = np.random.default_rng(0)
    p = np.round(random.random(60), 1)
    pairs = p[:, None] * (1 - p)[None, :]
    np.fill_diagonal(pairs, 0)

    def brute(scores):
        wins = np.sign(scores[:, None] - scores[None, :]) / 2 + 0.5
        return (pairs * wins).sum() / pairs.sum()

    assert expected_auc(p) == pytest.approx(brute(p))
    for _ in range(20):
        assert brute(random.permutation(p)) < expected_auc(p)
        assert brute(p + 0.3 * random.normal(size=60)) <= expected_auc(p)


def test_expected_auc_by_hand_and_by_sampling():
    # Two rows, p = 0.8 and 0.2: rightly ordered 0.8 * 0.8, wrongly 0.2 * 0.2.
    assert expected_auc(np.array([0.8, 0.2])) == pytest.approx(0.64 / 0.68)
    assert expected_auc(np.array([1.0, 0.0, 0.0])) == 1.0
    assert np.isnan(expected_auc(np.array([0.0, 0.0])))
    assert np.isnan(expected_auc(np.array([0.3])))
    assert expected_log_loss(np.array([0.5, 1.0])) == np.log(2) / 2
    assert expected_rmse(np.array([3.0, 4.0]), 0.0) == 0
    random = np.random.default_rng(1)
    p = random.random(300)
    labels = random.random((200, 300)) < p
    found = [roc_auc_score(y, p) for y in labels]
    error = np.std(found) / np.sqrt(200)
    assert abs(np.mean(found) - expected_auc(p)) < 4 * error + 1e-3


@pytest.mark.parametrize("task", ["click", "like", "finish"])
def test_without_signal_nothing_can_be_learned(task):
    world = World(taste_strength=0.0, position_bias=0.0)
    log = world.log(60_000)
    best = world.best_metrics(log).set_index(["task", "metric"])["value"]
    # `finish` and `purchase` also lose the numbers: strength scales them.
    for name in ("click", "like", "finish", "purchase"):
        assert best[name, "auc"] == 0.5
    # Scores fitted on the first half: the mean label per user and per item.
    rows = log[log[task].notna()]
    half = len(rows) // 2
    past, future = rows.iloc[:half], rows.iloc[half:]
    score = 0.0
    for column in ("user", "item"):
        rate = past.groupby(column)[task].agg(["sum", "size"])
        smooth = (rate["sum"] + 2) / (rate["size"] + 5)
        score = score + future[column].map(smooth).fillna(0.4)
    positives = int(future[task].sum())
    noise = np.sqrt(1 / (12 * positives) + 1 / (12 * (half - positives)))
    assert abs(roc_auc_score(future[task], score) - 0.5) < 4 * noise


def test_spaces_of_best_metrics(log):
    some = log.iloc[:20_000]
    truth = EVERY_DIAL.truth(some)
    whole = EVERY_DIAL.best_metrics(some, space="all")
    value = whole.set_index(["task", "metric"])["value"]
    assert value["purchase", "auc"] == expected_auc(truth["purchase"])
    clicked = some[some["click"] == 1]
    a = EVERY_DIAL.best_metrics(some).iloc[2:]
    b = EVERY_DIAL.best_metrics(clicked).iloc[2:]
    assert a.equals(b)
    never = EVERY_DIAL.best_metrics(some[some["click"] == 0])
    assert never["value"].iloc[2:].isna().all()
    with pytest.raises(ValueError, match="click"):
        EVERY_DIAL.best_metrics(some.drop(columns="click"))
    with pytest.raises(ValueError, match="space"):
        EVERY_DIAL.best_metrics(some, space="clicked")


def test_best_metrics_are_what_the_truth_scores(log, truth):
    best = EVERY_DIAL.best_metrics(log).set_index(["task", "metric"])["value"]
    for task in ("click", "like", "finish", "purchase"):
        has = log[task].notna().to_numpy()
        name = task if task == "click" else f"{task}_given_click"
        p, y = truth[name].to_numpy()[has], log[task].to_numpy()[has]
        positives = y.sum()
        noise = 0.5 / np.sqrt(positives)
        assert abs(roc_auc_score(y, p) - best[task, "auc"]) < noise
        found = log_loss(y, p)
        assert abs(found - best[task, "log_loss"]) < 4 / np.sqrt(len(y))
    assert set(best.index.get_level_values("metric")) == {
        "auc",
        "log_loss",
        "rmse",
    }
