"""One encoder, several classifications: of users, of items, of item pairs.

Rows may be of different kinds: one shows a user's history, another an
item's words, a third the words of two items. Every row has all columns;
those that say nothing in it are PADDING, and the masks of the tasks say
which labels it has. Each task reads one *part* of a row, or compares two:

    classifier(schema, {
        "segment": "history",
        "category": "words",
        "relation": Pair("words", "other_words"),
    })

All parts go through the same embedding table and the same encoder; from
there each task has its own tower, as in ``multitask``. Layers are called
"embedding", "part_<columns>", "attention", "encoder", "pair_<task>", and
"tower_<task>", "logit_<task>" and the task's name behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras

from mtlrec_utils.data.features import Number
from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.embedding import FusedEmbedding
from mtlrec_utils.models.features_and_towers import (
    task_outputs,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed
from mtlrec_utils.models.layers import MLP
from mtlrec_utils.models.set_encoding import (
    MaskedMean,
    PairFeatures,
    SelfAttention,
    Tokens,
)

ENCODERS = ("mlp", "attention", "both")

_TAKEN = ("attention", "encoder", "mean", "mean_attended", "pooled")
_PREFIXES = ("part_", "pair_", "vector_")

Part = str | Sequence[str]


class Pair(NamedTuple):
    """Two parts of a row that a task compares, in either order."""

    first: Part
    second: Part


def classifier(
    schema: Any,
    reads: Mapping[str, Part | Pair],
    *,
    encoder: str = "mlp",
    embedding_dimension: int = 16,
    encoder_units: Sequence[int] = (32,),
    n_heads: int = 2,
    head_dimension: int = 8,
    positions: bool = False,
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a classifier of users, items and pairs around one encoder.

    An encoder makes a vector [B, encoder_units[-1]] of a set of tokens.
    Padding changes nothing, nor does the order of the tokens, unless
    ``positions``. A task that reads a ``Pair`` gives both orders the same
    probabilities.

    Args:
        schema: a fitted ``Schema``.
        reads: task -> the column it reads, several columns whose tokens it
            reads as one set, or a ``Pair`` of either. Names of tasks that
            the schema does not have are left alone.
        encoder: "mlp": the mean of the tokens, then an MLP. "attention":
            the mean of what the tokens see by self-attention, then an MLP.
            "both": both means side by side, then an MLP.
        embedding_dimension: width of a token, d.
        encoder_units: widths of the encoder's MLP; at least one.
        n_heads: of the attention, H.
        head_dimension: width of a head's queries and values, k.
        positions: tell the attention where in its part a token stands.
        tower_units: widths of each task's tower; () for none.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights.

    Raises:
        ValueError: an unfitted schema, an unknown encoder or column, a
            task that reads nothing, a number column, a bad width.
    """
    tasks = tasks_by_name(schema)
    _check(schema, tasks, reads, encoder, positions)
    inputs, embedded = _front(schema, embedding_dimension, seed)
    encode = _Encoder(
        encoder,
        positive_widths("encoder_units", encoder_units),
        SelfAttention(
            n_heads,
            head_dimension,
            positions,
            seed=derived_seed(seed, "attention"),
            name="attention",
        ),
        dropout,
        seed,
    )
    wanted = {part for task in tasks for part in _parts(reads[task])}
    # The longest first: it says how many places the attention knows.
    vectors = {}
    spans = {part: _spans(schema, part) for part in wanted}
    for part in sorted(wanted, key=lambda p: (-_length(spans[p]), p)):
        name = "part_" + "_and_".join(part)
        tokens = Tokens(spans[part], name=name)([inputs["ids"], embedded])
        vectors[part] = encode(tokens)
    hidden = {}
    for task in tasks:
        found = [vectors[part] for part in _parts(reads[task])]
        hidden[task] = found[0]
        if isinstance(reads[task], Pair):
            hidden[task] = PairFeatures(name=f"pair_{task}")(found)
    outputs = task_outputs(tasks, hidden, tower_units, dropout, seed)
    return keras.Model(inputs, outputs, name=f"classifier_{encoder}")


