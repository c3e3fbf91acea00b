"""The stages of the funnel of lesson 05, and what is left after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.data import Schema, World
from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.real import Beibei
from mtlrec_utils.evidence import full_ranking
from mtlrec_utils.models.classic import ItemNeighbours, interaction_matrix


def ranker(
    model: Any,
    schema: Schema,
    people: Examples,
    catalogue: Examples,
    of_user: Sequence[str],
) -> Callable[[int, NDArray[np.integer]], NDArray[np.integer]]:
    """Return a function that orders some items for one user, best first.

    Args:
        model: predicts one task from user and item together.
        schema: what it was built from; without number features.
        people: a row per user, with any item.
        catalogue: a row per item, with any user.
        of_user: the features that come from `people`.

    Returns:
        ``ranked(user, candidates)``: item numbers in order.
    """
    from mtlrec_utils.learning import predict

    (task,) = schema.task_names
    theirs = np.concatenate(
        [
            np.full(column.stop - column.start, column.name in of_user)
            for column in schema.id_columns
        ]
    )

    def ranked(
        user: int, candidates: NDArray[np.integer]
    ) -> NDArray[np.integer]:
        ids = np.where(theirs, people.ids[user], catalogue.ids[candidates])
        rows = replace(catalogue.subset(candidates), ids=ids)
        score = predict(model, rows)[task]
        return candidates[np.argsort(-score, kind="stable")]

    return ranked


def cart_recall(data: Beibei, n_users: int = 2000) -> pd.DataFrame:
    """Recommend purchases from three kinds of pairs, in two ways.

    Args:
        data: cart and purchases.
        n_users: the first so many users are asked.

    Returns:
        A row per kind of pairs; recall@20 of the test purchase, among the
        items not bought in training, by item_neighbours, and by in_list:
        what the user's own pairs hold, in any order.
    """

    def matrix(frame: pd.DataFrame) -> Any:
        size = (data.n_users, data.n_items)
        return interaction_matrix(frame["user"], frame["item"], size)

    bought, asked = (
        matrix(frame)[:n_users] for frame in (data.train, data.test)
    )
    rows = {}
    for name, frame in {
        "purchases": data.train,
        "cart as it is": data.cart,
        "cart without test": data.cart_before_test(),
    }.items():
        pairs = matrix(frame)
        model = ItemNeighbours(50, shrinkage=20).fit(pairs)
        rows[name] = {
            way: full_ranking(asked, scores, bought).recall(20).mean()
            for way, scores in (
                ("item_neighbours", model.scores(np.arange(n_users))),
                ("in_list", pairs[:n_users].toarray()),
            )
        }
    return pd.DataFrame(rows).T


def true_chances(
    world: World, users: NDArray[np.integer], items: NDArray[np.integer]
) -> NDArray[np.float64]:
    """True P(click) of films on top of a list, [users, items]."""
    rows = pd.DataFrame(
        {
            "user": np.repeat(users, len(items)),
            "item": np.tile(items, len(users)),
            "domain": "films",
            "position": 0,
        }
    )
    chance = world.truth(rows)["click"].to_numpy()
    return chance.reshape(len(users), len(items))


def timed(
    ways: Mapping[str, Callable[[int], NDArray]],
    users: Sequence[int] | NDArray[np.integer],
    truth: NDArray[np.floating],
    groups: ArrayLike,
) -> pd.DataFrame:
    """Make every user's list in several ways; time and judge them.

    Args:
        ways: name -> function of a user that returns item numbers.
        users: user numbers, [U].
        truth: true P(click) of each of them and each item, [U, I].
        groups: group of each item, [I], such as its genre.

    Returns:
        Columns way, milliseconds (mean per user, one at a time, after one
        call that does not count), value (mean truth of the lists), groups
        (different ones in a list).
    """
    names = np.asarray(groups)
    rows = []
    for way, make in ways.items():
        make(int(users[0]))
        began = time.perf_counter()
        lists = np.array([make(int(user)) for user in users])
        spent = (time.perf_counter() - began) / len(users) * 1000
        value = np.take_along_axis(truth, lists, axis=1).mean()
        varied = np.mean([len(set(names[row])) for row in lists])
        rows.append((way, spent, value, varied))
    return pd.DataFrame(
        rows, columns=["way", "milliseconds", "value", "groups"]
    )


def kept_by_stage(
    stages: Mapping[str, Sequence[NDArray[np.integer]]],
    later: NDArray[np.bool_],
    truth: NDArray[np.floating],
) -> pd.DataFrame:
    """Say what is left after each stage of a funnel.

    Args:
        stages: name -> item numbers that a stage hands on, per user.
        later: whether the user clicks the item later, [U, I].
        truth: true P(click), [U, I].

    Returns:
        A row per stage: items (of each user), later_clicks (share of them
        that are among the items), best_10 (share of each user's ten most
        wanted items), true_click (mean true P(click) of the items).
    """
    wanted = np.argsort(-truth, axis=1)[:, :10]
    best = np.zeros(truth.shape, dtype=bool)
    np.put_along_axis(best, wanted, True, axis=1)
    rows = {}
    for name, lists in stages.items():
        mask = np.zeros(truth.shape, dtype=bool)
        np.put_along_axis(mask, np.array(lists), True, axis=1)
        rows[name] = {
            "items": mask.sum(axis=1).mean(),
            "later_clicks": (later & mask).sum() / later.sum(),
            "best_10": (best & mask).sum() / best.sum(),
            "true_click": truth[mask].mean(),
        }
    return pd.DataFrame(rows).T


def at_most(
    lists: NDArray[np.int64], groups: ArrayLike, most: int, length: int
) -> NDArray[np.int64]:
    """Re-rank: keep the order, but at most so many items of one group.

    Args:
        lists: item numbers, best first, [U, k].
        groups: group of each item of the catalogue, [I], such as its genre.
        most: items of one group in a list.
        length: items of a new list.

    Returns:
        Item numbers, [U, length]; -1 where too few are left.
    """
    codes, _ = pd.factorize(np.asarray(groups))
    found = np.full((len(lists), length), -1, dtype=np.int64)
    for u, row in enumerate(lists):
        here = pd.Series(codes[row])
        kept = row[here.groupby(here).cumcount().to_numpy() < most][:length]
        found[u, : len(kept)] = kept
    return found
