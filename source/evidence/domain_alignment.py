"""Two domains of which one has labels: where alignment gains and harms.

``data.two_domains``, 3000 rows per domain, and 3000 others of the target to
judge by. Four cells:

* "spurious": the nuisance tells the label in the source only;
* "shift": the nuisance has another mean in the target; the share of ones is
  .5 in the source and .5, .2 or .05 in the target.

All methods have the same model, start and steps. There is no target label to
tune by: strengths are the same in all cells, chosen once on a world that is
not among these (seed 99) so that the domain tower does clearly worse: right
on .81 of the rows with "none", .74 and .35 with DANN, .71 with MMD, .72 with
CORAL, whose covariances of a batch are small numbers: below a strength of
30,000 the tower hardly noticed.

* "none": learns from the source alone;
* "DANN 0.3", "DANN 1": gradient reversal;
* "CORAL", "MMD": a penalty;
* "none, corrected": its probabilities under the prior that EM finds;
* "DANN 1, weighted": source rows drawn by the weights p_t(y) / p_s(y), with
  the prior that EM finds;
* "DANN 1, true prior": the same with the target's true prior.

The best possible scores know the truth. Each seed is an independent world.
"""

from functools import lru_cache

import numpy as np
import pandas as pd

from mtlrec_utils.data import Number, Schema, Task
from mtlrec_utils.data.two_domains import INPUTS, TwoDomains, two_domains
from mtlrec_utils.evidence import auc, log_loss, paired_row
from mtlrec_utils.learning import replicate
from mtlrec_utils.learning.transfer import (
    corrected_probabilities,
    estimated_prior,
    resampled_rows,
)
from mtlrec_utils.models import aligned

SEEDS = range(1, 7)
N_ROWS = 3000
CELLS = (
    {"spurious": 1.0, "target_prior": 0.5},
    {"spurious": 0.0, "target_prior": 0.5},
    {"spurious": 0.0, "target_prior": 0.2},
    {"spurious": 0.0, "target_prior": 0.05},
)
# Means over worlds, beside each metric: shares of rows predicted as ones, and
# of rows whose domain the tower tells.
FACTS = ("predicted_ones", "domain_accuracy")
SIZES = {"bottom_units": (32, 16), "tower_units": (16,)}
FIT = {"epochs": 30, "batch_size": 256, "learning_rate": 3e-3}
STRENGTHS = {
    "none": ("none", 0.0),
    "DANN 0.3": ("dann", 0.3),
    "DANN 1": ("dann", 1.0),
    "CORAL": ("coral", 1e5),
    "MMD": ("mmd", 5.0),
}


def units() -> list[dict]:
    """One cell in one world."""
    return [{**cell, "seed": seed} for cell in CELLS for seed in SEEDS]


def schema_of(domains: TwoDomains) -> Schema:
    """Six numbers; a label known in the source, and the domain."""
    return Schema(
        features=[Number(x) for x in INPUTS],
        tasks=[Task("label", sample_space="labelled"), Task("domain")],
    ).fit(domains.train)


@lru_cache
def builder(name: str):
    """Return one builder per method, so that it is traced once."""
    schema = schema_of(two_domains(100))  # sizes only
    method, strength = STRENGTHS[name]
    return lambda seed: aligned(
        schema, method=method, strength=strength, seed=seed, **SIZES
    )


def run(unit: dict) -> pd.DataFrame:
    """All methods in one world."""
    domains = two_domains(N_ROWS, **unit)
    schema = schema_of(domains)
    train = schema.encode(domains.train)
    source = domains.train.query("domain == 0").assign(labelled=0)
    # The label is judged on the target's rows, the domain on both.
    test = schema.encode(pd.concat([domains.test, source], ignore_index=True))
    label = domains.test["label"].to_numpy()

    def trained(name: str, rows) -> dict[str, np.ndarray]:
        found = replicate(
            {name: builder(name)},
            rows,
            None,
            test,
            seeds=[unit["seed"]],
            progress=False,
            **FIT,
        )
        return {t: p[0].ravel() for t, p in found.predictions[name].items()}

    def weighted(prior: float):
        is_source = train.labels["domain"] == 0
        places = np.flatnonzero(is_source)
        drawn = resampled_rows(
            train.labels["label"][places].astype(int), prior, unit["seed"]
        )
        return train.subset(
            np.concatenate([places[drawn], np.flatnonzero(~is_source)])
        )

    plain = {name: trained(name, train) for name in STRENGTHS}
    source_prior = float(domains.train.query("domain == 0")["label"].mean())
    # The prior is estimated on the inputs of the rows that are judged.
    alone = plain["none"]["label"][: len(label)]
    prior = estimated_prior(alone, source_prior)
    plain["none, corrected"] = {
        "label": corrected_probabilities(
            alone, source_prior, float(np.clip(prior, 1e-3, 1 - 1e-3))
        ),
        "domain": plain["none"]["domain"],
    }
    plain["DANN 1, weighted"] = trained(
        "DANN 1", weighted(float(np.clip(prior, 1e-2, 1 - 1e-2)))
    )
    plain["DANN 1, true prior"] = trained(
        "DANN 1", weighted(unit["target_prior"])
    )
    rows = []
    for name, found in plain.items():
        p = np.clip(found["label"][: len(label)], 1e-6, 1 - 1e-6)
        values = {
            "auc": auc(label, p),
            "accuracy": float(((p > 0.5) == label).mean()),
            "log_loss": log_loss(label, p),
            "predicted_ones": float((p > 0.5).mean()),
            "domain_accuracy": float(
                ((found["domain"] > 0.5) == test.labels["domain"]).mean()
            ),
        }
        best = {"auc": domains.best_auc, "accuracy": domains.best_accuracy}
        rows += [
            {
                **unit,
                "method": name,
                "metric": metric,
                "value": value,
                "best": best.get(metric, np.nan),
                "estimated_prior": prior,
            }
            for metric, value in values.items()
        ]
    return pd.DataFrame(rows)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, method and metric, against "none"."""
    facts = results[results["metric"].isin(FACTS)].pivot_table(
        index=["spurious", "target_prior", "method"],
        columns="metric",
        values="value",
    )
    judged = results[~results["metric"].isin(FACTS)]
    keys, found = ["spurious", "target_prior", "metric"], []
    for key, cell in judged.groupby(keys, sort=False):
        spurious, prior, metric = key
        by_method = cell.set_index(["method", "seed"])
        base = by_method.loc["none"]
        for method in cell["method"].unique():
            own = by_method.loc[method].loc[base.index]
            if (method, metric) == ("none, corrected", "auc"):
                own = base  # the order of rows is the same, but for rounding
            row = paired_row(own["value"], base["value"], metric != "log_loss")
            found.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "method": method,
                    **row,
                    "best": own["best"].mean(),
                    "estimated_prior": own["estimated_prior"].mean(),
                    **facts.loc[(spurious, prior, method)],
                    "worlds": len(own),
                }
            )
    return pd.DataFrame(found)
