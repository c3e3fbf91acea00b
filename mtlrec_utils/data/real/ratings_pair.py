"""Any two tables of ratings whose users overlap: cross-domain transfer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtlrec_utils.data.real.cache import data_folder, find_file
from mtlrec_utils.data.real.files import (
    DataFileError,
    layout_errors,
    open_file,
)

DUPLICATES = ("error", "last", "mean")
_DEFAULT_COLUMNS = {
    "user": "user_id",
    "item": "item_id",
    "rating": "rating",
    "time": "timestamp",
}
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t"}
_AMAZON = ("Amazon-Books-Dense.inter.gz", "Amazon-Movies-Dense.inter.gz")

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class RatingsPair:
    """Ratings in two domains.

    Attributes:
        source: user (str), item (str), rating (float32) and, if the file has
            it, time (float64, as in the file); one row per (user, item).
        target: the same of the domain to predict in.
        overlap: sorted ids (str) of the users with a row in both.
        duplicates: rows that repeated an earlier (user, item) and were
            merged, per domain: {"source": ..., "target": ...}.
    """

    source: pd.DataFrame
    target: pd.DataFrame
    overlap: np.ndarray
    duplicates: dict[str, int]


def load_ratings_pair(
    source: PathLike | Sequence[PathLike],
    target: PathLike | Sequence[PathLike],
    *,
    columns: Mapping[str, str] | None = None,
    source_columns: Mapping[str, str] | None = None,
    target_columns: Mapping[str, str] | None = None,
    separator: str | None = None,
    duplicates: str = "error",
) -> RatingsPair:
    """Load two ratings tables with a header line.

    Args:
        source: path of the rich domain's table, or several paths to join:
            `.csv` (comma), `.tsv` or `.inter` (tab), each also `.gz`.
        target: the same of the other domain.
        columns: what the files call `user`, `item`, `rating` and `time`, as
            far as it is not `user_id`, `item_id`, `rating`, `timestamp`. A
            type after a colon (RecBole's `user_id:token`) is ignored. `time`
            may be absent from the file.
        source_columns: the same for `source` alone.
        target_columns: the same for `target` alone.
        separator: column separator, if the ending does not tell.
        duplicates: for rows that repeat a (user, item): "error"; "last",
            keep the latest (by `time` if there is one, else by file order);
            "mean", average the rating and keep the latest time.

    Raises:
        ValueError: unknown `duplicates` policy or column key; repeated rows
            under "error".
        FileNotFoundError: a path does not exist.
        DataFileError: damaged file, missing column, empty id, or a rating
            that is not a number.
    """
    if duplicates not in DUPLICATES:
        raise ValueError(
            f"duplicates: {duplicates!r} is unknown; use one of "
            f"{', '.join(DUPLICATES)}."
        )
    tables, merged = {}, {}
    sides = {
        "source": (source, source_columns),
        "target": (target, target_columns),
    }
    for side, (paths, own) in sides.items():
        names = _column_names({**(columns or {}), **(own or {})})
        listed = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        frame = pd.concat(
            [_read(Path(p), names, separator) for p in listed],
            ignore_index=True,
        )
        tables[side], merged[side] = _merge_repeats(frame, duplicates, side)
    overlap = np.intersect1d(
        tables["source"]["user"].to_numpy(dtype=object),
        tables["target"]["user"].to_numpy(dtype=object),
    )
    return RatingsPair(tables["source"], tables["target"], overlap, merged)


def load_amazon_books_movies(
    folder: PathLike | None = None,
    *,
    duplicates: str = "mean",
) -> RatingsPair:
    """Amazon ratings of books (source) and films (target), shared users.

    There is nothing to download: no licence lets anybody pass this cut of
    the Amazon review data on. `datasets/amazon_books_movies.md` says what
    the two files must hold; with your own pair use `load_ratings_pair`.

    Args:
        folder: the data folder; None for `data_folder()`. The files are
            `amazon-books-movies/Amazon-{Books,Movies}-Dense.inter.gz`.
        duplicates: as in `load_ratings_pair`. The files have no time and
            repeat many pairs, mostly with the same rating, so the mean is
            the default.

    Raises:
        FileNotFoundError: a file is not there.
        DataFileError: damaged file or wrong layout.
    """
    paths = []
    for name in _AMAZON:
        found = find_file(folder, "amazon-books-movies", [name])
        if found is None:
            root = data_folder() if folder is None else Path(folder)
            raise FileNotFoundError(
                f"{name} is not here, and may not be passed on.\n"
                "So nothing is downloaded; load_ratings_pair reads any two "
                "ratings tables of your own.\nLooked in "
                f"{root / 'amazon-books-movies'} and {root}; "
                "datasets/amazon_books_movies.md describes the files."
            )
        paths.append(found)
    return load_ratings_pair(paths[0], paths[1], duplicates=duplicates)


def _column_names(given: Mapping[str, str]) -> dict[str, str]:
    unknown = sorted({*given} - {*_DEFAULT_COLUMNS})
    if unknown:
        raise ValueError(
            f"columns: unknown key {', '.join(map(repr, unknown))}; the keys "
            f"are {', '.join(_DEFAULT_COLUMNS)}."
        )
    return {**_DEFAULT_COLUMNS, **given}


def _read(
    path: Path, names: Mapping[str, str], separator: str | None
) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist.")
    if separator is None:
        ending = Path(path.stem if path.suffix == ".gz" else path.name).suffix
        separator = _SEPARATORS.get(ending)
        if separator is None:
            raise ValueError(
                f"separator: the ending of {path.name} does not tell it "
                f"(known: {', '.join(_SEPARATORS)}); pass it."
            )
    options: dict[str, Any] = {"sep": separator, "keep_default_na": False}
    with open_file(path) as stream:
        header = pd.read_csv(stream, nrows=0, **options).columns
    short = {str(c).split(":")[0]: at for at, c in enumerate(header)}
    absent = [
        name for key, name in names.items()
        if name not in short and key != "time"
    ]  # fmt: skip
    if absent:
        raise DataFileError(
            f"{path.name} has no column {', '.join(map(repr, absent))}; it "
            f"has {', '.join(map(repr, short))}. Say which is which with "
            "columns={'user': ..., 'item': ..., 'rating': ...}."
        )
    found = {key: short[n] for key, n in names.items() if n in short}
    # Ids stay text: "0001" and "1" are two items, "NA" is an id.
    dtypes = {"user": "str", "item": "str", "rating": "float32",
              "time": "float64"}  # fmt: skip
    with (
        open_file(path) as stream,
        layout_errors(path.name, "numbers as ratings and times"),
    ):
        frame = pd.read_csv(
            stream,
            usecols=list(found.values()),
            dtype={header[at]: dtypes[key] for key, at in found.items()},
            **options,
        )
    back = {header[at]: key for key, at in found.items()}
    frame = frame.rename(columns=back)[list(found)]
    _check_values(frame, path.name)
    return frame


def _check_values(frame: pd.DataFrame, name: str) -> None:
    for key in ("user", "item"):
        empty = frame[key].isna() | (frame[key] == "")
        if empty.any():
            raise DataFileError(
                f"{name}: {int(empty.sum())} rows have no {key} id, first "
                f"in data row {int(empty.to_numpy().argmax()) + 1}. Drop "
                "them or fix the file."
            )
    wrong = ~np.isfinite(frame["rating"].to_numpy())
    if wrong.any():
        raise DataFileError(
            f"{name}: {int(wrong.sum())} rows have no finite rating, first "
            f"in data row {int(wrong.argmax()) + 1}. Drop them or fix the "
            "file."
        )


def _merge_repeats(
    frame: pd.DataFrame, policy: str, side: str
) -> tuple[pd.DataFrame, int]:
    pair = ["user", "item"]
    repeats = int(frame.duplicated(pair).sum())
    if not repeats:
        return frame, 0
    if policy == "error":
        first = frame[frame.duplicated(pair)].iloc[0]
        raise ValueError(
            f"{side}: {repeats} rows repeat an earlier (user, item), first "
            f"user {first['user']!r}, item {first['item']!r}. Choose "
            'duplicates="last" or duplicates="mean".'
        )
    if policy == "last":
        by = frame
        if "time" in frame:
            by = frame.sort_values("time", kind="stable")
        kept = by.drop_duplicates(pair, keep="last").sort_index()
        return kept.reset_index(drop=True), repeats
    how = {"rating": "mean"} | ({"time": "max"} if "time" in frame else {})
    kept = frame.groupby(pair, sort=False, as_index=False).agg(how)
    kept["rating"] = kept["rating"].astype("float32")
    return kept, repeats
