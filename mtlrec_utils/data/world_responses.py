"""How an impression is answered: the equations of the simulated world.

For user u, item i of shop d, shown at position k (0 is the top) and time t,
with a_r the user's taste for response r in shop d (`world_tastes`), q_i the
item's topics, g_r the user's generosity, e_r the item's appeal:

    z_r   = w_r <a_r(t), q_i> + 0.8 g_r + 0.8 e_r - c_r
    c_r   = 1.2 rho (w_r^2 + 2 0.8^2)^(1/2), and 0 for r = click
    m     = 1.5 session_memory <q_j / |q_j|, q_i>   (j: the item clicked last
            in this session; 0 before the first click)
    shift = prior_shift in books, 0 in films

    logit_click    = b + shift + strength (z_click + m) + confounding h
    logit_like     = b + shift + strength z_like
    logit_finish   = b + shift + strength (z_finish - 0.4 log-length)
    logit_purchase = b + shift + strength (z_purchase - 0.4 log-price)
                     + confounding h

    P(click)  = (1 + k)^(-position_bias) sigmoid(logit_click)
    watch     = mean exp(0.25 n - 0.25^2 / 2),  n standard normal
    mean      = minutes sigmoid(0.3 + strength z_watch)

with rho = `task_correlation`. Clicked rows are liked rows: their z_click is
about 1.2 standard deviations up, and so rho times that is z_r. Taking c_r off
keeps the rates among clicked rows much the same for every rho. Further,
strength = `taste_strength`, b the base of each response (`BASES`), log
length and price standardised, and h a standard normal cause of the single
impression that no column shows. The first factor of P(click) is the
examination probability: the position-based model of Craswell et al. (WSDM
2008) with the curve of Joachims et al. (WSDM 2017), 1 / rank^eta. Everything
but the click exists only after a click.

h is integrated out by the trapezoidal rule, whose error for a smooth
integrand that dies away at both ends is below 1e-6 here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from mtlrec_utils.data.world_catalogue import Items, minutes_of
from mtlrec_utils.data.world_tastes import RESPONSES, Floats

Ints = npt.NDArray[np.integer]

BINARY = ("click", "like", "finish", "purchase")
BASES = {
    "click": -0.9,
    "like": -0.8,
    "finish": -0.8,
    "purchase": -4.7,
    "watch_minutes": 0.3,
}
TASTE_WEIGHT = {
    "click": 1.6,
    "like": 1.6,
    "finish": 1.4,
    "purchase": 1.2,
    "watch_minutes": 1.0,
}
BIAS_WEIGHT = 0.8
CLICKED_ABOVE = 1.2
NUMBER_WEIGHT = 0.4
MEMORY_WEIGHT = 1.5
WATCH_NOISE = 0.25
HORIZON_DAYS = 60.0
_NODES = np.linspace(-6.0, 6.0, 33)
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Impressions:
    """Who was shown what, where and when: arrays of one length.

    `shop` is 0 for films and 1 for books; `item` counts over both shops;
    `last_clicked` is -1 before the first click of a session.
    """

    user: Ints
    item: Ints
    shop: Ints
    position: Ints
    time: Floats
    last_clicked: Ints

    def __len__(self) -> int:
        return len(self.user)

    def subset(self, index: npt.NDArray) -> Impressions:
        """Return the impressions at `index` (whole numbers or booleans)."""
        return Impressions(
            self.user[index],
            self.item[index],
            self.shop[index],
            self.position[index],
            self.time[index],
            self.last_clicked[index],
        )


@dataclass(frozen=True)
class Responder:
    """Computes logits and draws answers for impressions."""

    tastes: Floats  # [2 shops, 5 responses, n_users, 6]
    generosity: Floats  # [2 shops, 5 responses, n_users]
    items: Items
    turn: Floats  # [6, 6], see world_tastes.drift_turn
    task_correlation: float
    taste_strength: float
    prior_shift: float
    position_bias: float
    confounding: float
    session_memory: float
    drift: float

    def examination(self, position: npt.NDArray) -> Floats:
        """Return the probability that a position is looked at."""
        return np.power(1.0 + position, -float(self.position_bias))

    def cause(self, response: str, at: Impressions) -> Floats:
        """Return z_r: what taste, generosity and appeal add up to."""
        r = RESPONSES.index(response)
        n_users = self.tastes.shape[2]
        person = at.shop.astype(np.int64) * n_users + at.user
        taste = self.tastes[:, r].reshape(-1, self.tastes.shape[-1])
        topics = self.items.topics
        match = dots(taste, person, topics, at.item)
        if self.drift:
            angle = self.drift * (np.pi / 2) * at.time / HORIZON_DAYS
            turned = dots(taste @ self.turn.T, person, topics, at.item)
            match = np.cos(angle) * match + np.sin(angle) * turned
        match *= TASTE_WEIGHT[response]
        match += BIAS_WEIGHT * self.generosity[:, r].reshape(-1)[person]
        match += BIAS_WEIGHT * self.items.appeal[r][at.item]
        if response != "click":
            spread = np.hypot(TASTE_WEIGHT[response], 2**0.5 * BIAS_WEIGHT)
            match -= CLICKED_ABOVE * self.task_correlation * spread
        return match

    def logit(self, response: str, at: Impressions) -> Floats:
        """Return the logit of a binary response, without memory and h."""
        z = self.cause(response, at)
        if response == "finish":
            z -= NUMBER_WEIGHT * self.items.log_minutes[at.item]
        if response == "purchase":
            z -= NUMBER_WEIGHT * self.items.log_price[at.item]
        z *= self.taste_strength
        z += BASES[response] + self.prior_shift * at.shop
        return z

    def memory(self, item: Ints, last_clicked: Ints) -> Floats:
        """Return what the item clicked last adds to the click logit."""
        topics = self.items.topics
        unit = topics / np.linalg.norm(topics, axis=1, keepdims=True)
        near = dots(unit, np.maximum(last_clicked, 0), topics, item)
        near *= self.taste_strength * MEMORY_WEIGHT * self.session_memory
        return np.where(last_clicked >= 0, near, 0.0)

    def click_logit(self, at: Impressions) -> Floats:
        """Return the click logit with session memory, without h."""
        logit = self.logit("click", at)
        if self.session_memory:
            logit += self.memory(at.item, at.last_clicked)
        return logit

    def watch_mean(self, at: Impressions) -> Floats:
        """Return the mean of watch_minutes after a click."""
        part = self.taste_strength * self.cause("watch_minutes", at)
        minutes = minutes_of(self.items.log_minutes[at.item])
        return minutes * expit(part + BASES["watch_minutes"])

    def probabilities(self, at: Impressions) -> dict[str, Floats]:
        """Return the truth of every impression, hidden cause integrated."""
        click = self.click_logit(at)
        purchase = self.logit("purchase", at)
        attraction, bought, both = average_over_cause(
            click, purchase, self.confounding
        )
        given_click = both / attraction if self.confounding else bought
        like = expit(self.logit("like", at))
        finish = expit(self.logit("finish", at))
        return {
            "click": self.examination(at.position) * attraction,
            "like": like,
            "finish": finish,
            "purchase": bought,
            "watch_minutes": self.watch_mean(at),
            "like_given_click": like,
            "finish_given_click": finish,
            "purchase_given_click": given_click,
        }

    def after_click(
        self,
        at: Impressions,
        clicked: npt.NDArray,
        hidden: Floats,
        draws: dict[str, np.random.Generator],
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Draw the other responses on clicked rows; NaN elsewhere.

        Every stream is read once per impression, clicked or not, so that a
        dial that moves a few clicks leaves the other draws in their places.
        """
        n = len(at)
        where = np.flatnonzero(clicked)
        there = at.subset(where)
        answers = {}
        for response in BINARY[1:]:
            logit = self.logit(response, there)
            if response == "purchase" and self.confounding:
                logit += self.confounding * hidden[where]
            luck = draws[response].random(n)[where]
            answers[response] = _spread(luck < expit(logit), where, n)
        noise = draws["watch_minutes"].standard_normal(n)[where]
        watch = self.watch_mean(there)
        watch *= np.exp(WATCH_NOISE * noise - WATCH_NOISE**2 / 2)
        answers["watch_minutes"] = _spread(watch, where, n)
        return answers


