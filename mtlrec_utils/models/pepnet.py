"""PEPNet: gates, told who and where, that scale what a network computes.

A gate reads a *prior* (a vector of the domain, or of the user and the item)
and the features, and returns a factor in (0, 2) for each number it scales.
It reads the features behind a stop-gradient: they learn from what they say
themselves, not from what the gate makes of them. A prior has a table of its
own, which learns through the gate alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.domain_parts import Front, bottom_layer, front
from mtlrec_utils.models.feature_parts import split_features
from mtlrec_utils.models.features_and_towers import (
    activated,
    joined,
    output_width,
    task_outputs,
)
from mtlrec_utils.models.initialisation import (
    derived_seed,
    register,
    seeded,
)
from mtlrec_utils.models.layers import MLP


@register
class PriorGate(keras.layers.Layer):
    """Factors in (0, 2): [prior [B, p], context [B, c]] -> [B, units].

        2 sigmoid(relu([prior, stop_gradient(context)] U + a) V + b)

    With V and b at 0 every factor is 1. No gradient reaches the context.

    Args:
        units: how many factors.
        hidden_units: width between U and V.
        seed: starting point of the weights.

    Raises:
        ValueError: a width below 1.

    Source: Chang et al., "PEPNet: Parameter and Embedding Personalized
    Network for Infusing with Personalized Prior Information", KDD 2023.
    """

    def __init__(
        self,
        units: int,
        hidden_units: int = 16,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        (self.units,) = positive_widths("units", (units,))
        (self.hidden_units,) = positive_widths("hidden_units", (hidden_units,))
        self.seed = seed
        self.dense = [
            keras.layers.Dense(
                width,
                activation=activation,
                kernel_initializer=seeded("glorot_uniform", seed, i),
                dtype=self.dtype_policy,
                name=f"dense_{i}",
            )
            for i, (width, activation) in enumerate(
                [(self.hidden_units, "relu"), (self.units, "sigmoid")]
            )
        ]

    def build(self, input_shape: Any) -> None:
        """Create the two kernels."""
        (rows, prior), (_, context) = input_shape
        self.dense[0].build((rows, prior + context))
        self.dense[1].build((rows, self.hidden_units))

    def call(self, inputs: Any) -> Any:
        """Return the factors."""
        prior, context = inputs
        known = ops.concatenate([prior, ops.stop_gradient(context)], axis=-1)
        return 2.0 * self.dense[1](self.dense[0](known))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, units)."""
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "hidden_units": self.hidden_units,
            "seed": self.seed,
        }


