"""Pictures of lesson 02: neighbours, buckets, and two ways to judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.log_figures import true_preference
from mtlrec_utils.data import World, split_by_time
from mtlrec_utils.evidence import FullRanking, full_ranking
from mtlrec_utils.models.classic import (
    ContentProfiles,
    ItemNeighbours,
    Popularity,
    UserNeighbours,
    interaction_matrix,
    nearest,
)

#: One colour and marker per recommender of part I, as in the palette.
LOOKS: dict[str, dict[str, Any]] = {
    "popular": {"color": "#707070", "marker": "v"},
    "age group": {"color": "#B92FC4", "marker": "D"},
    "user neighbours": {"color": "#17508C", "marker": "o"},
    "item neighbours": {"color": "#C0541E", "marker": "s"},
    "content": {"color": "#20917E", "marker": "^"},
}


def neighbours_figure() -> tuple[Figure, str]:
    """Draw how item neighbours turn a small matrix into scores."""
    seen = np.array(
        [
            [1, 1, 0, 0, 0],
            [1, 1, 1, 0, 0],
            [0, 1, 1, 0, 0],
            [0, 0, 0, 1, 1],
            [0, 0, 1, 1, 0],
        ]
    )
    similar = nearest(seen.T, 4).toarray()
    panels = {
        "R: who took what": seen,
        "S: cosine of items": similar,
        "scores = R S": seen @ similar,
    }
    figure, axes = new_figure(1, 3, size=(8.4, 3.0))
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        ax.imshow(panel, cmap="Blues", vmin=0, vmax=1.7)
        for (row, column), value in np.ndenumerate(panel):
            text = f"{value:.2f}".rstrip("0").rstrip(".")
            if title.startswith("scores") and seen[row, column]:
                text = "seen"
            ax.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if value > 1 else "black",
            )
        ax.set(xticks=range(5), yticks=range(5), title=title)
        ax.set_xlabel("item")
        ax.set_ylabel("item" if title.startswith("S") else "user")
        ax.grid(visible=False)
    return figure, (
        "Three small tables: five users by five items with ones where taken; "
        "the cosines of the items; their product, the scores, in which taken "
        "items are marked as seen."
    )


def recall_by_group(
    rankings: Mapping[str, FullRanking],
    bucket: NDArray[np.int64],
    known: NDArray[np.floating],
) -> pd.DataFrame:
    """Recall@20 per bucket of items, and per activity of users.

    Args:
        rankings: Recommender -> its ranking of the same users and items.
        bucket: Bucket of each item, [items].
        known: Training clicks of each user, [users].

    Returns:
        Columns model, view ("items" or "users"), group, recall.
    """
    sizes = np.bincount(bucket)
    rows = []
    for name, ranking in rankings.items():
        for b, size in enumerate(sizes):
            value = ranking.among(bucket == b).recall(20).mean()
            rows.append((name, "items", f"{size} items", value))
        clicks = known[ranking.users]
        cuts = np.quantile(clicks, [0.25, 0.5, 0.75])
        quarter = np.searchsorted(cuts, clicks)
        recall = ranking.recall(20)
        for q in np.unique(quarter):
            value = recall[quarter == q].mean()
            rows.append((name, "users", f"quarter {q + 1}", value))
    return pd.DataFrame(rows, columns=["model", "view", "group", "recall"])


def groups_figure(table: pd.DataFrame, finding: str) -> tuple[Figure, str]:
    """Draw recall per bucket of items and per activity of users.

    Args:
        table: Columns model, view ("items" or "users"), group, recall.
        finding: The title.

    Returns:
        The figure and its description.
    """
    figure, axes = new_figure(1, 2, size=(9.0, 3.5), sharey=True)
    titles = {
        "items": "By popularity of the item",
        "users": "By clicks of the user",
    }
    for ax, (view, title) in zip(axes, titles.items(), strict=True):
        rows = table[table["view"] == view]
        groups = list(dict.fromkeys(rows["group"]))
        for model, part in rows.groupby("model", sort=False):
            ax.plot(
                range(len(groups)), part["recall"], label=model,
                **LOOKS[str(model)],
            )  # fmt: skip
        ax.set_xticks(range(len(groups)), groups)
        ax.set_title(title)
    axes[0].set_ylabel("recall@20 on the log")
    axes[1].legend()
    figure.suptitle(finding, x=0.01, ha="left", size=12)
    return figure, (
        f"{finding}. Left: recall@20 of the recommenders for popular, "
        "middling and rare items. Right: the same for users with few to "
        "many clicks."
    )


def two_judges_figure(
    recall: Mapping[str, float], wanted: Mapping[str, float], best: float
) -> tuple[Figure, str]:
    """Draw what the log says of each recommender, and what is true.

    Args:
        recall: Recommender -> recall on the log.
        wanted: Recommender -> mean true P(click) of its lists.
        best: Mean true P(click) of the best possible lists.

    Returns:
        The figure and its description.
    """
    figure, ax = new_figure(size=(6.4, 3.6))
    for name in recall:
        look = LOOKS[name]
        ax.plot(recall[name], wanted[name], linestyle="none", label=name,
                markersize=9, **look)  # fmt: skip
    best_line(ax, best, label="best possible lists")
    ax.set(xlabel="recall@20 on the log")
    ax.set_ylabel("true P(click) of the lists")
    ax.margins(0.15)
    first = max(recall, key=lambda name: recall[name])
    truly = max(wanted, key=lambda name: wanted[name])
    ax.set_title(f"The log prefers: {first}. The users: {truly}.")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    values = "; ".join(
        f"{n} {recall[n]:.2f} and {wanted[n]:.2f}" for n in recall
    )
    return figure, (
        "Recommenders by recall on the log and true probability of a "
        f"click of their lists: {values}; the best possible lists reach "
        f"{best:.2f}."
    )


def true_value(
    lists: NDArray[np.int64], preference: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Mean true P(click) of each user's list; empty places are left out.

    Args:
        lists: Item numbers, [users, k]; -1 is an empty place.
        preference: True P(click), [users, items].
    """
    value = np.take_along_axis(preference, np.maximum(lists, 0), axis=1)
    return np.nanmean(np.where(lists >= 0, value, np.nan), axis=1)


