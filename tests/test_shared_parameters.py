"""Which weights tasks share, and their gradients before any sum."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradient_oracles import dense, task_gradients
from learning_cases import examples, small_model
from models_under_test import random_inputs, small_schema

from mtlrec_utils import models
from mtlrec_utils.data.schema import Schema, Task, Text
from mtlrec_utils.learning.losses import TaskLosses
from mtlrec_utils.learning.shared_parameters import SharedParameters
from mtlrec_utils.learning.task_gradients import (
    at_the_cut,
    before_the_cut,
    block,
    forked_losses,
    looked_up,
    weighted_sum,
)
from mtlrec_utils.models.classifier import Pair, classifier

# click and click_long: no one may go by the beginnings of names.
TASKS = ("click", "click_long", "minutes")


def of(model):
    return SharedParameters(TaskLosses(model).graph)


def paths(variables):
    return [v.path for v in variables]


def tower(task):
    return [
        f"tower_{task}/dense_0/kernel",
        f"tower_{task}/dense_0/bias",
        f"logit_{task}/kernel",
        f"logit_{task}/bias",
    ]


def mlp(name, depth=2):
    return [
        f"{name}/dense_{i}/{part}"
        for i in range(depth)
        for part in ("kernel", "bias")
    ]


def expert_layer(name):
    return [f"{name}/kernel_0", f"{name}/bias_0"]


def shared_bottom():
    return models.shared_bottom(small_schema(), seed=1)


def mmoe():
    return models.mmoe(small_schema(), seed=1)


def omoe():
    return models.omoe(small_schema(), seed=1)


def cgc():
    return models.cgc(small_schema(), seed=1)


def ple():
    return models.ple(small_schema(), n_levels=2, seed=1)


def cross_stitch():
    return models.cross_stitch(small_schema(), seed=1)


TABLE = ["embedding/table"]
LEVEL_1 = [
    path
    for owner in (*TASKS, "shared")
    for path in expert_layer(f"level_1_experts_{owner}")
]
# model -> shared weights; own weights of a task beside its tower; layers
# whose outputs cross the cut; kernels nearest to it.
EXPECTED = {
    shared_bottom: (
        [*TABLE, *mlp("bottom")],
        lambda task: [],
        ["bottom"],
        ["bottom/dense_1/kernel"],
    ),
    mmoe: (
        [*TABLE, *expert_layer("experts")],
        lambda task: [f"gate_{task}/kernel"],
        ["features", "experts"],
        ["experts/kernel_0"],
    ),
    omoe: (
        [*TABLE, *expert_layer("experts"), "gate_shared/kernel"],
        lambda task: [],
        ["mixture_shared"],
        ["experts/kernel_0", "gate_shared/kernel"],
    ),
    cgc: (
        [*TABLE, *expert_layer("experts_shared")],
        lambda task: [*expert_layer(f"experts_{task}"), f"gate_{task}/kernel"],
        ["features", "experts_shared"],
        ["experts_shared/kernel_0"],
    ),
    ple: (
        [
            *TABLE,
            *LEVEL_1,
            "level_1_gate_shared/kernel",
            *expert_layer("experts_shared"),
        ],
        lambda task: [
            *expert_layer(f"experts_{task}"),
            f"gate_{task}/kernel",
            f"level_1_gate_{task}/kernel",
        ],
        [
            "features",
            *[f"level_1_experts_{owner}" for owner in (*TASKS, "shared")],
            "experts_shared",
        ],
        ["experts_shared/kernel_0"],
    ),
    cross_stitch: (
        [
            *TABLE,
            *[
                path
                for depth in (1, 2)
                for task in TASKS
                for path in mlp(f"bottom_{task}_{depth}", 1)
            ],
            "cross_stitch_1/mixing",
            "cross_stitch_2/mixing",
        ],
        lambda task: [],
        ["cross_stitch_2"] * 3,
        ["cross_stitch_2/mixing"],
    ),
}


@pytest.mark.parametrize("build", EXPECTED, ids=lambda b: b.__name__)
def test_shared_and_own_weights(build):
    shared, own, forks, kernels = EXPECTED[build]
    model = build()
    found = of(model)
    assert sorted(paths(found.variables)) == sorted(shared)
    assert found.tasks == TASKS
    for task in TASKS:
        expected = [*tower(task), *own(task)]
        assert sorted(paths(found.own[task])) == sorted(expected)
    assert sorted(found.fork_names) == sorted(forks)
    assert sorted(paths(found.last_kernels)) == sorted(kernels)
    every = [v for own in found.own.values() for v in own] + found.variables
    assert sorted(paths(every)) == sorted(paths(model.trainable_variables))


def test_a_task_of_its_own_bottom_shares_nothing():
    inputs = keras.Input((2,), name="numbers")
    outputs = {
        task: keras.layers.Activation("sigmoid", name=task)(
            keras.layers.Dense(1, name=f"logit_{task}")(inputs)
        )
        for task in ("click", "click_long")
    }
    found = of(keras.Model({"numbers": inputs}, outputs))
    assert found.variables == [] == found.layers
    assert found.fork_names == ()
    assert paths(found.own["click"]) == [
        "logit_click/kernel",
        "logit_click/bias",
    ]


def test_frozen_layers_are_not_among_them():
    model = shared_bottom()
    model.get_layer("embedding").trainable = False
    assert sorted(paths(of(model).variables)) == sorted(mlp("bottom"))
    model.get_layer("bottom").trainable = False
    assert of(model).variables == []


def pair_schema():
    texts = [f"w{i} w{i + 1}" for i in range(8)]
    import pandas as pd

    frame = pd.DataFrame(
        {
            "words": texts,
            "other": texts[::-1],
            "topic": [0.0, 1.0] * 4,
            "alike": [1.0, 0.0] * 4,
        }
    )
    features = [
        Text("words", buckets=7, length=2),
        Text("other", buckets=7, length=2),
    ]
    tasks = [Task("topic"), Task("alike")]
    return Schema(features=features, tasks=tasks).fit(frame)


def encoder_used_twice():
    """alike reads both texts, topic the first: an encoder for both uses."""
    return classifier(
        pair_schema(),
        {"topic": "words", "alike": Pair("words", "other")},
        seed=1,
    )


def head_used_twice():
    """Two tasks with own bottoms, and one layer that both end in."""
    numbers = keras.Input((2,), name="numbers")
    head = keras.layers.Dense(1, name="head")
    outputs = {}
    for k, task in enumerate(("click", "minutes")):
        own = keras.layers.Dense(
            3,
            activation="tanh",
            name=f"own_{task}",
            kernel_initializer=keras.initializers.GlorotUniform(k),
        )(numbers)
        activation = "sigmoid" if task == "click" else "linear"
        outputs[task] = keras.layers.Activation(activation, name=task)(
            head(own)
        )
    return keras.Model({"numbers": numbers}, outputs)


def some_tasks_share():
    """Three tasks; the first two share one layer more."""
    numbers = keras.Input((2,), name="numbers")
    below = keras.layers.Dense(4, activation="tanh", name="below")(numbers)
    above = keras.layers.Dense(3, activation="tanh", name="above")(below)
    outputs = {
        task: keras.layers.Activation(
            "linear" if task == "minutes" else "sigmoid", name=task
        )(keras.layers.Dense(1, name=f"logit_{task}")(x))
        for task, x in (
            ("click", above),
            ("click_long", above),
            ("minutes", below),
        )
    }
    return keras.Model({"numbers": numbers}, outputs)


def task_on_a_task():
    """One task's logit is another's input, as in a funnel."""
    numbers = keras.Input((2,), name="numbers")
    hidden = keras.layers.Dense(4, activation="tanh", name="bottom")(numbers)
    first = keras.layers.Dense(1, name="logit_click")(hidden)
    both = keras.layers.Concatenate(name="both")([first, hidden])
    second = keras.layers.Dense(1, name="logit_minutes")(both)
    outputs = {
        "click": keras.layers.Activation("sigmoid", name="click")(first),
        "minutes": keras.layers.Activation("linear", name="minutes")(second),
    }
    return keras.Model({"numbers": numbers}, outputs)


def random_batch(model, n_rows=24, seed=0):
    rng = np.random.default_rng(seed)
    tasks = TaskLosses(model).tasks
    inputs = {}
    for x in model.inputs:
        shape = (n_rows, x.shape[1])
        if x.name == "ids":
            inputs[x.name] = rng.integers(0, 4, shape).astype("int32")
        else:
            inputs[x.name] = rng.normal(size=shape).astype("float32")
    labels = {t: rng.integers(0, 2, n_rows).astype("float32") for t in tasks}
    masks = {t: (rng.random(n_rows) < 0.7).astype("float32") for t in tasks}
    return tf.nest.map_structure(
        tf.constant, {"inputs": inputs, "labels": labels, "masks": masks}
    )


MODELS = [
    *EXPECTED,
    encoder_used_twice,
    head_used_twice,
    some_tasks_share,
    task_on_a_task,
]


@pytest.fixture(scope="module", params=MODELS, ids=lambda b: b.__name__)
def case(request):
    """A model, its cut, and the oracle's gradients of one batch."""
    model = request.param()
    for v in model.trainable_variables:  # no zero biases, no symmetry
        noise = np.random.default_rng(len(v.path)).normal(0, 0.2, v.shape)
        v.assign_add(noise.astype("float32"))
    batch = random_batch(model)
    return model, batch, task_gradients(model, batch)


