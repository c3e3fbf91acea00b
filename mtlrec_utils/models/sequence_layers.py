"""Layers of next-item models: order, the causal mask, the item to come.

A row holds a list of items, oldest first and padded on the right. Shapes: B
rows of a batch, L places of the list, d width of a state, K items of the
catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.data.vocabulary import PADDING
from mtlrec_utils.models.initialisation import register, seeded
from mtlrec_utils.models.set_encoding import EMPTY, SelfAttention

_NO_CLASS = -1


@register
class PlaceVectors(keras.layers.Layer):
    """Add a learned vector for each place: [B, L, d], [B, L] -> [B, L, d].

    Places count from the oldest item, so that padding on the right moves
    nothing. Empty places stay zeros.

    Args:
        length: places that the layer knows; a shorter list uses the first.
        seed: starting point of the vectors.
    """

    def __init__(
        self, length: int, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.length, self.seed = int(length), seed

    def build(self, input_shape: Any) -> None:
        """Create the vectors [length, d]."""
        self.vectors = self.add_weight(
            name="vectors",
            shape=(self.length, input_shape[0][-1]),
            initializer=seeded("uniform", self.seed, "places"),
        )

    def call(self, inputs: Any) -> Any:
        """Return tokens + vectors where a token is."""
        tokens, places = inputs
        vectors = ops.cast(self.vectors, self.compute_dtype)
        vectors = vectors[: tokens.shape[1]]
        places = ops.cast(places, self.compute_dtype)
        return tokens + vectors * ops.expand_dims(places, -1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, L, d)."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "length": self.length,
            "seed": self.seed,
        }


@register
class CausalSelfAttention(SelfAttention):
    """Self-attention that only looks back: place t sees places 0 ... t.

    All else is that of ``SelfAttention``. Whatever stands to the right of
    a place, later items or padding, gets weight 0 there.

    Source: Kang and McAuley, "Self-Attentive Sequential Recommendation",
    ICDM 2018, section III.B.
    """

    def _weights(self, tokens: Any, places: Any) -> Any:
        length = tokens.shape[1]
        back = np.tril(np.ones((length, length), dtype="float32"))
        back = ops.convert_to_tensor(back, dtype=self.compute_dtype)
        visible = places[:, None, None, :] * back  # [B, 1, L, L]
        scores = self._scores(tokens)
        return ops.softmax(scores + (1 - visible) * EMPTY, axis=-1)


@register
class LastPlace(keras.layers.Layer):
    """Mark the last item of a list: places [B, L] -> 0 or 1, [B, L].

    An empty list has its mark at place 0, where the state is that of
    nothing known.
    """

    def call(self, places: Any) -> Any:
        """Return the mark."""
        count = ops.sum(ops.cast(places, "int32"), axis=1)
        last = ops.maximum(count - 1, 0)
        return ops.one_hot(last, places.shape[1], dtype=self.compute_dtype)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return (B, L)."""
        return tuple(input_shape)


@register
class Followers(keras.layers.Layer):
    """Say which item comes after each place: ids [B, L] -> classes [B, L].

    -1 where the next place is empty or holds an unknown item, and at the
    last item, whose follower is the label. At inference all are -1: then
    only the label is judged, so that rows for validation are not judged by
    items of the training rows.

    Args:
        classes: class of each row of the items' vocabulary, -1 for none.
        every_position: False gives -1 in training too; the model then
            learns from each row's label alone.
    """

    def __init__(
        self,
        classes: Sequence[int],
        every_position: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classes = [int(number) for number in classes]
        self.every_position = bool(every_position)

    def call(self, ids: Any, training: bool | None = None) -> Any:
        """Return the classes, int32."""
        nothing = ops.full_like(ids, _NO_CLASS)
        if not (training and self.every_position):
            return nothing
        of_row = ops.convert_to_tensor(self.classes, dtype="int32")
        found = ops.take(of_row, ids, axis=0)
        return ops.concatenate([found[:, 1:], nothing[:, :1]], axis=1)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return (B, L)."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "classes": self.classes,
            "every_position": self.every_position,
        }


@register
class NextItem(keras.layers.Layer):
    """Probabilities of the next item: softmax over the whole catalogue.

    Reads states [B, L, d], the mark of ``LastPlace`` and the classes of
    ``Followers``, both [B, L], and returns what follows the last item,
    [B, K]. It is trained at every place whose follower is known: with logits
    z_t = h_t W + b and y_t the item after place t (the label, at the last
    place), a row's loss is

        mean over t of  log sum_k exp(z_tk) - z_ty_t.

    ``learning/losses.py`` says what ``kind`` and ``row_loss`` mean.

    Args:
        classes: K.
        seed: starting point of W [d, K]; b [K] starts at 0.

    Source: Hidasi et al., "Session-based Recommendations with Recurrent
    Neural Networks", ICLR 2016 (their loss is a sampled one); Kang and
    McAuley, ICDM 2018, equation 7 for the places.
    """

    kind = "multiclass"

    def __init__(
        self, classes: int, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.classes, self.seed = int(classes), seed

    def build(self, input_shape: Any) -> None:
        """Create W [d, K] and b [K]."""
        width = input_shape[0][-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(width, self.classes),
            initializer=seeded("glorot_uniform", self.seed, "kernel"),
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.classes,), initializer="zeros"
        )

    def call(self, inputs: Any) -> Any:
        """Return probabilities after the last item, [B, K]."""
        states, last, _ = inputs
        state = ops.sum(states * ops.expand_dims(last, -1), axis=1)
        return ops.softmax(self._logits(state), axis=-1)

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return the mean cross-entropy over a row's places, [B]."""
        states, last, followers = ends
        label = ops.expand_dims(ops.cast(label, "int32"), -1)
        followers = ops.cast(followers, "int32")
        target = ops.where(last > 0, label, followers)
        counted = ops.cast(target != _NO_CLASS, "float32")
        losses = ops.sparse_categorical_crossentropy(
            ops.maximum(target, 0),
            self._logits(states),
            from_logits=True,
        )
        return ops.sum(counted * losses, 1) / ops.sum(counted, 1)

    def _logits(self, states: Any) -> Any:
        kernel = ops.cast(self.kernel, states.dtype)
        return ops.matmul(states, kernel) + ops.cast(self.bias, states.dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (B, K)."""
        return (input_shape[0][0], self.classes)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "classes": self.classes,
            "seed": self.seed,
        }


def classes_of_rows(vocabulary: Any, classes: int, column: str) -> list[int]:
    """Return each vocabulary row's class: item number k is class k.

    Raises:
        ValueError: the items are not whole numbers 0 ... classes - 1.
    """
    values = vocabulary.values
    if vocabulary.kind != "integer":
        raise ValueError(
            f"Column {column!r} holds {vocabulary.kind} values, but class k "
            "of the next item is item number k. Number the items, as "
            "pandas.factorize does, in the list and in the label."
        )
    if len(values) and (values[0] < 0 or values[-1] >= classes):
        bad = values[0] if values[0] < 0 else values[-1]
        raise ValueError(
            f"Column {column!r} holds item {bad}, but the task has classes "
            f"0 to {classes - 1}. Number the items from 0, or raise "
            "Task(classes=...)."
        )
    known = [int(value) for value in values]
    return [_NO_CLASS] * (PADDING + 1) + known
