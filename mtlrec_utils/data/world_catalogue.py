"""Visible columns: who the users are and what the items show.

Names of genres and words are made up; both shops share one vocabulary, so
what a word tells in films it also tells in books.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data.world_dials import stream
from mtlrec_utils.data.world_tastes import (
    RESPONSES,
    TASTE_DIMENSION,
    Floats,
    mix_with_click,
)

SHOPS = ("films", "books")
GENRES = ("adventure", "comedy", "crime", "fantasy", "history", "romance")
AGE_GROUPS = ("under 20", "20-29", "30-44", "45-59", "60 and over")
REGIONS = ("north", "east", "south", "west", "coast", "hills")
DEVICES = ("phone", "tablet", "television")
# How often a profile column tells the truth about the segment.
PROFILE_TRUTH = {"age_group": 0.7, "region": 0.6, "device": 0.5}
WORDS_PER_TOPIC = 40
WORDS_PER_ITEM = 12
# Part of the squared length of an item's topics that is its genre's.
GENRE_SHARE = 0.6
# A shift of topics in books when `domain_shift` is 1: more of the first two
# genres, fewer of the next two.
TOPIC_SHIFT = np.array([0.5, 0.5, -0.5, -0.5, 0, 0])


@dataclass(frozen=True)
class Items:
    """Hidden and visible properties of all items; books follow films."""

    topics: Floats  # [2 * n_items, 6], standard normal (books are shifted)
    appeal: Floats  # [5 responses, 2 * n_items], standard normal
    log_minutes: Floats  # [2 * n_items], standardised by the films' law
    log_price: Floats  # [2 * n_items], standardised by the films' law
    share: Floats  # [2 shops, n_items], exposure share by popularity
    frame: pd.DataFrame


def vocabulary() -> npt.NDArray:
    """Return the made-up words, `[6 topics, 40]`; the same in every world."""
    starts = ["ba", "de", "fi", "go", "ku", "la", "me"]
    starts += ["ni", "po", "ru", "sa", "te", "vi", "zo"]
    middles = ("ca", "lo", "mi")
    ends = ("lan", "mer", "nok", "pim", "rad", "sil", "tov", "wen")
    words = [s + m + e for m in middles for s in starts for e in ends]
    # A fixed shuffle, so that spelling says nothing about the topic.
    order = stream(0, "vocabulary").permutation(len(words))
    chosen = np.array(words)[order[: TASTE_DIMENSION * WORDS_PER_TOPIC]]
    return chosen.reshape(TASTE_DIMENSION, WORDS_PER_TOPIC)


def memberships(
    seed: int,
    segments: npt.NDArray,
    n_segments: int,
    user_overlap: float,
    domain_shift: float,
) -> npt.NDArray:
    """Return who is present in films and in books, bool `[2, n_users]`.

    Exactly round(user_overlap * n_users) users are in both shops; of the
    others 70 % are in films only. With `domain_shift` users of later segments
    prefer books.
    """
    n = len(segments)
    both = round(user_overlap * n)
    films_only = round(0.7 * (n - both))
    random = stream(seed, "memberships")
    in_both = np.zeros(n, dtype=bool)
    in_both[random.permutation(n)[:both]] = True
    lean = segments / max(n_segments - 1, 1) - 0.5
    key = random.normal(size=n) + 2.0 * domain_shift * lean
    key[in_both] = np.inf
    films = in_both.copy()
    films[np.argsort(key, kind="stable")[:films_only]] = True
    return np.stack([films, in_both | ~films])


def users_frame(
    seed: int,
    segments: npt.NDArray,
    presence: npt.NDArray,
) -> pd.DataFrame:
    """Return one row per user: presence and profile."""
    columns: dict[str, object] = {
        "user": np.arange(len(segments), dtype=np.int32),
        "in_films": presence[0],
        "in_books": presence[1],
    }
    signs = {
        "age_group": (AGE_GROUPS, segments),
        "region": (REGIONS, 2 * segments + segments // 3),
        "device": (DEVICES, segments),
    }
    for column, (names, sign) in signs.items():
        random = stream(seed, f"profile {column}")
        tells = random.random(len(segments)) < PROFILE_TRUTH[column]
        other = random.integers(len(names), size=len(segments))
        code = np.where(tells, sign % len(names), other)
        columns[column] = np.array(names, dtype=object)[code]
    days = stream(seed, "profile tenure").exponential(400, len(segments))
    columns["tenure_days"] = np.ceil(days).astype(np.int32)
    return pd.DataFrame(columns)


def draw_items(
    seed: int,
    n_items: int,
    task_correlation: float,
    domain_shift: float,
    popularity_skew: float,
    text_signal: float,
) -> Items:
    """Draw both catalogues."""
    total = 2 * n_items
    shift = domain_shift * (np.arange(total) >= n_items)
    random = stream(seed, "topics")
    kind = random.integers(TASTE_DIMENSION, size=total)
    topics = random.normal(size=(total, TASTE_DIMENSION))
    topics *= np.sqrt(1.0 - GENRE_SHARE)
    topics[range(total), kind] += np.sqrt(GENRE_SHARE * TASTE_DIMENSION)
    topics += shift[:, None] * TOPIC_SHIFT
    appeal = mix_with_click(
        stream(seed, "appeal").normal(size=(len(RESPONSES), total)),
        task_correlation,
    )
    minutes = stream(seed, "minutes").normal(size=total) + 0.5 * shift
    price = stream(seed, "price").normal(size=total) + 0.5 * shift
    noise = stream(seed, "genre").normal(size=topics.shape)
    genre = np.argmax(topics + 0.5 * noise, axis=1)
    frame = pd.DataFrame(
        {
            "item": np.arange(total, dtype=np.int32),
            "domain": np.repeat(np.array(SHOPS, dtype=object), n_items),
            "genre": np.array(GENRES, dtype=object)[genre],
            "minutes": np.round(minutes_of(minutes), 1),
            "price": np.round(8.0 * np.exp(0.4 * price), 2),
            "words": _words(seed, topics, text_signal),
        }
    )
    share = _exposure_share(seed, appeal[0].reshape(2, -1), popularity_skew)
    return Items(topics, appeal, minutes, price, share, frame)


def minutes_of(log_minutes: Floats) -> Floats:
    """Return the length in minutes of a standardised log length."""
    return 90.0 * np.exp(0.3 * log_minutes)


def _exposure_share(seed: int, appeal: Floats, skew: float) -> Floats:
    """Zipf's law over ranks; appealing items tend to rank high."""
    key = -appeal - stream(seed, "popularity").normal(size=appeal.shape)
    rank = np.argsort(np.argsort(key, axis=1, kind="stable"), axis=1)
    share = (1.0 + rank) ** -float(skew)
    return share / share.sum(axis=1, keepdims=True)


def _words(seed: int, topics: Floats, text_signal: float) -> list[str]:
    """Write twelve words per item.

    Each word comes with probability `text_signal` from a topic drawn by
    softmax(1.5 topics), else from any topic; within a topic by Zipf's law.
    """
    random = stream(seed, "words")
    size = (len(topics), WORDS_PER_ITEM)
    odds = np.exp(1.5 * topics)
    reach = np.cumsum(odds, axis=1) / odds.sum(axis=1, keepdims=True)
    draw = random.random(size)[:, :, None]
    told = np.minimum((draw > reach[:, None, :]).sum(2), TASTE_DIMENSION - 1)
    other = random.integers(TASTE_DIMENSION, size=size)
    topic = np.where(random.random(size) < text_signal, told, other)
    zipf = 1.0 / np.arange(1, WORDS_PER_TOPIC + 1)
    place = random.choice(WORDS_PER_TOPIC, size=size, p=zipf / zipf.sum())
    return [" ".join(row) for row in vocabulary()[topic, place]]
