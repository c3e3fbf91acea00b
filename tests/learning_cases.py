"""Small rows and models that the tests of learning share."""

import keras
import numpy as np

from mtlrec_utils.data import Examples
from mtlrec_utils.models import FusedEmbedding

KINDS = {"click": "binary", "minutes": "regression", "mood": "multiclass"}
SIZES = (6, 4)


def column(position):
    return {
        "start": position,
        "stop": position + 1,
        "field": position,
        "pooled": False,
    }


def examples(n=60, seed=0, tasks=tuple(KINDS), users=False, hidden=0.3):
    """Rows whose labels depend on ids and numbers; some labels hidden."""
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(size, size=n) for size in SIZES], axis=1)
    numbers = rng.normal(size=(n, 2))
    taste = ids[:, 0] / 3 - 1 + numbers[:, 0]
    labels = {
        "click": (taste + rng.normal(size=n) > 0).astype("float32"),
        "minutes": (taste + 0.3 * rng.normal(size=n)).astype("float32"),
        "mood": np.digitize(taste, [-0.5, 0.5]).astype("int32"),
    }
    masks = {
        task: (rng.random(n) >= hidden).astype("float32") for task in labels
    }
    masks["click"][:] = 1
    labels = {
        task: np.where(masks[task] > 0, y, 0) for task, y in labels.items()
    }
    return Examples(
        ids=ids.astype("int32"),
        numbers=numbers.astype("float32"),
        labels={task: labels[task].astype(_type(task)) for task in tasks},
        masks={task: masks[task] for task in tasks},
        users=rng.integers(5, size=n) if users else None,
        rows=np.arange(n),
    )


def _type(task):
    return "int32" if KINDS[task] == "multiclass" else "float32"


def small_model(seed=0, tasks=tuple(KINDS), dropout=0.0, width=4):
    """One shared layer, and a layer of logits per task."""
    ids = keras.Input((2,), dtype="int32", name="ids")
    numbers = keras.Input((2,), name="numbers")
    vectors = FusedEmbedding(
        SIZES, [column(0), column(1)], 3, seed=seed, name="embedding"
    )(ids)
    hidden = keras.layers.Concatenate(name="features")([vectors, numbers])
    hidden = keras.layers.Dense(
        width,
        activation="tanh",
        name="bottom",
        kernel_initializer=keras.initializers.GlorotUniform(seed),
    )(hidden)
    if dropout:
        hidden = keras.layers.Dropout(dropout, name="dropout")(hidden)
    outputs = {}
    for k, task in enumerate(tasks):
        binary = KINDS[task] == "binary"
        multiclass = KINDS[task] == "multiclass"
        logit = keras.layers.Dense(
            3 if multiclass else 1,
            name=f"logit_{task}",
            kernel_initializer=keras.initializers.GlorotUniform(seed + k + 1),
        )(hidden)
        activation = (
            "sigmoid" if binary else "softmax" if multiclass else "linear"
        )
        outputs[task] = keras.layers.Activation(activation, name=task)(logit)
    return keras.Model({"ids": ids, "numbers": numbers}, outputs)


def weights(model):
    return [w.numpy() for w in model.weights]


def same_weights(a, b, atol=None):
    """Assert equal weights: bit by bit, or within atol."""
    for x, y in zip(a, b, strict=True):
        if atol is None:
            np.testing.assert_array_equal(x, y)
        else:
            np.testing.assert_allclose(x, y, atol=atol)
