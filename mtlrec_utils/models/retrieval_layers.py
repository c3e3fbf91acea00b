"""Last layers of retrieval models: how two vectors are matched.

A last layer says how its model is trained by a method ``row_loss``, as
``learning/losses.py`` describes. What enters it are whole batches, so a loss
may compare a row with the items of the other rows: in-batch negatives need
no training loop of their own.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.initialisation import register
from mtlrec_utils.models.retrieval_losses import (
    accidental_hits,
    bpr_loss,
    hardest,
    hide,
    log_expected_count,
    softmax_loss,
)


class _Match(keras.layers.Layer):
    """A last layer that reads [user vector, item vector, ...].

    Args:
        penalty: lambda of lambda (|u|^2 + |v|^2), added to each row's loss.
        temperature: divides the score <u, v>.
    """

    kind = "binary"

    def __init__(
        self, penalty: float = 0.0, temperature: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not penalty >= 0:
            raise ValueError(f"penalty={penalty!r} must be at least 0.")
        if not temperature > 0:
            raise ValueError(f"temperature={temperature!r} must be above 0.")
        self.penalty, self.temperature = float(penalty), float(temperature)

    def call(self, inputs: Any) -> Any:
        """Return sigmoid(<u, v> / temperature), [B, 1].

        It grows with the score. As a probability it is calibrated only
        where the loss saw rows that were *not* taken.
        """
        return ops.sigmoid(ops.expand_dims(self._scores(*inputs[:2]), 1))

    def _scores(self, users: Any, items: Any) -> Any:
        return ops.sum(users * items, axis=1) / self.temperature

    def _penalised(self, losses: Any, users: Any, items: Any) -> Any:
        if not self.penalty:
            return losses
        squares = ops.sum(users**2, axis=1) + ops.sum(items**2, axis=1)
        return losses + self.penalty * squares

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, 1)."""
        return (input_shape[0][0], 1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "penalty": self.penalty,
            "temperature": self.temperature,
        }


@register
class ValueMatch(_Match):
    """Trained on labels: log loss of a binary task, squared of a regression.

    Args:
        regression: predict center + spread <u, v> instead of a sigmoid.
        center, spread: mean and standard deviation of training labels.
    """

    def __init__(
        self,
        regression: bool = False,
        center: float = 0.0,
        spread: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.regression = bool(regression)
        self.center, self.spread = float(center), float(spread)
        self.kind = "regression" if regression else "binary"

    def call(self, inputs: Any) -> Any:
        """Return probabilities, or values in the label's unit, [B, 1]."""
        if not self.regression:
            return super().call(inputs)
        score = self._scores(*inputs[:2])
        return self.center + self.spread * ops.expand_dims(score, 1)

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return each row's loss against its label, [B]."""
        users, items = ends[:2]
        score = self._scores(users, items)
        if self.regression:
            losses = ops.square(score - (label - self.center) / self.spread)
        else:
            losses = ops.binary_crossentropy(label, score, from_logits=True)
        return self._penalised(losses, users, items)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "regression": self.regression,
            "center": self.center,
            "spread": self.spread,
        }


@register
class PairwiseMatch(_Match):
    """Trained by BPR: what was taken above what was drawn.

    It reads user vectors [B, d], item vectors [B, d], item identity [B, 1],
    and vectors [B n, d] and identity [B n, 1] of n drawn items a row. Rows
    whose label is 0 cost nothing.

    Args:
        count: n.
    """

    def __init__(self, count: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = int(count)

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return the BPR loss of each row, [B]."""
        users, items, own, drawn, identity = ends
        shape = (-1, self.count)
        others = ops.reshape(
            self._scores(ops.repeat(users, self.count, axis=0), drawn), shape
        )
        hits = accidental_hits(own[:, 0], ops.reshape(identity, shape))
        losses = bpr_loss(self._scores(users, items), others, hits)
        return label * self._penalised(losses, users, items)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "count": self.count}


@register
class SoftmaxMatch(_Match):
    """Trained to find the row's item among candidates.

    It reads user vectors [B, d], item vectors [B, d], item identity [B, 1],
    and, with drawn items, their vectors [n, d] and identity [n, 1]. The
    candidates of a row are the items of the other rows (``in_batch``), the
    drawn ones, or both. Rows whose label is 0 cost nothing; their items are
    candidates all the same.

    Args:
        in_batch: use the batch's items.
        drawn: n, for the correction; 0 for none.
        n_items: I, items of the catalogue, for the correction.
        n_identities: rows of the item's vocabulary.
        correction: take log Q off every score (``log_expected_count``);
            the shares lie in the weight "log_share" [n_identities].
        mask_hits: a candidate that is the row's own item is no negative.
        n_hardest: keep so many candidates with the highest scores.
    """

    def __init__(
        self,
        in_batch: bool = True,
        drawn: int = 0,
        n_items: int = 0,
        n_identities: int = 1,
        correction: bool = False,
        mask_hits: bool = True,
        n_hardest: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.in_batch, self.correction = bool(in_batch), bool(correction)
        self.drawn, self.n_items = int(drawn), int(n_items)
        self.n_identities = int(n_identities)
        self.mask_hits = bool(mask_hits)
        self.n_hardest = None if n_hardest is None else int(n_hardest)

    def build(self, input_shape: Any) -> None:
        """Create "log_share": all items alike until it is filled."""
        self.log_share = self.add_weight(
            name="log_share",
            shape=(self.n_identities,),
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return the softmax loss of each row, [B]."""
        users, items, own = ends[0], ends[1], ends[2][:, 0]
        positive = self._scores(users, items) - self._log_q(own, own)
        parts = []
        if self.in_batch:
            # Its own place in the batch is no negative, masked or not.
            itself = ops.cast(ops.eye(ops.shape(own)[0]), "bool")
            parts.append(self._others(users, items, own, own, itself))
        if len(ends) > 3:
            parts.append(self._others(users, ends[3], own, ends[4][:, 0]))
        others = parts[0] if len(parts) == 1 else ops.concatenate(parts, 1)
        if self.n_hardest is not None:
            others = hardest(others, self.n_hardest)
        losses = softmax_loss(positive, others)
        return label * self._penalised(losses, users, items)

    def _others(
        self, users: Any, items: Any, own: Any, found: Any, itself: Any = None
    ) -> Any:
        """Score candidates for every row, hidden where they are no negative.

        [B, d], [C, d], [B], [C] and [B, C] to [B, C].
        """
        scores = ops.matmul(users, ops.transpose(items)) / self.temperature
        scores = scores - self._log_q(found, own)
        if self.mask_hits:
            return hide(scores, accidental_hits(own, found))
        return scores if itself is None else hide(scores, itself)

    def _log_q(self, items: Any, own: Any) -> Any:
        if not self.correction:
            return ops.zeros_like(items)
        # Identities arrive as float32, exact up to 2^24 items.
        share = ops.take(self.log_share, ops.cast(items, "int32"), axis=0)
        batch = ops.shape(own)[0] if self.in_batch else 0
        return log_expected_count(share, batch, self.drawn, self.n_items)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "in_batch": self.in_batch,
            "drawn": self.drawn,
            "n_items": self.n_items,
            "n_identities": self.n_identities,
            "correction": self.correction,
            "mask_hits": self.mask_hits,
            "n_hardest": self.n_hardest,
        }
