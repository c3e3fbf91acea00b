"""The loader of goodbooks-10k: on made-up rows, and on the genuine file."""

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mtlrec_utils.data.real import DataFileError, load_goodbooks

HEADER = (
    "book_id,authors,original_publication_year,title,language_code,"
    "average_rating,ratings_count,isbn\n"
)
ROWS = """1,"A. One, B. Two",-750.0,NA,eng,4.5,100,
2,C. Three,,"Tea, cold",,3,7,
"""


def written(folder, text=HEADER + ROWS, extra=()):
    path = folder / "goodbooks-10k"
    path.mkdir(parents=True, exist_ok=True)
    path = path / "goodbooks-10k.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("goodbooks-10k/books.csv", text)
        archive.writestr("goodbooks-10k/samples/books.csv", "samples")
        for name in extra:
            archive.writestr(name, text)
    return path


def test_values_and_types(tmp_path):
    path = written(tmp_path)
    with pytest.warns(UserWarning, match="has 2 rows.*10,000"):
        frame = load_goodbooks(tmp_path)
    assert frame["item"].tolist() == [1, 2]
    assert frame["title"].tolist() == ["NA", "Tea, cold"]
    assert frame["authors"][0] == "A. One, B. Two"
    assert frame["year"][0] == -750 and np.isnan(frame["year"][1])
    assert frame["language"].tolist() == ["eng", ""]
    assert frame["mean_rating"].tolist() == [4.5, 3]
    unpacked = tmp_path / "plain" / "goodbooks-10k"
    unpacked.mkdir(parents=True)
    (unpacked / "books.csv").write_text(HEADER + ROWS)
    for source in ({"file": path}, {"folder": tmp_path / "plain"}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            assert load_goodbooks(**source).equals(frame)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace("title", "name") + ROWS, "official layout"),
        (HEADER + ROWS.replace("4.5", "5.5"), "not between 1 and 5"),
        (HEADER + ROWS.replace("4.5", "good"), "official layout"),
    ],
)
def test_wrong_contents_are_refused(tmp_path, text, message):
    written(tmp_path, text)
    with pytest.raises(DataFileError, match=message):
        load_goodbooks(tmp_path)


def test_which_table_is_not_guessed(tmp_path):
    written(tmp_path, extra=["other/books.csv"])
    with pytest.raises(DataFileError, match="2 files 'books.csv' outside"):
        load_goodbooks(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_goodbooks(file=tmp_path / "none.zip")
    with pytest.raises(FileNotFoundError, match="set MTLREC_DATA"):
        load_goodbooks(tmp_path / "empty")


def test_counts_of_the_genuine_file():
    root = os.environ.get("MTLREC_DATA")
    if not root or not (Path(root) / "goodbooks-10k").is_dir():
        pytest.skip("the folder MTLREC_DATA names has no goodbooks-10k/")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = load_goodbooks(root)
    assert frame["item"].tolist() == list(range(1, 10_001))
    assert frame["year"].isna().sum() == 21
    assert (frame["year"].min(), frame["year"].max()) == (-1750, 2017)
    assert (frame["language"] == "").sum() == 1084
    assert frame["mean_rating"].min() == pytest.approx(2.47)
    assert frame["mean_rating"].max() == pytest.approx(4.82)
