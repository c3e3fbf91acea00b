"""Arrows of the lesson on gradient conflict: two bowls, one step each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BEST_COLOUR,
    NEUTRAL_COLOUR,
    colour,
    marker,
)
from mtlrec_utils.learning import balancing

PAIR = ("click", "like")  # the two tasks of the bowls
METHODS = (
    balancing.Sum(),
    balancing.DBMTL(),
    balancing.PCGrad(),
    balancing.GradVac(),
    balancing.UPGrad(),
    balancing.GradDrop(),
    balancing.MGDA(),
    balancing.CAGrad(),
    balancing.IMTLG(),
    balancing.NashMTL(),
    balancing.FairGrad(),
    balancing.AlignedMTL(),
    balancing.MetaBalance("task_0"),
)
_SAFE = "#dfe7ef"
_ROUNDING = 1e-9


def gradients(angle: float, length: float) -> np.ndarray:
    """Return two gradients, [2, 2]: one of length 1, one turned from it.

    Args:
        angle: between them, in degrees.
        length: of the second.
    """
    turn = np.deg2rad(angle)
    second = length * np.array([np.cos(turn), np.sin(turn)])
    return np.stack([[1.0, 0.0], second])


def harmed(step: np.ndarray, jacobian: np.ndarray) -> list[str]:
    """Name the tasks whose loss a small step against ``step`` raises.

    Args:
        step: direction of a method, [P]; the model moves against it.
        jacobian: gradients of the tasks of ``PAIR``, [2, P].
    """
    size = np.linalg.norm(step) * np.linalg.norm(jacobian, axis=1)
    falls = jacobian @ step
    return [
        task
        for task, fall, unit in zip(PAIR, falls, size, strict=True)
        if fall < -_ROUNDING * max(unit, 1.0)
    ]


def picture(angle: float, length: float) -> tuple[Figure, str]:
    """Draw the step of each of ``METHODS`` between two gradients.

    Args:
        angle: between the gradients, in degrees.
        length: of the second; the first has length 1.
    """
    jacobian = gradients(angle, length)
    steps = {
        type(method).__name__: balancing.direction(method, jacobian)
        for method in METHODS
    }
    return arrows_figure(steps, jacobian)


def arrows_figure(
    steps: Mapping[str, np.ndarray], jacobian: np.ndarray
) -> tuple[Figure, str]:
    """Draw two bowls, and where each method steps between them.

    Task t's loss is half the squared distance from its optimum, which lies
    one full gradient step away from where we stand.

    Args:
        steps: method -> direction, [2]; the model moves against it.
        jacobian: the tasks' gradients, [2, 2].
    """
    columns = 5
    rows = -(-(len(steps) + 1) // columns)
    figure, axes = new_figure(rows, columns, size=(6.6, 1.35 * rows + 0.3))
    panels = list(axes.flat)
    _bowls(panels[0], jacobian)
    worse = {}
    for ax, (name, step) in zip(panels[1:], steps.items(), strict=False):
        worse[name] = harmed(step, jacobian)
        _step(ax, step, jacobian)
        length = np.linalg.norm(step)
        note = "both fall" if length > _ROUNDING else "no step"
        if worse[name]:
            note = f"raises {', '.join(worse[name])}"
        ax.set_title(f"{name}\n{note}, {length:.2f}", fontsize=8)
    for ax in panels[len(steps) + 1 :]:
        ax.axis("off")
    raising = sum(map(bool, worse.values()))
    figure.suptitle(
        f"{raising} of {len(worse)} steps raise a loss",
        x=0.01,
        ha="left",
        fontsize=12,
        fontweight="bold",
    )
    bad = [f"{name} raises {', '.join(t)}" for name, t in worse.items() if t]
    return figure, (
        "The step of each method beside the steps of two tasks, and their "
        "bowls. A step inside the shaded cone lowers both losses. "
        + ("; ".join(bad) if bad else "Every method lowers both")
        + "."
    )


def _plain(ax: Axes, reach: float) -> None:
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _arrow(ax: Axes, to: np.ndarray, look: str, width: float) -> None:
    ax.annotate(
        "",
        (to[0], to[1]),
        (0, 0),
        arrowprops={
            "arrowstyle": "-|>",
            "color": look,
            "lw": width,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _bowls(ax: Axes, jacobian: np.ndarray) -> None:
    optima = -jacobian
    reach = 1.25 * max(1.0, float(np.abs(optima).max()))
    axis = np.linspace(-reach, reach, 60)
    for task, optimum in zip(PAIR, optima, strict=True):
        x, y = np.meshgrid(axis - optimum[0], axis - optimum[1])
        levels = np.hypot(*optimum) * np.array([0.35, 0.7, 1.0])
        ax.contour(
            axis, axis, np.hypot(x, y), levels, colors=colour(task),
            linewidths=0.8,
        )  # fmt: skip
        ax.plot(*optimum, marker(task), color=colour(task), ms=5)
    ax.plot(*optima.T, color=NEUTRAL_COLOUR, lw=1, ls=":")
    ax.plot(0, 0, "o", color=BEST_COLOUR, ms=4)
    ax.set_title("two bowls,\nwe stand at ●", fontsize=8)
    _plain(ax, reach)


def _step(ax: Axes, step: np.ndarray, jacobian: np.ndarray) -> None:
    turns = np.linspace(0, 2 * np.pi, 721)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    safe = circle[(circle @ -jacobian.T >= 0).all(axis=1)]
    if len(safe):
        # Start where the gap is, lest the polygon crosses the circle.
        gaps = np.linalg.norm(np.diff(safe, axis=0, append=safe[:1]), axis=1)
        safe = np.roll(safe, -int(gaps.argmax()) - 1, axis=0)
        corners = np.concatenate([[[0, 0]], 1.2 * safe])
        ax.add_patch(Polygon(corners, fc=_SAFE, ec="none", zorder=0))
    for task, row in zip(PAIR, jacobian, strict=True):
        _arrow(ax, -row / np.linalg.norm(row), colour(task), 1.0)
    length = np.linalg.norm(step)
    if length > _ROUNDING:
        _arrow(ax, -step / length, BEST_COLOUR, 2.2)
    else:
        ax.plot(0, 0, "o", color=BEST_COLOUR)
    _plain(ax, 1.3)
    ax.set_ylim(-1.3, 0.4)  # every gradient points up, every step down
