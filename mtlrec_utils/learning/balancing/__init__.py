"""Balancing methods: how tasks share one update."""

from mtlrec_utils.learning.balancing.alignment import DBMTL, AlignedMTL
from mtlrec_utils.learning.balancing.equilibrium import (
    IMTLG,
    FairGrad,
    NashMTL,
)
from mtlrec_utils.learning.balancing.method import (
    Balancing,
    GradientBalancing,
    GramBalancing,
    LossBalancing,
    direction,
    gram_matrix,
)
from mtlrec_utils.learning.balancing.min_norm import MGDA, CAGrad
from mtlrec_utils.learning.balancing.projections import (
    GradDrop,
    GradVac,
    PCGrad,
    UPGrad,
)
from mtlrec_utils.learning.balancing.simple import Mean, Sum

__all__ = [
    "CAGrad",
    "DBMTL",
    "MGDA",
    "IMTLG",
    "AlignedMTL",
    "Balancing",
    "FairGrad",
    "GradDrop",
    "GradVac",
    "GradientBalancing",
    "GramBalancing",
    "LossBalancing",
    "Mean",
    "NashMTL",
    "PCGrad",
    "Sum",
    "UPGrad",
    "direction",
    "gram_matrix",
]
