"""STAR: a network in the middle, and one per domain that multiplies it.

The course's only model with moving statistics. Rows that are not there
must not touch them (a plain ``BatchNormalization`` makes them NaN), and a
domain's statistics come from its own rows alone: ``PartitionedNorm`` says
how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.domain_layers import DomainMLP
from mtlrec_utils.models.domain_parts import domain_logits, front
from mtlrec_utils.models.features_and_towers import activated, joined
from mtlrec_utils.models.initialisation import (
    derived_seed,
    register,
    seeded,
)
from mtlrec_utils.models.layers import MLP


@register
class PartitionedNorm(keras.layers.Layer):
    """Normalise each row by the statistics of its domain: [B, n] -> [B, n].

    It reads [x, domain weights [B, D]]. For a row of domain d:

        (gamma gamma_d) (x - mean_d) / sqrt(variance_d + epsilon)
        + beta + beta_d.

    In training, mean and variance are those of the domain's rows in the
    batch, and moving averages follow them; at inference they are the moving
    averages. The paper's batches are of one domain each. Here a batch is
    mixed, and a small domain may have a row or two in it, whose own mean
    would wipe them out. So a domain with fewer than ``fewest_rows`` is
    normalised by its moving averages in training, too, and n rows move them
    by n / fewest_rows of a full step. A domain without a row in the batch
    keeps its averages to the bit.

    A row of an unknown domain (weights 1 / D) is normalised by the mean of
    the domains' averages, in training too.

    Args:
        momentum: share of the moving averages that a full step keeps.
        fewest_rows: how many rows make a mean and a variance, at least 2.
        epsilon: added to the variance.

    Raises:
        ValueError: a momentum outside [0, 1), fewer than 2 rows.

    Source: Sheng et al., CIKM 2021, section on partitioned normalisation.
    """

    def __init__(
        self,
        momentum: float = 0.9,
        fewest_rows: int = 16,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= momentum < 1 or fewest_rows < 2:
            raise ValueError(
                f"momentum is {momentum} (0 ... 1), fewest_rows "
                f"{fewest_rows} (2 or more)."
            )
        self.momentum = float(momentum)
        self.fewest_rows = int(fewest_rows)
        self.epsilon = float(epsilon)

    def build(self, input_shape: Any) -> None:
        """Create scales, shifts and moving averages: [n] and [D, n]."""
        (_, width), (_, n_domains) = input_shape
        each = (n_domains, width)

        def weight(name: str, shape: Any, value: str, learns: bool) -> Any:
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=value,
                trainable=learns,
                dtype="float32",
                autocast=False,
            )

        self.gamma = weight("gamma", (width,), "ones", True)
        self.beta = weight("beta", (width,), "zeros", True)
        self.domain_gamma = weight("domain_gamma", each, "ones", True)
        self.domain_beta = weight("domain_beta", each, "zeros", True)
        self.moving_mean = weight("moving_mean", each, "zeros", False)
        self.moving_variance = weight("moving_variance", each, "ones", False)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the normalised rows, in the type of x."""
        x, weights = inputs
        kind = x.dtype
        x, weights = ops.cast(x, "float32"), ops.cast(weights, "float32")
        # JAX computes with a variable's value, not with the variable.
        mean = ops.convert_to_tensor(self.moving_mean)
        variance = ops.convert_to_tensor(self.moving_variance)
        if training:
            mean, variance = self._of_batch(x, weights, mean, variance)
        scale = (
            self.gamma * self.domain_gamma / ops.sqrt(variance + self.epsilon)
        )
        shift = self.beta + self.domain_beta - scale * mean
        out = ops.matmul(weights, scale) * x + ops.matmul(weights, shift)
        return ops.cast(out, kind)

    def _of_batch(
        self, x: Any, weights: Any, kept_mean: Any, kept_variance: Any
    ) -> tuple[Any, Any]:
        """Return mean and variance to use, [D, n]; move the averages."""
        own = ops.cast(weights == 1.0, "float32")  # of no domain if unknown
        count = ops.expand_dims(ops.sum(own, axis=0), 1)  # [D, 1]
        share = own / ops.maximum(ops.transpose(count), 1.0)
        share = ops.transpose(share)  # [D, B]
        enough = count >= self.fewest_rows
        mean = ops.matmul(share, x)
        centre = ops.where(enough, mean, kept_mean)
        gaps = ops.square(x - ops.matmul(own, centre))
        spread = ops.matmul(share, gaps)
        variance = ops.where(enough, spread, kept_variance)
        step = (1.0 - self.momentum) * ops.minimum(
            count / self.fewest_rows, 1.0
        )
        self.moving_mean.assign(kept_mean + step * (mean - kept_mean))
        self.moving_variance.assign(
            kept_variance + step * (spread - kept_variance)
        )
        return centre, variance

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of x."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "fewest_rows": self.fewest_rows,
            "epsilon": self.epsilon,
        }


