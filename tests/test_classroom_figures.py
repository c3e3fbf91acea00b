"""Figures that carry a description, and the chart forms lessons share."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mtlrec_utils.classroom import figures, plots
from mtlrec_utils.classroom.display import Output, box, to_html

ALT = 'Clicks rise, "likes" fall & <nothing> else moves'


def drawn():
    figure, ax = plots.new_figure()
    ax.plot([0, 1], [1, 0])
    return figure


def picture_of(image_html):
    data = re.search(r"base64,([^\"]+)", image_html)[1]
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_image_carries_its_description_escaped():
    image = plots.figure_html(drawn(), ALT)
    assert (
        'alt="Clicks rise, &quot;likes&quot; fall &amp; &lt;nothing&gt; else'
        in image
    )
    assert "max-width:100%" in image


def test_the_image_is_opaque_and_of_modest_size():
    plt.rcParams["savefig.transparent"] = True
    image = plots.figure_html(drawn(), ALT)
    plt.rcdefaults()
    picture = picture_of(image)
    assert "transparency" not in picture.info
    assert picture.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    width = int(re.search(r'width="(\d+)"', image)[1])
    assert width == round(picture.width * 96 / 120)
    assert len(image) < 40_000


def test_same_figure_same_bytes():
    assert plots.figure_html(drawn(), ALT) == plots.figure_html(drawn(), ALT)


def test_show_has_a_plain_text_twin(capsys):
    plots.show(drawn(), ALT)
    assert capsys.readouterr().out == f"Figure: {ALT}\n"


def test_show_emits_html_and_closes_the_figure(monkeypatch):
    emitted = []
    monkeypatch.setattr(
        figures, "emit", lambda text, **forms: emitted.append(forms)
    )
    figure, _ = plt.subplots()
    plots.show(figure, ALT)
    assert emitted[0]["html"].startswith("<img alt=")
    assert not plt.fignum_exists(figure.number)


@pytest.mark.parametrize(
    "alt", ["", "A short one", "   padded   a      lot  "]
)
def test_a_missing_description_is_refused(alt):
    with pytest.raises(ValueError, match="at least 20 characters"):
        plots.show(drawn(), alt)


def test_an_axes_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"ax\.figure"):
        plots.show(drawn().axes[0], ALT)


def test_a_figure_without_a_layout_keeps_its_labels():
    figure = plt.Figure(figsize=(2, 1))
    figure.add_axes((0, 0, 1, 1)).set_ylabel("outside the page")
    image = picture_of(plots.figure_html(figure, ALT))
    assert image.width > 2 * 120


def differences():
    return pd.DataFrame(
        {
            "task": ["click", "like", "unheard_of"],
            "difference": [0.02, -0.01, 0.0],
            "low": [0.01, -0.02, -0.01],
            "high": [0.03, 0.005, 0.01],
            "verdict": ["helps", "cannot tell", "cannot tell"],
        }
    )


def test_intervals_plot_draws_what_the_table_says():
    figure = plots.intervals_plot(
        differences(), title="Sharing helps click", x_label="AUC"
    )
    ax = figure.axes[0]
    spans = [
        line.get_xdata()
        for line in ax.lines
        if len(line.get_xdata()) == 2 and list(line.get_xdata()) != [0, 0]
    ]
    assert [list(span) for span in spans] == [
        [0.01, 0.03],
        [-0.02, 0.005],
        [-0.01, 0.01],
    ]
    assert ax.lines[0].get_color() == plots.TASK_COLOURS["click"]
    assert ax.lines[4].get_color() == plots.NEUTRAL_COLOUR
    # The first row stands on top.
    low, high = ax.get_ylim()
    assert low > high
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["click", "like", "unheard of"]
    assert any(list(line.get_xdata()) == [0, 0] for line in ax.lines)
    assert ax.get_title(loc="left") or ax.get_title()
    figure.canvas.draw()
    verdicts = ax.child_axes[0].get_yticklabels()
    assert [label.get_text() for label in verdicts] == list(
        differences()["verdict"]
    )


def test_intervals_plot_refuses_a_wrong_table():
    with pytest.raises(ValueError, match="no column 'high'"):
        plots.intervals_plot(
            differences().drop(columns="high"), title="t", x_label="x"
        )
    with pytest.raises(ValueError, match="no rows"):
        plots.intervals_plot(differences()[:0], title="t", x_label="x")
    swapped = differences().rename(columns={"low": "high", "high": "low"})
    with pytest.raises(ValueError, match="'low' lies above"):
        plots.intervals_plot(swapped, title="t", x_label="x")


def test_learning_curves_sort_points_and_draw_the_best_score():
    table = pd.DataFrame(
        {
            "model": ["mmoe"] * 3 + ["single_task"] * 3,
            "labels": [1000, 10, 100] * 2,
            "value": [0.7, 0.5, 0.6, 0.65, 0.45, 0.55],
        }
    )
    figure = plots.learning_curves(
        table,
        x="labels",
        title="Gates pay",
        x_label="labels",
        y_label="AUC",
        log_x=True,
        best=0.8,
    )
    ax = figure.axes[0]
    assert list(ax.lines[0].get_xdata()) == [10, 100, 1000]
    assert list(ax.lines[0].get_ydata()) == [0.5, 0.6, 0.7]
    assert ax.lines[0].get_color() == plots.MODEL_COLOURS["mmoe"]
    assert list(ax.lines[2].get_ydata()) == [0.8, 0.8]
    assert not ax.collections  # no band without low and high
    banded = table.assign(low=table["value"] - 0.1, high=table["value"] + 0.1)
    figure = plots.learning_curves(
        banded, x="labels", title="t", x_label="x", y_label="y"
    )
    assert len(figure.axes[0].collections) == 2


def test_heat_map_writes_each_value_in_its_cell():
    values = np.array([[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]])
    figure = plots.heat_map(
        values, ["a", "b", "c"], ["x_1", "x_2"], title="t", limits=(0, 1)
    )
    ax = figure.axes[0]
    written = {text.get_position(): text for text in ax.texts}
    assert written[(1, 0)].get_text() == "0.90"
    assert written[(0, 2)].get_text() == "1.00"
    # Dark ink on the light end of the colour map, light ink on the dark.
    assert written[(0, 2)].get_color() == "black"
    assert written[(1, 2)].get_color() == "white"
    with pytest.raises(ValueError, match=r"\(3, 2\) for 2 row names"):
        plots.heat_map(values, ["a", "b"], ["x", "y"], title="t")


def test_house_style_is_opaque():
    plots.use_house_style()
    assert plt.rcParams["figure.facecolor"] == "white"
    assert plt.rcParams["savefig.transparent"] is False
    plt.rcdefaults()


def test_output_has_twins_and_boxes_are_escaped():
    output = Output("plain", html="<b>rich</b>")
    assert output._repr_mimebundle_() == {
        "text/plain": "plain",
        "text/html": "<b>rich</b>",
    }
    assert repr(output) == "plain"
    assert "&lt;script&gt;" in box("good", "<script>")
    assert to_html("a < `b & c`").endswith(">b &amp; c</code>")
