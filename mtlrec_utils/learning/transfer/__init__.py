"""Transfer: start from a trained model, or carry users across domains.

* ``freezing``: which layers learn, group by group;
* ``modules``: a pre-trained model in a file, and its weights in a new one;
* ``fine_tuning``: groups of layers thawed one after the other;
* ``network_bridges``: users carried over by EMCDR's network, PTUPCDR or
  SSCDR (``semi_supervised``), to stand beside the closed forms of
  ``models.classic.ColdBridges``;
* ``new_domains``: a model of many domains gets one more;
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
from mtlrec_utils.learning.transfer.network_bridges import (
    emcdr_network,
    personal_network,
    semi_supervised_network,
)
from mtlrec_utils.learning.transfer.new_domains import carry_domains
from mtlrec_utils.learning.transfer.prior_shift import (
    corrected_probabilities,
    estimated_prior,
    prior_weights,
    resampled_rows,
)
from mtlrec_utils.learning.transfer.recolouring import recoloured

__all__ = [
    "L2SP",
    "carry_domains",
    "corrected_probabilities",
    "emcdr_network",
    "estimated_prior",
    "export_module",
    "exported_layer",
    "fit_gradually",
    "freeze",
    "layer_groups",
    "layer_table",
    "load_module",
    "personal_network",
    "prior_weights",
    "recoloured",
    "resampled_rows",
    "save_module",
    "semi_supervised_network",
    "transfer_weights",
    "unfreeze",
]
