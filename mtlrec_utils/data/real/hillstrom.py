"""Hillstrom's e-mail campaign: a funnel of visit, conversion and spend.

Source: K. Hillstrom, The MineThatData E-Mail Analytics and Data Mining
Challenge, 20 March 2008. Customers of a shop were mailed at random; what
they did in the two weeks after is known of every one of them.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pandas as pd

from mtlrec_utils.data.real.cache import data_folder, find_file
from mtlrec_utils.data.real.files import (
    DataFileError,
    layout_errors,
    open_file,
)

#: What was known before the campaign, and the arm a customer was drawn into.
FEATURES = (
    "recency", "history_segment", "history", "mens", "womens", "zip_code",
    "newbie", "channel", "segment",
)  # fmt: skip
LABELS = ("visit", "conversion", "spend")
COLUMNS = (*FEATURES, *LABELS)
SEGMENTS = ("Womens E-Mail", "Mens E-Mail", "No E-Mail")

PUBLISHED_ROWS = 64_000
PAGE = (
    "https://blog.minethatdata.com/2008/03/"
    "minethatdata-e-mail-analytics-and-data.html"
)

_NAMES = ("hillstrom.csv.gz", "hillstrom.csv")

_FLAGS = ("mens", "womens", "newbie", "visit", "conversion")
_TEXTS = ("history_segment", "zip_code", "channel", "segment")
_DTYPES = (
    {"recency": "int16", "history": "float32", "spend": "float32"}
    | dict.fromkeys(_FLAGS, "int8")
    | dict.fromkeys(_TEXTS, "str")
)


def load_hillstrom(
    folder: str | os.PathLike[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Load the e-mail campaign, a row per customer.

    Args:
        folder: the data folder; None for `data_folder()`. There the file is
            `hillstrom/hillstrom.csv`, plain or gzipped.
        file: one file in this layout, read instead.

    Returns:
        `COLUMNS` in file order, no row dropped. `recency` int16, months
        since the last purchase; `history` float32, dollars spent in the
        last year, and `history_segment` str, its bin; `mens`, `womens`
        (bought such goods in the last year) and `newbie` (customer for less
        than a year) int8 0/1; `zip_code` ("Surburban", spelt so, "Urban",
        "Rural"), `channel` and `segment` (the arm, drawn at random:
        `SEGMENTS`) str. Labels of the two weeks after: `visit` and
        `conversion` int8 0/1, `spend` float32 in dollars. Nobody converts
        without a visit, and `spend` is above 0 exactly for who converts.

    Raises:
        FileNotFoundError: there is no such file.
        DataFileError: damaged file, wrong layout, or a funnel that cannot
            be.

    Warns:
        UserWarning: not the published number of rows.
    """
    path = Path(file) if file is not None else _find(folder)
    if not path.is_file():
        raise FileNotFoundError(f"file: {path} does not exist.")
    expected = f"a header and {len(COLUMNS)} columns {', '.join(COLUMNS)}"
    with open_file(path) as stream, layout_errors(path.name, expected):
        # "Rural" and "Web" are never missing: an empty field is damage.
        frame = pd.read_csv(stream, dtype=_DTYPES, na_filter=False)
        if tuple(frame.columns) != COLUMNS:
            raise ValueError(f"found {', '.join(map(str, frame.columns))}")
    _check(frame, path.name)
    if len(frame) != PUBLISHED_ROWS:
        warnings.warn(
            f"{path.name} has {len(frame):,} rows, the published file "
            f"{PUBLISHED_ROWS:,}: compare no figure with a published one.",
            stacklevel=2,
        )
    return frame


def _find(folder: str | os.PathLike[str] | None) -> Path:
    found = find_file(folder, "hillstrom", _NAMES)
    if found is None:
        root = data_folder() if folder is None else Path(folder)
        raise FileNotFoundError(
            "Hillstrom's e-mail campaign is not here.\nGet its file at "
            f"{PAGE} and set MTLREC_DATA to the folder that has it."
            f"\nLooked for {' or '.join(_NAMES)} in {root / 'hillstrom'} "
            f"and {root}. It has no licence that lets others pass it on, so "
            "nothing is downloaded."
        )
    return found


def _check(frame: pd.DataFrame, what: str) -> None:
    """Refuse rows that contradict what the columns mean."""
    wrong = {
        f"{name} is neither 0 nor 1": ~frame[name].isin([0, 1])
        for name in _FLAGS
    }
    wrong["segment is unknown"] = ~frame["segment"].isin(SEGMENTS)
    wrong["there is a conversion without a visit"] = (
        frame["conversion"] > frame["visit"]
    )
    wrong["spend is not above 0 exactly where there is a conversion"] = (
        frame["spend"].gt(0) != frame["conversion"].eq(1)
    ) | frame["spend"].lt(0)
    for problem, rows in wrong.items():
        if rows.any():
            raise DataFileError(
                f"{what} line {int(rows.to_numpy().argmax()) + 2}: "
                f"{problem}. Get the file again from the publisher, "
                "unchanged."
            )
