"""The dial: redraws, keeps what it drew, and has a stored form."""

import importlib
import sys

import pytest

from mtlrec_utils.classroom import plots

module = importlib.import_module("mtlrec_utils.classroom.widgets")


@pytest.fixture
def calls():
    return []


@pytest.fixture
def draw(calls):
    def picture(**values):
        calls.append(values)
        if values.get("model") == "broken":
            raise ValueError("no <such> model")
        figure, ax = plots.new_figure()
        ax.plot([0, 1], [0, 1])
        return figure, f"A rising line, drawn for the values {values}"

    return picture


def control(draw, **choices):
    first = module._starting_values(choices, {})
    return module._control(module._Drawn(draw), choices, first)


def test_moving_the_slider_redraws_and_keeps(draw, calls):
    box = control(draw, correlation=[-0.5, 0.0, 1.0])
    slider, picture = box.children
    assert "{'correlation': -0.5}" in picture.value.replace("&#x27;", "'")
    slider.value = 1.0
    assert "{'correlation': 1.0}" in picture.value.replace("&#x27;", "'")
    seen = picture.value
    slider.value = 0.0
    slider.value = 1.0
    assert picture.value == seen
    assert calls == [{"correlation": v} for v in (-0.5, 1.0, 0.0)]


def test_words_become_buttons_and_an_error_is_shown(draw):
    box = control(draw, model=["mmoe", "broken"], n=[1, 2])
    buttons, slider, picture = box.children
    assert type(buttons).__name__ == "ToggleButtons"
    assert type(slider).__name__ == "SelectionSlider"
    buttons.value = "broken"
    assert "no &lt;such&gt; model" in picture.value
    buttons.value = "mmoe"
    assert picture.value.startswith("<img alt=")


def bundle_of(monkeypatch, call):
    bundles = []
    monkeypatch.setattr(module, "emit_bundle", bundles.append)
    call()
    return bundles[0]


def test_without_a_kernel_only_the_stored_form(monkeypatch, draw):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    bundle = bundle_of(
        monkeypatch,
        lambda: module.dial(
            draw, correlation=[0, 1], start={"correlation": 1}
        ),
    )
    assert bundle.keys() == {"text/plain", "text/html"}
    assert "<img alt=" in bundle["text/html"]
    note = "Shown: correlation = 1. Run this cell to turn the dial."
    assert note in bundle["text/html"]
    assert note in bundle["text/plain"]


def test_with_a_kernel_the_widget_stands_beside_the_stored_form(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    view = {"version_major": 2, "version_minor": 0, "model_id": "m"}

    class Widget:
        model_id = "m"

    bundle = module.widget_bundle(Widget, html="<p>", text="t")
    assert bundle == {
        "text/plain": "t",
        "text/html": "<p>",
        module.WIDGET_MIME: view,
    }
    monkeypatch.setitem(sys.modules, "google.colab", object())
    bundle = module.widget_bundle(Widget, html="<p>", text="t")
    assert bundle == {"text/plain": "t", module.WIDGET_MIME: view}


def test_faulty_calls_are_told(draw):
    with pytest.raises(ValueError, match="at least one option"):
        module.dial(draw)
    with pytest.raises(ValueError, match="'n' of dial.. has one value"):
        module.dial(draw, n=[1])
    with pytest.raises(ValueError, match="not among the choices"):
        module.dial(draw, n=[1, 2], start={"n": 3})
    with pytest.raises(ValueError, match="not among the choices"):
        module.dial(draw, n=[1, 2], start={"m": 1})
