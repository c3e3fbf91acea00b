"""MovieLens: ratings of films, from GroupLens (University of Minnesota).

Source: F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and
Context, ACM TiiS 5(4), article 19, 2015, doi 10.1145/2827872.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pandas as pd

from mtlrec_utils.data.real.cache import fetch, movielens_title
from mtlrec_utils.data.real.files import (
    DataFileError,
    layout_errors,
    open_member,
    read_columns,
)

OFFICIAL_RATINGS = {"100k": 100_000, "1m": 1_000_209, "25m": 25_000_095,
                    "32m": 32_000_204}  # fmt: skip
EDITIONS = ("100k", "1m", "latest-small", "25m", "32m")

# Order of the 19 flags of u.item, which is the order of u.genre.
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy",
    "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror",
    "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
# Codes 0-20 of users.dat, from the README of MovieLens-1M.
OCCUPATIONS_1M = (
    "other", "academic/educator", "artist", "clerical/admin",
    "college/grad student", "customer service", "doctor/health care",
    "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer",
    "programmer", "retired", "sales/marketing", "scientist",
    "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip

_RATING_COLUMNS = ("user", "item", "rating", "time")
_RATING_DTYPES = {
    "user": "int32",
    "item": "int32",
    "rating": "float32",
    "time": "int64",
}
_CSV_DTYPES: dict[str, str] = {
    "userId": "int32",
    "movieId": "int32",
    "rating": "float32",
    "timestamp": "int64",
}


@dataclass(frozen=True)
class MovieLens:
    """One edition of MovieLens.

    Attributes:
        name: the edition's name for tables and figures. A part of an
            edition never carries the edition's own name.
        complete: whether the row count is the published one; None for
            `latest-small`, which GroupLens changes over time.
        ratings: user (int32), item (int32), rating (float32; 1 to 5 in whole
            stars, 0.5 to 5 in half stars in the CSV editions), time (int64,
            Unix seconds), in file order.
        items: item (int32), title (str, with the year in brackets), year
            (float32, NaN if the title has none), genres (str, joined by
            "|", empty if none are listed); "100k" also release_date
            (datetime64, NaT) and imdb_url (str, missing).
        users: user (int32), sex (str, F or M), occupation (str), zip_code
            (str; not always digits) and, in "100k", age (int16, years) or,
            in "1m", age_group (int16, lower end of the group, 1 meaning
            under 18). None in the CSV editions, which say nothing of users.
    """

    name: str
    complete: bool | None
    ratings: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame | None


def load_movielens(
    edition: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> MovieLens:
    """Load an edition of MovieLens from its zip or its unpacked folder.

    Args:
        edition: "100k", "1m", "latest-small", "25m" or "32m".
        folder: the data folder; None for `data_folder()`.
        file: a zip or unpacked folder in this edition's layout, read
            instead. It may hold a part of the edition; then the name of the
            result says so.
        download: fetch the zip from GroupLens if it is not there.

    Raises:
        ValueError: unknown edition.
        FileNotFoundError: the files are not there.
        DataFileError: damaged file, wrong layout, or (without `file`) not
            as many ratings as published.
    """
    if edition not in EDITIONS:
        raise ValueError(
            f"edition: {edition!r} is unknown; use one of "
            f"{', '.join(EDITIONS)}."
        )
    if file is None:
        source = fetch(f"ml-{edition}", folder, download=download)
    else:
        source = Path(file)
        if not source.exists():
            raise FileNotFoundError(f"file: {source} does not exist.")
    read = {"100k": _read_100k, "1m": _read_1m}.get(edition, _read_csv)
    ratings, items, users = read(source)
    _check_stars(ratings, source.name)
    official = OFFICIAL_RATINGS.get(edition)
    complete = None if official is None else len(ratings) == official
    if complete is False and file is None:
        raise DataFileError(
            f"{source.name} has {len(ratings):,} ratings, MovieLens "
            f"{edition} has {official:,}. Get the official file, or pass "
            "file= to read a part of it on purpose."
        )
    return MovieLens(
        _name(edition, len(ratings), complete), complete, ratings, items, users
    )


def _name(edition: str, n_ratings: int, complete: bool | None) -> str:
    if complete is False:
        return f"{n_ratings:,} ratings in the layout of ml-{edition}"
    return movielens_title(edition)


Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]


def _read_100k(source: Path) -> Tables:
    with open_member(source, "u.data") as stream:
        ratings = read_columns(
            stream, _RATING_COLUMNS, what="u.data", dtypes=_RATING_DTYPES,
            sep="\t",
        )  # fmt: skip
    names = ("item", "title", "release_date", "_video", "imdb_url")
    flags = [f"genre {name}" for name in GENRES_100K]
    with open_member(source, "u.item") as stream:
        raw = read_columns(
            stream,
            (*names, *flags),
            what="u.item",
            dtypes={"item": "int32", "title": str, "imdb_url": str}
            | dict.fromkeys(flags, "int8"),
            sep="|",
            encoding="latin-1",
            quoting=3,
        )
    with layout_errors("u.item", "dates as dd-Mon-yyyy"):
        dates = pd.to_datetime(raw["release_date"], format="%d-%b-%Y")
    on = raw[flags].to_numpy() == 1
    genres = [
        "|".join(g for g, has in zip(GENRES_100K, row, strict=True) if has)
        for row in on
    ]
    items = pd.DataFrame(
        {
            "item": raw["item"],
            "title": raw["title"],
            "year": _year(raw["title"]),
            "genres": pd.Series(genres, dtype=raw["title"].dtype),
            "release_date": dates,
            "imdb_url": raw["imdb_url"],
        }
    )
    with open_member(source, "u.user") as stream:
        users = read_columns(
            stream,
            ("user", "age", "sex", "occupation", "zip_code"),
            what="u.user",
            dtypes={"user": "int32", "age": "int16", "zip_code": str},
            sep="|",
            keep_default_na=False,
        )
    return ratings, items, users


def _read_1m(source: Path) -> Tables:
    with open_member(source, "ratings.dat") as stream:
        # A two-character separator would need pandas' slow Python parser.
        tabbed = io.BytesIO(stream.read().replace(b"::", b"\t"))
        ratings = read_columns(
            tabbed, _RATING_COLUMNS, what="ratings.dat",
            dtypes=_RATING_DTYPES, sep="\t",
        )  # fmt: skip
    with open_member(source, "movies.dat") as stream:
        rows = _split(stream, "movies.dat", 3)
    with layout_errors("movies.dat", "item::title::genres"):
        items = pd.DataFrame(
            {
                "item": pd.Series([int(r[0]) for r in rows], dtype="int32"),
                "title": [r[1] for r in rows],
                "genres": [r[2] for r in rows],
            }
        )
    items.insert(2, "year", _year(items["title"]))
    with open_member(source, "users.dat") as stream:
        rows = _split(stream, "users.dat", 5)
    with layout_errors("users.dat", "user::sex::age::occupation 0-20::zip"):
        codes = [int(r[3]) for r in rows]
        if any(not 0 <= c < len(OCCUPATIONS_1M) for c in codes):
            raise ValueError("an occupation code outside 0-20")
        users = pd.DataFrame(
            {
                "user": pd.Series([int(r[0]) for r in rows], dtype="int32"),
                "age_group": pd.Series(
                    [int(r[2]) for r in rows], dtype="int16"
                ),
                "sex": [r[1] for r in rows],
                "occupation": [OCCUPATIONS_1M[c] for c in codes],
                "zip_code": [r[4] for r in rows],
            }
        )
    return ratings, items, users


def _read_csv(source: Path) -> Tables:
    renamed = {"userId": "user", "movieId": "item", "timestamp": "time"}
    with (
        open_member(source, "ratings.csv") as stream,
        layout_errors("ratings.csv", "userId,movieId,rating,timestamp"),
    ):
        ratings = pd.read_csv(
            stream,
            usecols=list(_CSV_DTYPES),
            dtype=_CSV_DTYPES,
        ).rename(columns=renamed)
    with (
        open_member(source, "movies.csv") as stream,
        layout_errors("movies.csv", "movieId,title,genres"),
    ):
        items = pd.read_csv(
            stream,
            usecols=["movieId", "title", "genres"],
            dtype={"movieId": "int32", "title": "str", "genres": "str"},
            keep_default_na=False,
        ).rename(columns=renamed)
    items["genres"] = items["genres"].replace("(no genres listed)", "")
    items.insert(2, "year", _year(items["title"]))
    return ratings[list(_RATING_COLUMNS)], items, None


def _check_stars(ratings: pd.DataFrame, what: str) -> None:
    if len(ratings) and not ratings["rating"].between(0.5, 5.0).all():
        raise DataFileError(
            f"{what}: ratings lie between {ratings['rating'].min()} and "
            f"{ratings['rating'].max()}; MovieLens has 0.5 to 5. Get the "
            "file again from the publisher, unchanged."
        )


def _year(titles: pd.Series) -> pd.Series:
    found = titles.str.extract(r"\((\d{4})\)\s*$", expand=False)
    return found.astype("float32")


def _split(stream: IO[bytes], what: str, n_fields: int) -> list[list[str]]:
    lines = stream.read().decode("latin-1").splitlines()
    rows = [line.split("::") for line in lines if line]
    for number, row in enumerate(rows, start=1):
        if len(row) != n_fields:
            raise DataFileError(
                f"{what} line {number} has {len(row)} fields, expected "
                f"{n_fields} separated by '::'. Get the file again from the "
                "publisher, unchanged."
            )
    return rows
