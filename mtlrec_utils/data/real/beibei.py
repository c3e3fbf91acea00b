"""Beibei: what the users of a shop put into their cart, and what they bought.

Source: the log behind C. Gao et al., Neural Multi-Task Recommendation from
Multi-Behavior Data, ICDE 2019, in the layout of its later users (C. Chen et
al., Graph Heterogeneous Multi-Relational Recommendation, AAAI 2021).
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mtlrec_utils.data.real.cache import data_folder, find_file
from mtlrec_utils.data.real.files import (
    DataFileError,
    layout_errors,
    open_file,
)

#: Pairs of the files as they were published.
PUBLISHED_PAIRS = {"cart": 642_622, "train": 282_860, "test": 21_716}
PAGE = "https://github.com/chenchongthu/GHCF"


@dataclass(frozen=True)
class Beibei:
    """Pairs of users and items: columns user and item, int32, file order.

    Nothing says when a pair happened.

    Attributes:
        cart: put into the cart. **It was not split**: it holds the training
            purchases and most of the test purchases as well.
        train: bought, all but the last purchase of each user.
        test: the last purchase of each user.
        n_users: users are 0 ... n_users - 1.
        n_items: items are 0 ... n_items - 1.
    """

    cart: pd.DataFrame
    train: pd.DataFrame
    test: pd.DataFrame
    n_users: int
    n_items: int

    def leaked(self) -> np.ndarray:
        """Tell which rows of `cart` are test purchases, bool [cart rows]."""
        return np.isin(_codes(self.cart, self), _codes(self.test, self))

    def cart_before_test(self) -> pd.DataFrame:
        """Return the rows of `cart` that are no test purchase.

        What it costs: a user's other cart items now look less like the next
        purchase than they were, for that one is missing among them.
        """
        return self.cart[~self.leaked()]


def load_beibei(folder: str | os.PathLike[str] | None = None) -> Beibei:
    """Load the cart and purchase log of Beibei.

    Args:
        folder: the data folder; None for `data_folder()`. There the files
            are `beibei/cart.txt`, `train.txt` and `test.txt`, plain or
            gzipped.

    Raises:
        FileNotFoundError: a file is not there.
        DataFileError: damaged file, wrong layout, a user or pair that is
            there twice, or a test purchase among the training ones.

    Warns:
        UserWarning: not the published number of pairs.
    """
    frames = {name: _read(_find(folder, name)) for name in PUBLISHED_PAIRS}
    every = pd.concat(frames.values())
    data = Beibei(
        **frames,
        n_users=int(every["user"].max()) + 1,
        n_items=int(every["item"].max()) + 1,
    )
    both = np.isin(_codes(data.test, data), _codes(data.train, data))
    if both.any():
        user, item = data.test[both].iloc[0]
        raise DataFileError(
            f"test.txt and train.txt both hold user {user} with item {item}; "
            "they are not the two parts of one split. Get the files again, "
            "unchanged."
        )
    counts = {name: len(frame) for name, frame in frames.items()}
    if counts != PUBLISHED_PAIRS:
        warnings.warn(
            f"Beibei has {counts} pairs here, the published files "
            f"{PUBLISHED_PAIRS}: compare no figure with a published one.",
            stacklevel=2,
        )
    return data


def _find(folder: str | os.PathLike[str] | None, name: str) -> Path:
    names = (f"{name}.txt.gz", f"{name}.txt")
    found = find_file(folder, "beibei", names)
    if found is None:
        root = data_folder() if folder is None else Path(folder)
        raise FileNotFoundError(
            f"Beibei's log is not here. Get it: {PAGE}"
            "\nThen set MTLREC_DATA to the folder that has its files."
            f"\nLooked for {' or '.join(names)} in {root / 'beibei'} and "
            f"{root}. It has no licence that lets others pass it on, so "
            "nothing is downloaded."
        )
    return found


def _read(path: Path) -> pd.DataFrame:
    """Read lines "user item item ..." into pairs."""
    expected = "lines of a user number and item numbers, blank between"
    with open_file(path) as stream, layout_errors(path.name, expected):
        lines = [line.split() for line in stream.read().splitlines()]
        lines = [line for line in lines if line]
        tokens = (int(token) for line in lines for token in line)
        numbers = np.fromiter(tokens, dtype=np.int64)
        if not len(numbers) or numbers.min() < 0 or numbers.max() >= 2**31:
            raise ValueError("found no numbers, or one out of range")
    sizes = np.array([len(line) for line in lines])
    starts = np.cumsum(sizes) - sizes
    users = numbers[starts]
    if len(np.unique(users)) < len(users):
        raise DataFileError(f"{path.name}: a user has two lines.")
    frame = pd.DataFrame(
        {
            "user": np.repeat(users, sizes - 1).astype("int32"),
            "item": np.delete(numbers, starts).astype("int32"),
        }
    )
    if frame.duplicated().any():
        line = frame[frame.duplicated()].iloc[0]
        raise DataFileError(
            f"{path.name}: user {line['user']} has item {line['item']} "
            "twice. Get the file again, unchanged."
        )
    return frame


def _codes(pairs: pd.DataFrame, data: Beibei) -> np.ndarray:
    users = pairs["user"].to_numpy(np.int64)
    return users * data.n_items + pairs["item"].to_numpy()
