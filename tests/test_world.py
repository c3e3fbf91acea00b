"""The log of the simulated world against its own dials."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import World
from mtlrec_utils.data.world_tastes import RESPONSES

AFTER_CLICK = ["like", "finish", "purchase", "watch_minutes"]


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def log(world):
    return world.log(200_000)


def cosines(left, right):
    """Cosine of each pair of rows."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return (left * right).sum(axis=1) / lengths


def test_same_dials_same_bytes(log):
    again = World().log(200_000)
    for name in log:
        left, right = log[name].to_numpy(), again[name].to_numpy()
        assert left.dtype == right.dtype
        if left.dtype == object:
            assert (left == right).all()
        else:
            assert left.tobytes() == right.tobytes()
    assert World().users().equals(World().users())
    assert World().items().equals(World().items())


def test_another_draw_is_another_log_of_the_same_world(world):
    first, second = world.log(5_000), world.log(5_000, draw=1)
    for name in ("time", "user", "item", "click"):
        assert not first[name].equals(second[name])
    assert np.array_equal(world.truth(first), World().truth(first))
    # Independent luck: clicks of the two logs agree only by chance.
    luck = [
        log["click"] - world.truth(log)["click"] for log in (first, second)
    ]
    together = np.corrcoef(*luck)[0, 1]
    assert abs(together) < 4 / np.sqrt(5_000)


def test_columns_and_types(log):
    assert dict(log.drop(columns="domain").dtypes.astype(str)) == {
        "time": "float64",
        "session": "int32",
        "user": "int32",
        "item": "int32",
        "position": "int16",
        "random_exposure": "bool",
        "last_clicked": "int32",
        "click": "int8",
        "like": "float32",
        "finish": "float32",
        "purchase": "float32",
        "watch_minutes": "float32",
    }
    assert list(log.columns[:3]) == ["time", "session", "domain"]
    assert log["time"].is_monotonic_increasing
    assert log["session"].is_monotonic_increasing
    assert log["time"].between(0, 60).all()


def test_labels_exist_exactly_on_clicked_rows(log):
    clicked = log["click"] == 1
    assert log.loc[clicked, AFTER_CLICK].notna().all(axis=None)
    assert log.loc[~clicked, AFTER_CLICK].isna().all(axis=None)
    assert (log.loc[clicked, "watch_minutes"] > 0).all()


@pytest.mark.parametrize("domain", ["films", "books"])
def test_one_domain(world, domain):
    log = world.log(2_001, domain=domain)
    assert len(log) == 2_001
    assert set(log["domain"]) == {domain}


@pytest.mark.parametrize("rho", [-1.0, -0.3, 0.0, 0.7, 1.0])
@pytest.mark.parametrize("shop", ["films", "books"])
def test_task_correlation_is_the_cosine_of_tastes(rho, shop):
    world = World(task_correlation=rho, n_users=500)
    click = world.tastes(shop, "click")
    assert np.allclose(np.linalg.norm(click, axis=1), 1)
    for response in RESPONSES[1:]:
        taste = world.tastes(shop, response)
        assert np.allclose(cosines(click, taste), rho, atol=1e-9)
    pair = cosines(world.tastes(shop, "like"), world.tastes(shop, "finish"))
    assert np.allclose(pair, rho**2, atol=1e-9)


@pytest.mark.parametrize("similarity", [0.0, 0.4, 1.0])
def test_domain_similarity_is_the_cosine_between_shops(similarity):
    world = World(domain_similarity=similarity, n_users=500)
    for response in RESPONSES:
        pair = cosines(
            world.tastes("films", response), world.tastes("books", response)
        )
        assert np.allclose(pair, similarity, atol=1e-9)


def test_similarity_zero_leaves_nothing_to_map():
    # Regress the personal books taste on the personal films taste. With
    # n = 3000 rows the share explained by chance is about 6 / n.
    world = World(domain_similarity=0.0, segment_strength=0.0)
    films = world.tastes("films", "click")
    books = world.tastes("books", "click")
    solved = np.linalg.lstsq(films, books, rcond=None)[0]
    explained = 1 - np.var(books - films @ solved) / np.var(books)
    assert explained < 2.5 * 6 / 3000


def test_scores_of_two_responses_are_as_close_as_the_tastes():
    # E q q' = I, so over items the scores <a, q> have the tastes' cosine.
    world = World(task_correlation=0.6, n_items=20_000, n_users=50)
    topics = world.topics()[:20_000]
    assert np.allclose(topics.T @ topics / 20_000, np.eye(6), atol=0.06)
    click = world.tastes("films", "click") @ topics.T
    like = world.tastes("films", "like") @ topics.T
    assert np.allclose(cosines(click, like), 0.6, atol=0.05)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.777, 1.0])
def test_user_overlap_is_exact(overlap):
    users = World(user_overlap=overlap, n_users=1000).users()
    assert (users["in_films"] & users["in_books"]).sum() == 1000 * overlap
    assert (users["in_films"] | users["in_books"]).all()


