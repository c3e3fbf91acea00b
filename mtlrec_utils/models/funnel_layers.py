"""Last layers of the conversion funnel, each with the loss it is for.

Seen, clicked, converted: pCTR is the chance of a click, pCVR that of a
conversion given a click, and their product pCTCVR that of both. The
layers read logits, so that losses stay exact where a probability would
round to 0 or 1. ``learning/losses.py`` says what ``row_loss``,
``every_row`` and ``trained`` mean.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from mtlrec_utils.models.initialisation import register


class _FunnelOutput(keras.layers.Layer):
    """A probability [B, 1] in float32, whatever the dtype policy."""

    kind = "binary"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return (B, 1)."""
        return (input_shape[0][0], 1)


@register
class ProductOfChances(_FunnelOutput):
    """pCTCVR = pCTR pCVR: ([B, 1], [B, 1]) logits -> [B, 1].

    Source: Ma et al., "Entire Space Multi-Task Model", SIGIR 2018,
    equation 2.
    """

    def call(self, inputs: Any) -> Any:
        """Return the product of two sigmoids."""
        click, conversion = inputs
        return ops.sigmoid(click) * ops.sigmoid(conversion)

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return the cross-entropy of each row, [B], from the two logits.

        With a, b the logits: -y log p - (1 - y) log(1 - p) with
        log p = log sigmoid(a) + log sigmoid(b).
        """
        del known
        click, conversion = (ops.squeeze(end, -1) for end in ends)
        log_p = ops.log_sigmoid(click) + ops.log_sigmoid(conversion)
        log_not = log_one_minus_product(click, conversion)
        return -label * log_p - (1.0 - label) * log_not


def log_one_minus_product(a: Any, b: Any) -> Any:
    """Return log(1 - sigmoid(a) sigmoid(b)), exact for logits of any size.

    Below p = 1/2 it is log1p(-exp(log p)). Above, where log p rounds to
    0, it is log(e^-a + e^-b + e^-(a+b)) + log p: the bracket is what is
    left of (1 + e^-a)(1 + e^-b) without its 1.
    """
    log_p = ops.log_sigmoid(a) + ops.log_sigmoid(b)
    half = -math.log(2.0)
    # Each branch is kept finite where the other one is taken: its
    # gradient is multiplied by 0, and infinity times 0 is NaN.
    small = ops.log1p(-ops.exp(ops.minimum(log_p, half)))
    large = ops.logsumexp(ops.stack([-a, -b, -a - b]), axis=0) + log_p
    return ops.where(log_p < half, small, large)


@register
class UntrainedChance(_FunnelOutput):
    """pCVR to read: of the logits [conversion, ...] the first's sigmoid.

    It has no loss of its own: ESMM learns pCVR through the product alone.
    """

    trained = False

    def call(self, inputs: Any) -> Any:
        """Return pCVR, [B, 1]."""
        return ops.sigmoid(inputs[0])


@register
class CounterfactualChance(_FunnelOutput):
    """pCVR trained as if every row had been clicked.

    Reads [conversion logit, click logit] for inverse propensity scores
    (IPS) or [conversion logit, click logit, imputation logit] for the
    doubly robust risk (DR); returns the sigmoid of the first, [B, 1].

    With o = 1 on clicked rows, q = max(pCTR, ``floor``) the propensity,
    e the cross-entropy of pCVR and d = softplus(imputation logit) the
    imputed error, the loss of a row is

    * IPS: o e / q;
    * DR: d + o (e - d) / q, and o (e - d)^2 / q that trains d.

    The mean is over all rows, not over the clicked ones. Gradients are
    stopped so that each term trains one part: q is a constant everywhere
    (else clicks would be predicted where conversions are hard); d is a
    constant in the first term of DR, e in the second. So DR changes the
    value of the risk and its noise, but the gradient at the conversion
    logit is that of IPS; what the imputation adds reaches the model
    through the shared embedding alone.

    Args:
        floor: in (0, 1]; the lowest propensity. No row counts for more
            than 1 / floor.

    Raises:
        ValueError: a floor outside (0, 1].

    Source: Wang et al., "ESCM2: Entire Space Counterfactual Multi-Task
    Model for Post-Click Conversion Rate Estimation", SIGIR 2022.
    """

    every_row = True

    def __init__(self, floor: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 < floor <= 1.0:
            raise ValueError(
                f"The propensity's floor must be in (0, 1], not {floor!r}; "
                "0.05 keeps a row from counting more than 20 times."
            )
        self.floor = float(floor)

    def call(self, inputs: Any) -> Any:
        """Return pCVR, [B, 1]."""
        return ops.sigmoid(inputs[0])

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return the risk of each row, [B]; ``known`` marks the clicks."""
        conversion, click, *imputation = (ops.squeeze(e, -1) for e in ends)
        error = -label * ops.log_sigmoid(conversion)
        error -= (1.0 - label) * ops.log_sigmoid(-conversion)
        propensity = ops.maximum(ops.sigmoid(click), self.floor)
        weight = known / ops.stop_gradient(propensity)
        if not imputation:
            return weight * error
        imputed = ops.softplus(imputation[0])
        constant = ops.stop_gradient(imputed)
        risk = constant + weight * (error - constant)
        return risk + weight * ops.square(ops.stop_gradient(error) - imputed)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "floor": self.floor}
