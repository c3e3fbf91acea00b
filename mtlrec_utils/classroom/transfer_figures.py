"""Figures of the lesson on fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR, BEST_COLOUR

Floats = npt.NDArray[np.float64]

# Methods of transfer have no colour over the whole course; markers say the
# same as colours here.
LOOKS: Mapping[str, tuple[str, str]] = {
    "scratch": ("#111111", "o"),
    "frozen": ("#0072B2", "s"),
    "fine-tuned": ("#B45A00", "^"),
    "L2-SP": ("#009E73", "D"),
    "as is": ("#B92FC4", "v"),
}
SCORES = {
    ("click", "log_loss"): "test log loss of clicks",
    ("like", "log_loss"): "test log loss of likes",
    ("click", "auc"): "test AUC of clicks",
    ("like", "auc"): "test AUC of likes",
}


def pulled_minimum(
    labels: Floats, inputs: Floats, source: Floats, strength: float
) -> Floats:
    """Return the minimum of a least-squares loss with a pull to a source.

    It minimises |labels - inputs theta|^2 / (2 n) + strength / 2
    |theta - source|^2.

    Args:
        labels: [n].
        inputs: [n, k].
        source: [k].
        strength: 0 or more; 0 needs inputs of full rank.
    """
    curvature = inputs.T @ inputs / len(inputs)
    return np.asarray(
        np.linalg.solve(
            curvature + strength * np.eye(len(source)),
            inputs.T @ labels / len(inputs) + strength * source,
        )
    )


def valley() -> dict[str, Floats]:
    """Two weights, eight noisy rows, and a source near the truth.

    The seed is one of those whose rows leave the valley undecided.
    """
    rng = np.random.default_rng(160)
    truth, source = np.array([1.0, 1.0]), np.array([1.45, 1.1])
    inputs = rng.normal(size=(8, 2)) @ np.array([[1.0, 0.8], [0.0, 0.35]])
    labels = inputs @ truth + 0.8 * rng.normal(size=8)
    return {
        "truth": truth,
        "source": source,
        "inputs": inputs,
        "labels": labels,
    }


def valley_figure() -> tuple[Figure, str]:
    """Draw where a loss of few rows leads, from a source and without one."""
    parts = valley()
    inputs, labels, source = (
        parts[name] for name in ("inputs", "labels", "source")
    )
    strengths = np.geomspace(1e-3, 1e2, 60)
    ends = np.array(
        [pulled_minimum(labels, inputs, source, s) for s in strengths]
    )
    alone = pulled_minimum(labels, inputs, source, 0.0)
    figure, ax = new_figure(size=(6.4, 4.0))
    x, y = np.meshgrid(np.linspace(-0.3, 2.0, 90), np.linspace(0.2, 2.2, 90))
    points = np.stack([x, y], -1) @ inputs.T
    loss = ((points - labels) ** 2).mean(-1) / 2
    ax.contour(x, y, loss, levels=12, colors="#c8c8c8", linewidths=0.8)
    ax.plot(*ends.T, color=LOOKS["L2-SP"][0], label="L2-SP, any strength")
    for place, look, name in (
        (source, LOOKS["as is"], "source"),
        (alone, LOOKS["fine-tuned"], "minimum of 8 rows"),
        (parts["truth"], (BEST_COLOUR, "*"), "truth"),
    ):
        ax.plot(
            *place, color=look[0], marker=look[1], ms=9, ls="none", label=name
        )
    ax.axvline(
        source[0],
        color=LOOKS["frozen"][0],
        ls=(0, (4, 2)),
        label="first weight frozen",
    )
    ax.set(xlabel="first weight", ylabel="second weight")
    ax.set_title("Few rows know the valley, not the place in it")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    near = np.linalg.norm(ends - parts["truth"], axis=1).min()
    return figure, (
        "Contours of the loss of eight rows over two weights. Its minimum "
        f"lies {np.linalg.norm(alone - parts['truth']):.2f} from the truth, "
        f"the source {np.linalg.norm(source - parts['truth']):.2f}; the "
        f"curve of L2-SP between the two comes as near as {near:.2f}."
    )


def curves_figure(
    table: pd.DataFrame, title: str, task: str, metric: str
) -> tuple[Figure, str]:
    """Draw the learning curves over target rows, a panel per similarity.

    Args:
        table: the results ``fine_tuning``.
        title: the finding.
        task: "click" or "like".
        metric: "log_loss" or "auc".
    """
    curves = table.query(
        "part == 'curve' and task == @task and metric == @metric"
    )
    panels = sorted(curves["similarity"].unique(), reverse=True)
    figure, axes = new_figure(1, len(panels), size=(9.2, 3.8), sharey=True)
    words = []
    for ax, similarity in zip(np.atleast_1d(axes), panels, strict=True):
        here = curves[curves["similarity"] == similarity]
        _curves(ax, here)
        base = here[here["method"] == "base rate"]
        if metric == "log_loss":
            ax.plot(
                base["rows"],
                base["value"],
                color=BASELINE_COLOUR,
                ls=(0, (1, 2)),
                label="base rate",
            )
        best_line(ax, here["best"].mean())
        ax.set_title(f"similarity {similarity:g}")
        ax.set_xlabel("book rows")
        last = here[here["rows"] == here["rows"].max()].set_index("method")
        words.append(
            f"at similarity {similarity:g} and {here['rows'].max():,} rows "
            f"scratch {last.loc['scratch', 'value']:.3f}, fine-tuned "
            f"{last.loc['fine-tuned', 'value']:.3f}, frozen "
            f"{last.loc['frozen', 'value']:.3f}"
        )
    np.atleast_1d(axes)[0].set_ylabel(SCORES[task, metric])
    np.atleast_1d(axes)[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        f"{SCORES[task, metric]} by number of book rows, with intervals over "
        f"worlds, for four methods and the source as it is: "
        f"{'; '.join(words)}."
    )


def _curves(ax: Axes, here: pd.DataFrame) -> None:
    for i, method in enumerate(LOOKS):
        rows = here[here["method"] == method].sort_values("rows")
        x = rows["rows"] * 1.06 ** (i - 2)  # side by side, not in one line
        _line(ax, method, x, rows[["value", "value_low", "value_high"]])
    _axis_of_rows(ax)


def _line(ax: Axes, method: str, x: Any, interval: pd.DataFrame) -> None:
    """Draw a method's values with intervals: value, low and high, [N, 3]."""
    value, low, high = interval.to_numpy(float).T
    tint, mark = LOOKS[method]
    ax.errorbar(
        x,
        value,
        yerr=[value - low, high - value],
        color=tint,
        marker=mark,
        elinewidth=1.0,
        label=method,
    )


