"""What the platform shows: sessions, users and lists of items.

A session is one user in one shop looking at a list of eight positions. The
policy of the platform

1. draws two candidates per place by popularity (Zipf's law with slope
   `popularity_skew` over the ranks of the items; an item may come again);
2. with probability `exposure_bias` keeps the one the user would sooner click,
   else the first;
3. orders the list by `exposure_bias` times that attraction plus noise, so
   that what stands at the top is better when the bias is up;
4. then replaces 2 % of all places, chosen blindly, by a uniformly drawn item
   and flags them: `random_exposure`.

With random exposure all places are filled uniformly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtlrec_utils.data.world_dials import stream
from mtlrec_utils.data.world_responses import HORIZON_DAYS, Impressions
from mtlrec_utils.data.world_tastes import Floats

PLACES = 8
FILMS_SHARE = 0.8
RANDOM_SHARE = 0.02
# Longest time between two items of a list: half a minute, in days.
PACE_DAYS = 0.5 / 1440


@dataclass(frozen=True)
class Exposure:
    """Impressions without answers, session after session."""

    session: npt.NDArray[np.int32]
    at: Impressions
    random: npt.NDArray[np.bool_]


def expose(
    seed: int,
    draw: int,
    n_rows: int,
    shops: tuple[int, ...],
    presence: npt.NDArray,
    share: Floats,
    attraction: Callable[[Impressions], Floats],
    exposure_bias: float,
    everything_random: bool,
) -> Exposure:
    """Return `n_rows` impressions in order of time.

    Args:
        seed: Seed of the world.
        draw: Number of the log; another number gives an independent log.
        n_rows: Impressions; the last session is cut where they end.
        shops: Shops that are open: (0,), (1,) or (0, 1).
        presence: Who is in which shop, bool `[2, n_users]`.
        share: Exposure share of every item, `[2, n_items]`.
        attraction: Score by which the platform thinks it pleases.
        exposure_bias: 0 ... 1.
        everything_random: Fill every place uniformly.
    """
    n_sessions = -(-n_rows // PLACES)
    n_items = share.shape[1]
    random = stream(seed, "log sessions", draw)
    starts = np.sort(random.random(n_sessions)) * HORIZON_DAYS
    in_films = random.random(n_sessions) < FILMS_SHARE
    shop = np.where(in_films, 0, 1)
    if len(shops) == 1:
        shop[:] = shops[0]
    user = _visitors(seed, draw, shop, presence)
    gap = np.append(np.diff(starts), PACE_DAYS) / PLACES
    pace = np.minimum(gap, PACE_DAYS)
    place = np.tile(np.arange(PLACES, dtype=np.int16), n_sessions)

    def lists(values: npt.NDArray) -> npt.NDArray:
        return np.repeat(values, PLACES)[:n_rows]

    place = place[:n_rows]
    at = Impressions(
        user=lists(user),
        item=np.zeros(n_rows, dtype=np.int32),
        shop=lists(shop),
        position=place,
        time=lists(starts) + lists(pace) * place,
        last_clicked=np.full(n_rows, -1, dtype=np.int32),
    )
    uniform = stream(seed, "log random items", draw)
    blind = uniform.integers(n_items, size=n_rows)
    flag = uniform.random(n_rows) < RANDOM_SHARE
    if everything_random:
        flag = np.ones(n_rows, dtype=bool)
        item = blind
    else:
        item = _policy(seed, draw, at, share, attraction, exposure_bias)
        item[flag] = blind[flag]
    at.item[:] = item + n_items * at.shop
    return Exposure(lists(np.arange(n_sessions, dtype=np.int32)), at, flag)


def _visitors(
    seed: int, draw: int, shop: npt.NDArray, presence: npt.NDArray
) -> npt.NDArray[np.int32]:
    """Draw one user per session; some users come far more often."""
    habit = np.exp(0.6 * stream(seed, "activity").normal(size=presence.shape))
    ticket = stream(seed, "log users", draw).random(len(shop))
    user = np.empty(len(shop), dtype=np.int32)
    for d in (0, 1):
        members = np.flatnonzero(presence[d])
        here = shop == d
        user[here] = members[_pick(habit[d, members], ticket[here])]
    return user


def _policy(
    seed: int,
    draw: int,
    at: Impressions,
    share: Floats,
    attraction: Callable[[Impressions], Floats],
    exposure_bias: float,
) -> npt.NDArray[np.int64]:
    """Choose and order the items of every list; counts within the shop."""
    n_rows = len(at)
    random = stream(seed, "log candidates", draw)
    tickets = random.random((2, n_rows))
    better = random.random(n_rows) < exposure_bias
    noise = random.gumbel(size=n_rows)
    pair = np.empty((2, n_rows), dtype=np.int64)
    for d in (0, 1):
        here = at.shop == d
        for c in (0, 1):
            pair[c, here] = _pick(share[d], tickets[c, here])
    if not exposure_bias:
        return pair[0]
    offset = share.shape[1] * at.shop
    liking = []
    for items in pair:
        at.item[:] = items + offset
        liking.append(attraction(at))
    second = better & (liking[1] > liking[0])
    item = np.where(second, pair[1], pair[0])
    key = np.where(second, liking[1], liking[0]) * exposure_bias + noise
    whole = n_rows - n_rows % PLACES
    order = np.argsort(-key[:whole].reshape(-1, PLACES), axis=1)
    order += np.arange(0, whole, PLACES)[:, None]
    item[:whole] = item[order.ravel()]
    return item


def _pick(weights: Floats, tickets: Floats) -> npt.NDArray[np.int64]:
    """Turn uniform tickets into indices drawn in proportion to weights."""
    reach = np.cumsum(weights)
    index = np.searchsorted(reach / reach[-1], tickets, side="right")
    return np.minimum(index, len(weights) - 1)
