"""Domain alignment: a representation that does not tell two domains apart.

The domain is one more binary task (1 on rows of the target); labels of the
target are masked. Between the ends that all models share (see
``multitask``), "bottom" is read by the label's towers as it is, and by the
domain's tower behind the layer "reversal". The methods differ in what comes
back to the bottom from there:

* "dann": the domain's gradient, times -strength;
* "coral", "mmd": nothing, but the domain's loss has a penalty on the
  distance of the two domains' rows of the batch, times strength;
* "none": nothing. The domain's tower then only measures how well the
  domain can be told from what the bottom has learned.

``learning.fit`` trains all of them as it trains any model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlrec_utils.models.checks import positive_widths
from mtlrec_utils.models.domain_distances import coral_loss, mmd_loss
from mtlrec_utils.models.features_and_towers import (
    activated,
    joined_features,
    output_width,
    task_logits,
    tasks_by_name,
)
from mtlrec_utils.models.initialisation import derived_seed, register
from mtlrec_utils.models.layers import MLP

METHODS = ("dann", "coral", "mmd", "none")


def reversal_schedule(progress: Any) -> Any:
    """Return the paper's factor at a share of the training, 0 ... 1.

        2 / (1 + exp(-10 p)) - 1

    It is 0 at the start, so that a domain tower that knows nothing yet
    does not push the bottom about, and .9999 at the end.

    Args:
        progress: p, a number, an array or a tensor.

    Source: Ganin et al., JMLR 17, 2016, section 5.2.2.
    """
    return 2.0 / (1.0 + ops.exp(-10.0 * progress)) - 1.0


@register
class GradientReversal(keras.layers.Layer):
    """Hand on x, and hand back the gradient times -strength.

    It is (1 + s) stop_gradient(x) - s x, on any backend. Strength 0 is
    ``stop_gradient``.

    Args:
        strength: s, from 0 up.
        warmup_steps: with n > 0, s grows by ``reversal_schedule`` over the
            first n calls in training mode, then stays. 0: s from the start.

    Raises:
        ValueError: a strength below 0 or not finite, steps below 0 or not
            whole.

    Source: Ganin et al., "Domain-Adversarial Training of Neural Networks",
    JMLR 17, 2016.
    """

    def __init__(
        self, strength: float = 1.0, warmup_steps: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.strength = finite_strength(strength)
        if int(warmup_steps) != warmup_steps or warmup_steps < 0:
            raise ValueError(
                f"warmup_steps={warmup_steps!r} must be a whole number from "
                "0 up; 0 is no warm-up."
            )
        self.warmup_steps = int(warmup_steps)

    def build(self, input_shape: Any) -> None:
        """Create the counter of steps, where there is a warm-up."""
        if self.warmup_steps:
            self.step = self.add_weight(
                name="step",
                shape=(),
                initializer="zeros",
                dtype="float32",
                trainable=False,
                autocast=False,
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the inputs."""
        strength = self.strength
        if self.warmup_steps:
            done = ops.minimum(self.step / self.warmup_steps, 1.0)
            strength = ops.cast(
                strength * reversal_schedule(done), inputs.dtype
            )
            if training:
                self.step.assign(self.step + 1.0)
        fixed = ops.stop_gradient(inputs)
        # The difference is exactly 0, so that the forward pass is exact.
        return fixed - strength * (inputs - fixed)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "strength": self.strength,
            "warmup_steps": self.warmup_steps,
        }


