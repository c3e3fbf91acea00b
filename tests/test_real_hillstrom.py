"""Hillstrom's campaign: the layout, its rules, and the genuine file."""

import gzip
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data.real import DataFileError, hillstrom, load_hillstrom

HEADER = (
    "recency,history_segment,history,mens,womens,zip_code,newbie,channel,"
    "segment,visit,conversion,spend"
)
ROWS = [
    '3,"6) $750 - $1,000",800.5,1,0,Surburban,1,Web,Mens E-Mail,1,1,49.5',
    "12,1) $0 - $100,29.99,0,1,Rural,0,Phone,No E-Mail,1,0,0",
    "1,1) $0 - $100,35,0,1,Urban,0,Multichannel,Womens E-Mail,0,0,0",
]


def written(folder, *rows, header=HEADER, name="hillstrom.csv"):
    path = folder / "hillstrom" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\r\n".join([header, *rows]).encode()
    path.write_bytes(gzip.compress(body) if name.endswith("gz") else body)
    return path


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load_hillstrom(*arguments, **options)


@pytest.mark.parametrize("name", ["hillstrom.csv", "hillstrom.csv.gz"])
def test_values_and_types(tmp_path, name):
    path = written(tmp_path, *ROWS, name=name)
    frame = quietly(tmp_path)
    assert tuple(frame.columns) == hillstrom.COLUMNS
    first = frame.iloc[0]
    assert first["history_segment"] == "6) $750 - $1,000"
    assert first["zip_code"] == "Surburban"
    assert frame["history"].tolist() == pytest.approx([800.5, 29.99, 35])
    assert frame["spend"].tolist() == [49.5, 0, 0]
    assert frame["visit"].tolist() == [1, 1, 0]
    assert frame["conversion"].tolist() == [1, 0, 0]
    assert frame["recency"].tolist() == [3, 12, 1]
    types = frame.dtypes
    assert (types[["visit", "conversion", "newbie"]] == np.int8).all()
    assert (types[["history", "spend"]] == np.float32).all()
    pd.testing.assert_frame_equal(frame, quietly(file=path))


def test_the_folder_named_by_the_environment(tmp_path, monkeypatch):
    written(tmp_path, *ROWS)
    monkeypatch.setenv("MTLREC_DATA", str(tmp_path))
    assert len(quietly()) == 3


def test_an_absent_file_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load_hillstrom(tmp_path)
    first, second, third = str(error.value).splitlines()
    assert hillstrom.PAGE in second and "MTLREC_DATA" in second
    assert str(tmp_path) not in first
    assert "hillstrom.csv.gz" in third and str(tmp_path) in third
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_hillstrom(file=tmp_path / "none.csv")


def test_another_number_of_rows_is_told(tmp_path, monkeypatch):
    written(tmp_path, *ROWS)
    with pytest.warns(UserWarning, match="has 3 rows.*64,000"):
        load_hillstrom(tmp_path)
    monkeypatch.setattr(hillstrom, "PUBLISHED_ROWS", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_hillstrom(tmp_path)


def changed(**values):
    """Return the middle row, a visit without a purchase, with other values."""
    row = dict(zip(HEADER.split(","), ROWS[1].split(","), strict=True))
    return ",".join({**row, **values}.values())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (changed(visit="0", conversion="1", spend="9"), "without a visit"),
        (changed(conversion="1"), "spend is not above 0 exactly"),
        (changed(spend="9"), "spend is not above 0 exactly"),
        (changed(spend="-1"), "spend is not above 0 exactly"),
        (changed(visit="2"), "visit is neither 0 nor 1"),
        (changed(newbie="-1"), "newbie is neither 0 nor 1"),
        (changed(segment="Mens Email"), "segment is unknown"),
    ],
)
def test_a_funnel_that_cannot_be(tmp_path, row, message):
    written(tmp_path, ROWS[0], row, ROWS[2])
    with pytest.raises(DataFileError, match=f"line 3: .*{message}"):
        quietly(tmp_path)


@pytest.mark.parametrize(
    "row", [changed(visit=""), changed(history=""), changed(recency="new")]
)
def test_a_value_that_is_no_number(tmp_path, row):
    written(tmp_path, row)
    with pytest.raises(DataFileError, match="not in the official layout"):
        quietly(tmp_path)


def test_other_columns_are_refused(tmp_path):
    header = HEADER.replace("visit,conversion", "conversion,visit")
    written(tmp_path, *ROWS, header=header)
    with pytest.raises(DataFileError, match=r"official layout.*found"):
        quietly(tmp_path)


def test_a_web_page_is_no_data(tmp_path):
    written(tmp_path, header="<!DOCTYPE html><html>log in</html>")
    with pytest.raises(DataFileError, match="web page"):
        load_hillstrom(tmp_path)


# --- the genuine file -------------------------------------------------------


@pytest.fixture(scope="module")
def genuine():
    root = os.environ.get("MTLREC_DATA")
    if not root or not (Path(root) / "hillstrom").is_dir():
        pytest.skip("the folder MTLREC_DATA names has no hillstrom/")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_hillstrom(root)


def test_counts_of_the_genuine_file(genuine):
    assert len(genuine) == 64_000
    assert genuine["visit"].sum() == 9_394
    assert genuine["conversion"].sum() == 578
    assert genuine["spend"].mean() == pytest.approx(1.0509, abs=5e-5)
    assert genuine["spend"].max() == 499
    arms = genuine["segment"].value_counts().to_dict()
    assert arms == {
        "Womens E-Mail": 21_387,
        "Mens E-Mail": 21_307,
        "No E-Mail": 21_306,
    }
    assert genuine["history_segment"].nunique() == 7
    assert genuine["zip_code"].nunique() == 3
    assert genuine["recency"].between(1, 12).all()
    assert genuine["history"].min() == pytest.approx(29.99)
    assert genuine["history"].max() == pytest.approx(3345.93)
    assert genuine.duplicated().sum() == 6_562
    assert not genuine.isna().any().any()
