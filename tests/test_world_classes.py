"""Rows to classify: their words, their classes, and the best possible."""

import numpy as np
import pytest

from mtlrec_utils.data import World
from mtlrec_utils.data.world_catalogue import GENRES
from mtlrec_utils.data.world_classes import best_losses, classified_rows
from mtlrec_utils.data.world_relations import (
    RELATIONS,
    genre_truth,
    relation_of,
)

WORLD = World(n_users=200, n_items=150, segment_strength=0.8, seed=4)
ROWS = classified_rows(WORLD, n_rows=4000, n_pairs=400)
FILMS = WORLD.items().iloc[: WORLD.n_items]


def test_items_have_their_words_and_genre():
    items = ROWS["items"]
    assert len(items) == WORLD.n_items
    assert items["words"].str.join(" ").tolist() == FILMS["words"].tolist()
    named = [GENRES[place] for place in items["category"]]
    assert named == FILMS["genre"].tolist()


def test_pairs_have_both_words_and_their_relation():
    pairs = ROWS["pairs"]
    assert len(pairs) == 400
    for prefix in ("", "other_"):
        here = FILMS["words"][pairs[f"{prefix}item"]]
        assert pairs[f"{prefix}words"].str.join(" ").tolist() == here.tolist()
    named = np.array(RELATIONS)[pairs["relation"]]
    assert (named == relation_of(WORLD, pairs)).all()


def test_a_history_is_the_titles_of_the_last_clicks():
    users = ROWS["users"]
    clicked = WORLD.log(4000, domain="films").query("click == 1")
    for user in users.index[:20]:
        last = clicked.loc[clicked["user"] == user, "item"].tail(10)
        titles = FILMS["words"][last].str.split().str[:3]
        assert users["history"][user] == sum(titles, [])
    assert (users["segment"] == WORLD.segments()[users.index]).all()
    assert users["history"].str.len().max() == 30


def test_best_losses_are_the_entropy_of_the_truth():
    found = best_losses(WORLD, ROWS["items"], ROWS["pairs"])
    p = genre_truth(WORLD, ROWS["items"].index).to_numpy()
    assert found["category"] == pytest.approx(
        -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1).mean()
    )
    assert 0 < found["relation"] < np.log(len(RELATIONS))
