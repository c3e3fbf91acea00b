"""Transfer: start from a trained model, or carry users across domains.

* ``freezing``: which layers learn, group by group;
* ``modules``: a pre-trained model in a file, and its weights in a new one;
* ``fine_tuning``: groups of layers thawed one after the other;
* ``prior_shift``, ``recolouring``: two domains made alike, in closed form
  (``models.aligned`` does it while it learns).

``learning.fit`` does the rest: it leaves frozen layers alone, takes factors
on the learning rate (``rate_factors``) and a pull towards the source
(``anchor=L2SP(...)``).
"""

from mtlrec_utils.learning.anchors import L2SP
from mtlrec_utils.learning.transfer.fine_tuning import fit_gradually
from mtlrec_utils.learning.transfer.freezing import (
    freeze,
    layer_groups,
    layer_table,
    unfreeze,
)
from mtlrec_utils.learning.transfer.modules import (
    export_module,
    exported_layer,
    load_module,
    save_module,
    transfer_weights,
)
from mtlrec_utils.learning.transfer.prior_shift import (
    corrected_probabilities,
    estimated_prior,
    prior_weights,
    resampled_rows,
)
from mtlrec_utils.learning.transfer.recolouring import recoloured

__all__ = [
    "L2SP",
    "corrected_probabilities",
    "estimated_prior",
    "export_module",
    "exported_layer",
    "fit_gradually",
    "freeze",
    "layer_groups",
    "layer_table",
    "load_module",
    "prior_weights",
    "recoloured",
    "resampled_rows",
    "save_module",
    "transfer_weights",
    "unfreeze",
]
