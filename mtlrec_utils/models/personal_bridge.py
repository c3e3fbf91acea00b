"""PTUPCDR: a bridge of its own for every user, made from the user's history.

Zhu et al., "Personalized transfer of user preferences for cross-domain
recommendation", WSDM 2022. The vectors of users and items are given (from
``classic.RatingFactors``, say) and stay as they are; what is learned is how a
history becomes a bridge:

    a_j = softmax_j over the history of h(v_j)     (characteristic encoder)
    p   = sum_j a_j v_j                            (0 without a history)
    W   = reshape(g(p), [k, m])                    (meta network)

and the target's rating is b_i + <x W, y_i>. Padding has no part in the
softmax, and no item shares its number.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.models.initialisation import (
    derived_seed,
    register,
    seeded,
)

PADDING = 0  # of a history; its items are numbered from 1


@register
class PersonalBridge(keras.layers.Layer):
    """History and source vector in, target vector out.

    Called on [vectors of the history [B, L, d], which entries are there
    [B, L], source vectors [B, k]]; returns [B, units].

    Args:
        units: m, length of a target vector.
        hidden: width of the hidden layer of h and of g.
        seed: starting point of the weights.
    """

    def __init__(
        self,
        units: int,
        hidden: int = 16,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1 or hidden < 1:
            raise ValueError(
                f"units is {units} and hidden {hidden}; both must be 1 or "
                "more."
            )
        self.units, self.hidden, self.seed = int(units), int(hidden), seed

    def build(self, input_shape: Any) -> None:
        """Create the weights of the encoder and of the meta network."""
        (*_, width), _, (*_, length) = input_shape

        def weight(name: str, shape: tuple[int, ...], start: str) -> Any:
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=seeded(start, self.seed, name),
            )

        self.look = weight("look", (width, self.hidden), "glorot_uniform")
        self.score = weight("score", (self.hidden, 1), "glorot_uniform")
        self.read = weight("read", (width, self.hidden), "glorot_uniform")
        self.read_bias = weight("read_bias", (self.hidden,), "zeros")
        shape = (self.hidden, length * self.units)
        self.write = weight("write", shape, "glorot_uniform")
        self.write_bias = weight("write_bias", shape[1:], "zeros")

    def attention(self, history: Any, there: Any) -> Any:
        """Return the weights over the history, [B, L]; 0 on padding."""
        there = ops.cast(there, self.compute_dtype)
        scores = ops.matmul(
            ops.relu(ops.matmul(history, self.look)), self.score
        )[..., 0]
        # Finite, so that a row without a history has weights too (all 0).
        scores = ops.where(there > 0, scores, -1e9)
        scores = scores - ops.max(scores, axis=1, keepdims=True)
        powers = ops.exp(scores) * there
        return powers / ops.maximum(
            ops.sum(powers, axis=1, keepdims=True), 1e-9
        )

    def call(self, inputs: Any) -> Any:
        """Carry source vectors over, each by its own bridge."""
        history, there, source = inputs
        weights = self.attention(history, there)
        person = ops.sum(weights[..., None] * history, axis=1)  # [B, d]
        hidden = ops.relu(ops.matmul(person, self.read) + self.read_bias)
        bridge = ops.matmul(hidden, self.write) + self.write_bias
        bridge = ops.reshape(bridge, (-1, source.shape[-1], self.units))
        return ops.sum(source[:, :, None] * bridge, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return (B, units)."""
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "hidden": self.hidden,
            "seed": self.seed,
        }


def ptupcdr(
    users: Any,
    items: Any,
    item_means: Any,
    history_items: Any,
    length: int,
    *,
    hidden: int = 16,
    task: str = "rating",
    seed: int | None = None,
) -> keras.Model:
    """Build the model of ratings in the target through personal bridges.

    Its input "ids", int32 [B, 2 + length], holds the user, the target item,
    and the source items of the user's history, numbered from 1 and padded
    with 0. A user without a history has padding only, and the bridge of all
    such users.

    Args:
        users: source vectors of the users, [U, k]; fixed.
        items: target vectors of the items, [I, m]; fixed.
        item_means: base rating of the target items, [I]; fixed.
        history_items: vectors of the source's items, [S, d]; fixed.
        length: entries of a history.
        hidden: width of the encoder and of the meta network.
        task: name of the output.
        seed: same seed, same initial weights.

    Raises:
        ValueError: tables that do not fit together, or no history.
    """
    tables = {
        "users": np.asarray(users, dtype="float32"),
        "items": np.asarray(items, dtype="float32"),
        "means": np.asarray(item_means, dtype="float32").reshape(-1, 1),
        "history": np.asarray(history_items, dtype="float32"),
    }
    if len(tables["items"]) != len(tables["means"]) or length < 1:
        raise ValueError(
            f"{len(tables['items'])} items, {len(tables['means'])} means and "
            f"histories of {length} do not fit: a mean per item and a length "
            "of at least 1 are needed."
        )
    padding = np.zeros((1, tables["history"].shape[1]), "float32")
    tables["history"] = np.concatenate([padding, tables["history"]])
    ids = keras.Input((2 + length,), dtype="int32", name="ids")
    embed = {name: _fixed(name, table) for name, table in tables.items()}
    bridge = PersonalBridge(
        tables["items"].shape[1],
        hidden,
        seed=derived_seed(seed, "bridge"),
        name="bridge",
    )
    carried = bridge(
        [
            embed["history"](ids[:, 2:]),
            ops.cast(ids[:, 2:] != PADDING, "float32"),
            embed["users"](ids[:, 0]),
        ]
    )
    match = ops.sum(carried * embed["items"](ids[:, 1]), axis=1, keepdims=True)
    rating = keras.layers.Activation("linear", dtype="float32", name=task)(
        match + embed["means"](ids[:, 1])
    )
    model = keras.Model({"ids": ids}, {task: rating}, name="ptupcdr")
    for name, table in tables.items():
        model.get_layer(name).set_weights([table])
    return model


def _fixed(name: str, table: Any) -> keras.layers.Layer:
    return keras.layers.Embedding(*table.shape, name=name, trainable=False)


def histories(users: Any, items: Any, n_users: int, length: int) -> Any:
    """Return the last items of each user, from 1 up: int32 [n_users, length].

    Args:
        users: user of each row of the source, [N], oldest first.
        items: item of each row, from 0 up, [N].
        n_users: number of users.
        length: entries kept, the last ones; the rest is ``PADDING``.
    """
    user, item = np.asarray(users), np.asarray(items)
    order = np.argsort(user, kind="stable")
    size = np.bincount(user, minlength=n_users)
    end = np.cumsum(size)[user[order]]
    place = end - 1 - np.arange(len(user))  # 0 is the last one
    kept = place < length
    table = np.full((n_users, length), PADDING, dtype=np.int32)
    table[user[order][kept], place[kept]] = item[order][kept] + 1
    return table


def rating_examples(
    ratings: Any, histories: Any, task: str = "rating"
) -> Examples:
    """Encode ratings of the target for ``ptupcdr``.

    Args:
        ratings: columns user and item (numbers), rating.
        histories: of every user, [n_users, L], as ``histories`` makes
            them.
        task: name of the output.
    """
    user = ratings["user"].to_numpy()
    ids = np.column_stack([user, ratings["item"].to_numpy(), histories[user]])
    return Examples(
        ids=ids.astype(np.int32),
        numbers=np.zeros((len(ids), 0), np.float32),
        labels={task: ratings["rating"].to_numpy(dtype=np.float32)},
        masks={task: np.ones(len(ids), np.float32)},
        users=user.astype(np.int64),
        rows=np.arange(len(ids)),
    )
