"""Models of the course, written with ``keras.ops``: any Keras backend.

The names below are imported on first use, all at once, so that
``mtlrec_utils.models.classic`` (NumPy and SciPy) starts without Keras.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

# module -> what it offers here
_OFFERED = {
    "aitm": ("aitm", "count_violations", "transfer_weights"),
    "capacity": (
        "count_parameters",
        "equal_capacity_units",
        "units_of_equal_capacity",
    ),
    "classifier": ("Pair", "classifier"),
    "cold_start": ("IdDropout", "Match", "cold_start_towers"),
    "compact": (
        "CompactEmbedding",
        "parameters_by_layer",
        "with_compact_tables",
    ),
    "convolution": ("convolutional_bottom",),
    "cross_layers": (
        "CrossedIds",
        "CrossLayer",
        "PairwiseProducts",
        "SumOfFeatures",
    ),
    "cross_stitch": ("CrossStitch", "cross_stitch", "cross_stitch_values"),
    "domain_alignment": (
        "DomainGap",
        "GradientReversal",
        "aligned",
        "reversal_schedule",
    ),
    "domain_distances": ("coral_loss", "mmd_loss"),
    "domain_layers": (
        "DomainDense",
        "DomainMLP",
        "DomainWeights",
        "SelectVectors",
    ),
    "drawn_items": ("NegativeItems", "WithOnes"),
    "factorisation": ("matrix_factorisation",),
    "features_and_towers": ("joined_features", "task_outputs"),
    "funnel": ("esmm",),
    "funnel_layers": (
        "CounterfactualChance",
        "ProductOfChances",
        "UntrainedChance",
    ),
    "id_free": ("EachText", "ItemAndPast", "id_free_towers", "text_model"),
    "information_transfer": ("Calibrator", "TransferAttention"),
    "interest": ("InterestAttention",),
    "l2_constrained": ("PairwiseDifference", "l2_constrained"),
    "layers": (
        "MLP",
        "Experts",
        "FusedEmbedding",
        "LabelUnit",
        "SoftmaxGate",
        "WeightedSum",
    ),
    "low_rank": (
        "LowRankExperts",
        "LowRankMLP",
        "low_rank_factors",
        "with_low_rank",
    ),
    "mixtures": ("gate_columns", "gate_values"),
    "multidomain": (
        "mmoe_over_domains",
        "pooled_domains",
        "separate_domains",
        "shared_bottom_over_domains",
    ),
    "multitask": (
        "mmoe",
        "omoe",
        "shared_bottom",
        "single_task",
    ),
    "pepnet": ("PriorGate", "epnet", "pepnet", "ppnet"),
    "personal_bridge": (
        "PersonalBridge",
        "histories",
        "ptupcdr",
        "rating_examples",
    ),
    "ple": ("cgc", "ple"),
    "position_bias": ("mmoe_with_position_bias", "position_bias"),
    "ranking": ("dcn", "deepfm", "din", "wide_and_deep"),
    "reading": ("interest_weights",),
    "retrieval": (
        "item_shares",
        "item_vectors",
        "two_towers",
        "user_vectors",
    ),
    "retrieval_layers": ("PairwiseMatch", "SoftmaxMatch", "ValueMatch"),
    "sequence": ("gru4rec", "sasrec"),
    "sequence_layers": (
        "CausalSelfAttention",
        "Followers",
        "LastPlace",
        "NextItem",
        "PlaceVectors",
    ),
    "set_encoding": (
        "MaskedMean",
        "PairFeatures",
        "SelfAttention",
        "Tokens",
    ),
    "star": ("PartitionedNorm", "star"),
    "text_encoders": (
        "TEXT_ENCODERS",
        "WordConvolution",
        "separable_convolution",
        "standard_convolution",
    ),
}
_NAMES = {name for names in _OFFERED.values() for name in names}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # All of them: a saved model finds its layers whichever name came first.
    for module, names in _OFFERED.items():
        home = importlib.import_module(f"{__name__}.{module}")
        globals().update({each: getattr(home, each) for each in names})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})


class _Package(ModuleType):
    """Where a model bears the name of its module, the model wins."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _NAMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

# Who has Keras may be about to load a saved model: it must find its layers.
if "keras" in sys.modules:
    __getattr__("MLP")
