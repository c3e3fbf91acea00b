"""Search for the items with the largest inner products: exact, or fast.

NumPy for the exact search; faiss (package ``faiss-cpu``) for the fast one,
imported when an approximate index is made. No Keras here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mtlrec_utils.models.classic.recommender import top_items
from mtlrec_utils.whole_file import whole_file

Found = tuple[NDArray[np.int64], NDArray[np.float32]]
_AT_ONCE = 20_000_000  # scores held at a time


class ExactIndex:
    """Compare with every item: the truth that a fast index is judged by.

    Args:
        items: item vectors, [I, d]; row i is item i.

    Raises:
        ValueError: not a matrix of finite numbers.
    """

    def __init__(self, items: ArrayLike) -> None:
        self.items = _vectors(items, "items")

    def search(self, users: ArrayLike, k: int) -> Found:
        """List the k items with the largest inner products, best first.

        Of equal scores the lower item number comes first.

        Args:
            users: user vectors, [U, d].
            k: from 1 to I.

        Returns:
            Item numbers [U, k], and their scores [U, k].

        Raises:
            ValueError: other lengths of vectors, or k out of range.
        """
        queries = _queries(users, self.items.shape[1], k, len(self.items))
        step = max(1, _AT_ONCE // len(self.items))
        lists = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            found = queries[part] @ self.items.T
            lists[part] = top_items(found, k)
            scores[part] = np.take_along_axis(found, lists[part], axis=1)
        return lists, scores


class ApproximateIndex:
    """Compare with the items of the nearest cells only (IVF).

    k-means cuts the item vectors into cells; a search looks into the
    ``n_probe`` cells whose centres have the largest inner products with the
    user. With ``n_probe = n_cells`` it finds what the exact search finds,
    but that ties may come in another order.

    Args:
        items: item vectors, [I, d].
        n_cells: from 1 to I; about sqrt(I) balances both steps.
        n_probe: cells a search looks into; may be set later.
        seed: of k-means.

    Attributes:
        n_items: I.

    Raises:
        ImportError: faiss is not installed.
        ValueError: bad vectors, or numbers out of range.

    Source: Sivic and Zisserman, "Video Google", ICCV 2003 (inverted lists);
    Douze et al., "The Faiss library", arXiv:2401.08281, 2024.
    """

    _owner: Any = None  # of a loaded index: frees its memory

    def __init__(
        self, items: ArrayLike, n_cells: int, n_probe: int = 1, seed: int = 0
    ) -> None:
        faiss = _faiss()
        vectors = _vectors(items, "items")
        _whole("n_cells", n_cells, len(vectors))
        quantiser = faiss.IndexFlatIP(vectors.shape[1])
        self._index = faiss.IndexIVFFlat(
            quantiser,
            vectors.shape[1],
            int(n_cells),
            faiss.METRIC_INNER_PRODUCT,
        )
        self._index.cp.seed = int(seed)
        # No message about few points per cell: small shops are fine.
        self._index.cp.min_points_per_centroid = 1
        self._index.train(vectors)
        self._index.add(vectors)
        self.n_items = len(vectors)
        self.n_probe = n_probe

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self._index.nlist)

    @property
    def n_probe(self) -> int:
        """Cells that a search looks into."""
        return int(self._index.nprobe)

    @n_probe.setter
    def n_probe(self, value: int) -> None:
        self._index.nprobe = _whole("n_probe", value, self.n_cells)

    def search(self, users: ArrayLike, k: int) -> Found:
        """List k items with large inner products, best first.

        Args:
            users: user vectors, [U, d].
            k: from 1 to I.

        Returns:
            Item numbers [U, k] (-1 where the cells hold fewer than k), and
            their scores [U, k] (-inf there).

        Raises:
            ValueError: other lengths of vectors, or k out of range.
        """
        queries = _queries(users, self._index.d, k, self.n_items)
        scores, lists = self._index.search(queries, k)
        return lists.astype(np.int64), np.where(lists < 0, -np.inf, scores)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index; the file appears whole or not at all."""
        with whole_file(path) as part:
            _faiss().write_index(self._index, str(part))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ApproximateIndex:
        """Read what ``save`` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no such index.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"path: {path} does not exist.")
        faiss = _faiss()
        try:
            owner = faiss.read_index(os.fspath(path))
        except RuntimeError as error:
            raise ValueError(
                f"{Path(path).name} is no index of faiss. Save one again."
            ) from error
        found = faiss.downcast_index(owner)
        if not isinstance(found, faiss.IndexIVFFlat):
            raise ValueError(
                f"{Path(path).name} holds a {type(found).__name__}; "
                "ApproximateIndex.save writes an IndexIVFFlat."
            )
        index = cls.__new__(cls)
        index._index, index.n_items = found, int(found.ntotal)
        index._owner = owner
        return index


def list_recall(found: ArrayLike, exact: ArrayLike) -> float:
    """Return the share of the exact lists that is found, in [0, 1].

    Args:
        found: item numbers, [U, k]; -1 is an empty place.
        exact: item numbers, [U, k].
    """
    ours, truth = np.asarray(found), np.asarray(exact)
    if ours.shape[0] != truth.shape[0] or ours.ndim != 2 or truth.ndim != 2:
        raise ValueError(
            f"found has shape {ours.shape}, exact {truth.shape}; pass a list "
            "for each user in both."
        )
    hits = [np.isin(t, o).sum() for t, o in zip(truth, ours, strict=True)]
    return float(np.sum(hits) / truth.size)


def milliseconds(
    search: Callable[[NDArray], Any], queries: ArrayLike, repeats: int = 5
) -> float:
    """Return the time of one search, one user at a time, in milliseconds.

    The mean over the users in the fastest of `repeats` rounds, after one that
    does not count: in the others something else was using the machine.

    Args:
        search: function of one user's vector, [1, d].
        queries: user vectors, [U, d].
        repeats: rounds.
    """
    rows = _vectors(queries, "queries")
    spent = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        for row in rows:
            search(row[None])
        spent.append((time.perf_counter() - began) / len(rows))
    return float(min(spent[1:]) * 1000)


def recall_and_time(
    items: ArrayLike,
    users: ArrayLike,
    k: int,
    n_cells: int,
    n_probes: Iterable[int],
    seed: int = 0,
) -> pd.DataFrame:
    """Measure what an approximate index loses, and what it saves.

    Args:
        items: item vectors, [I, d].
        users: user vectors to search for, [U, d]; a hundred or so.
        k: length of the lists.
        n_cells: of the ``ApproximateIndex``.
        n_probes: settings to try.
        seed: of k-means.

    Returns:
        A row for each setting and one for the exact search (n_probe 0):
        n_probe, recall (of the exact lists), milliseconds (per user).
    """
    exact = ExactIndex(items)
    truth, _ = exact.search(users, k)
    rows = [(0, 1.0, milliseconds(lambda u: exact.search(u, k), users))]
    index = ApproximateIndex(items, n_cells, seed=seed)
    for n_probe in n_probes:
        index.n_probe = n_probe
        found, _ = index.search(users, k)
        spent = milliseconds(lambda u: index.search(u, k), users)
        rows.append((n_probe, list_recall(found, truth), spent))
    return pd.DataFrame(rows, columns=["n_probe", "recall", "milliseconds"])


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "An approximate index needs faiss: pip install faiss-cpu. "
            "ExactIndex works without."
        ) from error
    return faiss


def _vectors(values: ArrayLike, name: str) -> NDArray[np.float32]:
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}; pass [n, d].")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds NaN or infinity; look for a model that diverged."
        )
    return array


def _queries(
    users: ArrayLike, dimension: int, k: int, n_items: int
) -> NDArray[np.float32]:
    queries = _vectors(users, "users")
    if queries.shape[1] != dimension:
        raise ValueError(
            f"users has vectors of length {queries.shape[1]}, the items of "
            f"{dimension}; take both from one model."
        )
    _whole("k", k, n_items)
    return queries


def _whole(name: str, value: int, largest: int) -> int:
    if int(value) != value or not 1 <= value <= largest:
        raise ValueError(f"{name}={value!r} must be from 1 to {largest}.")
    return int(value)
