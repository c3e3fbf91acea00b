"""Two towers without an id: an item is its words, a user is what they took.

Nothing in the model belongs to one user or one item. All texts of a row, the
candidate's and those of the user's past items, go through one table of hashed
words and one encoder:

    item [B, d]: the encoder's vector of the candidate's words, projected;
    user [B, d]: the mean of those of the past items that have a word,
                 projected again.

The towers meet in ``Match``. A new user, a new item and a whole new shop are
served by the same weights, as long as their words are.

Layers: "words" (the table), those of the encoder up to "text_vector",
"item_tower", "item_vector", "user_vector", "match", and each task's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.data.features import Text
from mtlrec_utils.data.vocabulary import FIRST_KNOWN
from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.cold_start import Match
from mtlrec_utils.models.embedding import FusedEmbedding
from mtlrec_utils.models.feature_parts import TakeColumns
from mtlrec_utils.models.features_and_towers import (
    model_inputs,
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import (
    derived_seed,
    register,
    seeded,
)
from mtlrec_utils.models.layers import MLP
from mtlrec_utils.models.set_encoding import Tokens
from mtlrec_utils.models.text_encoders import text_encoder

_TAKEN = (
    "words",
    "word_ids",
    "tokens",
    "each_text",
    "each_item",
    "text_vector",
    "item_tower",
    "item_vector",
    "item_and_past",
    "user_vector",
    "match",
)


@register
class EachText(keras.layers.Layer):
    """Cut a row into its texts: [B, N W, d], [B, N W] -> N B rows of W.

    Args:
        length: W, places of one text.

    Raises:
        ValueError: a row that is not whole texts.
    """

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = int(length)

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return tokens [B N, W, d] and places [B N, W]."""
        tokens, places = inputs
        if tokens.shape[1] % self.length:
            raise ValueError(
                f"a row has {tokens.shape[1]} places, not a multiple of "
                f"length={self.length}."
            )
        width = tokens.shape[-1]
        return (
            ops.reshape(tokens, (-1, self.length, width)),
            ops.reshape(places, (-1, self.length)),
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B N, W, d) and (B N, W); B N is not known."""
        tokens, _ = input_shape
        return (None, self.length, tokens[-1]), (None, self.length)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {**super().get_config(), "length": self.length}


@register
class ItemAndPast(keras.layers.Layer):
    """Tell the candidate from the past: [B N, m], [B N, W] -> [B, m] twice.

    The first of a row's N texts is the candidate's. The others are past
    items; their mean counts those with at least one word. A user without
    one gets zeros.

    Args:
        n_texts: N, at least 2.
    """

    def __init__(self, n_texts: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_texts = int(n_texts)

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return the candidate's vector and the mean of the past ones."""
        vectors, places = inputs
        vectors = ops.reshape(vectors, (-1, self.n_texts, vectors.shape[-1]))
        known = ops.max(ops.cast(places, self.compute_dtype), axis=1)
        known = ops.reshape(known, (-1, self.n_texts, 1))[:, 1:]
        count = ops.maximum(ops.sum(known, axis=1), 1)
        past = ops.sum(vectors[:, 1:] * known, axis=1) / count
        return vectors[:, 0], past

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, m) twice; B is not known from B N."""
        vectors, _ = input_shape
        return ((None, vectors[-1]),) * 2

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {**super().get_config(), "n_texts": self.n_texts}


def id_free_towers(
    schema: Any,
    *,
    item: str = "words",
    past: Sequence[str],
    encoder: str = "bag",
    embedding_dimension: int = 16,
    tower_units: Sequence[int] = (),
    dimension: int = 16,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build two towers that read words only.

    Other features of the schema, ids above all, are not read: changing
    them changes nothing. ``data.past_texts`` makes the columns of the past.

    Args:
        schema: a fitted ``Schema`` with a ``Text`` feature per column
            below, all with the same buckets and length.
        item: column with the candidate's words.
        past: columns with the words of what the user took, one item each;
            their order does not matter, empty ones do not count.
        encoder: a name of ``TEXT_ENCODERS``.
        embedding_dimension: width of one word's embedding.
        tower_units: widths of the item tower's hidden layers; () for none.
        dimension: d, length of the vectors that meet.
        dropout: share of hidden outputs dropped in training.
        seed: same seed, same initial weights.

    Raises:
        ValueError: an unfitted schema, a column that is no ``Text`` or
            unlike the others, no past, an unknown encoder, a bad width.

    Source: the idea of an item as its text, for other domains, is that of
    Y. Hou et al., "Towards Universal Sequence Representation Learning for
    Recommender Systems", KDD 2022 (UniSRec); there the encoder is a
    pre-trained language model and the user a sequence model.
    """
    tasks = tasks_by_name(schema, _TAKEN)
    encode = text_encoder(encoder)
    if isinstance(past, str) or not list(past):
        raise ValueError(
            f"past={past!r} must name at least one column of past words, as "
            "in past=['past_1', 'past_2']."
        )
    texts = _texts(schema, [item, *past])
    inputs = model_inputs(schema, [item, *past])
    (width, dimension) = positive_widths(
        "embedding_dimension and dimension", (embedding_dimension, dimension)
    )
    words, places = _words(schema, texts, inputs["ids"], width, seed)
    vectors = encode(words, places, derived_seed(seed, "encoder"))
    vectors = MLP(
        positive_widths("tower_units", tower_units),
        dropout=dropout,
        seed=derived_seed(seed, "item_tower"),
        name="item_tower",
    )(vectors)
    vectors = _projection("item_vector", dimension, seed)(vectors)
    candidate, mean = ItemAndPast(1 + len(past), name="item_and_past")(
        [vectors, places]
    )
    user = _projection("user_vector", dimension, seed)(mean)
    match = Match(name="match")([user, candidate])
    outputs = task_outputs(tasks, dict.fromkeys(tasks, match), (), 0.0, seed)
    return keras.Model(inputs, outputs, name=f"id_free_{encoder}")


