"""Figures of the lesson on ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line, heat_map
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR
from mtlrec_utils.data.world_catalogue import AGE_GROUPS

# Rankers have no colour over the whole course; markers say the same.
LOOKS: Mapping[str, tuple[str, str]] = {
    "logistic": ("#707070", "v"),
    "wide & deep": ("#C08A1E", "X"),
    "DeepFM": ("#0072B2", "s"),
    "DCN": ("#009E73", "^"),
    "DIN": ("#B92FC4", "D"),
    "by hand": ("#B45A00", "o"),
    "mlp, history": ("#B45A00", "o"),
}
GROUPS = ("#17508C", "#C08A1E", "#20917E", "#7A2A10", "#CF4FC9", "#707070")
MARKS = "os^DPX"
BUILT_IN = ("wide & deep", "DeepFM", "DCN", "DIN")
METRICS = {"auc": "test AUC", "log_loss": "test log loss"}


def crossing_figure(
    logs: Mapping[str, pd.DataFrame], group: str, column: str
) -> tuple[Figure, str]:
    """Draw the log-odds of a click by two columns, a panel per world.

    Without a cross the lines of the groups are parallel but for noise.

    Args:
        logs: name of the world -> frame with click and both columns.
        group: the column that gives a line per value.
        column: the column along the axis.
    """
    figure, axes = new_figure(1, len(logs), size=(9.4, 3.7), sharey=True)
    words = []
    for ax, (name, log) in zip(np.atleast_1d(axes), logs.items(), strict=True):
        odds = log_odds(log, group, column)
        for i, (value, line) in enumerate(odds.iterrows()):
            ax.plot(
                range(odds.shape[1]),
                line,
                color=GROUPS[i],
                marker=MARKS[i],
                label=str(value),
            )
        ax.set_xticks(range(odds.shape[1]), list(odds.columns), rotation=30)
        ax.set_title(name)
        words.append(
            f"{name}: the lines leave a common shape by "
            f"{crossing(odds):.2f} on average"
        )
    np.atleast_1d(axes)[0].set_ylabel("log-odds of a click")
    np.atleast_1d(axes)[-1].legend(
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        title=group.replace("_", " "),
    )
    return figure, (
        f"Log-odds of a click by {column}, one line per {group}, in "
        f"{len(logs)} panels. {'; '.join(words)}."
    )


def log_odds(log: pd.DataFrame, group: str, column: str) -> pd.DataFrame:
    """Return the log-odds of a click, [groups, values of the column]."""
    counts = log.groupby([group, column])["click"].agg(["sum", "size"])
    share = (counts["sum"] + 0.5) / (counts["size"] + 1)
    odds = (share / (1 - share)).apply(np.log).unstack()
    in_order = [value for value in AGE_GROUPS if value in odds.index]
    return odds.loc[in_order or odds.index]


def crossing(odds: pd.DataFrame) -> float:
    """Return how far a table is from row effect plus column effect.

    The standard deviation of what remains; 0 if all lines are parallel.
    """
    table = odds.to_numpy()
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True)
    return float((rest + table.mean()).std())


def gains_figure(table: pd.DataFrame, kinds: list[str]) -> tuple[Figure, str]:
    """Draw every ranker's AUC minus the plain network's, a panel per world.

    Logistic regression is left out: its losses would squeeze the rest. The
    title counts the cells in which rankers with products built in help.

    Args:
        table: the results ``ranking_06``.
        kinds: the worlds to show.
    """
    figure, axes = new_figure(
        1, len(kinds), size=(9.6, 3.4), sharex=True, sharey=True
    )
    words, names, verdicts = [], [], []
    for ax, kind in zip(axes, kinds, strict=True):
        here = _against_mlp(table, kind).query("candidate_model != 'logistic'")
        names = list(here["candidate_model"])
        verdicts += list(here.query("candidate_model in @BUILT_IN")["verdict"])
        _intervals(ax, here)
        ax.set_title(kind)
        words.append(f"{kind}: {_told(here)}")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("test AUC minus the plain network's", fontsize=10)
    title = (
        f"Products built in: better in {verdicts.count('helps')} of "
        f"{len(verdicts)} cells"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        "AUC of each ranker minus that of the plain network of the same "
        f"size, with intervals over worlds. {'. '.join(words)}."
    )


def world_figure(
    table: pd.DataFrame, world: str, metric: str
) -> tuple[Figure, str]:
    """Draw every ranker's score in one kind of world, and the best one.

    The bars are the interval of the difference from the plain network, put
    at its score.

    Args:
        table: the results ``ranking_06``.
        world: its kind.
        metric: "auc" or "log_loss".
    """
    here = _against_mlp(table, world, metric)
    base = float(here["baseline"].iloc[0])
    figure, ax = new_figure(size=(7.4, 3.4))
    _intervals(ax, here, base)
    if metric == "auc":
        best_line(ax, float(here["best"].iloc[0]), horizontal=False)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    names = [f"{r.candidate_model}: {r.verdict}" for r in here.itertuples()]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    better = "right" if metric == "auc" else "left"
    ax.set_xlabel(f"{METRICS[metric]} (grey line: the plain network)")
    ax.set_title(f"{world}: better is {better}")
    return figure, (
        f"{METRICS[metric]} in the worlds '{world}': plain network "
        f"{base:.3f}; differences from it: {_told(here)}."
    )


def weights_by_shop(
    weights: np.ndarray, rows: pd.DataFrame, n_items: int
) -> np.ndarray:
    """Return how large attention's weights are, by shop.

    Args:
        weights: of every row's history, [N, L].
        rows: the N rows with item and history.
        n_items: items of a shop; those of books follow those of films.

    Returns:
        Mean |weight| [2, 2] over the items there are: rows are the shop of
        the candidate, columns that of the item of the history.
    """
    length = weights.shape[1]
    past = np.array(
        [
            np.pad(h // n_items, (0, length - len(h)), constant_values=-1)
            for h in rows["history"]
        ]
    )
    shop = rows["item"].to_numpy()[:, None] // n_items
    size = np.abs(weights)
    return np.array(
        [
            [size[(shop == c) & (past == p)].mean() for p in (0, 1)]
            for c in (0, 1)
        ]
    )


def looks_figure(looks: np.ndarray) -> tuple[Figure, str]:
    """Draw the mean sizes that ``weights_by_shop`` returns, [2, 2]."""
    own, other = np.trace(looks) / 2, np.trace(looks[::-1]) / 2
    title = f"Own shop {own:.2f}, other shop {other:.2f}"
    figure = heat_map(
        looks,
        ["film", "book"],
        ["film", "book"],
        title=title,
        x_label="item of the history",
        y_label="candidate",
        value_label="mean |weight|",
        limits=(0.0, float(looks.max())),
    )
    return figure, (
        f"Mean size of the attention weight. {title}. By candidate and item "
        f"of the history: film and film {looks[0, 0]:.2f}, film and book "
        f"{looks[0, 1]:.2f}, book and film {looks[1, 0]:.2f}, book and book "
        f"{looks[1, 1]:.2f}."
    )


def _against_mlp(
    table: pd.DataFrame, kind: str, metric: str = "auc"
) -> pd.DataFrame:
    return table.query(
        "kind == @kind and metric == @metric and shop == 'all' "
        "and baseline_model == 'mlp'"
    )


def _intervals(ax: Axes, here: pd.DataFrame, base: float = 0.0) -> None:
    for i, row in enumerate(here.to_dict("records")):
        tint, mark = LOOKS[str(row["candidate_model"])]
        middle, low, high = (
            float(row[name]) for name in ("difference", "low", "high")
        )
        errors: Any = [[middle - low], [high - middle]]
        ax.errorbar(
            base + middle, i, xerr=errors, color=tint, marker=mark, capsize=3
        )
    ax.axvline(base, color=BASELINE_COLOUR, lw=2.5, zorder=1)
    ax.grid(axis="y", visible=False)


def _told(here: pd.DataFrame) -> str:
    return ", ".join(
        f"{r.candidate_model} {r.difference:+.3f} ({r.verdict})"
        for r in here.itertuples()
    )
