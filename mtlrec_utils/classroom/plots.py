"""Figures with a fixed palette and a description for those who see none.

One door to three rooms: ``palette`` (colours and markers), ``figures``
(house style, ``show``) and ``charts`` (the chart forms lessons share).
"""

from mtlrec_utils.classroom.charts import (
    best_line,
    heat_map,
    intervals_plot,
    learning_curves,
)
from mtlrec_utils.classroom.figures import (
    figure_html,
    new_figure,
    show,
    use_house_style,
)
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    BEST_COLOUR,
    DOMAIN_COLOURS,
    DOMAIN_MARKERS,
    MODEL_COLOURS,
    MODEL_MARKERS,
    NEUTRAL_COLOUR,
    SYNTHETIC_COLOURS,
    SYNTHETIC_MARKERS,
    TASK_COLOURS,
    TASK_MARKERS,
    colour,
    marker,
    style,
)

__all__ = [
    "BASELINE_COLOUR",
    "BEST_COLOUR",
    "DOMAIN_COLOURS",
    "DOMAIN_MARKERS",
    "MODEL_COLOURS",
    "MODEL_MARKERS",
    "NEUTRAL_COLOUR",
    "SYNTHETIC_COLOURS",
    "SYNTHETIC_MARKERS",
    "TASK_COLOURS",
    "TASK_MARKERS",
    "best_line",
    "colour",
    "figure_html",
    "heat_map",
    "intervals_plot",
    "learning_curves",
    "marker",
    "new_figure",
    "show",
    "style",
    "use_house_style",
]
