"""Beibei: the layout, its rules, its leak, and the genuine files."""

import gzip
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data.real import DataFileError, beibei, load_beibei

FILES = {
    "cart": "0 1 2 3\n1 0 4\n2 5\n",
    "train": "0 1 2\n1 4\n2 5\n",
    "test": "0 3\n1 2\n2 0\n",
}


def written(folder, ending=".txt", **changed):
    (folder / "beibei").mkdir(parents=True, exist_ok=True)
    for name, text in {**FILES, **changed}.items():
        body = text.encode()
        if ending.endswith("gz"):
            body = gzip.compress(body)
        (folder / "beibei" / f"{name}{ending}").write_bytes(body)
    return folder


def quietly(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load_beibei(*arguments)


@pytest.mark.parametrize("ending", [".txt", ".txt.gz"])
def test_values_and_types(tmp_path, ending):
    data = quietly(written(tmp_path, ending))
    assert data.cart["user"].tolist() == [0, 0, 0, 1, 1, 2]
    assert data.cart["item"].tolist() == [1, 2, 3, 0, 4, 5]
    assert data.train["item"].tolist() == [1, 2, 4, 5]
    assert data.test["item"].tolist() == [3, 2, 0]
    assert (data.n_users, data.n_items) == (3, 6)
    assert (data.cart.dtypes == np.int32).all()


def test_the_leak_is_found_and_left_out(tmp_path):
    data = quietly(written(tmp_path))
    assert data.leaked().tolist() == [False, False, True] + [False] * 3
    left = data.cart_before_test()
    pd.testing.assert_frame_equal(left, data.cart.drop(index=2))


def test_the_folder_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MTLREC_DATA", str(written(tmp_path)))
    assert len(quietly().test) == 3


def test_an_absent_file_says_where_to_get_it(tmp_path):
    written(tmp_path)
    (tmp_path / "beibei" / "train.txt").unlink()
    with pytest.raises(FileNotFoundError) as error:
        load_beibei(tmp_path)
    first, _, third = str(error.value).splitlines()
    assert beibei.PAGE in first and str(tmp_path) not in first
    assert "train.txt.gz" in third and str(tmp_path) in third


def test_another_number_of_pairs_is_told(tmp_path, monkeypatch):
    written(tmp_path)
    with pytest.warns(UserWarning, match="642622|642,622"):
        load_beibei(tmp_path)
    sizes = {"cart": 6, "train": 4, "test": 3}
    monkeypatch.setattr(beibei, "PUBLISHED_PAIRS", sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_beibei(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cart": "0 1 x\n"}, r"cart.txt is not in the official layout"),
        ({"cart": ""}, "found no numbers"),
        ({"cart": "0 1 -2\n"}, "out of range"),
        ({"train": "0 1\n0 2\n"}, "train.txt: a user has two lines"),
        ({"cart": "0 1 2 1\n"}, "user 0 has item 1 twice"),
        ({"test": "0 2\n1 3\n"}, "both hold user 0 with item 2"),
        ({"cart": "<!DOCTYPE html><html>"}, "web page"),
    ],
)
def test_files_that_cannot_be(tmp_path, changed, message):
    written(tmp_path, **changed)
    with pytest.raises(DataFileError, match=message):
        quietly(tmp_path)


# --- the genuine files ------------------------------------------------------


@pytest.fixture(scope="module")
def genuine():
    root = os.environ.get("MTLREC_DATA")
    if not root or not (Path(root) / "beibei").is_dir():
        pytest.skip("the folder MTLREC_DATA names has no beibei/")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_beibei(root)


def test_counts_of_the_genuine_files(genuine):
    assert (genuine.n_users, genuine.n_items) == (21_716, 7_977)
    sizes = [len(f) for f in (genuine.cart, genuine.train, genuine.test)]
    assert sizes == [642_622, 282_860, 21_716]
    assert genuine.test["user"].tolist() == list(range(21_716))
    assert genuine.test["item"].nunique() == 3_101


def test_the_leak_of_the_genuine_files(genuine):
    assert genuine.leaked().sum() == 13_525
    assert genuine.leaked().sum() / len(genuine.test) == pytest.approx(
        0.6228, abs=5e-5
    )
    cart = genuine.cart.assign(cart=1)
    both = genuine.train.merge(cart, on=["user", "item"])
    assert len(both) == len(genuine.train)
    assert len(both) / len(cart) == pytest.approx(0.440, abs=5e-4)
