"""Controls that redraw a figure, and look right without a kernel."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from mtlrec_utils.classroom.display import box, emit_bundle, to_html
from mtlrec_utils.classroom.figures import close, figure_html

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

Draw = Callable[..., tuple[Figure, str]]


def dial(
    draw: Draw,
    *,
    start: dict[str, Any] | None = None,
    **choices: Sequence[Any],
) -> None:
    """Display a figure with one control per option.

    ``dial(picture, task_correlation=[-0.5, 0.0, 0.5, 1.0])`` draws
    ``picture(task_correlation=...)`` whenever the control moves.  Each figure
    is drawn once and kept.

    Args:
        draw: returns a figure and its description (alt) for the chosen
            values, in less than a second.
        start: the values to begin with; by default the first of each option.
        choices: option name -> the values to choose from.  Numbers become a
            slider, anything else buttons.

    Raises:
        ValueError: there is no option, an option has fewer than two values,
            or ``start`` names a value that is not among them.
    """
    first = _starting_values(choices, start or {})
    drawn = _Drawn(draw)
    image, alt = drawn(first)
    settings = ", ".join(f"{_words(k)} = {v}" for k, v in first.items())
    note = f"Shown: {settings}. Run this cell to turn the dial."
    emit_bundle(
        widget_bundle(
            lambda: _control(drawn, choices, first),
            html=f"<div>{image}</div><p><em>{html.escape(note)}</em></p>",
            text=f"Figure: {alt} ({note})",
        )
    )


def widget_bundle(
    build: Callable[[], ipywidgets.Widget], *, html: str, text: str
) -> dict[str, Any]:
    """Return a MIME bundle: a live widget beside its static stand-in.

    Jupyter shows the widget where it can; a page without a kernel shows the
    HTML, once the widget's reference has been removed from the stored
    notebook.  Colab gets the widget alone, since which of two forms it
    prefers is not documented.
    """
    view = _view(build)
    if view is None:
        return {"text/plain": text, "text/html": html}
    if "google.colab" in sys.modules:
        return {"text/plain": text, WIDGET_MIME: view}
    return {"text/plain": text, "text/html": html, WIDGET_MIME: view}


def _view(build: Callable[[], ipywidgets.Widget]) -> dict[str, Any] | None:
    """Return the reference to a new widget, None where there is no kernel."""
    if "ipykernel" not in sys.modules:
        return None
    model_id = build().model_id
    if model_id is None:
        return None
    return {"version_major": 2, "version_minor": 0, "model_id": model_id}


class _Drawn:
    """Draws a figure per combination of values, once."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._kept: dict[tuple[Any, ...], tuple[str, str]] = {}

    def __call__(self, values: dict[str, Any]) -> tuple[str, str]:
        key = tuple(values.values())
        if key not in self._kept:
            figure, alt = self._draw(**values)
            try:
                image = figure_html(figure, alt)
            finally:
                close(figure)
            self._kept[key] = image, " ".join(alt.split())
        return self._kept[key]


def _control(
    drawn: _Drawn,
    choices: dict[str, Sequence[Any]],
    first: dict[str, Any],
) -> ipywidgets.Widget:
    picture = ipywidgets.HTML(drawn(first)[0])
    controls = {
        name: _selector(name, values, first[name])
        for name, values in choices.items()
    }

    def redraw(_: Any) -> None:
        values = {name: control.value for name, control in controls.items()}
        try:
            picture.value = drawn(values)[0]
        except Exception as error:
            # An exception in a callback would vanish into the server's log.
            what = f"{type(error).__name__}: {error}"
            picture.value = box(
                "try_again", "The figure could not be drawn.", to_html(what)
            )

    for control in controls.values():
        control.observe(redraw, names="value")
    return ipywidgets.VBox([*controls.values(), picture])


def _selector(
    name: str, values: Sequence[Any], start: Any
) -> ipywidgets.Widget:
    """Return a slider for numbers, buttons for anything else."""
    options = [(str(value), value) for value in values]
    common: dict[str, Any] = {
        "options": options,
        "value": start,
        "description": _words(name),
        "style": {"description_width": "initial"},
    }
    if all(_is_number(value) for value in values):
        return ipywidgets.SelectionSlider(
            **common,
            continuous_update=False,
            layout=ipywidgets.Layout(width="460px", max_width="100%"),
        )
    return ipywidgets.ToggleButtons(**common)


def _starting_values(
    choices: dict[str, Sequence[Any]], start: dict[str, Any]
) -> dict[str, Any]:
    if not choices:
        raise ValueError(
            "dial() needs at least one option with its values, as in "
            "dial(picture, task_correlation=[0.0, 0.5, 1.0])."
        )
    for name, values in choices.items():
        if len(values) < 2:
            raise ValueError(f"The option {name!r} of dial() has one value.")
    for name, value in start.items():
        if name not in choices or value not in list(choices[name]):
            raise ValueError(
                f"start={{{name!r}: {value!r}}} is not among the choices of "
                "dial()."
            )
    return {name: start.get(name, v[0]) for name, v in choices.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _words(name: str) -> str:
    return name.replace("_", " ")
