"""A public A/B test, read: two e-mails against none (Hillstrom, 2008).

Arms were drawn by lot, a customer is a row. Six comparisons share one
confidence of 95 % (Bonferroni).
"""

from __future__ import annotations

import pandas as pd

from mtlrec_utils.data.real import load_hillstrom
from mtlrec_utils.evidence import difference_of_means

SEEDS = (0,)  # nothing is drawn
CONTROL = "No E-Mail"
ARMS = ("Mens E-Mail", "Womens E-Mail")
ANSWERS = ("visit", "conversion", "spend")
CONFIDENCE = 1 - 0.05 / (len(ARMS) * len(ANSWERS))


def missing() -> str | None:
    """Say why the experiment cannot run, None if it can."""
    try:
        load_hillstrom()
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """All in one."""
    return [{}]


def run(unit: dict) -> pd.DataFrame:
    """Compare every arm and answer with the customers without a mail."""
    mails = load_hillstrom()
    rows = []
    for arm in ARMS:
        for answer in ANSWERS:
            treated, control = (
                mails.loc[mails["segment"] == name, answer]
                for name in (arm, CONTROL)
            )
            found = difference_of_means(
                treated, control, confidence=CONFIDENCE
            )
            rows.append(
                {
                    "arm": arm,
                    "metric": answer,
                    "higher_is_better": True,
                    "value": float(treated.mean()),
                    "baseline": float(control.mean()),
                    "difference": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "verdict": found.verdict,
                    "customers": len(treated),
                }
            )
    return pd.DataFrame(rows)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Keep all rows."""
    return results