def _axis_of_rows(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_xticks([50, 1000, 20_000], ["50", "1,000", "20,000"])
    ax.minorticks_off()


def similarity_figure(
    table: pd.DataFrame, task: str, metric: str
) -> tuple[Figure, str]:
    """Draw each method minus scratch against the similarity of tastes.

    Args:
        table: the results ``fine_tuning``.
        task: "click" or "like".
        metric: "log_loss" or "auc".
    """
    rows = int(table.loc[table["part"] == "dial", "rows"].iloc[0])
    here = table.query("rows == @rows and task == @task and metric == @metric")
    figure, ax = new_figure(size=(7.4, 3.7))
    words = []
    for i, method in enumerate(LOOKS):
        if method == "scratch":
            continue
        line = here[here["method"] == method].sort_values("similarity")
        x = line["similarity"] + 0.008 * (i - 2)
        _line(ax, method, x, line[["difference", "low", "high"]])
        words.append(
            f"{method} from {line['difference'].iloc[0]:+.3f} to "
            f"{line['difference'].iloc[-1]:+.3f}"
        )
    ax.axhline(0, color=LOOKS["scratch"][0], lw=1, label="scratch")
    ax.set(
        xlabel="similarity of tastes in films and books",
        ylabel=f"{SCORES[task, metric].removeprefix('test ')}\nminus scratch",
    )
    better = "below" if metric == "log_loss" else "above"
    ax.set_title(f"{rows:,} book rows: {better} the line the source helps")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        f"{SCORES[task, metric]} minus that of scratch at {rows:,} book "
        f"rows against the similarity, from {here['similarity'].min():g} to "
        f"{here['similarity'].max():g}: {'; '.join(words)}."
    )


def forgetting_figure(
    table: pd.DataFrame, title: str, similarity: float
) -> tuple[Figure, str]:
    """Draw how much worse films become, against the book rows learned.

    Args:
        table: the results ``fine_tuning``.
        title: the finding.
        similarity: which of the two learning curves.
    """
    here = table.query(
        "part == 'curve' and task == 'click' and metric == 'log_loss' "
        "and similarity == @similarity"
    )
    figure, ax = new_figure(size=(7.2, 3.5))
    words = []
    for i, method in enumerate(("frozen", "fine-tuned", "L2-SP")):
        rows: Any = here[here["method"] == method].sort_values("rows")
        x = rows["rows"] * 1.06 ** (i - 1)
        _line(ax, method, x, rows[["films_change", "films_low", "films_high"]])
        words.append(f"{method} {rows['films_change'].iloc[-1]:+.3f}")
    ax.axhline(0, color=BASELINE_COLOUR, lw=1, label="source, before")
    _axis_of_rows(ax)
    ax.set(xlabel="book rows", ylabel="change of click log loss\nin films")
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        "Change of the click log loss on films after training on books, by "
        f"book rows, at similarity {similarity:g}; at the most rows: "
        f"{', '.join(words)}."
    )


def verdicts_by_rows(
    table: pd.DataFrame, method: str, task: str, metric: str, similarity: float
) -> str:
    """Say at which numbers of rows a method helps or hurts against scratch.

    Neighbouring numbers with one verdict are named together, as in "helps
    at 50 to 1,000 rows, cannot tell at 5,000, hurts at 20,000".
    """
    here = table.query(
        "part == 'curve' and method == @method and task == @task "
        "and metric == @metric and similarity == @similarity"
    ).sort_values("rows")
    words: list[str] = []
    for verdict, cells in groupby(
        zip(here["verdict"], here["rows"], strict=True), itemgetter(0)
    ):
        rows = [n for _, n in cells]
        ends = dict.fromkeys(f"{r:,}" for r in (rows[0], rows[-1]))
        words.append(f"{verdict} at {' to '.join(ends)}")
    words[0] += " rows"
    return ", ".join(words)
