"""goodbooks-10k: titles, authors and mean stars of ten thousand books.

Source: Z. Zajac, Goodbooks-10k: a new dataset for book recommendations,
FastML 2017. Only the table of books is read here, not the ratings.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path

import pandas as pd

from mtlrec_utils.data.real.cache import data_folder, find_file
from mtlrec_utils.data.real.files import (
    DataFileError,
    check_whole,
    layout_errors,
)

PAGE = "https://github.com/zygmuntz/goodbooks-10k"
PUBLISHED_ROWS = 10_000
_NAMES = ("goodbooks-10k.zip", "goodbooks-10k-books.zip")
_COLUMNS = {
    "book_id": ("item", "int32"),
    "title": ("title", "str"),
    "authors": ("authors", "str"),
    "original_publication_year": ("year", "float32"),
    "language_code": ("language", "str"),
    "average_rating": ("mean_rating", "float32"),
    "ratings_count": ("ratings", "int64"),
}


def load_goodbooks(
    folder: str | os.PathLike[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Load the table of books.

    Args:
        folder: the data folder; None for `data_folder()`. There
            `goodbooks-10k/` holds the publisher's zip, or `books.csv`.
        file: a zip or folder with `books.csv`, read instead.

    Returns:
        item (int32), title and authors (str, authors joined by a comma),
        year (float32, NaN if unknown, negative before our era), language
        (str, empty if unknown), mean_rating (float32, 1 to 5) and ratings
        (int64, how many), in file order.

    Raises:
        FileNotFoundError: there is no such file.
        DataFileError: damaged file or wrong layout.

    Warns:
        UserWarning: not the published number of books.
    """
    source = Path(file) if file is not None else _find(folder)
    if not source.exists():
        raise FileNotFoundError(f"file: {source} does not exist.")
    expected = f"a header with the columns {', '.join(_COLUMNS)}"
    content = _table_of_books(source)
    with layout_errors("books.csv", expected):
        frame = pd.read_csv(
            io.BytesIO(content),
            usecols=list(_COLUMNS),
            dtype={name: kind for name, (_, kind) in _COLUMNS.items()},
            keep_default_na=False,
            na_values={"original_publication_year": [""]},
        )
    frame = frame[list(_COLUMNS)].rename(
        columns={name: ours for name, (ours, _) in _COLUMNS.items()}
    )
    if not frame["mean_rating"].between(1, 5).all():
        raise DataFileError(
            "books.csv: a mean rating is not between 1 and 5. Get the file "
            "again from the publisher, unchanged."
        )
    if len(frame) != PUBLISHED_ROWS:
        warnings.warn(
            f"books.csv has {len(frame):,} rows, the published file "
            f"{PUBLISHED_ROWS:,}: compare no figure with a published one.",
            stacklevel=2,
        )
    return frame


def _table_of_books(source: Path) -> bytes:
    """Return books.csv; the archive has a second one, of samples."""
    if source.is_dir():
        path = source / "books.csv"
        if not path.is_file():
            raise DataFileError(f"{source.name} has no file 'books.csv'.")
        return path.read_bytes()
    check_whole(source, source.name)
    with zipfile.ZipFile(source) as archive:
        found = [
            name
            for name in archive.namelist()
            if name.rsplit("/", 1)[-1] == "books.csv"
            and "samples" not in name.split("/")
        ]
        if len(found) != 1:
            raise DataFileError(
                f"{source.name} has {len(found)} files 'books.csv' outside "
                "samples/, one was expected. Use the publisher's archive, "
                "unchanged, or its unpacked folder."
            )
        return archive.read(found[0])


def _find(folder: str | os.PathLike[str] | None) -> Path:
    found = find_file(folder, "goodbooks-10k", _NAMES)
    root = data_folder() if folder is None else Path(folder)
    if found is None and (root / "goodbooks-10k" / "books.csv").is_file():
        found = root / "goodbooks-10k"
    if found is None:
        raise FileNotFoundError(
            f"goodbooks-10k is not here. Get it: {PAGE}\n"
            "Then set MTLREC_DATA to the folder that has its zip.\n"
            f"Looked for {' or '.join(_NAMES)} in {root / 'goodbooks-10k'} "
            f"and {root}."
        )
    return found