def backward(model, batch):
    losses = TaskLosses(model)
    shared = SharedParameters(losses.graph)
    known = {id(v) for v in shared.variables}
    others = [v for v in model.trainable_variables if id(v) not in known]
    with tf.GradientTape(
        persistent=True, watch_accessed_variables=False
    ) as tape:
        tape.watch([v.value for v in model.trainable_variables])
        found, _, cut = forked_losses(losses, shared, batch, training=False)
    return (
        shared,
        others,
        tape,
        cut,
        *at_the_cut(
            tape, list(found.values()), cut, [v.value for v in others]
        ),
    )


def test_gradients_equal_those_of_a_plain_tape(case):
    """Shared weights: each task's gradient. Others: the tasks' sum."""
    model, batch, expected = case
    shared, others, tape, cut, at_cut, of_others = backward(model, batch)
    assert shared.variables
    values = [v.value for v in shared.variables]
    for task, gradients in zip(expected, at_cut, strict=True):
        found = before_the_cut(tape, cut, gradients, values)
        for v, g in zip(shared.variables, found, strict=True):
            np.testing.assert_allclose(
                dense(g, v), expected[task][v.path], rtol=1e-4, atol=1e-7
            )
    for v, g in zip(others, of_others, strict=True):
        (task,) = [t for t in expected if v in shared_own(shared, t)]
        np.testing.assert_allclose(
            dense(g, v), expected[task][v.path], rtol=1e-4, atol=1e-7
        )


