"""Putting a world together from its dials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data.world_catalogue import (
    Items,
    draw_items,
    memberships,
    users_frame,
)
from mtlrec_utils.data.world_responses import Responder
from mtlrec_utils.data.world_tastes import (
    draw_segments,
    drift_turn,
    generosity,
    taste_vectors,
)

if TYPE_CHECKING:
    from mtlrec_utils.data.world import World


@dataclass(frozen=True)
class Parts:
    """All that is drawn once per world, hidden and visible."""

    segments: npt.NDArray[np.int64]  # [n_users]
    presence: npt.NDArray[np.bool_]  # [2 shops, n_users]
    users: pd.DataFrame
    items: Items
    responder: Responder


def assemble(dials: World) -> Parts:
    """Draw users, items and tastes."""
    segments = draw_segments(dials.seed, dials.n_users, dials.n_segments)
    presence = memberships(
        dials.seed,
        segments,
        dials.n_segments,
        dials.user_overlap,
        dials.domain_shift,
    )
    items = draw_items(
        dials.seed,
        dials.n_items,
        dials.task_correlation,
        dials.domain_shift,
        dials.popularity_skew,
        dials.text_signal,
    )
    tastes = taste_vectors(
        dials.seed,
        segments,
        dials.n_segments,
        dials.segment_strength,
        dials.task_correlation,
        dials.domain_similarity,
    )
    readiness = generosity(
        dials.seed,
        dials.n_users,
        dials.task_correlation,
        dials.domain_similarity,
    )
    responder = Responder(
        tastes=tastes,
        generosity=readiness,
        items=items,
        turn=drift_turn(dials.seed),
        task_correlation=dials.task_correlation,
        taste_strength=dials.taste_strength,
        prior_shift=dials.prior_shift,
        position_bias=dials.position_bias,
        confounding=dials.confounding,
        session_memory=dials.session_memory,
        drift=dials.drift,
    )
    users = users_frame(dials.seed, segments, presence)
    return Parts(segments, presence, users, items, responder)