@register
class DomainGap(keras.layers.Layer):
    """The domain's last layer, whose loss also charges for a gap.

    It reads [logit [B, 1], representation [B, h]] and returns the
    probability of the target, [B, 1]. Its loss is the cross-entropy of the
    logit plus strength times ``coral_loss`` or ``mmd_loss`` of the
    representation. ``learning/losses.py`` says what ``kind`` and
    ``row_loss`` mean.

    Args:
        method: "coral" or "mmd".
        strength: from 0 up.

    Raises:
        ValueError: another method, a strength below 0.
    """

    kind = "binary"

    def __init__(self, method: str, strength: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if method not in ("coral", "mmd"):
            raise ValueError(f"method={method!r}: choose 'coral' or 'mmd'.")
        self.method = method
        self.strength = finite_strength(strength)

    def call(self, inputs: Any) -> Any:
        """Return the probability of the target, [B, 1]."""
        return ops.sigmoid(inputs[0])

    def row_loss(self, ends: Any, label: Any, known: Any) -> Any:
        """Return cross-entropy plus penalty: the same penalty per row."""
        logit, vectors = ends
        distance = coral_loss if self.method == "coral" else mmd_loss
        penalty = self.strength * distance(vectors, label, known)
        own = ops.binary_crossentropy(
            label, ops.squeeze(logit, -1), from_logits=True
        )
        return own + penalty

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the logit."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "method": self.method,
            "strength": self.strength,
        }


def aligned(
    schema: Any,
    *,
    method: str = "dann",
    strength: float = 1.0,
    warmup_steps: int = 0,
    domain: str = "domain",
    embedding_dimension: int = 16,
    bottom_units: Sequence[int] = (64, 32),
    tower_units: Sequence[int] = (16,),
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a shared bottom that is kept from knowing the domain.

    With one seed all methods start from the same weights. At strength 0,
    and with "none", the bottom learns from the labels alone.

    Args:
        schema: a fitted ``Schema``; one of its tasks is the domain. Labels
            of the target's rows are masked, by a sample space or because
            they are missing.
        method: "dann", "coral", "mmd" or "none".
        strength: of the reversed gradient or of the penalty, from 0 up.
        warmup_steps: of "dann": the steps over which strength grows by
            ``reversal_schedule``; about all steps of the training.
        domain: name of the binary task that is 1 on the target's rows.
        embedding_dimension: width of one id's embedding.
        bottom_units: widths of the bottom's layers, at least one.
        tower_units: widths of each tower's layers, the domain's too.
        dropout: share of each hidden layer's outputs dropped in training.
        seed: same seed, same initial weights; None follows
            ``keras.utils.set_random_seed``.

    Raises:
        ValueError: an unfitted schema, an unknown method, no such domain
            task or no other task, a bad strength, width or warm-up.

    Source: "dann": Ganin et al., JMLR 17, 2016; "coral": Sun & Saenko,
    ECCV 2016 workshops; "mmd": Long et al., ICML 2015 (one kernel, one
    layer).
    """
    if method not in METHODS:
        raise ValueError(
            f"method={method!r}: choose one of {', '.join(METHODS)}."
        )
    if warmup_steps and method != "dann":
        raise ValueError("warmup_steps are for method='dann' only.")
    tasks = tasks_by_name(schema, {"reversal"})
    if domain not in tasks or tasks[domain].kind != "binary":
        raise ValueError(
            f"The schema has no binary task {domain!r}. Add "
            f"Task({domain!r}): a column that is 1 on the target's rows."
        )
    if len(tasks) < 2:
        raise ValueError("Beside the domain there is no task to learn.")
    widths = positive_widths("bottom_units", bottom_units)
    if not widths:
        raise ValueError("bottom_units is empty: nothing can be aligned.")
    inputs, features = joined_features(schema, embedding_dimension, seed)
    bottom = MLP(
        widths,
        dropout=dropout,
        seed=derived_seed(seed, "bottom"),
        name="bottom",
    )(features)
    reversal = GradientReversal(
        strength if method == "dann" else 0.0, warmup_steps, name="reversal"
    )
    logits = task_logits(
        {name: output_width(task) for name, task in tasks.items()},
        {**dict.fromkeys(tasks, bottom), domain: reversal(bottom)},
        tower_units,
        dropout,
        seed,
    )
    outputs = activated(tasks, logits)
    if method in ("coral", "mmd"):
        gap = DomainGap(method, strength, dtype="float32", name=domain)
        outputs[domain] = gap([logits[domain], bottom])
    return keras.Model(inputs, outputs, name=f"aligned_{method}")


def finite_strength(strength: float) -> float:
    """Return a strength from 0 up, or say that it is none."""
    if not 0.0 <= strength < np.inf:
        raise ValueError(
            f"strength={strength!r} must be a finite number from 0 up."
        )
    return float(strength)
