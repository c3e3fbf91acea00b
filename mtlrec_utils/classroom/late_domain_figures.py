"""A figure for the lesson on many domains: a domain that joins late."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.domain_figures import (
    METRICS,
    draw_references,
    draw_values,
)
from mtlrec_utils.classroom.figures import new_figure

LATE_LOOKS: Mapping[str, tuple[str, str]] = {
    "alone": ("#111111", "o"),
    "new tower": ("#0072B2", "s"),
    "new row": ("#009E73", "D"),
    "retrained": ("#B45A00", "*"),
    "unknown": ("#B92FC4", "v"),
    "pooled": ("#C08A1E", "X"),
}


def late_figure(
    table: pd.DataFrame, metric: str, title: str
) -> tuple[Figure, str]:
    """Draw what a domain that joins late scores, by its rows.

    Args:
        table: the results ``late_domain``.
        metric: "auc" or "log_loss".
        title: the finding.
    """
    late = table.query("metric == @metric and baseline == 'alone'")
    panels = sorted(late["similarity"].unique())
    figure, axes = new_figure(1, len(panels), size=(9.8, 3.7), sharey=True)
    words = []
    for ax, similarity in zip(np.atleast_1d(axes), panels, strict=True):
        here = late[late["similarity"] == similarity]
        for i, (method, look) in enumerate(LATE_LOOKS.items()):
            line = here[here["method"] == method].sort_values("rows")
            x = line["rows"] * 1.05 ** (i - (len(LATE_LOOKS) - 1) / 2)
            draw_values(ax, method, look, x, line)
        draw_references(ax, here)
        ax.set_xscale("log")
        ticks = sorted(here["rows"].unique())
        ax.set_xticks(ticks, [f"{n:,}" for n in ticks])
        ax.minorticks_off()
        ax.set(xlabel="rows of the new domain")
        ax.set_title(f"similarity {similarity:g}")
        few = here[here["rows"] == min(ticks)].set_index("method")["value"]
        named = ", ".join(f"{m} {few[m]:.3f}" for m in LATE_LOOKS)
        words.append(f"similarity {similarity:g}: {named}")
    np.atleast_1d(axes)[0].set_ylabel(METRICS[metric])
    np.atleast_1d(axes)[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        f"{METRICS[metric]} of a domain that joins late against its rows. At "
        f"{late['rows'].min()} rows, {'; '.join(words)}."
    )