class _Encoder:
    """The layers that all parts go through."""

    def __init__(
        self,
        kind: str,
        units: tuple[int, ...],
        attention: SelfAttention,
        dropout: float,
        seed: int | None,
    ) -> None:
        if not units:
            raise ValueError(
                "encoder_units is empty; the encoder needs a layer."
            )
        self.kind = kind
        self.attention = attention
        self.mean = MaskedMean(name="mean")
        self.mean_attended = MaskedMean(name="mean_attended")
        self.pooled = keras.layers.Concatenate(name="pooled")
        self.mlp = MLP(
            units,
            dropout=dropout,
            seed=derived_seed(seed, "encoder"),
            name="encoder",
        )

    def __call__(self, part: tuple[Any, Any]) -> Any:
        tokens, places = part
        means = []
        if self.kind != "attention":
            means.append(self.mean([tokens, places]))
        if self.kind != "mlp":
            attended = self.attention([tokens, places])
            means.append(self.mean_attended([attended, places]))
        return self.mlp(means[0] if len(means) == 1 else self.pooled(means))


def _front(
    schema: Any, dimension: int, seed: int | None
) -> tuple[dict[str, Any], Any]:
    """Embed every id column on its own: [B, C] -> [B, C * dimension]."""
    (dimension,) = positive_widths("embedding_dimension", (dimension,))
    ids = keras.Input((schema.n_id_columns,), dtype="int32", name="ids")
    columns = [
        {
            "start": place,
            "stop": place + 1,
            "field": column.field,
            "pooled": False,
        }
        for column in schema.id_columns
        for place in range(column.start, column.stop)
    ]
    embedding = FusedEmbedding(
        schema.field_sizes,
        columns,
        dimension,
        seed=derived_seed(seed, "embedding"),
        name="embedding",
    )
    return {"ids": ids}, embedding(ids)


def _parts(reading: Part | Pair) -> list[tuple[str, ...]]:
    """Return the one or two parts that a task reads, as column names."""
    parts = list(reading) if isinstance(reading, Pair) else [reading]
    return [(p,) if isinstance(p, str) else tuple(p) for p in parts]


def _spans(schema: Any, part: tuple[str, ...]) -> list[tuple[int, int]]:
    places = {column.name: column for column in schema.id_columns}
    return [(places[name].start, places[name].stop) for name in part]


def _length(spans: list[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in spans)


def _check(
    schema: Any,
    tasks: Mapping[str, Any],
    reads: Mapping[str, Part | Pair],
    encoder: str,
    positions: bool,
) -> None:
    if encoder not in ENCODERS:
        raise ValueError(
            f"encoder={encoder!r}: choose one of {', '.join(ENCODERS)}."
        )
    if positions and encoder == "mlp":
        raise ValueError(
            "positions is for the attention; an 'mlp' encoder takes a mean, "
            "which knows no order. Leave it out, or choose 'attention' or "
            "'both'."
        )
    known = [column.name for column in schema.id_columns]
    numbers = {f.column for f in schema.features if isinstance(f, Number)}
    for task in tasks:
        if task in _TAKEN or task.startswith(_PREFIXES):
            raise ValueError(
                f"A task cannot be called {task!r}: the model has layers of "
                f"that name. Rename it, as in Task({'is_' + task!r}, "
                f"label={task!r})."
            )
        if task not in reads:
            raise ValueError(
                f"reads does not say what task {task!r} reads; it names "
                f"{', '.join(map(repr, reads)) or 'no task'}. Add "
                f"{{{task!r}: column}}."
            )
        for part in _parts(reads[task]):
            if not part:
                raise ValueError(f"Task {task!r} reads a part of no columns.")
            for name in part:
                if name in numbers:
                    raise ValueError(
                        f"Task {task!r} reads {name!r}, a number; a set "
                        "holds ids only. Make it a category: "
                        f"pd.cut(frame[{name!r}], 10).astype(str)."
                    )
                if name not in known:
                    raise ValueError(
                        f"Task {task!r} reads {name!r}, which is no feature "
                        "of the schema. Its id features are "
                        f"{', '.join(map(repr, known)) or 'none'}."
                    )
