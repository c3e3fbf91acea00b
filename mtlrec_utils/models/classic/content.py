"""Content: items alike in their words, users alike to what they took."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mtlrec_utils.models.classic.recommender import Recommender

_WORD = re.compile(r"\w\w+")


class TfIdf(NamedTuple):
    """Weights `[n_texts, n_words]`, rows of length 1, and the words."""

    weights: sparse.csr_array
    words: list[str]


def tf_idf(texts: Sequence[str]) -> TfIdf:
    """Weigh the words of texts: often here, rare elsewhere.

    tf-idf = count in the text x (ln((1 + n) / (1 + texts with the word)) + 1),
    each text then scaled to length 1. Words are runs of two or more letters
    or digits, in lower case; they come in alphabetical order.

    Args:
        texts: One text per item; "" has a row of zeros.

    Raises:
        ValueError: A text that is no string, or no words at all.
    """
    found: list[str] = []
    lengths = []
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"text {place} is {text!r}; pass strings, '' for no text."
            )
        words = _WORD.findall(text.lower())
        found += words
        lengths.append(len(words))
    if not found:
        raise ValueError("the texts hold no words; pass other columns.")
    codes, names = pd.factorize(np.array(found, dtype=object), sort=True)
    row = np.repeat(np.arange(len(lengths)), lengths)
    counts = sparse.csr_array(
        sparse.coo_array(
            (np.ones(len(codes)), (row, codes)),
            shape=(len(lengths), len(names)),
        )
    )
    counts.sum_duplicates()
    n_texts_with = np.bincount(counts.indices, minlength=len(names))
    idf = np.log((1 + len(lengths)) / (1 + n_texts_with)) + 1
    counts.data *= idf[counts.indices]
    return TfIdf(unit_rows(counts), [str(name) for name in names])


def unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows scaled to length 1; rows of zeros stay."""
    length = np.sqrt(matrix.power(2).sum(axis=1))
    scale = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    scaled = matrix.copy()
    scaled.data *= np.repeat(scale, np.diff(matrix.indptr))
    return scaled


class ContentProfiles(Recommender):
    """Score of an item: cosine of its words and the user's profile.

    The profile is the sum of the word weights of what the user took, scaled
    to length 1. An item that nobody took yet has a score all the same.

    Args:
        texts: Words of every item, `[n_items]`: genre, tags, description.

    Attributes:
        items: Word weights of the items, `[n_items, n_words]`.
        words: The words, alphabetically.
        profiles: Of the users, `[n_users, n_words]`, after `fit`.
    """

    profiles: sparse.csr_array

    def __init__(self, texts: Sequence[str]) -> None:
        self.items, self.words = tf_idf(texts)

    def _fit(self, interactions: sparse.csr_array) -> None:
        if interactions.shape[1] != self.items.shape[0]:
            raise ValueError(
                f"there are {self.items.shape[0]} texts, interactions has "
                f"{interactions.shape[1]} items; pass one text per item."
            )
        self.profiles = unit_rows(sparse.csr_array(interactions @ self.items))

    def _scores(self, users: NDArray[np.int64]) -> NDArray:
        return (self.profiles[users] @ self.items.T).toarray()
