"""Two losses of one shared parameter: where does a method end?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    BEST_COLOUR,
    colour,
)

TASKS = ("click", "watch_minutes")
FLOOR = 0.5


def bowl(theta: Any) -> tuple[Any, Any]:
    """Return both losses: clicks want -1, watch minutes 1; neither gets 0."""
    return (theta + 1) ** 2 + FLOOR, (theta - 1) ** 2 + FLOOR


def bowl_minimum(weight: float) -> float:
    """Return where click + weight x watch is least: slopes add up to 0."""
    return (weight - 1) / (weight + 1)


def descend(
    method: Any,
    start: float,
    *,
    factor: float = 1.0,
    steps: int = 500,
    rate: float = 0.05,
) -> float:
    """Descend into the bowl by a method's weights; return where it ends.

    A step is `rate` times the slope of the weighted sum over the sum of the
    weights: like Adam's, it does not grow with the losses.

    Args:
        method: weighs losses (``learning.balancing``); it may look twice.
        start: of the shared parameter.
        factor: multiplies the watch loss.
        steps: how many.
        rate: of a step.
    """
    scale = np.array([1.0, factor])
    state = method.initial_state(TASKS, 1)
    theta = start
    for _ in range(steps):
        before = (scale * bowl(theta)).astype(np.float32)
        weights, state = method.weights(before, state)
        pulls = np.asarray(weights, float) * scale
        slopes = np.array([2 * (theta + 1), 2 * (theta - 1)])
        theta -= rate * float(pulls @ slopes / pulls.sum())
        if getattr(method, "looks_twice", False):
            after = (scale * bowl(theta)).astype(np.float32)
            state = method.after_step(before, after, state)
    return float(theta)


def bowl_figure() -> tuple[Figure, str]:
    """Draw two losses, their weighted sum, and all that weights can reach."""
    figure, (left, right) = new_figure(1, 2, size=(8.6, 3.9))
    theta = np.linspace(-1.6, 1.6, 161)
    for task, loss in zip(TASKS, bowl(theta), strict=True):
        left.plot(
            theta, loss, color=colour(task), label=task.replace("_", " ")
        )
    right.plot(*bowl(np.linspace(-1, 1, 99)), color=BASELINE_COLOUR)
    for weight, look in ((0.1, "^"), (1.0, "o"), (1000.0, "s")):
        best = bowl_minimum(weight)
        click, watch = bowl(best)
        left.plot(
            best,
            (click + weight * watch) / (1 + weight),
            marker=look,
            color=BEST_COLOUR,
            linestyle="none",
            label=f"least sum at weight {weight:g}",
        )
        right.plot(click, watch, marker=look, color=BEST_COLOUR)
        right.annotate(
            f"{weight:g}",
            (click, watch),
            xytext=(7, 5),
            textcoords="offset points",
        )
    left.set(xlabel="shared parameter", ylabel="loss", ylim=(0, 8))
    left.set_title("Two tasks pull at one parameter")
    right.set(xlabel="loss of click", ylabel="loss of watch minutes")
    right.set(xlim=(0, 5.2), ylim=(0, 5))
    right.set_title("What weights can reach")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure, (
        "Left: two parabolas over one shared parameter, and where their "
        "weighted sum is least for weights 0.1, 1 and 1000. Right: the same "
        "points on a falling curve of the one loss against the other."
    )
