"""Make a trained model small and fast: distil it, or export it to LiteRT."""

from mtlrec_utils.learning.compress.distillation import (
    SoftTarget,
    distil,
    soft_examples,
    with_soft_targets,
)
from mtlrec_utils.learning.compress.latency import latency, size_on_disk
from mtlrec_utils.learning.compress.litert import (
    PRECISIONS,
    LiteRTModel,
    export_litert,
)

__all__ = [
    "PRECISIONS",
    "LiteRTModel",
    "SoftTarget",
    "distil",
    "export_litert",
    "latency",
    "size_on_disk",
    "soft_examples",
    "with_soft_targets",
]
