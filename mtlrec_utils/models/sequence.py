"""Next-item models: what comes after a list of items.

Both read one ``Sequence`` feature, oldest item first, and predict one
multiclass task: probabilities [B, K] over the whole catalogue of what comes
next. Item number k is class k, in the list and in the label. They differ
only in how a state is made of what came before:

* ``gru4rec``: a recurrent state, updated item by item;
* ``sasrec``: each place looks back at all places before it.

Place t knows nothing of the places after it. In training every place
predicts its follower, so a row of L items and a label trains L steps; at
inference only the last place speaks (``sequence_layers.NextItem``).
``learning.fit`` trains them like any other model.
"""

from __future__ import annotations

from typing import Any

import keras

from mtlrec_utils.models.checks import dropout_rate, positive_widths
from mtlrec_utils.models.embedding import FusedEmbedding
from mtlrec_utils.models.features_and_towers import tasks_by_name
from mtlrec_utils.models.initialisation import derived_seed, seeded
from mtlrec_utils.models.layers import MLP
from mtlrec_utils.models.sequence_layers import (
    CausalSelfAttention,
    Followers,
    LastPlace,
    NextItem,
    PlaceVectors,
    classes_of_rows,
)
from mtlrec_utils.models.set_encoding import Tokens


def gru4rec(
    schema: Any,
    *,
    embedding_dimension: int = 32,
    dropout: float = 0.0,
    every_position: bool = True,
    seed: int | None = None,
) -> keras.Model:
    """Build a recurrent next-item model.

    A gated recurrent unit as wide as the embedding, d: 6 d^2 + 6 d
    parameters between the item table and the output weights.

    Args:
        schema: a fitted ``Schema`` of one Sequence of item numbers and one
            multiclass task, Task("next_item", "multiclass", classes=K).
        embedding_dimension: d.
        dropout: share of the embedded items' entries dropped in training.
        every_position: learn at every place; False: from labels alone.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, another feature or task, items that
            are not numbered 0 ... K - 1, a bad width.

    Source: Hidasi et al., "Session-based Recommendations with Recurrent
    Neural Networks", ICLR 2016. Theirs runs on without padding and samples
    the items of its loss.
    """
    ends = _Ends(schema, embedding_dimension, dropout, every_position, seed)
    states = keras.layers.GRU(
        ends.width,
        return_sequences=True,
        # A loop of the framework costs more per step than the step itself.
        unroll=ends.length <= _UNROLLED,
        kernel_initializer=seeded("glorot_uniform", seed, "gru", "kernel"),
        recurrent_initializer=seeded("orthogonal", seed, "gru", "recurrent"),
        name="recurrent",
    )(ends.tokens)
    return ends.model(states, "gru4rec")


def sasrec(
    schema: Any,
    *,
    embedding_dimension: int = 32,
    n_blocks: int = 1,
    n_heads: int = 1,
    dropout: float = 0.0,
    every_position: bool = True,
    seed: int | None = None,
) -> keras.Model:
    """Build a self-attentive next-item model.

    Each block is x + attention(norm(x)), then x + MLP(norm(x)) with one
    hidden layer of d units; a last norm follows. One block has 6 d^2 + 2 d
    parameters beside its norms: as many as the unit of ``gru4rec``.

    Args:
        n_blocks: blocks on top of each other.
        n_heads: heads of each attention; a divisor of d.
        schema, embedding_dimension, dropout, every_position, seed: as for
            ``gru4rec``; dropout also acts in the MLPs.

    Raises:
        ValueError: as for ``gru4rec``, or heads that do not divide d.

    Source: Kang and McAuley, "Self-Attentive Sequential Recommendation",
    ICDM 2018. Here the output weights are not the item table, and the loss
    is a softmax over all items instead of one sampled item.
    """
    ends = _Ends(schema, embedding_dimension, dropout, every_position, seed)
    (n_blocks,) = positive_widths("n_blocks", (n_blocks,))
    (n_heads,) = positive_widths("n_heads", (n_heads,))
    if ends.width % n_heads:
        raise ValueError(
            f"n_heads={n_heads} does not divide embedding_dimension="
            f"{ends.width}; choose a divisor."
        )
    x = PlaceVectors(
        ends.length, seed=derived_seed(seed, "places"), name="places"
    )([ends.tokens, ends.places])
    for block in range(n_blocks):
        x = _block(x, ends, n_heads, block, dropout, seed)
    states = keras.layers.LayerNormalization(name="norm")(x)
    return ends.model(states, "sasrec")


