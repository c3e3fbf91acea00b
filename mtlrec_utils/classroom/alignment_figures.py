"""Figures of the lesson on the alignment of two domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import (
    BASELINE_COLOUR,
    BEST_COLOUR,
    NEUTRAL_COLOUR,
)
from mtlrec_utils.data.two_domains import INPUTS, N_SIGNAL, two_domains

# Methods have no colour over the whole course; markers say the same.
LOOKS: Mapping[str, tuple[str, str]] = {
    "none": (BASELINE_COLOUR, "v"),
    "DANN 0.3": ("#0072B2", "s"),
    "DANN 1": ("#B92FC4", "D"),
    "CORAL": ("#009E73", "^"),
    "MMD": ("#B45A00", "o"),
    "none, corrected": ("#17508C", "P"),
    "DANN 1, weighted": ("#7A2A10", "X"),
    "DANN 1, true prior": ("#C08A1E", "<"),
}
ALIGNED = ("none", "DANN 0.3", "DANN 1", "CORAL", "MMD")
CORRECTED = ("none", "none, corrected", "DANN 1", "DANN 1, weighted")
METRICS = {"auc": "target AUC", "accuracy": "target accuracy"}
WORLDS: Mapping[str, tuple[float, float]] = {
    "spurious": (1.0, 0.5),
    "shift, half ones": (0.0, 0.5),
    "shift, 20 % ones": (0.0, 0.2),
    "shift, 5 % ones": (0.0, 0.05),
}


def domains_figure(spurious: float = 1.0) -> tuple[Figure, str]:
    """Draw the mean of the nuisance against that of the signal.

    Args:
        spurious: what the nuisance tells of the source's label.
    """
    train = two_domains(200, spurious=spurious, seed=1).train
    signal = train[list(INPUTS[:N_SIGNAL])].mean(axis=1)
    nuisance = train[list(INPUTS[N_SIGNAL:])].mean(axis=1)
    figure, ax = new_figure(size=(6.8, 3.7))
    for domain, label, colour, mark, name in (
        (0, 1, "#B45A00", "o", "source, label 1"),
        (0, 0, "#0072B2", "s", "source, label 0"),
        (1, 1, "#707070", "^", "target, label 1, unseen"),
        (1, 0, "#707070", "v", "target, label 0, unseen"),
    ):
        here = (train["domain"] == domain) & (train["label"] == label)
        ax.plot(
            signal[here],
            nuisance[here],
            color=colour,
            marker=mark,
            ls="none",
            ms=4,
            alpha=0.7,
            label=name,
        )
    ax.set(xlabel="signal, mean of 2 inputs", ylabel="nuisance, mean of 4")
    ax.set_title("The nuisance tells the label, in the source only")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        "Mean nuisance against mean signal of 400 rows: in the source both "
        "rise with the label, in the target only the signal does and the "
        "nuisance lies above for either label."
    )


def methods_figure(
    table: pd.DataFrame,
    title: str,
    methods: Sequence[str] = ALIGNED,
    metrics: Sequence[str] = ("auc", "accuracy"),
    worlds: Sequence[str] = tuple(WORLDS),
) -> tuple[Figure, str]:
    """Draw methods over worlds, a panel per metric, with intervals.

    Beside them stand the best possible score and the trivial one, of saying
    0 to everybody.

    Args:
        table: the results ``domain_alignment``.
        title: the finding.
        methods: which of them.
        metrics: a panel each.
        worlds: names in ``WORLDS``, from left to right.
    """
    width = 9.6 if len(metrics) > 1 else 7.4
    figure, axes = new_figure(
        1, len(metrics), size=(width, 3.8), squeeze=False
    )
    words = []
    for ax, metric in zip(axes[0], metrics, strict=True):
        for i, method in enumerate(methods):
            rows = [cell(table, world, method, metric) for world in worlds]
            value, low, high = (
                np.array([float(row[name]) for row in rows])
                for name in ("value", "value_low", "value_high")
            )
            colour, mark = LOOKS[method]
            ax.errorbar(
                np.arange(len(rows)) + 0.12 * (i - (len(methods) - 1) / 2),
                value,
                yerr=[value - low, high - value],
                color=colour,
                marker=mark,
                ls="none",
                elinewidth=1.0,
                label=name_of(method),
            )
            words.append(
                f"{METRICS[metric]} of {name_of(method)} "
                + ", ".join(
                    f"{v:.2f} ({w})"
                    for v, w in zip(value, worlds, strict=True)
                )
            )
        for k, world in enumerate(worlds):
            best = float(cell(table, world, methods[0], metric)["best"])
            trivial = 0.5 if metric == "auc" else 1 - WORLDS[world][1]
            for score, colour, dashes, name in (
                (best, BEST_COLOUR, (5, 3), "best possible score"),
                (trivial, NEUTRAL_COLOUR, (1, 1.5), "always 0"),
            ):
                ax.plot(
                    [k - 0.4, k + 0.4],
                    [score, score],
                    color=colour,
                    ls=(0, dashes),
                    lw=1.6,
                    label=name if k == 0 else None,
                )
        ax.set_xticks(
            range(len(worlds)), [w.replace(", ", "\n") for w in worlds]
        )
        ax.set_ylabel(METRICS[metric])
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, "; ".join(words) + (
        ". Lines mark the best possible score and that of saying 0 always."
    )


def cell_figure(
    table: pd.DataFrame, world: str, metric: str
) -> tuple[Figure, str]:
    """Draw each method minus the source alone in one world.

    Args:
        table: the results ``domain_alignment``.
        world: a name in ``WORLDS``.
        metric: "auc" or "accuracy".
    """
    methods = [m for m in LOOKS if m != "none"]
    figure, ax = new_figure(size=(7.4, 3.4))
    names, words = [], []
    for i, method in enumerate(methods):
        row = cell(table, world, method, metric)
        middle, low, high = (
            float(row[name]) for name in ("difference", "low", "high")
        )
        colour, mark = LOOKS[method]
        ax.errorbar(
            middle,
            i,
            xerr=[[middle - low], [high - middle]],
            color=colour,
            marker=mark,
            capsize=3,
        )
        names.append(f"{name_of(method)}: {row['verdict']}")
        words.append(f"{name_of(method)} {middle:+.3f}, {row['verdict']}")
    best_line(ax, 0, label="no difference", horizontal=False)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(f"{METRICS[metric]} minus that of the source alone")
    ax.set_title(f"Better is right: {world}")
    return figure, (
        f"{METRICS[metric]} minus that of a model of the source alone, "
        f"{world}: {'; '.join(words)}."
    )


def name_of(method: str) -> str:
    """Return what a method of the table is called in text and figures."""
    return method.replace("none", "source alone")


def cell(
    table: pd.DataFrame, world: str, method: str, metric: str
) -> pd.Series:
    """Return one row of the table.

    Args:
        table: the results ``domain_alignment``.
        world: a name in ``WORLDS``.
        method: one of them.
        metric: "auc", "accuracy" or "log_loss".
    """
    spurious, prior = WORLDS[world]
    found = table[
        (table["spurious"] == spurious)
        & (table["target_prior"] == prior)
        & (table["method"] == method)
        & (table["metric"] == metric)
    ]
    return found.iloc[0]