def star(
    schema: Any,
    *,
    domain: str = "domain",
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    auxiliary_dimension: int = 8,
    auxiliary_units: Sequence[int] = (16,),
    partitioned_norm: bool = True,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a star: shared weights times those of the row's domain.

    With the features x without the domain and e_d a vector of the domain:

        logit_t = star_t(norm_d(x)) + auxiliary_t([e_d, x]),

    where each layer of ``star_t`` has the weights W * W_d and b + b_d
    (``DomainDense``). Both parts are plain sums until the sigmoid: logits
    take both signs.

    Args:
        schema: a fitted ``Schema``.
        domain: name of the feature that tells the domain.
        embedding_dimension: width of one id's embedding.
        bottom_units: widths of the star's layers that all tasks share.
        tower_units: widths of each task's own layers of the star.
        auxiliary_dimension: width of e_d.
        auxiliary_units: widths of the auxiliary network, one for all tasks.
        partitioned_norm: normalise by ``PartitionedNorm``.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, a domain that is no feature or the
            only one, a bad width.

    Source: Sheng et al., "One Model to Serve All: Star Topology Adaptive
    Recommender for Multi-Domain CTR Prediction", CIKM 2021 (one task).
    """
    start = front(schema, domain)
    weights = start.weights()
    features = start.features(embedding_dimension, seed)
    hidden = features
    if partitioned_norm:
        hidden = PartitionedNorm(name="partitioned_norm")([features, weights])
    bottom = DomainMLP(
        positive_widths("bottom_units", bottom_units),
        star=True,
        dropout=dropout,
        seed=derived_seed(seed, "bottom"),
        name="bottom",
    )([hidden, weights])
    logits = domain_logits(
        start.tasks,
        dict.fromkeys(start.tasks, bottom),
        weights,
        tower_units,
        dropout,
        seed,
        star=True,
    )
    (dimension,) = positive_widths(
        "auxiliary_dimension", (auxiliary_dimension,)
    )
    own = {"ids": start.ids}
    vector = joined(start.domain, own, dimension, seed, "auxiliary_")
    both = keras.layers.Concatenate(name="auxiliary_features")(
        [vector, features]
    )
    aside = MLP(
        positive_widths("auxiliary_units", auxiliary_units),
        dropout=dropout,
        seed=derived_seed(seed, "auxiliary"),
        name="auxiliary_tower",
    )(both)
    for name, logit in logits.items():
        added = keras.layers.Dense(
            logit.shape[-1],
            kernel_initializer=seeded(
                "glorot_uniform", seed, "auxiliary_logit", name
            ),
            dtype="float32",
            name=f"auxiliary_logit_{name}",
        )(aside)
        logits[name] = keras.layers.Add(
            dtype="float32", name=f"auxiliary_sum_{name}"
        )([logit, added])
    return keras.Model(
        start.inputs, activated(start.tasks, logits), name="star"
    )