def text_model(
    schema: Any,
    *,
    text: str,
    encoder: str = "bag",
    embedding_dimension: int = 16,
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a model that reads one text, for any number of tasks.

    Layers: "words" (the table), those of the encoder up to "text_vector",
    and each task's tower. Other features of the schema are not read.

    Args:
        schema: a fitted ``Schema``.
        text: its ``Text`` feature to read.
        encoder: a name of ``TEXT_ENCODERS``.
        embedding_dimension: width of one word's embedding.
        tower_units: widths of each task's tower; () for none.
        dropout: share of each tower layer's outputs dropped in training.
        seed: same seed, same initial weights.

    Raises:
        ValueError: an unfitted schema, a column that is no ``Text``, an
            unknown encoder, a bad width or rate.
    """
    tasks = tasks_by_name(schema, _TAKEN)
    encode = text_encoder(encoder)
    inputs = model_inputs(schema, [text])
    (width,) = positive_widths("embedding_dimension", (embedding_dimension,))
    texts = _texts(schema, [text])
    words, places = _words(schema, texts, inputs["ids"], width, seed)
    vector = encode(words, places, derived_seed(seed, "encoder"))
    outputs = task_outputs(
        tasks, dict.fromkeys(tasks, vector), tower_units, dropout, seed
    )
    return keras.Model(inputs, outputs, name=f"text_{encoder}")


def _texts(schema: Any, names: Sequence[str]) -> list[Text]:
    """Return the text features of these names, all of one kind."""
    known = {f.column: f for f in schema.features if isinstance(f, Text)}
    found = []
    for name in names:
        if name not in known:
            raise ValueError(
                f"{name!r} is no Text feature of the schema; those are "
                f"{', '.join(map(repr, known)) or 'none'}."
            )
        found.append(known[name])
    if len({(f.buckets, f.length) for f in found}) > 1:
        told = ", ".join(f"{f.column} {f.buckets}/{f.length}" for f in found)
        raise ValueError(
            "All texts share one table of words and one encoder, so they "
            f"need the same buckets and length; got {told}."
        )
    return found


def _words(
    schema: Any, texts: list[Text], ids: Any, width: int, seed: int | None
) -> tuple[Any, Any]:
    """Embed every text's words by one table: [B N, W, d], [B N, W]."""
    starts = {column.name: column.start for column in schema.id_columns}
    length = texts[0].length
    taken = [
        starts[text.column] + place
        for text in texts
        for place in range(length)
    ]
    size = texts[0].buckets + FIRST_KNOWN
    columns = [
        {"start": place, "stop": place + 1, "field": 0, "pooled": False}
        for place in range(len(taken))
    ]
    own = TakeColumns(taken, name="word_ids")(ids)
    embedded = FusedEmbedding(
        [size], columns, width, seed=derived_seed(seed, "words"), name="words"
    )(own)
    tokens = Tokens([(0, len(taken))], name="tokens")([own, embedded])
    return EachText(length, name="each_text")(tokens)


def _projection(name: str, dimension: int, seed: int | None) -> Any:
    return keras.layers.Dense(
        dimension,
        kernel_initializer=seeded("glorot_uniform", seed, name),
        name=name,
    )
