"""Dense layers and experts as products of two thin matrices.

A kernel W [in, out] becomes A B with A [in, r] and B [r, out]: r (in + out)
numbers instead of in * out, which is fewer when r < in out / (in + out).
The closest A B to a trained W comes from its singular value decomposition
(Eckart and Young, "The approximation of one matrix by another of lower
rank", Psychometrika 1, 1936).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.compact import with_layers_replaced
from mtlrec_utils.models.initialisation import PerExpert, register, seeded
from mtlrec_utils.models.layers import MLP, Experts


def low_rank_factors(
    kernel: np.ndarray, rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split a kernel: the A [..., in, r], B [..., r, out] closest to it.

    Args:
        kernel: [..., in, out]; each matrix is split on its own.
        rank: r, at least 1; beyond min(in, out) the rest is zeros.

    Returns:
        A and B; both carry the root of each singular value. Their product
        is the kernel itself if the rank is full.
    """
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    roots = np.sqrt(values)
    a = (left * roots[..., None, :])[..., :rank]
    b = (roots[..., None] * right)[..., :rank, :]
    missing = rank - a.shape[-1]
    if missing > 0:
        lead = [(0, 0)] * (kernel.ndim - 2)
        a = np.pad(a, [*lead, (0, 0), (0, missing)])
        b = np.pad(b, [*lead, (0, missing), (0, 0)])
    return a, b


@register
class LowRankMLP(MLP):
    """``MLP`` whose kernels are products of rank min(``rank``, width).

    Args:
        units, activation, dropout, seed: as for ``MLP``.
        rank: of every layer's kernel, at least 1.

    Raises:
        ValueError: a rank below 1, or what ``MLP`` refuses.
    """

    def __init__(self, units: Any, rank: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        (self.rank,) = positive_widths("rank", (rank,))
        self.down = [
            keras.layers.Dense(
                min(self.rank, width),
                use_bias=False,
                kernel_initializer=seeded(
                    "glorot_uniform", self.seed, "down", i
                ),
                dtype=self.dtype_policy,
                name=f"down_{i}",
            )
            for i, width in enumerate(self.units)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create A [in, r] and B [r, units[i]] of each layer."""
        shape = tuple(input_shape)
        for down, dense in zip(self.down, self.dense, strict=True):
            down.build(shape)
            dense.build((*shape[:-1], down.units))
            shape = (*shape[:-1], dense.units)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the last layer's activations, [B, units[-1]]."""
        hidden = inputs
        for i, dense in enumerate(self.dense):
            hidden = dense(self.down[i](hidden))
            if self.dropouts:
                hidden = self.dropouts[i](hidden, training=training)
        return hidden

    def take(self, layer: MLP) -> None:
        """Start from a trained ``MLP`` of the same widths."""
        for down, own, dense in zip(
            self.down, self.dense, layer.dense, strict=True
        ):
            kernel = keras.ops.convert_to_numpy(dense.kernel)
            a, b = low_rank_factors(kernel, down.units)
            down.kernel.assign(a)
            own.kernel.assign(b)
            own.bias.assign(dense.bias)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rank": self.rank}


@register
class LowRankExperts(Experts):
    """``Experts`` whose kernels are products of rank min(``rank``, width).

    Args:
        n_experts, units and the others: as for ``Experts``.
        rank: of every expert's kernel at every depth, at least 1.

    Raises:
        ValueError: a rank below 1, or what ``Experts`` refuses.
    """

    def __init__(
        self, n_experts: int, units: Any, rank: int, **kwargs: Any
    ) -> None:
        super().__init__(n_experts, units, **kwargs)
        (self.rank,) = positive_widths("rank", (rank,))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create A [E, in, r], B [E, r, out] and a bias [E, out] each."""
        self.down: list[Any] = []
        self.kernels, self.biases = [], []
        width_in = input_shape[-1]
        for i, width in enumerate(self.units):
            rank = min(self.rank, width)
            for kept, name, shape in (
                (self.down, "down", (width_in, rank)),
                (self.kernels, "kernel", (rank, width)),
            ):
                initializer = seeded(
                    self.kernel_initializer, self.seed, name, i
                )
                kept.append(
                    self.add_weight(
                        name=f"{name}_{i}",
                        shape=(self.n_experts, *shape),
                        initializer=PerExpert(initializer),
                        regularizer=self.regularizer,
                    )
                )
            self.biases.append(
                self.add_weight(
                    name=f"bias_{i}",
                    shape=(self.n_experts, width),
                    initializer="zeros",
                    regularizer=self.regularizer,
                )
            )
            width_in = width

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return every expert's output, [B, E, units[-1]]."""
        down, kernels, biases = (
            [ops.unstack(ops.convert_to_tensor(w)) for w in weights]
            for weights in (self.down, self.kernels, self.biases)
        )
        outputs = []
        for expert in range(self.n_experts):
            hidden = inputs
            for depth in range(len(self.units)):
                hidden = ops.matmul(hidden, down[depth][expert])
                hidden = ops.matmul(hidden, kernels[depth][expert])
                hidden = ops.add(hidden, biases[depth][expert])
                hidden = self.activation(hidden)
                if self.dropouts:
                    hidden = self.dropouts[depth](hidden, training=training)
            outputs.append(hidden)
        return ops.stack(outputs, axis=1)

    def take(self, layer: Experts) -> None:
        """Start from trained ``Experts`` of the same number and widths."""
        for depth, kernel in enumerate(layer.kernels):
            down = self.down[depth]
            a, b = low_rank_factors(
                keras.ops.convert_to_numpy(kernel), down.shape[-1]
            )
            down.assign(a)
            self.kernels[depth].assign(b)
            self.biases[depth].assign(layer.biases[depth])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rank": self.rank}


_LOW_RANK: dict[type, Any] = {MLP: LowRankMLP, Experts: LowRankExperts}


def with_low_rank(
    model: keras.Model, rank: int, layers: Iterable[str] | None = None
) -> keras.Model:
    """Copy a model, its MLPs and experts as products of low rank.

    Args:
        model: trained or not; it stays as it is.
        rank: of every kernel, at most; with the full rank the copy
            predicts the same.
        layers: names of the layers to split, such as ["experts"]; None:
            every ``MLP`` and ``Experts``.

    Returns:
        A model with the closest kernels of that rank and all other weights
        of the model. A few more epochs of training may follow.

    Raises:
        ValueError: a layer that is not there or cannot be split.
    """
    positive_widths("rank", (rank,))
    named = None if layers is None else list(layers)
    able = [x.name for x in model.layers if type(x) in _LOW_RANK]
    for name in named or []:
        if name not in able:
            raise ValueError(
                f"layers names {name!r}, but the layers that can be split "
                f"are {', '.join(map(repr, able)) or 'none'}."
            )

    def split(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        if type(layer) not in _LOW_RANK or layer.name not in (named or able):
            return None
        config = {**layer.get_config(), "rank": rank}
        return _LOW_RANK[type(layer)].from_config(config)

    copy = with_layers_replaced(model, split, "MLP or Experts")
    for layer in model.layers:
        own = copy.get_layer(layer.name)
        if type(own) is type(layer):
            own.set_weights(layer.get_weights())
        else:
            own.take(layer)
    return copy
