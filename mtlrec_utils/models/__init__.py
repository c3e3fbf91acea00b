"""Models of the course, written with ``keras.ops``: any Keras backend."""

from mtlrec_utils.models.capacity import (
    count_parameters,
    equal_capacity_units,
)
from mtlrec_utils.models.features_and_towers import (
    joined_features,
    task_outputs,
)
from mtlrec_utils.models.layers import (
    MLP,
    Experts,
    FusedEmbedding,
    SoftmaxGate,
    WeightedSum,
)
from mtlrec_utils.models.multitask import (
    gate_values,
    mmoe,
    omoe,
    shared_bottom,
    single_task,
)

__all__ = [
    "MLP",
    "Experts",
    "FusedEmbedding",
    "SoftmaxGate",
    "WeightedSum",
    "count_parameters",
    "equal_capacity_units",
    "gate_values",
    "joined_features",
    "mmoe",
    "omoe",
    "shared_bottom",
    "single_task",
    "task_outputs",
]
