"""Writing a log: what was shown, and how it was answered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from mtlrec_utils.data.world_catalogue import SHOPS
from mtlrec_utils.data.world_dials import stream
from mtlrec_utils.data.world_exposure import PLACES, Exposure
from mtlrec_utils.data.world_responses import Impressions, Responder
from mtlrec_utils.data.world_tastes import RESPONSES, Floats


def write_log(
    seed: int, draw: int, shown: Exposure, responder: Responder
) -> pd.DataFrame:
    """Answer every impression and return the log (see `World.log`)."""
    at = shown.at
    random = {
        name: stream(seed, f"log {name}", draw)
        for name in ("hidden", *RESPONSES)
    }
    hidden = random["hidden"].standard_normal(len(at))
    click = _click_through(at, hidden, random["click"], responder)
    answers = responder.after_click(at, click, hidden, random)
    return pd.DataFrame(
        {
            "time": at.time,
            "session": shown.session,
            "domain": np.array(SHOPS, dtype=object)[at.shop],
            "user": at.user,
            "item": at.item,
            "position": at.position,
            "random_exposure": shown.random,
            "last_clicked": at.last_clicked,
            "click": click.astype(np.int8),
            **answers,
        }
    )


def answer_live(
    at: Impressions, responder: Responder, rng: np.random.Generator
) -> pd.DataFrame:
    """Answer impressions on their own (see `World.respond`)."""
    draws = dict(zip(RESPONSES, rng.spawn(len(RESPONSES)), strict=True))
    hidden = rng.standard_normal(len(at))
    logit = responder.click_logit(at) + responder.confounding * hidden
    chance = responder.examination(at.position) * expit(logit)
    click = draws["click"].random(len(at)) < chance
    answers = responder.after_click(at, click, hidden, draws)
    return pd.DataFrame({"click": click.astype(np.int8), **answers})


def _click_through(
    at: Impressions,
    hidden: Floats,
    random: np.random.Generator,
    responder: Responder,
) -> npt.NDArray[np.bool_]:
    """Click down every list, place by place; fills `at.last_clicked`."""
    luck = random.random(len(at))
    logit = responder.logit("click", at)
    if responder.confounding:
        logit += responder.confounding * hidden
    look = responder.examination(np.arange(PLACES))
    click = np.empty(len(at), dtype=bool)
    last = np.full(-(-len(at) // PLACES), -1, dtype=np.int32)
    for place in range(PLACES):
        here = slice(place, None, PLACES)
        item = at.item[here]
        last = last[: len(item)]
        at.last_clicked[here] = last
        chance = logit[here]
        if responder.session_memory:
            chance = chance + responder.memory(item, last)
        click[here] = luck[here] < look[place] * expit(chance)
        last = np.where(click[here], item, last)
    return click
