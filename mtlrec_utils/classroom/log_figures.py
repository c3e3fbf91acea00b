"""Pictures of lesson 01: what a log holds, and who decided it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    DOMAIN_COLOURS,
    TASK_COLOURS,
)
from mtlrec_utils.data import World

_SHOWN = BASELINE_COLOUR
_CLICKED = TASK_COLOURS["click"]
_WANTED = TASK_COLOURS["finish"]


def three_matrices_figure(
    world: World, log: pd.DataFrame
) -> tuple[Figure, str]:
    """Draw what was shown, what was clicked, and what would be clicked.

    Args:
        world: Where the log is from.
        log: Impressions of films.

    Returns:
        The figure, of 60 users and the 100 items shown most, and its
        description.
    """
    users = np.flatnonzero(world.users()["in_films"])[:60]
    items = log["item"].value_counts().index[:100].to_numpy()
    cells = pd.MultiIndex.from_product([users, items])
    panels = [
        cells.isin(rows.set_index(["user", "item"]).index).reshape(60, 100)
        for rows in (log, log[log["click"] == 1])
    ]
    panels.append(true_preference(world)[:60][:, items])
    figure, axes = new_figure(1, 3, size=(8.4, 3.1), sharey=True)
    shares = [f"{panel.mean():.0%}" for panel in panels[:2]]
    titles = (
        f"Shown: {shares[0]}",
        f"Clicked: {shares[1]}",
        "Wanted: every cell",
    )
    maps = ("Greys", "Blues", "viridis")
    for ax, panel, title, colours in zip(
        axes, panels, titles, maps, strict=True
    ):
        image = ax.imshow(panel, cmap=colours, vmin=0, vmax=1, aspect="auto")
        ax.set_title(title)
        ax.set_xlabel("items, by times shown")
        ax.grid(visible=False)
    axes[0].set_ylabel("users")
    figure.colorbar(image, ax=axes[2], label="true P(click)")
    return figure, (
        f"Three pictures of the same users and items: of all pairs "
        f"{shares[0]} were shown, mostly of the items at the left, and "
        f"{shares[1]} clicked; a true probability of a click exists for "
        "every pair."
    )


def long_tail_figure(
    counts: ArrayLike, what: str = "clicks"
) -> tuple[Figure, str]:
    """Draw interactions per item, and the share the first items hold.

    Args:
        counts: Interactions of each item, [items]; items without any are
            left out.
        what: Their name.

    Returns:
        The figure and its description.
    """
    ordered = np.sort(np.asarray(counts, float))[::-1]
    ordered = ordered[ordered > 0]
    n_items = len(ordered)
    share = np.cumsum(ordered) / ordered.sum()
    half = int(np.searchsorted(share, 0.5)) + 1
    figure, (left, right) = new_figure(1, 2, size=(8.4, 3.2))
    left.plot(np.arange(1, n_items + 1), ordered, color=_CLICKED)
    left.set(xscale="log", yscale="log", xlabel="rank of the item")
    left.set_ylabel(f"{what} of the item")
    left.set_title("Head and tail")
    right.plot(np.arange(1, n_items + 1) / n_items, share, color=_CLICKED)
    right.plot([half / n_items] * 2, [0, 0.5], color=_SHOWN, linestyle=":")
    right.plot([0, half / n_items], [0.5, 0.5], color=_SHOWN, linestyle=":")
    right.set(xlabel="share of the items", ylim=(0, 1.02))
    right.set_ylabel(f"share of the {what}")
    finding = f"{half / n_items:.0%} of the items hold half of the {what}"
    right.set_title(f"Half lies in {half / n_items:.0%}")
    return figure, (
        f"Left: {what} per item against its rank, both axes logarithmic, a "
        f"long falling line. Right: cumulative share; {finding}."
    )


def true_preference(world: World, domain: str = "films") -> NDArray:
    """True click probability at the top of a list, [users, items].

    Of the users who are in the shop, in order of their numbers.
    """
    users = world.users()
    here = users.loc[users[f"in_{domain}"], "user"].to_numpy()
    items = world.items().query("domain == @domain")["item"].to_numpy()
    rows = pd.DataFrame(
        {
            "user": np.repeat(here, len(items)),
            "item": np.tile(items, len(here)),
            "domain": domain,
            "position": 0,
            "time": 60.0,
            "last_clicked": -1,
        }
    )
    chance = world.truth(rows)["click"].to_numpy()
    return chance.reshape(len(here), len(items))


def exposure_figure(
    popularity_skew: float, exposure_bias: float
) -> tuple[Figure, str]:
    """Draw clicks against what users want, in a small world.

    Args:
        popularity_skew: Dial of the world.
        exposure_bias: Dial of the world.

    Returns:
        The figure and its description.
    """
    world = World(
        n_users=300,
        n_items=100,
        popularity_skew=popularity_skew,
        exposure_bias=exposure_bias,
        seed=1,
    )
    log = world.log(15_000, domain="films")
    wanted = true_preference(world).mean(axis=0)
    shown = np.bincount(log["item"], minlength=100)
    clicks = np.bincount(log["item"], log["click"], minlength=100)
    best = np.argsort(-wanted)[:20]
    both = len(np.intersect1d(best, np.argsort(-clicks)[:20]))
    figure, ax = new_figure(size=(6.2, 3.6))
    rest = np.setdiff1d(np.arange(100), best)
    size = 6 + 60 * shown / shown.max()
    for items, colour, shape, label in (
        (rest, _CLICKED, "o", "other items"),
        (best, DOMAIN_COLOURS["books"], "D", "the 20 most wanted"),
    ):
        ax.scatter(
            wanted[items],
            clicks[items] + 1,
            s=size[items],
            color=colour,
            marker=shape,
            alpha=0.75,
            linewidths=0,
            label=label,
        )
    ax.set(yscale="log", xlabel="mean true P(click) over all users")
    ax.set_ylabel("clicks in the log, plus 1")
    ax.set_title(f"{both} of the 20 most wanted are among the 20 most clicked")
    ax.legend(loc="lower right")
    return figure, (
        "Scatter of 100 items: clicks against the mean true probability of a "
        f"click, dots as large as the item was shown, at popularity skew "
        f"{popularity_skew} and exposure bias {exposure_bias}: {both} of the "
        "20 most wanted are among the 20 most clicked."
    )
