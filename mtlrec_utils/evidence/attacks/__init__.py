"""Attacks on a recommender, each as one number.

Run one before a defence and after it; the difference is what the defence is
worth. All take arrays and know nothing of models.

* Membership inference: was this row in the training data? An attacker who
  knows a row and its label looks at the model's loss on it.
  Chance is 0.5.
* Model extraction: how much of the model can be had by asking it?
* Token guessing: how many guesses does a token take, how many does a
  lock-out leave?
* Shilling: how far do fake users push an item?
"""

from mtlrec_utils.evidence.attacks.extraction import extraction_fidelity
from mtlrec_utils.evidence.attacks.guessing import (
    expected_guesses,
    guess_token,
    guesses_left,
)
from mtlrec_utils.evidence.attacks.membership import (
    membership_accuracy,
    membership_auc,
    row_losses,
    shadow_threshold,
)
from mtlrec_utils.evidence.attacks.shilling import (
    rank_of,
    trust_weights,
    weight_caps,
    weighted_means,
)

__all__ = [
    "expected_guesses",
    "extraction_fidelity",
    "guess_token",
    "guesses_left",
    "membership_accuracy",
    "membership_auc",
    "rank_of",
    "row_losses",
    "shadow_threshold",
    "trust_weights",
    "weight_caps",
    "weighted_means",
]