def worlds_figure(
    popularity_skew: float, segment_strength: float
) -> tuple[Figure, str]:
    """Judge five recommenders, untuned, in a small world.

    Args:
        popularity_skew: Dial of the world.
        segment_strength: Dial of the world.

    Returns:
        The figure and its description.
    """
    world = World(
        n_users=400,
        n_items=150,
        popularity_skew=popularity_skew,
        segment_strength=segment_strength,
        seed=2,
    )
    past, future = split_by_time(
        world.log(40_000, domain="films"), (0.75, 0.25)
    )
    train, test = (
        interaction_matrix(rows["user"], rows["item"], (400, 150))
        for rows in (part[part["click"] == 1] for part in (past, future))
    )
    here = np.flatnonzero(world.users()["in_films"])
    preference = true_preference(world)
    films = world.items().query("domain == 'films'")
    models = {
        "popular": Popularity(),
        "age group": Popularity(world.users()["age_group"], prior=50),
        "user neighbours": UserNeighbours(50, shrinkage=5),
        "item neighbours": ItemNeighbours(50, shrinkage=5),
        "content": ContentProfiles(
            list(films["genre"] + " " + films["words"])
        ),
    }
    recall, wanted = {}, {}
    for name, model in models.items():
        scores = model.fit(train).scores()
        recall[name] = full_ranking(test, scores, train).recall(20).mean()
        wanted[name] = true_value(model.recommend(here, 10), preference).mean()
    hidden = np.where(train[here].toarray() > 0, -np.inf, preference)
    best = np.sort(hidden, axis=1)[:, -10:].mean()
    return two_judges_figure(recall, wanted, best)
