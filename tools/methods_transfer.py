"""Sections of ``METHODS.md``: fine-tuning, alignment, many domains."""

from __future__ import annotations

from collections.abc import Sequence

from tools.method_sources import (
    ALIGNMENT,
    FINE_TUNING,
    MANY_DOMAINS,
    alignments,
    domain_models,
    fine_tunings,
)
from tools.methods_markdown import Places, results
from tools.methods_stored import Stored, compared, link

FINE_TUNING_TABLES = (
    Stored(
        "fine_tuning",
        "worlds",
        "scratch",
        ["similarity", "rows"],
        "similarity, rows",
        only="part != 'speed'",
    ),
    Stored(
        "amazon_16",
        "Amazon",
        "scratch",
        ["target", "rows"],
        "Amazon: to, rows",
    ),
)
ALIGNMENT_TABLES = (
    Stored(
        "domain_alignment",
        "worlds",
        "none",
        ["spurious", "target_prior"],
        "spurious, share of ones in the target",
        called={"none, corrected": "corrected"},
    ),
    Stored(
        "movielens_18",
        "MovieLens",
        "source alone",
        ["n_groups"],
        "users judged, MovieLens",
    ),
)
DOMAIN_TABLES = (
    Stored(
        "many_domains",
        "worlds",
        "separate",
        ["similarity", "domain"],
        "similarity, domain",
    ),
    Stored(
        "movielens_19", "MovieLens", "pooled", ["domain"], "age, MovieLens"
    ),
    Stored(
        "tasks_and_domains",
        "tasks and domains",
        "task and domain",
        ["domain_similarity", "task_correlation", "domain"],
        "similarity of domains, of tasks, domain",
        called={
            "both": "shared bottom",
            "both, wide": "shared bottom, wide",
            "task": "shared bottom, a model per task",
        },
    ),
    Stored(
        "late_domain",
        "a late domain",
        "alone",
        ["similarity", "rows"],
        "similarity, rows of the late domain",
        only="baseline == 'alone'",
        called={"retrained": "shared bottom"},
    ),
)


def fine_tuning() -> list[str]:
    """Write the section of fine-tuning."""
    return [
        "## Fine-tuning",
        "",
        "A model of one domain goes on in another: against one that starts "
        "from scratch, four trials each. “Frozen” trains towers and logits "
        "only; the others train everything. Simulated worlds, by similarity "
        "of tastes and number of the target's rows "
        f"({link('fine_tuning')}), each interval on "
        "its own; Amazon's books and films both ways "
        f"({link('amazon_16')}), with Holm's correction.",
        "",
        *compared(
            fine_tunings(),
            FINE_TUNING,
            FINE_TUNING_TABLES,
            Places(("test_fine_tuning",), ("16_*",)),
            facts={
                code: [*_forgotten(names), *_speed(names)]
                for code, names in FINE_TUNING.items()
            },
        ),
    ]


def alignment() -> list[str]:
    """Write the section of alignment between domains."""
    return [
        "## Alignment between domains",
        "",
        "The source has labels, the target has none: against learning from "
        "the source alone. Simulated worlds with a nuisance that tells the "
        "label in the source only (spurious 1.0) or is moved (0.0) "
        f"({link('domain_alignment')}), each interval on its own; "
        "MovieLens-100K, from young users to older ones, closed forms and "
        f"no network ({link('movielens_18')}), with Holm's correction. The "
        "number after DANN is its strength; strengths were chosen once, on "
        "another world, by how badly the domain was told. “Corrected” and "
        "“weighted” use the prior that EM finds, “true prior” the true one. "
        "The worlds' table calls “none, corrected” what is “corrected” here.",
        "",
        *compared(
            alignments(),
            ALIGNMENT,
            ALIGNMENT_TABLES,
            Places(("test_domain_alignment", "test_prior_shift"), ("18_*",)),
            facts={
                code: _told_apart(names) for code, names in ALIGNMENT.items()
            },
            cells={"estimated_prior": _priors()},
        ),
    ]


def many_domains() -> list[str]:
    """Write the section of many domains."""
    return [
        "## Many domains",
        "",
        "One model for domains with many rows and with few. Three simulated "
        "domains with 10,000, 1000 and 100 rows, against separate models "
        f"({link('many_domains')}); MovieLens-100K by age, against the "
        f"pooled model ({link('movielens_19')}); three tasks in two "
        "domains, against a model per task and domain "
        f"({link('tasks_and_domains')}: there “both” is the shared bottom, "
        "“both, wide” the wide one, “task” a model per task); a fourth "
        "domain that joins three, against a model of its rows alone "
        f"({link('late_domain')}: there “retrained” is the shared bottom). "
        "MovieLens with Holm's correction, the others each interval on its "
        "own. Verdicts are counted per domain: averages over domains are "
        "left out.",
        "",
        *compared(
            domain_models(),
            MANY_DOMAINS,
            DOMAIN_TABLES,
            Places(("test_multidomain",), ("19_*",)),
        ),
    ]


def _forgotten(names: Sequence[str]) -> list[str]:
    """Say how the AUC in the source has changed, and in how many cells."""
    rows = FINE_TUNING_TABLES[0].rows.query("metric == 'auc'")
    told = []
    for name in names:
        if name == FINE_TUNING_TABLES[0].against:
            continue
        own = rows[rows["method"] == name]
        low, high = own["films_change"].min(), own["films_change"].max()
        worse = (own["films_high"] < 0).sum()
        told.append(
            f"Change of the AUC in the source: {low:+.3f} to {high:+.3f}, "
            f"its interval below 0 in {worse} of {len(own)} settings and "
            f"tasks ({link('fine_tuning')})"
        )
    return told


def _speed(names: Sequence[str]) -> list[str]:
    """Say after how many steps the loss falls to the best of scratch."""
    rows = results("fine_tuning").query("part == 'speed'")
    steps = rows.set_index("method")["value"]
    return [
        f"Steps to the lowest validation loss of scratch: {row.value:.0f}, "
        f"scratch {steps['scratch']:.0f}: {row.verdict} "
        f"({row.difference:+.0f}), similarity {row.similarity}, {row.rows} "
        f"rows ({link('fine_tuning')})"
        for row in rows.itertuples()
        if row.method in names and row.method != "scratch"
    ]


def _told_apart(names: Sequence[str]) -> list[str]:
    """Say on which share of rows the domain's tower is right."""
    rows = ALIGNMENT_TABLES[0].rows.query("metric == 'auc'")
    shares = rows.groupby("method")["domain_accuracy"].agg(["min", "max"])
    told = [
        f"{name} {shares['min'][name]:.2f} to {shares['max'][name]:.2f}"
        for name in dict.fromkeys((*names, "none"))
        if name in shares.index
    ]
    if not set(names) & set(shares.index):
        return []
    return [
        "Share of rows whose domain the tower tells: "
        f"{', '.join(told)} ({link('domain_alignment')})"
    ]


def _priors() -> list[str]:
    """Write the priors that EM finds beside the true ones, per table."""
    keys = ["spurious", "target_prior"]
    worlds = results("domain_alignment").groupby(keys, sort=False)
    told = [
        f"{prior} found as {found:.2f}" + (" (spurious)" if spurious else "")
        for (spurious, prior), found in worlds["estimated_prior"]
        .first()
        .items()
    ]
    users = results("movielens_18").iloc[0]
    return [
        "prior " + "; ".join(told),
        f"prior {users['prior_old']:.2f} found as "
        f"{users['prior_found']:.2f} (source {users['prior_young']:.2f})",
    ]
