"""Amazon product reviews of 2014: text and stars, one JSON object a line.

Source: R. He and J. McAuley, Ups and Downs: Modeling the Visual Evolution of
Fashion Trends with One-Class Collaborative Filtering, WWW 2016; the files
"reviews_<Category>_5.json.gz" hold users and items with five reviews or more.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from mtlrec_utils.data.real.cache import data_folder, find_file
from mtlrec_utils.data.real.files import (
    DataFileError,
    layout_errors,
    open_file,
)

PAGE = "https://jmcauley.ucsd.edu/data/amazon/"
#: Rows that the publisher names, of the categories known here.
PUBLISHED_ROWS = {"Musical_Instruments": 10_261}


def load_amazon_reviews(
    category: str = "Musical_Instruments",
    folder: str | os.PathLike[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Load the reviews of one category, in file order.

    Args:
        category: as in the file's name,
            `amazon-<category>/reviews_<Category>_5.json.gz` below `folder`.
        folder: the data folder; None for `data_folder()`.
        file: one file in this layout, plain or gzipped, read instead.

    Returns:
        user and item (str), rating (float32, 1 to 5), summary and text
        (str, may be empty), helpful and votes (int32: helpful ones of all)
        and time (int64, Unix seconds, whole days). Names of reviewers are
        personal data and are not read.

    Raises:
        FileNotFoundError: there is no such file.
        DataFileError: damaged file, wrong layout, stars other than 1 to 5,
            or more helpful votes than votes (none of them repaired).

    Warns:
        UserWarning: not the published number of rows.
    """
    path = Path(file) if file is not None else _find(category, folder)
    if not path.is_file():
        raise FileNotFoundError(f"file: {path} does not exist.")
    with open_file(path) as stream:
        rows = [
            _read_row(line, number, path.name)
            for number, line in enumerate(stream, start=1)
            if line.strip()
        ]
    frame = pd.DataFrame(rows, columns=list(_DTYPES)).astype(_DTYPES)
    published = PUBLISHED_ROWS.get(category) if file is None else None
    if published is not None and len(frame) != published:
        warnings.warn(
            f"{path.name} has {len(frame):,} rows, the published file "
            f"{published:,}: compare no figure with a published one.",
            stacklevel=2,
        )
    return frame


_DTYPES = {
    "user": "str",
    "item": "str",
    "rating": "float32",
    "summary": "str",
    "text": "str",
    "helpful": "int32",
    "votes": "int32",
    "time": "int64",
}


def _read_row(line: bytes, number: int, name: str) -> tuple[Any, ...]:
    what = f"{name} line {number}"
    with layout_errors(what, "JSON with reviewerID, asin, overall, ..."):
        row = json.loads(line)
        if not isinstance(row["helpful"], list):
            raise ValueError("helpful is no pair of counts")
        helpful, votes = (int(count) for count in row["helpful"])
        found = (
            str(row["reviewerID"]),
            str(row["asin"]),
            float(row["overall"]),
            str(row.get("summary", "")),
            str(row.get("reviewText", "")),
            helpful,
            votes,
            int(row["unixReviewTime"]),
        )
    if found[2] not in (1, 2, 3, 4, 5) or not 0 <= helpful <= votes:
        raise DataFileError(
            f"{what}: {found[2]:g} stars and {helpful} of {votes} votes "
            "cannot be. Get the file again from the publisher, unchanged."
        )
    return found


def _find(category: str, folder: str | os.PathLike[str] | None) -> Path:
    name = f"reviews_{category}_5.json"
    own = f"amazon-{category.lower().replace('_', '-')}"
    found = find_file(folder, own, (f"{name}.gz", name))
    if found is None:
        root = data_folder() if folder is None else Path(folder)
        raise FileNotFoundError(
            f"Amazon's reviews of {category.replace('_', ' ')} are not "
            f"here.\nGet {name}.gz at {PAGE} and set MTLREC_DATA to the "
            f"folder that has it.\nLooked in {root / own} and {root}. No "
            "licence lets others pass it on, so nothing is downloaded."
        )
    return found
