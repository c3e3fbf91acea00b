"""Figures of the lesson on mapping between domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mtlrec_utils.classroom.charts import best_line
from mtlrec_utils.classroom.figures import new_figure
from mtlrec_utils.classroom.palette import BASELINE_COLOUR

# Bridges have no colour over the whole course; markers say the same.
LOOKS: Mapping[str, tuple[str, str]] = {
    "identity": ("#707070", "v"),
    "rotation": ("#C08A1E", "X"),
    "EMCDR": ("#0072B2", "s"),
    "on ratings": ("#009E73", "^"),
    "personal": ("#B92FC4", "D"),
    "CMF": ("#B45A00", "o"),
    "EMCDR, network": ("#5A3FBF", "P"),
    "PTUPCDR": ("#881E27", "h"),
    "SSCDR": ("#2F6B1F", "*"),
}
CLOSED_FORMS, NETWORKS = tuple(LOOKS)[:6], tuple(LOOKS)[6:]
METRICS = {"rmse": "test RMSE", "gauc": "test GAUC"}


def groups_figure(turn: float = -1.0) -> tuple[Figure, str]:
    """Draw a target taste against the source taste, group by group.

    Args:
        turn: factor on the bridge of the second group.
    """
    rng = np.random.default_rng(0)
    source = rng.normal(size=160)
    group = rng.integers(2, size=160)
    target = np.where(group == 0, 1.0, turn) * source
    target += 0.25 * rng.normal(size=160)
    figure, ax = new_figure(size=(6.4, 3.7))
    ends = np.array([-2.5, 2.5])
    for g, (tint, mark) in enumerate((("#0072B2", "o"), ("#B45A00", "s"))):
        ax.plot(
            source[group == g],
            target[group == g],
            color=tint,
            marker=mark,
            ls="none",
            ms=4,
            alpha=0.7,
            label=f"group {g + 1}",
        )
        ax.plot(ends, (1.0, turn)[g] * ends, color=tint, lw=1)
    slope = float(source @ target / (source @ source))
    ax.plot(
        ends,
        slope * ends,
        color="#111111",
        ls=(0, (4, 2)),
        label="one bridge for all",
    )
    ax.set(xlabel="taste in the source", ylabel="taste in the target")
    ax.set_title("Two opposite bridges, and their average")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        "Taste in the target against taste in the source for two groups of "
        f"users: a slope of 1 for one, of {turn:g} for the other; the least-"
        f"squares line through all has a slope of {slope:+.2f}."
    )


def grid_figure(
    table: pd.DataFrame, metric: str, title: str
) -> tuple[Figure, str]:
    """Draw every bridge against the number of linked users.

    Args:
        table: the results ``cross_domain_mapping``.
        metric: "rmse" or "gauc".
        title: the finding.
    """
    grid = table.query("part == 'grid' and metric == @metric")
    panels = sorted(grid["dial"].unique())
    figure, axes = new_figure(1, len(panels), size=(9.4, 3.7), sharey=True)
    words = []
    for ax, similarity in zip(axes, panels, strict=True):
        here = grid[grid["dial"] == similarity]
        for method in CLOSED_FORMS:
            tint, mark = LOOKS[method]
            line = here[here["method"] == method].sort_values("linked")
            ax.plot(
                line["linked"],
                line["value"],
                color=tint,
                marker=mark,
                label=method,
            )
        mean = here["item_mean"].mean()
        ax.axhline(mean, color=BASELINE_COLOUR, lw=2.5, label="item mean")
        if metric == "rmse":
            best_line(ax, here["best"].mean())
        ax.set_xscale("log")
        ax.set_xticks([5, 20, 100, 400], ["5", "20", "100", "400"])
        ax.minorticks_off()
        ax.set_xlabel("linked users")
        ax.set_title(f"similarity {similarity:g}")
        last = here[here["linked"] == here["linked"].max()]
        value = last.set_index("method")["value"]["EMCDR"]
        words.append(
            f"at similarity {similarity:g} and {here['linked'].max()} links "
            f"EMCDR {value:.3f}, item mean {mean:.3f}"
        )
    lowest, highest = grid["best"].min(), grid["item_mean"].max()
    if metric == "rmse":
        axes[0].set_ylim(lowest - 0.01, 1.25 * highest)
    axes[0].set_ylabel(METRICS[metric])
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        f"{METRICS[metric]} of six methods against the number of linked "
        f"users, beside the item mean, in three panels: {'; '.join(words)}."
    )


def turn_figure(table: pd.DataFrame, title: str) -> tuple[Figure, str]:
    """Draw the RMSE of common and personal bridges, by the groups' turn.

    Args:
        table: the results ``cross_domain_mapping``.
        title: the finding.
    """
    groups = table.query("part == 'groups' and metric == 'rmse'")
    figure, ax = new_figure(size=(7.4, 3.6))
    words = []
    for i, method in enumerate(("EMCDR", "on ratings", "personal", "CMF")):
        tint, mark = LOOKS[method]
        line: Any = groups[groups["method"] == method].sort_values("dial")
        ax.errorbar(
            line["dial"] + 0.02 * (i - 1.5),
            line["value"],
            yerr=[
                line["value"] - line["value_low"],
                line["value_high"] - line["value"],
            ],
            color=tint,
            marker=mark,
            elinewidth=1.0,
            label=method,
        )
        words.append(f"{method} {line['value'].iloc[0]:.2f}")
    mean = groups.groupby("dial")["item_mean"].first()
    ax.plot(mean.index, mean, color=BASELINE_COLOUR, lw=2.5, label="item mean")
    best_line(ax, groups["best"].mean())
    ax.set_xticks([-1, 0, 1], ["opposite", "none", "the same"])
    ax.set(xlabel="bridge of the second group", ylabel=METRICS["rmse"])
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        "Test RMSE of four methods when the second group's bridge is "
        "opposite, 0 or the same as the first's; when opposite: "
        f"{', '.join(words)}."
    )


def networks_figure(table: pd.DataFrame, title: str) -> tuple[Figure, str]:
    """Draw the RMSE of each network minus EMCDR's in closed form.

    Args:
        table: the results ``cross_domain_mapping``.
        title: the finding.
    """
    pairs = table.query(
        "part == 'networks' and metric == 'rmse' and against == 'EMCDR'"
    )
    panels = sorted(pairs["dial"].unique())
    figure, axes = new_figure(1, len(panels), size=(9.4, 3.7), sharey=True)
    words = []
    for ax, similarity in zip(axes, panels, strict=True):
        here = pairs[pairs["dial"] == similarity]
        ticks = sorted(here["linked"].unique())
        ax.axhline(0, color=LOOKS["EMCDR"][0], lw=2, label="EMCDR")
        for i, method in enumerate(NETWORKS):
            tint, mark = LOOKS[method]
            line: Any = here[here["method"] == method].sort_values("linked")
            ax.errorbar(
                np.arange(len(ticks)) + 0.16 * (i - 1),
                line["difference"],
                yerr=[
                    line["difference"] - line["low"],
                    line["high"] - line["difference"],
                ],
                color=tint,
                marker=mark,
                ls="none",
                elinewidth=1.5,
                capsize=2,
                label=method,
            )
            told = line["difference"].map("{:+.4f}".format)
            words.append(f"{method} at {similarity:g}: {', '.join(told)}")
        ax.set_xticks(range(len(ticks)), [str(n) for n in ticks])
        ax.set_xlabel("linked users")
        ax.set_title(f"similarity {similarity:g}")
    axes[0].set_ylabel("test RMSE minus EMCDR's")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure, (
        "Test RMSE of three networks minus that of EMCDR in closed form, by "
        f"similarity, with {', '.join(map(str, ticks))} linked users: "
        f"{'; '.join(words)}."
    )


def cell_figure(
    table: pd.DataFrame, similarity: float, linked: int, metric: str
) -> tuple[Figure, str]:
    """Draw each method minus the item mean in one cell of the grid.

    Args:
        table: the results ``cross_domain_mapping``.
        similarity: a dial of the grid.
        linked: linked users, one of the grid.
        metric: "rmse" or "gauc".
    """
    here = table.query(
        "part == 'grid' and dial == @similarity and linked == @linked "
        "and metric == @metric and method != 'item mean'"
    )
    figure, ax = new_figure(size=(7.2, 3.2))
    words = []
    for i, row in enumerate(here.to_dict("records")):
        tint, mark = LOOKS[str(row["method"])]
        middle, low, high = (
            float(row[name]) for name in ("difference", "low", "high")
        )
        ax.errorbar(
            middle,
            i,
            xerr=[[middle - low], [high - middle]],
            color=tint,
            marker=mark,
            capsize=3,
        )
        words.append(f"{row['method']} {middle:+.3f}, {row['verdict']}")
    ax.axvline(0, color=BASELINE_COLOUR, lw=2.5)
    names = [f"{r.method}: {r.verdict}" for r in here.itertuples()]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    better = "left" if metric == "rmse" else "right"
    ax.set_xlabel(f"{METRICS[metric]} minus that of the item mean")
    ax.set_title(f"Better is {better}: {linked} links")
    return figure, (
        f"{METRICS[metric]} minus that of the item mean at similarity "
        f"{similarity:g} and {linked} linked users: {'; '.join(words)}."
    )
