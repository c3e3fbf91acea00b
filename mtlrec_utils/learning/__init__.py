"""Learning: train one model, repeat it over seeds, predict, measure."""

from mtlrec_utils.learning.checkpoints import CheckpointError
from mtlrec_utils.learning.conflicts import gradient_conflicts
from mtlrec_utils.learning.divergence import TrainingDiverged
from mtlrec_utils.learning.history import History
from mtlrec_utils.learning.optimizers import RowSparseAdam
from mtlrec_utils.learning.prediction import evaluate, measure, predict
from mtlrec_utils.learning.replication import (
    Replication,
    ReplicationError,
    replicate,
)
from mtlrec_utils.learning.search import Search, tune
from mtlrec_utils.learning.training import fit

__all__ = [
    "CheckpointError",
    "History",
    "Replication",
    "ReplicationError",
    "RowSparseAdam",
    "Search",
    "TrainingDiverged",
    "evaluate",
    "fit",
    "gradient_conflicts",
    "measure",
    "predict",
    "replicate",
    "tune",
]