def epnet(
    schema: Any,
    *,
    domain: str = "domain",
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    prior_dimension: int = 8,
    gate_units: int = 16,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a pooled model whose features are scaled by domain.

    With the features x without the domain and e_d a vector of the domain,
    the shared bottom reads gate(e_d, x) * x. The domain enters nowhere
    else: a new domain is one more row of "domain_embedding".

    Args:
        schema: a fitted ``Schema``.
        domain: name of the feature that tells the domain.
        embedding_dimension: width of one id's embedding.
        bottom_units: widths of the bottom's layers.
        tower_units: widths of each task's tower.
        prior_dimension: width of e_d.
        gate_units: width of a gate's hidden layer.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, a domain that is no feature or the
            only one, a bad width.

    Source: Chang et al., KDD 2023: EPNet.
    """
    start = front(schema, domain)
    features = start.features(embedding_dimension, seed)
    scaled = _scaled_by_domain(
        start, features, prior_dimension, gate_units, seed
    )
    bottom = bottom_layer(bottom_units, dropout, seed)(scaled)
    outputs = task_outputs(
        start.tasks,
        dict.fromkeys(start.tasks, bottom),
        tower_units,
        dropout,
        seed,
    )
    return keras.Model(start.inputs, outputs, name="epnet")


def ppnet(
    schema: Any,
    *,
    domain: str = "domain",
    personal: Sequence[str] | None = None,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    prior_dimension: int = 8,
    gate_units: int = 16,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build towers whose inputs are scaled, layer by layer, by a prior.

    What enters layer l of the tower of task t, and its logit, is
    gate_tl(prior, x) * hidden, with a gate for each.

    Args:
        personal: features that make the prior, such as user and item;
            they stay features too. None: the domain, which must be among
            them if the model is to know it.
        The others, and Raises, are those of ``epnet``.

    Source: Chang et al., KDD 2023: PPNet.
    """
    start = front(schema, domain)
    features = start.features(embedding_dimension, seed)
    bottom = bottom_layer(bottom_units, dropout, seed)(features)
    prior = _personal(schema, start, personal, prior_dimension, seed)
    outputs = _gated_towers(
        start.tasks,
        bottom,
        [prior, features],
        (tower_units, gate_units, dropout, seed),
    )
    return keras.Model(start.inputs, outputs, name="ppnet")


def pepnet(
    schema: Any,
    *,
    domain: str = "domain",
    personal: Sequence[str] | None = None,
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    prior_dimension: int = 8,
    gate_units: int = 16,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build both: features scaled by domain, towers by a prior.

    The towers' gates read the features as the domain's gate leaves them.

    Args and Raises are those of ``ppnet``.

    Source: Chang et al., KDD 2023. The paper's towers read the scaled
    features themselves; here a bottom that all tasks share lies between.
    """
    start = front(schema, domain)
    features = start.features(embedding_dimension, seed)
    scaled = _scaled_by_domain(
        start, features, prior_dimension, gate_units, seed
    )
    bottom = bottom_layer(bottom_units, dropout, seed)(scaled)
    prior = _personal(schema, start, personal, prior_dimension, seed)
    outputs = _gated_towers(
        start.tasks,
        bottom,
        [prior, scaled],
        (tower_units, gate_units, dropout, seed),
    )
    return keras.Model(start.inputs, outputs, name="pepnet")


def _scaled_by_domain(
    start: Front,
    features: Any,
    dimension: int,
    gate_units: int,
    seed: int | None,
) -> Any:
    """Return gate(e_d, x) * x."""
    (width,) = positive_widths("prior_dimension", (dimension,))
    own = {"ids": start.ids}
    prior = joined(start.domain, own, width, seed, "domain_")
    return _scaled("embedding", features, [prior, features], gate_units, seed)


def _scaled(
    name: str,
    values: Any,
    read: Sequence[Any],
    gate_units: int,
    seed: int | None,
) -> Any:
    """Scale values by "gate_<name>", which reads [prior, context]."""
    gate = PriorGate(
        values.shape[-1],
        gate_units,
        derived_seed(seed, "gate", name),
        name=f"gate_{name}",
    )(read)
    return keras.layers.Multiply(name=f"gated_{name}")([values, gate])


def _personal(
    schema: Any,
    start: Front,
    names: Iterable[str] | None,
    dimension: int,
    seed: int | None,
) -> Any:
    """Return the prior of the towers, [B, p], from a table of its own."""
    (width,) = positive_widths("prior_dimension", (dimension,))
    part = start.domain
    if names is not None:
        part = split_features(schema, names, "personal")[1]
    own = part.inputs(start.inputs, "personal_")
    return joined(part, own, width, seed, "personal_")


def _gated_towers(
    tasks: Mapping[str, Any],
    bottom: Any,
    read: Sequence[Any],
    options: tuple[Sequence[int], int, float, int | None],
) -> dict[str, Any]:
    """Give each task a tower of which every layer's input is scaled."""
    tower_units, gate_units, dropout, seed = options
    widths = positive_widths("tower_units", tower_units)
    logits = {}
    for name, task in tasks.items():
        hidden = bottom
        for i, width in enumerate(widths):
            hidden = _scaled(f"{name}_{i}", hidden, read, gate_units, seed)
            last = i == len(widths) - 1
            hidden = MLP(
                (width,),
                dropout=dropout,
                seed=derived_seed(seed, "tower", name, i),
                name=f"tower_{name}" if last else f"tower_{name}_{i}",
            )(hidden)
        hidden = _scaled(f"{name}_logit", hidden, read, gate_units, seed)
        logits[name] = keras.layers.Dense(
            output_width(task),
            kernel_initializer=seeded("glorot_uniform", seed, "logit", name),
            dtype="float32",
            name=f"logit_{name}",
        )(hidden)
    return activated(tasks, logits)
