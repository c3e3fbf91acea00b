"""How items of the simulated world relate to each other.

Two different items of a shop are in the *same series*, are *bought together*,
are *substitutes* of each other, or have *none* of these relations. With t_i
the topics of item i (`world_catalogue`) at length 1,

    logit_r(i, j) = b_r + 7 <t_i, M_r t_j>,        logit_none = 0
    P(relation of i and j is r) = softmax_r

Each M_r is symmetric, so P(i, j) = P(j, i). The six topics are dealt out
anew in every world:

* three of them come in series: M_same_series projects on these, so that two
  items alike in them are likely parts of one series;
* the other three do not: M_substitute projects on those;
* each topic has a partner: M_bought_together swaps the three pairs.

Which relation holds is a fact of the pair, not of a draw: it is looked up at
u(i, j), a number in [0, 1) hashed from the pair and from the stream
"relations" of the world's seed. No other draw of the world is touched.

The genre is a class of one item. It is the largest of topics plus noise
(`world_catalogue.draw_items`), so its probabilities are known too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, softmax

from mtlrec_utils.data.world_catalogue import GENRES, SHOPS
from mtlrec_utils.data.world_dials import stream
from mtlrec_utils.data.world_responses import dots
from mtlrec_utils.data.world_rows import shop_number
from mtlrec_utils.data.world_tastes import TASTE_DIMENSION, Floats

if TYPE_CHECKING:
    from mtlrec_utils.data.world import World

RELATIONS = ("none", "same_series", "bought_together", "substitute")
BASES = {"same_series": -2.2, "bought_together": -2.0, "substitute": -2.2}
TOPIC_WEIGHT = 7.0
# Share of the pairs of a draw that come from one shelf (genre): among pairs
# drawn at random few would be alike.
SAME_SHELF = 0.5
GENRE_NOISE = 0.5
_BLOCK = 1 << 14
_NODES = np.linspace(-6.0, 6.0, 97)


class _Rules(NamedTuple):
    """How one world's topics relate its items."""

    matrices: Floats  # [3, 6, 6], symmetric, in the order of RELATIONS[1:]
    key: np.uint64  # of the hash that places each pair in [0, 1)


def item_relations(
    world: World, n_rows: int, *, domain: str = "films", draw: int = 0
) -> pd.DataFrame:
    """Draw distinct pairs of items and tell how each is related.

    Half of the draws are two items of one genre, half are any two; a pair
    drawn again is skipped. Fewer rows are the first ones of more.

    Args:
        world: the world; only its `seed`, catalogue and topics matter.
        n_rows: pairs, at most a quarter of all there are.
        domain: "films" or "books".
        draw: another number gives other pairs of the same world.

    Returns:
        A frame with domain, item, other_item, the visible columns of both
        (genre, minutes, price, words, and other_genre ... other_words) and
        relation, one of `RELATIONS`.

    Raises:
        ValueError: an argument is out of its range.
    """
    shop = shop_number(domain)
    most = world.n_items * (world.n_items - 1) // 8
    for name, value, low, high in (
        ("n_rows", n_rows, 1, most),
        ("draw", draw, 0, None),
    ):
        whole = isinstance(value, int | np.integer)
        if not whole or isinstance(value, bool) or value < low:
            raise ValueError(
                f"{name} must be a whole number from {low} up, not {value!r}."
            )
        if high is not None and value > high:
            raise ValueError(
                f"n_rows is {value}, but this shop's {world.n_items} items "
                f"have {4 * high} pairs, and a draw is at most a quarter of "
                f"them: {high}. Ask for fewer, or enlarge n_items."
            )
    items = world.items()
    first, second = _distinct_pairs(world, shop, int(n_rows), int(draw), items)
    visible = items.drop(columns=["item", "domain"])
    parts = [pd.DataFrame({"item": first, "other_item": second})]
    for prefix, item in (("", first), ("other_", second)):
        parts.append(
            visible.take(item).reset_index(drop=True).add_prefix(prefix)
        )
    pairs = pd.concat(parts, axis=1)
    pairs.insert(0, "domain", SHOPS[shop])
    return pairs.assign(relation=relation_of(world, pairs))


