"""Rows to classify in Lantern: users, films and pairs of films, by words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mtlrec_utils.data.world_catalogue import GENRES
from mtlrec_utils.data.world_relations import (
    RELATIONS,
    best_class_metrics,
    genre_truth,
    item_relations,
    relation_truth,
)

if TYPE_CHECKING:
    from mtlrec_utils.data.world import World

#: A film's title is its first words; a history is of so many films.
TITLE_WORDS, HISTORY_ITEMS = 3, 10


def classified_rows(
    world: World, n_rows: int = 120_000, n_pairs: int = 8000
) -> dict[str, pd.DataFrame]:
    """Return rows of three kinds, each with its words and its class.

    Args:
        world: the world; its films are taken.
        n_rows: impressions of the log that histories come from.
        n_pairs: pairs of films to draw.

    Returns:
        "users", indexed by user: history, a list of the words in the
        titles of the films clicked last, the latest at the end; segment.
        "items", indexed by film: words, category (place in `GENRES`).
        "pairs": item, other_item, words, other_words, relation (place in
        `RELATIONS`). Words are lists; classes are whole numbers from 0.
    """
    films = world.items().iloc[: world.n_items]
    words = films["words"].str.split()
    clicked = world.log(n_rows, domain="films").query("click == 1")
    titles = words.str[:TITLE_WORDS]
    taken = pd.Series(titles[clicked["item"]].array, clicked["user"].array)
    history: pd.Series = taken.groupby(level=0).agg(
        lambda rows: sum(rows[-HISTORY_ITEMS:], [])
    )
    users = {"history": history, "segment": world.segments()[history.index]}
    items = {"words": words, "category": films["genre"].map(GENRES.index)}
    pairs = item_relations(world, n_pairs)[["item", "other_item", "relation"]]
    for prefix in ("", "other_"):
        pairs[f"{prefix}words"] = words[pairs[f"{prefix}item"]].array
    pairs["relation"] = pairs["relation"].map(RELATIONS.index)
    return {
        "users": pd.DataFrame(users),
        "items": pd.DataFrame(items),
        "pairs": pairs,
    }


def best_losses(
    world: World, items: pd.DataFrame, pairs: pd.DataFrame
) -> dict[str, float]:
    """Return the log loss of a model that knows the truth, in nats.

    Args:
        world: the world of the rows.
        items: rows of "items" from `classified_rows`.
        pairs: rows of "pairs".

    Returns:
        "category" and "relation". That of a segment is not known: a history
        tells of it in no closed form.
    """
    truths = {
        "category": genre_truth(world, items.index),
        "relation": relation_truth(world, pairs),
    }
    return {
        task: float(
            best_class_metrics(truth).set_index("metric")["value"]["log_loss"]
        )
        for task, truth in truths.items()
    }
