"""Balancing methods: how tasks share one update."""

from mtlrec_utils.learning.balancing.alignment import DBMTL, AlignedMTL
from mtlrec_utils.learning.balancing.equilibrium import (
    IMTLG,
    FairGrad,
    NashMTL,
)
from mtlrec_utils.learning.balancing.learned_weights import (
    FAMO,
    IMTLL,
    UncertaintyWeights,
)
from mtlrec_utils.learning.balancing.loss_weights import (
    DynamicWeightAverage,
    GeometricMean,
    RandomWeights,
    StaticWeights,
)
from mtlrec_utils.learning.balancing.metabalance import MetaBalance
from mtlrec_utils.learning.balancing.method import (
    Balancing,
    GradientBalancing,
    GramBalancing,
    LossBalancing,
    direction,
    gram_matrix,
)
from mtlrec_utils.learning.balancing.min_norm import MGDA, CAGrad
from mtlrec_utils.learning.balancing.norms import GradNorm, NormBalancing
from mtlrec_utils.learning.balancing.projections import (
    GradDrop,
    GradVac,
    PCGrad,
    UPGrad,
)
from mtlrec_utils.learning.balancing.simple import Mean, Sum

__all__ = [
    "AlignedMTL",
    "Balancing",
    "CAGrad",
    "DBMTL",
    "DynamicWeightAverage",
    "FAMO",
    "FairGrad",
    "GeometricMean",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientBalancing",
    "GramBalancing",
    "IMTLG",
    "IMTLL",
    "LossBalancing",
    "MGDA",
    "Mean",
    "MetaBalance",
    "NashMTL",
    "NormBalancing",
    "PCGrad",
    "RandomWeights",
    "StaticWeights",
    "Sum",
    "UPGrad",
    "UncertaintyWeights",
    "direction",
    "gram_matrix",
]