def test_segments_shape_tastes_and_profiles():
    world = World(segment_strength=1.0)
    taste, segment = world.tastes("films", "like"), world.segments()
    for k in range(4):
        assert np.allclose(taste[segment == k], taste[segment == k][0])
    none = World(segment_strength=0.0).tastes("films", "click")
    spread = np.linalg.norm(
        [none[segment == k].mean(axis=0) for k in range(4)], axis=1
    )
    assert (spread < 4 / np.sqrt(700)).all()
    half = World().tastes("films", "click")
    share = [np.sum(half[segment == k].mean(axis=0) ** 2) for k in range(4)]
    assert np.allclose(share, 0.5, atol=0.1)


def test_profiles_tell_the_segment_with_noise(world):
    users = world.users()
    users["segment"] = world.segments()
    for column, truth, names in (
        ("age_group", 0.7, 5),
        ("region", 0.6, 6),
        ("device", 0.5, 3),
    ):
        per_segment = users.groupby("segment")[column].agg(
            lambda x: x.value_counts(normalize=True).iloc[0]
        )
        expected = truth + (1 - truth) / names
        assert np.allclose(per_segment, expected, atol=0.07), column


def test_base_rates_leave_room_for_every_task(world, log):
    clicked = log[log["click"] == 1]
    assert 0.2 < log["click"].mean() < 0.35
    assert 0.3 < clicked["like"].mean() < 0.5
    assert 0.35 < clicked["finish"].mean() < 0.5
    assert 0.02 < clicked["purchase"].mean() < 0.05


def test_words_tell_topics_as_the_dial_says():
    from mtlrec_utils.data.world_catalogue import vocabulary

    topic_of = {w: k for k, row in enumerate(vocabulary()) for w in row}
    assert len(topic_of) == 6 * 40
    found = []
    for signal in (0.0, 0.5, 1.0):
        world = World(text_signal=signal)
        share = np.array(
            [
                np.bincount([topic_of[w] for w in text.split()], minlength=6)
                for text in world.items()["words"]
            ]
        )
        found.append(np.corrcoef(share.ravel(), world.topics().ravel())[0, 1])
    assert abs(found[0]) < 4 / np.sqrt(6 * 1600)
    assert 0.3 < found[1] < found[2] - 0.1


def test_drift_turns_tastes_by_the_angle_of_the_dial():
    # Through the truth alone: with rho = 1 quarter turn at day 60 the click
    # logit at day 0, 60 and 120 is u, v and -u for the part that is taste.
    world = World(drift=1.0, position_bias=0.0)
    rows = world.log(4_000, domain="films")
    bias = World(taste_strength=0.0, position_bias=0.0)
    parts = []
    for day in (0.0, 60.0, 120.0):
        p = world.truth(rows.assign(time=day))["click"].to_numpy()
        base = bias.truth(rows)["click"].to_numpy()
        parts.append(np.log(p / (1 - p)) - np.log(base / (1 - base)))
    person = world._parts.responder.generosity[0, 0][rows["user"]]
    appeal = world._parts.items.appeal[0][rows["item"]]
    u, v, w = (part - 0.8 * person - 0.8 * appeal for part in parts)
    assert np.allclose(w, -u)
    taste = world.tastes("films", "click")[rows["user"]]
    topics = world.topics()[rows["item"]]
    assert np.allclose(u, 1.6 * (taste * topics).sum(axis=1))
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.5


def test_domain_shift_moves_features_not_responses():
    plain, shifted = World(), World(domain_shift=1.0)
    for name in ("minutes", "price"):
        mean = shifted.items().groupby("domain")[name].mean()
        was = plain.items().groupby("domain")[name].mean()
        assert mean["films"] == was["films"]
        assert mean["books"] > 1.1 * was["books"]
    users = shifted.users()
    segment = shifted.segments()
    here = [segment[users[f"in_{d}"]].mean() for d in ("films", "books")]
    assert here[0] + 0.2 < here[1]


def test_with_features_keeps_rows_order_and_index(world, log):
    rows = log.sample(500, random_state=0)
    wide = world.with_features(rows)
    assert wide.index.equals(rows.index)
    assert wide[list(rows)].equals(rows)
    users = world.users().set_index("user")
    items = world.items().set_index("item")
    for column in ("age_group", "in_books", "tenure_days"):
        expected = users.loc[rows["user"], column].to_numpy()
        assert (wide[column].to_numpy() == expected).all()
    for column in ("genre", "price", "words"):
        expected = items.loc[rows["item"], column].to_numpy()
        assert (wide[column].to_numpy() == expected).all()


def test_tables_are_copies(world):
    before = world.users()
    for table in (world.users(), world.items()):
        table.loc[:, list(table)[-1]] = table.iloc[0, -1]
    world.segments()[:] = 99
    world.tastes("films", "click")[:] = 0
    assert world.users().equals(before)
    assert world.items()["words"].nunique() > 1000
    assert world.segments().max() == 3
    assert world.tastes("films", "click").any()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda w: w.log(0), "n_rows must"),
        (lambda w: w.log(domain="music"), "domain must"),
        (lambda w: w.log(exposure="all"), "exposure must"),
        (lambda w: w.log(draw=-1), "draw must"),
        (lambda w: w.tastes("films", "share"), "response must"),
        (lambda w: w.with_features(pd.DataFrame({"user": [0]})), "'item'"),
        (
            lambda w: w.with_features(w.with_features(w.log(8))),
            "already",
        ),
    ],
)
def test_bad_arguments(world, call, told):
    with pytest.raises(ValueError, match=told):
        call(world)