def dots(left: Floats, i: Ints, right: Floats, j: Ints) -> Floats:
    """Return <left[i], right[j]> row by row, in blocks that fit the cache."""
    out = np.empty(len(i))
    for start in range(0, len(i), _BLOCK):
        part = slice(start, start + _BLOCK)
        np.einsum("nk,nk->n", left[i[part]], right[j[part]], out=out[part])
    return out


def average_over_cause(
    click: Floats, purchase: Floats, confounding: float
) -> tuple[Floats, Floats, Floats]:
    """Average over the hidden cause h ~ N(0, 1).

    Args:
        click: Click logits without h, `[n]`.
        purchase: Purchase logits without h, `[n]`.
        confounding: Weight of h in both logits.

    Returns:
        E sigmoid(click + c h), E sigmoid(purchase + c h), E of their product.
    """
    if not confounding:
        attraction, bought = expit(click), expit(purchase)
        return attraction, bought, attraction * bought
    weights = np.exp(-0.5 * _NODES**2)
    weights /= weights.sum()
    first, second, both = (np.zeros(len(click)) for _ in range(3))
    for node, weight in zip(_NODES, weights, strict=True):
        a = expit(click + confounding * node)
        b = expit(purchase + confounding * node)
        first += weight * a
        second += weight * b
        both += weight * a * b
    return first, second, both


def _spread(
    values: npt.NDArray, where: Ints, n: int
) -> npt.NDArray[np.float32]:
    spread = np.full(n, np.nan, dtype=np.float32)
    spread[where] = values
    return spread
