"""One colour and one marker per thing, over the whole course.

The colours of a family differ from one another for learners who see red and
green alike (protanopia, deuteranopia) or blue and green alike (tritanopia),
and each stands out from a white page with a contrast of at least 3 : 1; a
test holds them to it.  The marker says the same thing a second time.
"""

from __future__ import annotations

from typing import Any

TASK_COLOURS = {
    "click": "#17508C",
    "like": "#C08A1E",
    "finish": "#20917E",
    "purchase": "#7A2A10",
    "watch_minutes": "#CF4FC9",
}
TASK_MARKERS = {
    "click": "o",
    "like": "s",
    "finish": "^",
    "purchase": "D",
    "watch_minutes": "P",
}

#: The two tasks of the synthetic regression.
SYNTHETIC_COLOURS = {"task_a": "#1D4F91", "task_b": "#C06A14"}
SYNTHETIC_MARKERS = {"task_a": "o", "task_b": "s"}

DOMAIN_COLOURS = {"films": "#4B3B8F", "books": "#B5691E"}
DOMAIN_MARKERS = {"films": "o", "books": "s"}

MODEL_COLOURS = {
    "single_task": "#214565",
    "shared_bottom": "#E0700E",
    "omoe": "#2A9C80",
    "mmoe": "#B92FC4",
    "ple": "#881E27",
}
MODEL_MARKERS = {
    "single_task": "o",
    "shared_bottom": "s",
    "omoe": "^",
    "mmoe": "D",
    "ple": "P",
}

#: The best possible score, a trivial baseline, and everything without a name.
BEST_COLOUR = "#111111"
BASELINE_COLOUR = "#707070"
NEUTRAL_COLOUR = "#404040"

COLOURS = {
    **TASK_COLOURS,
    **SYNTHETIC_COLOURS,
    **DOMAIN_COLOURS,
    **MODEL_COLOURS,
    "baseline": BASELINE_COLOUR,
}
MARKERS = {
    **TASK_MARKERS,
    **SYNTHETIC_MARKERS,
    **DOMAIN_MARKERS,
    **MODEL_MARKERS,
    "baseline": "v",
}


def colour(name: str) -> str:
    """Return the fixed colour of a task, domain or model, as "#RRGGBB".

    Raises:
        ValueError: the course has no colour for ``name``.
    """
    _require(name)
    return COLOURS[name]


def marker(name: str) -> str:
    """Return the fixed Matplotlib marker of a task, domain or model.

    Raises:
        ValueError: the course has no marker for ``name``.
    """
    _require(name)
    return MARKERS[name]


def style(name: str) -> dict[str, Any]:
    """Return colour, marker and label: ``ax.plot(x, y, **style("click"))``.

    Raises:
        ValueError: the course has no colour for ``name``.
    """
    return {
        "color": colour(name),
        "marker": marker(name),
        "label": name.replace("_", " "),
    }


def _require(name: str) -> None:
    if name not in COLOURS:
        raise ValueError(
            f"No colour is fixed for {name!r}. Known names: "
            f"{', '.join(COLOURS)}."
        )
