"""Data: the simulated world, schemas, encoded rows and their splits."""

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.features import Categorical, Number, Sequence, Text
from mtlrec_utils.data.schema import Schema
from mtlrec_utils.data.splits import split_at_random, split_by_time
from mtlrec_utils.data.synthetic_regression import (
    label_correlation,
    synthetic_regression,
)
from mtlrec_utils.data.tasks import Task
from mtlrec_utils.data.world import World

__all__ = [
    "Categorical",
    "Examples",
    "Number",
    "Schema",
    "Sequence",
    "Task",
    "Text",
    "World",
    "label_correlation",
    "split_at_random",
    "split_by_time",
    "synthetic_regression",
]
