"""Turning a dial changes what the dial is about, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import World

SMALL = {"n_users": 300, "n_items": 60, "seed": 5}
ROWS = 8_000
# What a world consists of: the user table, the item table, the exposure
# (who was shown what, where and when) and the truth of a fixed set of rows.
# Each dial names the columns that may move; all others must stay, bit by bit.
USERS = {"in_films", "in_books", "age_group", "region", "device",
         "tenure_days"}  # fmt: skip
EXPOSURE = {"time", "session", "domain", "user", "item", "position",
            "random_exposure"}  # fmt: skip
AFTER_CLICK = {"like", "finish", "purchase", "watch_minutes",
               "like_given_click", "finish_given_click",
               "purchase_given_click"}  # fmt: skip
TRUTH = {"click"} | AFTER_CLICK
BINARY = TRUTH - {"watch_minutes"}
# A list is ordered and chosen by what users like, so with exposure_bias up
# the shown items follow the click taste. The tests here set it to 0.
MOVES = {
    "task_correlation": (-0.4, AFTER_CLICK),
    "domain_similarity": (0.9, {"books truth"}),
    "user_overlap": (0.8, {"in_films", "in_books", "user"}),
    "domain_shift": (1.0, {"in_films", "in_books", "user", "books truth",
                           "genre", "minutes", "price", "words"}),
    "prior_shift": (1.0, {"books binary truth"}),
    "popularity_skew": (0.2, {"item"}),
    "exposure_bias": (0.7, {"item"}),
    "position_bias": (1.2, {"click"}),
    "confounding": (1.5, {"click", "purchase", "purchase_given_click"}),
    "session_memory": (0.8, {"click"}),
    "text_signal": (0.0, {"words"}),
    "drift": (0.7, TRUTH),
    "taste_strength": (0.3, TRUTH),
    "segment_strength": (0.1, TRUTH),
}  # fmt: skip


def build(**dials):
    return World(**SMALL, **{"exposure_bias": 0.0, **dials})


def fixed_rows():
    """Rows that do not come from the world under test."""
    random = np.random.default_rng(8)
    n = 4_000
    shop = random.integers(2, size=n)
    own = 60 * shop
    last = random.integers(-1, 60, size=n)
    return pd.DataFrame(
        {
            "time": random.uniform(1, 60, n),
            "domain": np.array(["films", "books"])[shop],
            "user": random.integers(300, size=n),
            "item": random.integers(60, size=n) + own,
            "position": random.integers(1, 8, size=n),
            "last_clicked": np.where(last < 0, -1, last + own),
        }
    )


def state(world):
    """Everything about a world that a dial can move, as named columns."""
    rows = fixed_rows()
    truth = world.truth(rows)
    log = world.log(ROWS)
    parts = {name: world.users()[name] for name in USERS}
    parts |= {name: log[name] for name in EXPOSURE}
    parts |= {
        name: world.items()[name]
        for name in ("genre", "minutes", "price", "words")
    }
    for shop in ("films", "books"):
        here = (rows["domain"] == shop).to_numpy()
        for name in truth:
            parts[shop, name] = truth.loc[here, name]
    return parts


def allowed(moves):
    """Translate the short names of MOVES to the keys of `state`."""
    keys = set()
    for name in moves:
        if name in TRUTH:
            keys |= {("films", name), ("books", name)}
        elif name == "books truth":
            keys |= {("books", each) for each in TRUTH}
        elif name == "books binary truth":
            keys |= {("books", each) for each in BINARY}
        else:
            keys.add(name)
    return keys


@pytest.fixture(scope="module")
def before():
    return state(build())


@pytest.mark.parametrize("dial", MOVES)
def test_a_dial_moves_its_own_columns_only(dial, before):
    value, moves = MOVES[dial]
    after = state(build(**{dial: value}))
    moved = {key for key in before if not before[key].equals(after[key])}
    assert moved == allowed(moves)


def test_every_dial_is_tested():
    sizes = {"n_users", "n_items", "n_rows", "seed", "n_segments"}
    assert set(World.__dataclass_fields__) == set(MOVES) | sizes


def test_seed_moves_everything_drawn(before):
    after = state(World(**{**SMALL, "seed": 6}, exposure_bias=0.0))
    same = {key for key in before if before[key].equals(after[key])}
    assert same == {"session", "position"}


def test_n_segments_leaves_presence_and_catalogue_alone(before):
    after = state(build(n_segments=7))
    for name in ("in_films", "in_books", "genre", "words", "item", "user"):
        assert before[name].equals(after[name])
    assert not before["age_group"].equals(after["age_group"])
    assert set(build(n_segments=7).segments()) == set(range(7))


def test_n_rows_is_the_default_length():
    assert len(World(**SMALL, n_rows=1234).log()) == 1234
    assert len(World(**SMALL, n_rows=1234).log(77)) == 77


def test_luck_stays_in_place_when_a_dial_moves_a_few_clicks():
    # The likes of rows clicked in both worlds come from the same draws.
    first, second = (build(position_bias=b).log(ROWS) for b in (0.5, 0.6))
    both = (first["click"] == 1) & (second["click"] == 1)
    assert (first["click"] != second["click"]).any()
    for name in ("like", "finish", "purchase", "watch_minutes"):
        assert first.loc[both, name].equals(second.loc[both, name])


@pytest.mark.parametrize(
    ("dial", "value", "told"),
    [
        ("task_correlation", 1.01, "-1 to 1"),
        ("domain_similarity", -0.1, "0 to 1"),
        ("user_overlap", 1.5, "0 to 1"),
        ("domain_shift", -1, "0 to 3"),
        ("prior_shift", float("nan"), "-3 to 3"),
        ("popularity_skew", 3.1, "0 to 3"),
        ("exposure_bias", "0.5", "0 to 1"),
        ("position_bias", 2.5, "0 to 2"),
        ("confounding", -0.5, "0 to 3"),
        ("session_memory", 2, "0 to 1"),
        ("text_signal", None, "0 to 1"),
        ("drift", float("inf"), "0 to 1"),
        ("taste_strength", -1, "0 to 3"),
        ("segment_strength", 1.2, "0 to 1"),
        ("n_users", 9, "10 to"),
        ("n_items", 20.0, "10 to"),
        ("n_rows", 0, "1 to"),
        ("n_segments", True, "1 to 20"),
        ("seed", -1, "0 to"),
    ],
)
def test_out_of_range_names_dial_and_range(dial, value, told):
    with pytest.raises(ValueError, match=f"^{dial} must be .*{told}"):
        World(**{dial: value})


@pytest.mark.parametrize("n_segments", [1, 20])
@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_of_all_ranges_work(end, n_segments):
    from mtlrec_utils.data.world_dials import DIALS

    dials = {name: limits[end] for name, limits in DIALS.items()}
    world = World(n_users=10, n_items=10, n_segments=n_segments, **dials)
    log = world.log(500)
    truth = world.truth(log)
    assert np.isfinite(truth.to_numpy()).all()
    assert len(world.with_features(log)) == 500
