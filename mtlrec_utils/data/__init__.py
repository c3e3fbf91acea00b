"""Data: the simulated world, schemas, encoded rows and their splits."""

from mtlrec_utils.data.examples import (
    Examples,
    concatenate,
    split_at_random,
    split_by_time,
)
from mtlrec_utils.data.schema import (
    PADDING,
    UNKNOWN,
    Categorical,
    IdColumns,
    Number,
    Schema,
    SchemaError,
    Sequence,
    Task,
    Text,
    Vocabulary,
)
from mtlrec_utils.data.synthetic_regression import (
    label_correlation,
    synthetic_regression,
)
from mtlrec_utils.data.world import World

__all__ = [
    "PADDING",
    "UNKNOWN",
    "Categorical",
    "Examples",
    "IdColumns",
    "Number",
    "Schema",
    "SchemaError",
    "Sequence",
    "Task",
    "Text",
    "Vocabulary",
    "World",
    "concatenate",
    "label_correlation",
    "split_at_random",
    "split_by_time",
    "synthetic_regression",
]
