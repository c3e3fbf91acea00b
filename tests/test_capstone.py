"""The capstone: points, visits, the A/B test, grades, and handing in."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mtlrec_utils import capstone
from mtlrec_utils.capstone import Brief, grading, handing_in, policies
from mtlrec_utils.capstone.brief import checked_chances, without_answers
from mtlrec_utils.evidence import difference_of_means, users_needed

BRIEF = Brief(seed=3, film_rows=4000, book_rows=800)
WORLD = BRIEF.world
VISITS = capstone.draw_visits(WORLD, 300, seed=1)
N_ITEMS = 2 * WORLD.n_items


def by_rates(films, books):
    return policies.popular(pd.concat([films, books]), N_ITEMS)


POPULAR = by_rates(*BRIEF.past)
GIVEN = {"popular": POPULAR, "one model per task": POPULAR}


def random_score(seed=0):
    """The same chances for the same user and item, whatever stands beside."""
    table = np.random.default_rng(seed).random((3, WORLD.n_users, N_ITEMS))
    return lambda rows: {
        task: table[i][rows["user"], rows["item"]]
        for i, task in enumerate(capstone.TASKS)
    }


# -- the brief --------------------------------------------------------------


def test_points_by_hand():
    found = capstone.expected_points(
        {"click": [0.5, 0.0], "like": [0.2, 1.0], "finish": [0.1, 1.0]}
    )
    np.testing.assert_allclose(found, [0.5 * (1 + 0.6 + 0.2), 0.0])


def test_the_future_comes_after_the_past():
    for shop, (past, future) in BRIEF.logs.items():
        assert past["time"].max() <= future["time"].min()
        assert set(past["domain"]) == {shop}
        assert not {"click", "like"} & set(without_answers(future))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "NoneType"),
        ({"click": [0.1]}, "returned 'click'"),
        (dict.fromkeys(capstone.TASKS, [0.1, 0.2]), r"shape \(2,\)"),
        (dict.fromkeys(capstone.TASKS, [0.1, 0.2, 1.5]), "1.5.* in row 2"),
        (dict.fromkeys(capstone.TASKS, [0.1, np.nan, 0.5]), "nan.* in row 1"),
    ],
)
def test_what_a_score_function_may_not_return(found, message):
    with pytest.raises(ValueError, match=message):
        checked_chances(found, 3)


def test_a_column_of_a_network_is_taken_as_it_is():
    column = np.array([[0.1], [0.2]], "float32")
    found = checked_chances(dict.fromkeys(capstone.TASKS, column), 2)
    assert found["like"].shape == (2,)


# -- visits and rankings ----------------------------------------------------


def test_visitors_are_at_home_and_candidates_are_of_the_shop():
    users, items = WORLD.users(), WORLD.items()
    stock = dict(zip(items["item"], items["domain"], strict=True))
    for shop in ("films", "books"):
        here = VISITS.domain == shop
        at_home = users.loc[users[f"in_{shop}"], "user"]
        assert here.sum() > 50
        assert np.isin(VISITS.user[here], at_home).all()
        for row in VISITS.candidates[here]:
            assert len(set(row)) == capstone.CANDIDATES
            assert {stock[item] for item in row} == {shop}


def test_same_seed_same_visits():
    again, other = (
        capstone.draw_visits(WORLD, 300, seed=seed) for seed in (1, 2)
    )
    np.testing.assert_array_equal(again.candidates, VISITS.candidates)
    assert (other.user != VISITS.user).any()


def test_bad_visits_are_refused():
    with pytest.raises(ValueError, match="books_share"):
        capstone.draw_visits(WORLD, 5, books_share=1.1)
    with pytest.raises(ValueError, match="n_candidates"):
        capstone.draw_visits(WORLD, 5, n_candidates=999)


def test_the_oracle_shows_the_best_candidates_in_order():
    shown = capstone.ranked(WORLD, VISITS, capstone.oracle(WORLD))
    assert shown.shape == (300, capstone.SLATE)
    rows = pd.DataFrame(
        {
            "user": VISITS.user[0],
            "item": VISITS.candidates[0],
            "domain": VISITS.domain[0],
            "position": 0,
        }
    )
    truth = WORLD.truth(rows)
    worth = truth["click"] * (1 + 3 * truth["like"] + 2 * truth["finish"])
    best = VISITS.candidates[0][np.argsort(-worth.to_numpy())[:5]]
    np.testing.assert_array_equal(shown[0], best)


def test_ties_keep_the_order_of_the_candidates():
    shown = capstone.ranked(
        WORLD,
        VISITS,
        lambda rows: dict.fromkeys(capstone.TASKS, np.full(len(rows), 0.5)),
    )
    np.testing.assert_array_equal(shown, VISITS.candidates[:, :5])


def test_true_points_count_the_place_in_the_list():
    shown = VISITS.candidates[:, :5]
    found = capstone.true_points(WORLD, VISITS, shown)
    top = [
        capstone.true_points(WORLD, VISITS, shown[:, place : place + 1])
        for place in range(5)
    ]
    looked_at = WORLD.examination(np.arange(5))
    np.testing.assert_allclose(found, looked_at @ np.array(top), rtol=1e-9)


def test_nobody_beats_the_oracle_in_any_visit():
    best = capstone.true_points(
        WORLD, VISITS, capstone.ranked(WORLD, VISITS, capstone.oracle(WORLD))
    )
    for score in (POPULAR, random_score()):
        shown = capstone.ranked(WORLD, VISITS, score)
        points = capstone.true_points(WORLD, VISITS, shown)
        assert (points <= best + 1e-12).all()
        assert points.mean() < 0.9 * best.mean()


# -- the A/B test -----------------------------------------------------------


def test_welch_agrees_with_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 2, 30), rng.normal(0, 1, 50)
    found = difference_of_means(a, b, confidence=0.9)
    oracle = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    np.testing.assert_allclose(found[1:], [oracle.low, oracle.high])
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.verdict == ("helps" if oracle.low > 0 else "cannot tell")
    assert difference_of_means([2, 2], [1, 1]).verdict == "helps"


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (([1.0], [1.0, 2.0]), "treatment has 1 users"),
        (([1.0, 2.0], [np.nan, 2.0]), "control"),
    ],
)
def test_arms_that_cannot_be_compared(arms, message):
    with pytest.raises(ValueError, match=message):
        difference_of_means(*arms)


def test_users_needed_reach_the_power_they_promise():
    n = round(users_needed(2.0, 0.5, confidence=0.95, power=0.8))
    assert n == 251  # 2 (2 (1.95996 + 0.84162) / 0.5)^2 = 251.2
    rng = np.random.default_rng(0)
    words = [
        difference_of_means(rng.normal(0.5, 2, n), rng.normal(0, 2, n)).verdict
        for _ in range(1000)
    ]
    # Four standard errors of a share of 0.8 in 1,000 are 0.05.
    assert abs(words.count("helps") / 1000 - 0.8) < 0.05
    with pytest.raises(ValueError, match="difference=0"):
        users_needed(1.0, 0)


def test_identical_arms_are_told_apart_as_rarely_as_promised():
    shown = capstone.ranked(WORLD, VISITS, POPULAR)
    words = [
        capstone.ab_test(
            WORLD, VISITS, {"a": shown, "b": shown}, control="a", seed=seed
        )["verdict"][1]
        for seed in range(100)
    ]
    # 5 expected; 0.01 % of such tests would have more than 14.
    assert 0 < sum(word != "cannot tell" for word in words) <= 14


def test_the_oracle_helps_and_every_user_has_one_arm():
    shown = {
        "popular": capstone.ranked(WORLD, VISITS, POPULAR),
        "random": capstone.ranked(WORLD, VISITS, random_score()),
        "oracle": capstone.ranked(WORLD, VISITS, capstone.oracle(WORLD)),
    }
    found = capstone.ab_test(WORLD, VISITS, shown, control="random")
    assert found["arm"].tolist() == ["random", "popular", "oracle"]
    assert found["verdict"].tolist()[0::2] == ["control", "helps"]
    assert found["visits"].sum() == len(VISITS)
    assert found["users"].sum() == len(np.unique(VISITS.user))
    worth = found[["click", "like", "finish"]] @ np.array([1, 3, 2])
    per_user = worth * found["visits"] / found["users"]
    np.testing.assert_allclose(per_user, found["points"])


def test_more_arms_wider_intervals():
    shown = capstone.ranked(WORLD, VISITS, POPULAR)
    widths = []
    for others in (1, 4):
        arms = {"a": shown} | {f"b{i}": shown for i in range(others)}
        table = capstone.ab_test(WORLD, VISITS, arms, control="a")
        reach = (table["high"] - table["low"])[1] / 2
        n = table["users"]
        widths.append(reach / np.sqrt(1 / n[0] + 1 / n[1]))
    ratio = stats.norm.ppf(1 - 0.025 / 4) / stats.norm.ppf(1 - 0.025)
    assert widths[1] / widths[0] == pytest.approx(ratio, rel=0.25)
    assert ratio > 1.25


def test_a_control_that_is_no_arm():
    with pytest.raises(ValueError, match="control='b'"):
        capstone.ab_test(WORLD, VISITS, {"a": VISITS.candidates}, control="b")


# -- policies ---------------------------------------------------------------


def test_rates_are_smoothed_by_hand():
    log = pd.DataFrame({"item": [0, 0, 2], "click": [1, 0, 1]})
    found = policies._smoothed_rates(log, "click", 4)
    prior = 20 * 2 / 3
    wanted = [(1 + prior) / 22, 2 / 3, (1 + prior) / 21, 2 / 3]
    np.testing.assert_allclose(found, wanted)


def test_neighbours_follow_what_a_user_clicked():
    log = pd.DataFrame(
        {
            "user": [0, 0, 1, 1, 2, 3],
            "item": [0, 1, 0, 1, 0, 2],
            "click": 1,
            "like": 0.0,
            "finish": 1.0,
            "domain": "films",
        }
    )
    score = policies.neighbours(log, 4, 3)
    chances = score(pd.DataFrame({"user": [2, 2], "item": [1, 2]}))
    assert chances["click"][0] > chances["click"][1]
    checked_chances(chances, 2)


# -- grades -----------------------------------------------------------------


def test_points_of_a_grade_by_hand():
    offline = pd.DataFrame(
        {
            "verdict": ["helps", "helps", "cannot tell", "hurts"],
            "calibration": [1.0, 0.95, 1.2, 0.9],
        }
    )
    found = grading.points_of(offline, share=0.15)
    assert found == {
        "works": 20,
        "offline": 10,
        "calibrated": 3,
        "online": 25,
        "total": 58,
    }
    assert grading.points_of(offline, 5.0)["online"] == 50
    assert grading.points_of(offline, -1.0)["online"] == 0


def test_a_whole_grade():
    found = capstone.grade(by_rates, BRIEF, given=GIVEN)
    assert found.share == pytest.approx(0, abs=1e-9)
    assert (found.offline["verdict"] == "cannot tell").all()
    assert found.points["offline"] == 12
    assert found.truth.index[-1] == "oracle"
    assert set(found.online["arm"]) == {*GIVEN, "yours"}
    oracle = capstone.grade(
        lambda films, books: capstone.oracle(WORLD), BRIEF, given=GIVEN
    )
    assert oracle.share == pytest.approx(1)
    assert oracle.points["online"] == 50


def test_a_score_that_looks_at_its_neighbours_is_refused():
    def recommender(films, books):
        def score(rows):
            ranks = rows["item"].rank(pct=True).to_numpy()
            return dict.fromkeys(capstone.TASKS, ranks)

        return score

    with pytest.raises(ValueError, match="changes with the rows beside it"):
        capstone.grade(recommender, BRIEF, given=GIVEN)


def test_a_recommender_never_sees_an_answer_it_is_asked_for():
    seen = set()

    def recommender(films, books):
        def score(rows):
            seen.update(rows.columns)
            return POPULAR(rows)

        return score

    capstone.grade(recommender, BRIEF, given=GIVEN)
    assert {"user", "item", "genre", "position"} <= seen
    assert not seen & {"click", "like", "finish", "purchase"}


# -- handing in -------------------------------------------------------------


def recommender(films, books):
    import numpy as np

    rate = films["click"].mean()

    def score(rows):
        return {
            task: np.full(len(rows), rate)
            for task in ("click", "like", "finish")
        }

    return score


def test_what_is_handed_in_is_what_was_written(tmp_path):
    file = capstone.hand_in(recommender, "ada", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ada.py"]
    names = {}
    exec(file.read_text("utf-8"), names)
    score = names["recommender"](*BRIEF.past)
    assert len(score(pd.DataFrame({"user": [1, 2]}))["click"]) == 2


@pytest.mark.parametrize("name", ["", "../ada", "a b", "ada.py"])
def test_names_that_are_no_file(tmp_path, name):
    with pytest.raises(ValueError, match="letters, digits"):
        capstone.hand_in(recommender, name, tmp_path)


def test_names_from_outside_are_found(tmp_path):
    def recommender(films, books):
        return lambda rows: POPULAR(rows)

    with pytest.raises(ValueError, match="'POPULAR' from outside"):
        capstone.hand_in(recommender, "ada", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_name_or_no_source(tmp_path):
    with pytest.raises(ValueError, match="Name the function"):
        capstone.hand_in(by_rates, "ada", tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        capstone.hand_in(len, "ada", tmp_path)


def test_the_page_shows_the_points_and_escapes_the_name():
    page = handing_in.completion_page(
        "<b>", {"total": 58.4}, {"oracle": 8.123}
    )
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert ">58<" in page and ">8.12<" in page


def test_a_class_is_graded_and_failures_are_named(tmp_path):
    (tmp_path / "broken.py").write_text("raise RuntimeError('no idea')")
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(999)\n")
    done = subprocess.run(
        [sys.executable, "-m", "mtlrec_utils.capstone", str(tmp_path)]
        + ["--minutes", "0.25"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    table = pd.read_csv(tmp_path / "scores.csv").set_index("name")
    assert "no idea" in table.loc["broken", "reason"]
    assert "no function 'recommender'" in table.loc["empty", "reason"]
    assert "longer than 0.25 minutes" in table.loc["endless", "reason"]
    assert (table["total"] == 0).all()
    assert "endless: took longer" in done.stdout
    assert not list(tmp_path.glob("*.html"))


def test_one_file_is_graded_and_gets_its_page(tmp_path, monkeypatch):
    from mtlrec_utils.capstone import __main__ as program

    capstone.hand_in(recommender, "ada", tmp_path)
    grade = program._graded
    monkeypatch.setattr(program, "_given", lambda brief: GIVEN)
    found = grade(tmp_path / "ada.py", BRIEF)
    assert found["points"]["works"] == 20
    row = program._written(tmp_path / "ada.py", found)
    assert row["name"] == "ada" and row["reason"] == ""
    assert "ada" in (tmp_path / "ada.html").read_text("utf-8")


def test_nothing_to_grade(tmp_path, capsys):
    from mtlrec_utils.capstone.__main__ import main

    assert main([str(tmp_path)]) == 1
    assert "nothing to grade" in capsys.readouterr().out
