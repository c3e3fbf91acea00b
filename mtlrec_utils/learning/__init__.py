"""Learning: train one model, repeat it over seeds, predict, measure."""

from mtlrec_utils.learning.history import History, TrainingDiverged
from mtlrec_utils.learning.optimizers import RowSparseAdam
from mtlrec_utils.learning.prediction import evaluate, measure, predict
from mtlrec_utils.learning.training import fit

__all__ = [
    "History",
    "RowSparseAdam",
    "TrainingDiverged",
    "evaluate",
    "fit",
    "measure",
    "predict",
]
