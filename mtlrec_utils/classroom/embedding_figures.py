"""Pictures of lesson 04: factors, recovered directions, neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    BEST_COLOUR,
    MODEL_COLOURS,
    TASK_COLOURS,
)
from mtlrec_utils.evidence import Alignment

Draw = Callable[..., tuple[Figure, str]]

MEASURES = ("cosine", "inner product")


def factors_figure() -> tuple[Figure, str]:
    """Draw a small matrix as the product of two thin ones."""
    users = np.array([[1, 0], [0.9, 0.2], [0.5, 0.6], [0.1, 0.9], [0, 1]])
    items = np.array([[0.9, 0], [0.8, 0.3], [0.4, 0.6], [0, 0.9]])
    panels = (
        ("P: 5 users, d = 2", users, "dimension", "user"),
        ("Q': d = 2, 4 items", items.T, "item", "dimension"),
        ("scores = P Q'", users @ items.T, "item", "user"),
    )
    figure, axes = new_figure(1, 3, size=(8.4, 3.0))
    for ax, (title, panel, across, down) in zip(axes, panels, strict=True):
        ax.imshow(panel, cmap="Blues", vmin=0, vmax=1.5)
        for (row, column), value in np.ndenumerate(panel):
            ax.text(column, row, f"{value:.1f}", ha="center", va="center")
        ax.set(xticks=range(panel.shape[1]), yticks=range(panel.shape[0]))
        ax.set(title=title, xlabel=across, ylabel=down)
        ax.grid(visible=False)
    return figure, (
        "Three small tables: two numbers for each of five users, two for each "
        "of four items, and their inner products, a score for every pair."
    )


def directions_figure(
    fit: Alignment,
    truth: NDArray[np.floating],
    chance: NDArray[np.floating],
) -> tuple[Figure, str]:
    """Draw true against recovered coordinates, and the score beside chance.

    Args:
        fit: vectors turned towards the truth.
        truth: true vectors, [items, t].
        chance: alignment scores with shuffled items.

    Returns:
        The figure and its description.
    """
    figure, (left, right) = new_figure(1, 2, size=(8.6, 3.5))
    for axis, colour in ((0, TASK_COLOURS["click"]), (1, "#C0541E")):
        left.scatter(
            truth[:, axis],
            fit.aligned[:, axis],
            s=14,
            marker="os"[axis],
            color=colour,
            alpha=0.6,
            linewidths=0,
            label=f"dimension {axis + 1}",
        )
    ends = [truth[:, :2].min(), truth[:, :2].max()]
    left.plot(ends, ends, color=BEST_COLOUR, linewidth=1, linestyle=":")
    left.set(xlabel="true topic of the item", ylabel="learned, turned")
    left.set_title("Two of the true directions")
    left.legend()
    right.hist(chance, bins=15, color=BASELINE_COLOUR, label="shuffled items")
    right.axvline(fit.score, color=TASK_COLOURS["click"], label="learned")
    right.set(xlim=(0, 1), xlabel="alignment with the true topics")
    right.set_ylabel("shuffles")
    right.set_title(f"Alignment {fit.score:.2f}, by chance {chance.max():.2f}")
    right.legend()
    return figure, (
        "Left: true and recovered coordinates of the items in two "
        "directions, points along the diagonal. Right: alignment scores of "
        f"shuffled items, at most {chance.max():.2f}, and of the learned "
        f"vectors, {fit.score:.2f}."
    )


def similarities(
    vectors: ArrayLike, item: int, measure: str
) -> NDArray[np.float64]:
    """Compare one item with all: cosine or inner product, [items].

    Raises:
        ValueError: another measure.
    """
    if measure not in MEASURES:
        raise ValueError(
            f"measure={measure!r}: choose one of {', '.join(MEASURES)}."
        )
    rows = np.asarray(vectors, dtype=np.float64)
    if measure == "cosine":
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1), 1e-12)[:, None]
    return rows @ rows[item]


def shared_neighbours(
    one: ArrayLike, other: ArrayLike, count: int = 10
) -> float:
    """Share of the nearest items by cosine that two sets agree on.

    Args:
        one, other: vectors of the same items, [items, d].
        count: neighbours of each item.
    """
    lists = []
    for vectors in (one, other):
        rows = np.asarray(vectors, dtype=np.float64)
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1), 1e-12)[:, None]
        near = rows @ rows.T
        np.fill_diagonal(near, -np.inf)
        lists.append(np.argsort(-near, axis=1, kind="stable")[:, :count])
    both = [len(np.intersect1d(a, b)) for a, b in zip(*lists, strict=True)]
    return float(np.mean(both) / count)


def neighbours_explorer(
    models: Mapping[str, ArrayLike], names: Sequence[str], count: int = 8
) -> Draw:
    """Return a function that draws the nearest neighbours of an item.

    Args:
        models: name -> item vectors, [items, d].
        names: of the items, [items].
        count: neighbours to draw.

    Returns:
        ``draw(item, measure, vectors)`` for ``dial``: a name of the items, a
        measure, a name of the models (the first, if it is left out).
    """
    known = list(names)
    first = next(iter(models))

    def draw(
        item: str, measure: str, vectors: str = first
    ) -> tuple[Figure, str]:
        place = known.index(item)
        near = similarities(models[vectors], place, measure)
        near[place] = -np.inf
        order = np.argsort(-near, kind="stable")[:count]
        figure, ax = new_figure(size=(7.6, 0.9 + 0.33 * count))
        ax.barh(range(count), near[order], color=MODEL_COLOURS["single_task"])
        ax.set_yticks(range(count), [_short(known[i]) for i in order])
        ax.set_ylim(count - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(measure)
        ax.set_title(f"Nearest to {_short(item)}")
        nearest = "; ".join(known[i] for i in order[:3])
        return figure, (
            f"Bars of the {count} items nearest to {item} by {measure} of "
            f"{vectors} vectors: {nearest} come first."
        )

    return draw


def _short(name: str, longest: int = 34) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