def relation_of(world: World, pairs: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Look up the relation of each pair, `[n]`, one of `RELATIONS`.

    Args:
        world: the world.
        pairs: columns item and other_item, two different items of one shop.

    Raises:
        ValueError: a column is missing, or a pair is no pair of one shop.
    """
    first, second = _items_of(world, pairs)
    chances = _probabilities(world, first, second)
    place = _uniform(_rules(world.seed).key, first, second)
    reached = (place[:, None] >= chances.cumsum(axis=1)).sum(axis=1)
    last = len(RELATIONS) - 1
    return np.array(RELATIONS, dtype=object)[np.minimum(reached, last)]


def relation_truth(world: World, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the true probability of each relation, given the topics.

    Args:
        world: the world.
        pairs: as for `relation_of`.

    Returns:
        A frame with the index of `pairs` and one column per relation.
    """
    chances = _probabilities(world, *_items_of(world, pairs))
    return pd.DataFrame(chances, pairs.index, list(RELATIONS))


def genre_truth(world: World, items: npt.ArrayLike) -> pd.DataFrame:
    """Return the true probability of each genre, given the topics.

    Args:
        world: the world.
        items: numbers of items, `[n]`.

    Returns:
        A frame with one row per item and one column per genre; errors of
        the numerical integral are below 1e-6.
    """
    topics = world.topics()[np.asarray(items)]
    weights = np.exp(-0.5 * _NODES**2)
    weights /= weights.sum()
    chances = np.zeros(topics.shape)
    for node, weight in zip(_NODES, weights, strict=True):
        for genre in range(len(GENRES)):
            # Genre g wins if each other topic plus noise stays below.
            lead = (topics[:, [genre]] - topics) / GENRE_NOISE + node
            below = ndtr(lead)
            below[:, genre] = 1.0
            chances[:, genre] += weight * below.prod(axis=1)
    return pd.DataFrame(chances, columns=list(GENRES))


def best_class_metrics(truth: pd.DataFrame) -> pd.DataFrame:
    """Return what a model that knows the truth is expected to score.

    Args:
        truth: probabilities of the classes, a row each, as from
            `relation_truth` or `genre_truth`.

    Returns:
        A frame metric ("log_loss" in nats, "accuracy"), value.
    """
    p = truth.to_numpy()
    logs = np.log(np.maximum(p, np.finfo(np.float64).tiny))
    values = [-(p * logs).sum(axis=1).mean(), p.max(axis=1).mean()]
    return pd.DataFrame({"metric": ["log_loss", "accuracy"], "value": values})


def _rules(seed: int) -> _Rules:
    random = stream(seed, "relations")
    topics = random.permutation(TASTE_DIMENSION)
    half = TASTE_DIMENSION // 2
    series, swap = np.zeros((2, TASTE_DIMENSION, TASTE_DIMENSION))
    series[topics[:half], topics[:half]] = 1.0
    partners = random.permutation(TASTE_DIMENSION)
    swap[partners[:half], partners[half:]] = 1.0
    rest = np.eye(TASTE_DIMENSION) - series
    key = random.integers(2**64, dtype=np.uint64)
    return _Rules(np.stack([series, swap + swap.T, rest]), key)


def _probabilities(
    world: World, first: npt.NDArray, second: npt.NDArray
) -> Floats:
    topics = world.topics()
    unit = topics / np.linalg.norm(topics, axis=1, keepdims=True)
    logits = np.zeros((len(first), len(RELATIONS)))
    matrices = _rules(world.seed).matrices
    for column, name in enumerate(RELATIONS[1:], start=1):
        match = dots(unit @ matrices[column - 1], first, unit, second)
        logits[:, column] = BASES[name] + TOPIC_WEIGHT * match
    return softmax(logits, axis=1)


def _uniform(
    key: np.uint64, first: npt.NDArray, second: npt.NDArray
) -> Floats:
    """Hash each unordered pair into [0, 1): the finaliser of SplitMix64.

    Steele, Lea & Flood, Fast Splittable Pseudorandom Number Generators,
    OOPSLA 2014.
    """
    low = np.minimum(first, second).astype(np.uint64)
    high = np.maximum(first, second).astype(np.uint64)
    z = (low << np.uint64(32)) + high
    z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + key
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _distinct_pairs(
    world: World, shop: int, n_rows: int, draw: int, items: pd.DataFrame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw pairs in blocks of one size until enough are different."""
    n, start = world.n_items, shop * world.n_items
    codes = pd.factorize(items["genre"].iloc[start : start + n])[0]
    shelf = np.argsort(codes, kind="stable")  # items, genre by genre
    size = np.bincount(codes)
    begin = np.cumsum(size) - size
    random = stream(world.seed, "relation pairs", shop, draw)
    found = np.empty((0, 2), dtype=np.int64)
    while True:
        first = random.integers(n, size=_BLOCK)
        anywhere = random.integers(n, size=_BLOCK)
        genre = codes[first]
        place = (random.random(_BLOCK) * size[genre]).astype(np.int64)
        alike = shelf[begin[genre] + place]
        near = random.random(_BLOCK) < SAME_SHELF
        second = np.where(near, alike, anywhere)
        block = np.stack([first, second], axis=1)[first != second]
        found = np.concatenate([found, block])
        low, high = found.min(axis=1), found.max(axis=1)
        _, seen = np.unique(low * n + high, return_index=True)
        found = found[np.sort(seen)]
        if len(found) >= n_rows:
            break
    first, second = (start + found[:n_rows]).T
    return first.astype(np.int32), second.astype(np.int32)


def _items_of(
    world: World, pairs: pd.DataFrame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Check the pairs and return both columns of items."""
    columns = []
    for name in ("item", "other_item"):
        if name not in pairs:
            raise ValueError(
                f"pairs have no column {name!r}; the relation depends on it."
            )
        values = pairs[name].to_numpy(dtype=np.float64, na_value=np.nan)
        known = (values >= 0) & (values < 2 * world.n_items)
        wrong = ~known | (values != np.floor(values))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"column {name!r} holds {values[row]:g} (row {row}); the "
                f"items of this world are 0 to {2 * world.n_items - 1}."
            )
        columns.append(values.astype(np.int64))
    first, second = columns
    for wrong, what in (
        (first == second, "pairs an item with itself"),
        (first // world.n_items != second // world.n_items, "mixes shops"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"row {row} {what}: {first[row]} and {second[row]}. A "
                "relation is that of two different items of one shop."
            )
    return first, second
