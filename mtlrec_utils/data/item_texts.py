"""Users as the texts of what they took; texts as numbers from elsewhere.

A model without ids reads, for each row, the words of some items that its user
took before. ``past_texts`` makes these columns for an encoder that is trained
with the model. ``text_vectors`` and ``past_vectors`` make number columns
instead, from any encoder of sentences that is already trained: such an encoder
is slow, so it runs once per text, and its vectors can be kept in a file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mtlrec_utils.data.columns import SchemaError
from mtlrec_utils.data.histories import past_items
from mtlrec_utils.whole_file import whole_file

Vectors = npt.NDArray[np.float32]


def past_texts(
    rows: pd.DataFrame,
    texts: pd.Series,
    length: int,
    *,
    taken: str | None = None,
    user: str = "user",
    item: str = "item",
) -> pd.DataFrame:
    """Return the texts of the items that each row's user took before it.

    Args:
        rows: in order of time.
        texts: text of each item, indexed by item.
        length: how many items to keep, the latest ones.
        taken: a 0/1 column that says which rows count; None: all of them.
        user, item: names of the columns.

    Returns:
        Columns past_1 (the latest) to past_<length>, with the index of
        `rows`; missing where the user has done less.

    Raises:
        SchemaError: an item without a text, or as in `past_items`.
    """
    lists = past_items(rows, length, taken=taken, user=user, item=item)
    places = _places(lists, texts.index, length)
    values = np.array([*texts, None], dtype=object)
    return pd.DataFrame(
        {
            f"past_{back + 1}": values[places[:, length - 1 - back]]
            for back in range(length)
        },
        index=rows.index,
    )


def past_vectors(
    rows: pd.DataFrame,
    vectors: pd.DataFrame,
    length: int,
    *,
    taken: str | None = None,
    user: str = "user",
    item: str = "item",
) -> pd.DataFrame:
    """Return the mean vector of the items that each row's user took before.

    Args:
        rows: in order of time.
        vectors: numbers of each item, indexed by item.
        length: how many items count, the latest ones.
        taken, user, item: as in `past_texts`.

    Returns:
        Columns past_<column of vectors>, with the index of `rows`; zeros
        for a user without a past.

    Raises:
        SchemaError: an item without a vector, or as in `past_items`.
    """
    lists = past_items(rows, length, taken=taken, user=user, item=item)
    places = _places(lists, vectors.index, length)
    values = vectors.to_numpy(dtype=np.float32)
    padded = np.vstack([values, np.zeros((1, values.shape[1]), np.float32)])
    count = np.maximum((places < len(values)).sum(axis=1, keepdims=True), 1)
    means = sum(padded[column] for column in places.T) / np.float32(count)
    names = [f"past_{name}" for name in vectors.columns]
    return pd.DataFrame(means, index=rows.index, columns=names)


def text_vectors(
    encode: Callable[[list[str]], npt.ArrayLike],
    texts: Sequence[str],
    *,
    cache: str | os.PathLike[str] | None = None,
) -> Vectors:
    """Ask a pre-trained encoder for the vectors of texts, each text once.

    Args:
        encode: maps a list of n strings to numbers [n, width]; the method
            ``encode`` of a sentence encoder that you installed does.
        texts: one per item.
        cache: a file, `.npz`, to keep the vectors in and read them from
            while the texts are the same. It knows nothing of the encoder:
            give another encoder another file.

    Returns:
        float32 [len(texts), width].

    Raises:
        ValueError: a text that is no string, or vectors of a wrong shape,
            of no numbers, or not finite.
    """
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"text {place} is {text!r}; pass strings, '' for no text."
            )
    distinct = list(dict.fromkeys(texts))
    digest = hashlib.sha256("\0".join(distinct).encode()).hexdigest()
    found = _kept(cache, digest)
    if found is None:
        found = _checked(encode(list(distinct)), len(distinct))
        if cache is not None:
            _keep(Path(cache), found, digest)
    place_of = {text: place for place, text in enumerate(distinct)}
    return found[[place_of[text] for text in texts]]


def _checked(vectors: npt.ArrayLike, n_texts: int) -> Vectors:
    try:
        found = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"encode must return one matrix of numbers: {error}."
        ) from error
    if found.ndim != 2 or len(found) != n_texts or not found.shape[1]:
        raise ValueError(
            f"encode got {n_texts} texts and returned an array of shape "
            f"{found.shape}; it must be [{n_texts}, width], a row per text."
        )
    if not np.isfinite(found).all():
        bad = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise ValueError(
            f"encode returned NaN or infinity, first in row {bad}; mend or "
            "replace that text."
        )
    return found


def _kept(cache: str | os.PathLike[str] | None, digest: str) -> Vectors | None:
    if cache is None or not Path(cache).exists():
        return None
    with np.load(cache) as stored:
        if str(stored["texts"]) != digest:
            return None
        return stored["vectors"]


def _keep(path: Path, vectors: Vectors, digest: str) -> None:
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, vectors=vectors, texts=np.array(digest))


def _places(
    lists: pd.Series, known: pd.Index, length: int
) -> npt.NDArray[np.int64]:
    """Return items as positions in `known`, len(known) where there is none.

    The latest item stands in the last column: [rows, length].
    """
    if not known.is_unique:
        raise SchemaError("An item stands twice in the index; give it once.")
    counts = np.fromiter(map(len, lists), np.int64, count=len(lists))
    places = np.full((len(lists), length), len(known), np.int64)
    if not counts.sum():
        return places
    flat = np.concatenate(lists.to_list())
    found = known.get_indexer(pd.Index(flat))
    if (found < 0).any():
        raise SchemaError(
            f"Item {flat[found < 0][0]!r} was taken but is not in the index "
            "of texts or vectors. Give every item one."
        )
    places[np.arange(length) >= length - counts[:, None]] = found
    return places
