"""A figure for the lesson on many domains: tasks times domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.domain_figures import LOOKS, METRICS
from mtlrec_utils.classroom.figures import new_figure

ALONE = "task and domain"
SHARING: Mapping[str, tuple[str, str]] = {
    "domain": ("#C08A1E", "X"),
    "task": ("#B92FC4", "v"),
    "both": ("#0072B2", "s"),
    **{name: LOOKS[name] for name in ("MMoE", "STAR", "PEPNet")},
    "both, wide": ("#0072B2", "p"),
    "task and domain, wide": ("#111111", "o"),
}
DOMAINS = ("films", "books")
TASKS = ("click", "like", "finish")


def cells_figure(
    table: pd.DataFrame,
    domain_similarity: float,
    task_correlation: float,
    metric: str,
    methods: Sequence[str] = tuple(SHARING),
) -> tuple[Figure, str]:
    """Draw every method minus one model per task and domain, by cell.

    A filled mark says that the interval excludes 0.

    Args:
        table: the results ``tasks_and_domains``.
        domain_similarity: 0 or 0.9.
        task_correlation: 0 or 0.9.
        metric: "auc" or "log_loss".
        methods: which of them, from top to bottom.
    """
    here = table.query(
        "metric == @metric and domain_similarity == @domain_similarity and "
        "task_correlation == @task_correlation and method in @methods"
    )
    figure, axes = new_figure(2, 3, size=(9.4, 5.2), sharex=True, sharey=True)
    words = []
    for line, domain in zip(axes, DOMAINS, strict=True):
        for ax, task in zip(line, TASKS, strict=True):
            cell = here[(here["domain"] == domain) & (here["task"] == task)]
            cell = cell.set_index("method").loc[list(methods)]
            _draw_cell(ax, cell)
            ax.set_title(f"{domain}, {task}")
            counts = cell["verdict"].value_counts()
            said = [f"{n} {word}" for word, n in counts.items()]
            words.append(f"{domain}, {task}: {', '.join(said)}")
    better = "right" if metric == "auc" else "left"
    figure.supxlabel(
        f"{METRICS[metric]} minus that of one model per task and domain: "
        f"{better} is better",
        fontsize=10,
    )
    figure.suptitle(
        f"Similarity of domains {domain_similarity:g}, of tasks "
        f"{task_correlation:g}: {_finding(here)}",
        x=0.01,
        ha="left",
        fontsize=12,
        fontweight="bold",
    )
    return figure, (
        f"{METRICS[metric]} of {len(methods)} ways to share, minus one model "
        "per task and domain, in six panels. Verdicts: "
        f"{'; '.join(words)}."
    )


def _draw_cell(ax: Axes, cell: pd.DataFrame) -> None:
    """Draw each method's difference and interval in one cell."""
    for place, (name, row) in enumerate(cell.iterrows()):
        tint, mark = SHARING[str(name)]
        sure = row["verdict"] != "cannot tell"
        ax.plot([row["low"], row["high"]], [place, place], color=tint, lw=2.2)
        ax.plot(
            row["difference"],
            place,
            color=tint,
            marker=mark,
            ms=7,
            mfc=tint if sure else "white",
        )
    ax.axvline(0, color="#111111", lw=1.2, zorder=1)
    ax.set_yticks(range(len(cell)), list(cell.index))
    ax.set_ylim(len(cell) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def _finding(here: pd.DataFrame) -> str:
    """Count the verdicts over all cells and methods."""
    cells = here[here["domain"].isin(DOMAINS)]
    counts = cells["verdict"].value_counts()
    return (
        f"{counts.get('helps', 0)} help, {counts.get('hurts', 0)} hurt, of "
        f"{len(cells)}"
    )