_UNROLLED = 64  # longer lists take too long to trace


class _Ends:
    """What both models share: the items in front, the catalogue behind."""

    def __init__(
        self,
        schema: Any,
        width: int,
        dropout: float,
        every_position: bool,
        seed: int | None,
    ) -> None:
        self.task = _next_item_task(schema)
        column = _only_sequence(schema)
        (self.width,) = positive_widths("embedding_dimension", (width,))
        self.length = column.stop
        self.seed = seed
        self.classes = int(self.task.classes)
        self.ids = keras.Input((self.length,), dtype="int32", name="ids")
        embedded = FusedEmbedding(
            schema.field_sizes,
            [
                {"start": i, "stop": i + 1, "field": 0, "pooled": False}
                for i in range(self.length)
            ],
            self.width,
            seed=derived_seed(seed, "embedding"),
            name="embedding",
        )(self.ids)
        tokens, self.places = Tokens([(0, self.length)], name="tokens")(
            [self.ids, embedded]
        )
        if dropout_rate("dropout", dropout):
            tokens = keras.layers.Dropout(
                dropout, seed=derived_seed(seed, "dropout"), name="dropout"
            )(tokens)
        self.tokens = tokens
        self.followers = Followers(
            classes_of_rows(
                schema.vocabulary(column.name), self.classes, column.name
            ),
            every_position,
            name="followers",
        )(self.ids)

    def model(self, states: Any, name: str) -> keras.Model:
        """End in the catalogue: states [B, L, d] to a model."""
        last = LastPlace(name="last")(self.places)
        output = NextItem(
            self.classes,
            seed=derived_seed(self.seed, "next_item"),
            # As elsewhere: probabilities are float32 to the end.
            dtype="float32",
            name=self.task.name,
        )([states, last, self.followers])
        return keras.Model(
            {"ids": self.ids}, {self.task.name: output}, name=name
        )


def _block(
    x: Any,
    ends: _Ends,
    n_heads: int,
    block: int,
    dropout: float,
    seed: int | None,
) -> Any:
    """One block of ``sasrec``: look back, then think."""
    normed = keras.layers.LayerNormalization(name=f"norm_seen_{block}")(x)
    seen = CausalSelfAttention(
        n_heads,
        ends.width // n_heads,
        seed=derived_seed(seed, "attention", block),
        name=f"attention_{block}",
    )([normed, ends.places])
    x = keras.layers.Add(name=f"seen_{block}")([x, seen])
    normed = keras.layers.LayerNormalization(name=f"norm_hidden_{block}")(x)
    hidden = MLP(
        (ends.width,),
        dropout=dropout,
        seed=derived_seed(seed, "hidden", block),
        name=f"hidden_{block}",
    )(normed)
    hidden = keras.layers.Dense(
        ends.width,
        kernel_initializer=seeded("glorot_uniform", seed, "back", block),
        name=f"back_{block}",
    )(hidden)
    return keras.layers.Add(name=f"thought_{block}")([x, hidden])


def _next_item_task(schema: Any) -> Any:
    tasks = list(tasks_by_name(schema).values())
    if len(tasks) != 1 or tasks[0].kind != "multiclass":
        raise ValueError(
            "A next-item model predicts one multiclass task, but the schema "
            f"has {', '.join(f'{t.name} ({t.kind})' for t in tasks)}. Give "
            'it Task("next_item", "multiclass", classes=K), or pick one with '
            "schema.with_tasks."
        )
    return tasks[0]


def _only_sequence(schema: Any) -> Any:
    columns = schema.id_columns
    one = len(columns) == 1 and columns[0].pooled
    if not one or schema.number_names or not hasattr(schema, "vocabulary"):
        names = [feature.column for feature in schema.features]
        raise ValueError(
            "A next-item model reads one Sequence of items, but the schema's "
            f"features are {', '.join(map(repr, names))}. Give it "
            'Schema([Sequence("history", length=20)], ...).'
        )
    return columns[0]