def shared_own(shared, task):
    own = {id(v) for v in shared.own[task]}

    class _Same:
        def __contains__(self, v):
            return id(v) in own

    return _Same()


def test_tables_stay_in_rows_and_equal_the_filled_table(case):
    """Weighted at the cut, or merged by rows: the same dense gradient."""
    model, batch, expected = case
    shared, _, tape, cut, at_cut, _ = backward(model, batch)
    values = [v.value for v in shared.variables]
    tables = looked_up(shared, values)
    is_table = [any(v is t for t in tables) for v in values]
    names = paths(shared.variables)
    assert [n.endswith("table") for n in names] == is_table
    weights = np.linspace(0.3, 2.0, len(expected)).astype("float32")
    sums = before_the_cut(tape, cut, weighted_sum(at_cut, weights), tables)
    for v, g in zip(tables, sums, strict=True):
        assert isinstance(g, tf.IndexedSlices)
        (path,) = [p for p, x in zip(names, values, strict=True) if x is v]
        wanted = sum(
            w * e[path]
            for w, e in zip(weights, expected.values(), strict=True)
        )
        np.testing.assert_allclose(dense(g, v), wanted, rtol=1e-4, atol=1e-6)
        rows = block([before_the_cut(tape, cut, g, [v])[0] for g in at_cut])
        assert len(set(rows.rows.numpy())) == len(rows.rows.numpy())
        for t, task in enumerate(expected):
            found = dense(rows.gradient(rows.jacobian[t]), v)
            np.testing.assert_allclose(
                found, expected[task][path], rtol=1e-4, atol=1e-7
            )


def test_rows_that_only_one_task_looks_up_are_zero_for_the_other():
    one = tf.IndexedSlices(tf.constant([[1.0], [2.0], [4.0]]), [5, 2, 5], [9])
    two = tf.IndexedSlices(tf.constant([[8.0]]), [7], [9])
    found = block([one, None, two])
    assert found.rows.numpy().tolist() == [5, 2, 7]
    assert found.jacobian.numpy().tolist() == [[5, 2, 0], [0] * 3, [0, 0, 8]]
    with pytest.raises(ValueError, match="reads as a whole"):
        block([one, tf.ones([9, 1])])
    assert block([None, None]) is None


def test_losses_and_penalties_are_those_of_the_model():
    model = models.l2_constrained(small_schema(), strength=0.5, seed=1)
    losses = TaskLosses(model)
    batch = random_batch(model)
    arguments = batch["inputs"], batch["labels"], batch["masks"]
    plain = losses.per_row(*arguments, training=False)
    expected = [float(x) for x in losses.graph.losses]
    shared = SharedParameters(losses.graph)
    for _ in range(2):  # a second pass does not add its penalties to these
        found, penalties, _ = forked_losses(
            losses, shared, batch, training=False
        )
        assert [float(x) for x in penalties] == expected != []
    for task, rows in plain.items():
        mask = batch["masks"][task]
        mean = float(tf.reduce_sum(rows * mask) / tf.reduce_sum(mask))
        assert float(found[task]) == pytest.approx(mean, rel=1e-6)
    again = losses.per_row(*arguments, training=False)
    for task, rows in plain.items():
        np.testing.assert_array_equal(rows, again[task])


def test_nothing_of_the_model_changes():
    """The cut leaves no node, layer or weight behind."""
    model, rows = small_model(), examples()
    before = model.to_json()
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    losses = TaskLosses(model)
    batch = {
        "inputs": {k: tf.constant(v) for k, v in rows.inputs.items()},
        "labels": rows.labels,
        "masks": rows.masks,
    }
    forked_losses(losses, SharedParameters(losses.graph), batch, False)
    assert model.to_json() == before
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes


def test_random_inputs_of_the_schema_pass():
    """Pooled and guarded ids too."""
    schema = small_schema()
    model = models.shared_bottom(schema, seed=1)
    inputs = random_inputs(schema)
    out, cut = of(model).forward(lambda graph: graph(inputs))
    for task, end in out.items():
        expected = TaskLosses(model).graph(inputs)[task]
        np.testing.assert_allclose(end, expected, atol=1e-6)
    assert [x.shape for x in cut.forks] == [(24, 32)]
