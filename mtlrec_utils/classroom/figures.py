"""House style, and figures that carry a description."""

from __future__ import annotations

import base64
import html
import io
import sys
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from mtlrec_utils.classroom.display import emit

#: A shorter description than this describes nothing.
SHORTEST_ALT = 20

#: Pixels per inch in the file and on the page: crisp, and still small.
DPI, DPI_SHOWN = 120, 96

#: `Any`, since newer Matplotlib types each key by name.
HOUSE_STYLE: Any = {
    "figure.figsize": (6.6, 3.5),
    "figure.dpi": DPI_SHOWN,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.transparent": False,
    "axes.facecolor": "white",
    "axes.edgecolor": "#606060",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "font.size": 10,
    "font.family": ["DejaVu Sans"],
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


def use_house_style() -> None:
    """Give all later figures the look of the course."""
    mpl.rcParams.update(HOUSE_STYLE)


def new_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    size: tuple[float, float] | None = None,
    **options: Any,
) -> tuple[Figure, Any]:
    """Return an empty figure and its axes, as ``pyplot.subplots`` does.

    ``size`` is in inches.  The figure belongs to nobody's list of open
    figures: it appears when it is shown, and only then.
    """
    with mpl.rc_context(HOUSE_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def figure_html(figure: Figure, alt: str) -> str:
    """Return ``figure`` as an HTML image that carries its description.

    Raises:
        ValueError: ``alt`` is shorter than 20 characters, or ``figure`` is no
            Matplotlib figure.
    """
    if not isinstance(figure, Figure):
        raise ValueError(
            "show() needs a Matplotlib figure as its first argument, not "
            f"{type(figure).__name__}. For an Axes pass ax.figure."
        )
    alt = " ".join(str(alt).split())
    if len(alt) < SHORTEST_ALT:
        raise ValueError(
            f"The description (alt) of a figure is {alt!r}. Say in a sentence "
            f"of at least {SHORTEST_ALT} characters what the figure shows, "
            "for learners who cannot see it."
        )
    stream = io.BytesIO()
    figure.savefig(
        stream,
        format="png",
        dpi=DPI,
        facecolor="white",
        transparent=False,
        # A layout engine already keeps labels inside; without one, crop.
        bbox_inches=None if figure.get_layout_engine() else "tight",
    )
    picture = Image.open(stream).convert("RGB")
    width = round(picture.width * DPI_SHOWN / DPI)
    smaller = io.BytesIO()
    # 256 colours are enough for a chart and take a third of the bytes.
    picture.quantize(256).save(smaller, format="png", optimize=True)
    data = base64.b64encode(smaller.getvalue()).decode("ascii")
    return (
        f'<img alt="{html.escape(alt, quote=True)}" width="{width}" '
        'style="max-width:100%;height:auto;background:#ffffff" '
        f'src="data:image/png;base64,{data}">'
    )


def show(figure: Figure, alt: str) -> None:
    """Display ``figure`` with its description ``alt``, then close it.

    ``alt`` is one sentence that tells what the figure shows.

    Raises:
        ValueError: ``alt`` is shorter than 20 characters, or ``figure`` is no
            Matplotlib figure.
    """
    image = figure_html(figure, alt)
    close(figure)
    emit(f"Figure: {' '.join(alt.split())}", html=image)


def close(figure: Figure) -> None:
    """Forget ``figure`` if pyplot keeps it, lest it is shown twice."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)
