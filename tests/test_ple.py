"""CGC and PLE: limit cases, a forward pass by hand, who reaches whom."""

import keras
import numpy as np
import pytest
from models_under_test import (
    TASKS,
    assert_same_outputs,
    gradients,
    losses_of,
    predict,
    random_inputs,
    random_labels,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils import models
from mtlrec_utils.data.schema import Task

SCHEMA = small_schema(TASKS[:2])
INPUTS = random_inputs(SCHEMA)
LABELS = random_labels(SCHEMA)
SMALL = {"embedding_dimension": 3, "expert_units": (5,), "tower_units": (4,)}
A, B = "click", "click_long"


def built(pattern=models.ple, schema=SCHEMA, **options):
    model = pattern(schema, **(SMALL | {"seed": 1} | options))
    shift_every_weight(model)
    return model


def loss_of(*tasks):
    """Sum of the losses of some tasks."""
    losses = losses_of(SCHEMA)
    return lambda outputs: sum(losses[t](LABELS[t], outputs[t]) for t in tasks)


def reached(found):
    """Names of the layers whose weights a gradient reaches."""
    return {
        path.split("/")[0]
        for path, gradient in found.items()
        if gradient is not None and np.abs(gradient).max() > 0
    }


def value_of(model, layer, inputs=INPUTS):
    output = model.get_layer(layer).output
    return np.asarray(keras.Model(model.inputs, output)(inputs))


def copy_layers(source, target, name_in_source=lambda name: name):
    for layer in target.layers:
        if layer.weights:
            twin = source.get_layer(name_in_source(layer.name))
            layer.set_weights(twin.get_weights())


# -- structure: bugs 15, 20, 21, 22 and 35 --------------------------------


def test_gates_cover_own_and_shared_and_the_shared_gate_everybody():
    schema = small_schema()
    model = models.ple(
        schema, n_levels=3, n_task_experts=2, n_shared_experts=3, **SMALL
    )
    names = {layer.name for layer in model.layers}
    for level in ("level_1_", "level_2_", ""):
        for task in schema.task_names:
            gate = model.get_layer(f"{level}gate_{task}")
            assert gate.output.shape == (None, 2 + 3)
            for owner, number in ((task, 2), ("shared", 3)):
                experts = model.get_layer(f"{level}experts_{owner}")
                # Outputs stay whole: no expert is summed to a number.
                assert experts.output.shape == (None, number, 5)
        if level:
            shared = model.get_layer(f"{level}gate_shared")
            assert shared.output.shape == (None, 3 * 2 + 3)
    assert not names & {"gate_shared", "mixture_shared"}


def test_each_level_reads_the_level_below_on_its_own_path():
    model = models.ple(SCHEMA, n_levels=3, **SMALL)

    def read_by(layer):
        return model.get_layer(layer).input

    features = model.get_layer("features").output
    below = dict.fromkeys((A, B, "shared"), features)
    for level in ("level_1_", "level_2_", ""):
        for path in (A, B, "shared"):
            assert read_by(f"{level}experts_{path}") is below[path]
            if level or path != "shared":
                assert read_by(f"{level}gate_{path}") is below[path]
        if level:
            below = {
                path: model.get_layer(f"{level}mixture_{path}").output
                for path in below
            }
    for task in (A, B):
        mixture = model.get_layer(f"mixture_{task}").output
        assert read_by(f"tower_{task}") is mixture


def test_every_gate_and_layer_of_experts_has_weights_of_its_own():
    model = models.ple(SCHEMA, n_levels=3, gate_bias=True, **SMALL)
    own = (models.SoftmaxGate, models.Experts)
    layers = [x for x in model.layers if isinstance(x, own)]
    assert len(layers) == 3 * 3 + 8
    weights = [w for layer in layers for w in layer.weights]
    assert len({id(w) for w in weights}) == 2 * len(layers)


def test_experts_start_apart_and_as_wide_as_a_dense_layer():
    model = models.ple(
        small_schema(ids=False),
        n_task_experts=4,
        n_shared_experts=4,
        expert_units=(256, 512),
        tower_units=(),
        seed=1,
    )
    kernels, deviations = [], []
    for layer in model.layers:
        if isinstance(layer, models.Experts):
            kernel = np.asarray(layer.kernels[1])
            assert kernel.shape == (4, 256, 512)
            deviations += list(kernel.std(axis=(1, 2)))
            kernels += list(kernel[:, 0, :8])
    assert len(kernels) == 2 * 4 * 4
    for i, kernel in enumerate(kernels):
        for other in kernels[:i]:
            assert np.abs(kernel - other).max() > 1e-3
    glorot = np.sqrt(2 / (256 + 512))
    np.testing.assert_allclose(deviations, glorot, rtol=0.01)


# -- property 13: no own experts, no shared experts -----------------------


def test_without_own_experts_it_is_an_mmoe():
    ours = built(n_levels=1, n_task_experts=0, n_shared_experts=3)
    theirs = models.mmoe(SCHEMA, n_experts=3, **SMALL)

    def twin(name):
        return "experts_shared" if name == "experts" else name

    copy_layers(ours, theirs, twin)
    assert_same_outputs(predict(ours, INPUTS), predict(theirs, INPUTS))
    found = gradients(ours, INPUTS, loss_of(A, B))
    for path, expected in gradients(theirs, INPUTS, loss_of(A, B)).items():
        layer, _, weight = path.partition("/")
        np.testing.assert_allclose(
            found[f"{twin(layer)}/{weight}"], expected, atol=1e-5
        )
    assert len(found) == len(theirs.trainable_weights)


@pytest.mark.parametrize("n_levels", [1, 2])
def test_without_shared_experts_tasks_are_nets_of_their_own(n_levels):
    sizes = {"n_levels": n_levels, "n_shared_experts": 0}
    both = built(**sizes)
    for task, other in ((A, B), (B, A)):
        alone = models.ple(SCHEMA.with_tasks([task]), **sizes, **SMALL)
        copy_layers(both, alone)
        ours = gradients(both, INPUTS, loss_of(task))
        theirs = gradients(alone, INPUTS, loss_of(task))
        assert_same_outputs(
            predict(alone, INPUTS), {task: predict(both, INPUTS)[task]}
        )
        for path, expected in theirs.items():
            np.testing.assert_allclose(ours[path], expected, atol=1e-5)
        # click_long begins like click: match whole names.
        foreign = {
            path: gradient
            for path, gradient in ours.items()
            if path not in theirs
        }
        assert len(foreign) == len(theirs) - 1  # all but the embedding
        for path, gradient in foreign.items():
            assert path.split("/")[0].endswith(f"_{other}")
            assert gradient is None or np.abs(gradient).max() == 0, path


# -- property 14: progressive sharing -------------------------------------


def test_cgc_is_ple_of_one_level():
    cgc = models.cgc(SCHEMA, gate_bias=True, dropout=0.1, seed=3, **SMALL)
    ple = models.ple(
        SCHEMA, n_levels=1, gate_bias=True, dropout=0.1, seed=3, **SMALL
    )
    assert cgc.name == "cgc"
    assert [w.path for w in cgc.weights] == [w.path for w in ple.weights]
    assert_same_outputs(predict(cgc, INPUTS), predict(ple, INPUTS), 0)


def test_on_one_level_no_task_reaches_anothers_experts():
    found = gradients(built(models.cgc), INPUTS, loss_of(A))
    assert reached(found) == {
        "embedding",
        f"experts_{A}",
        "experts_shared",
        f"gate_{A}",
        f"tower_{A}",
        f"logit_{A}",
    }


def test_on_two_levels_a_task_reaches_anothers_experts_of_the_first():
    model = built(n_levels=2)
    met = reached(gradients(model, INPUTS, loss_of(A)))
    assert {f"level_1_experts_{B}", "level_1_gate_shared"} <= met
    assert not met & {
        f"experts_{B}",
        f"gate_{B}",
        f"tower_{B}",
        f"logit_{B}",
        f"level_1_gate_{B}",  # it feeds only B's own path
    }


def test_it_reaches_them_by_the_shared_path_alone():
    model = built(n_levels=2, gate_bias=True)
    gate = model.get_layer(f"gate_{A}")
    assert models.gate_columns(model)[A] == (A, A, "shared", "shared")
    gate.bias.assign([0, 0, -1e4, -1e4])
    met = reached(gradients(model, INPUTS, loss_of(A)))
    assert f"level_1_experts_{A}" in met
    assert not met & {f"level_1_experts_{B}", "level_1_gate_shared"}


# -- by hand --------------------------------------------------------------


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_two_levels_by_hand():
    schema = small_schema([Task("a"), Task("b", "multiclass", classes=3)])
    model = built(schema=schema, n_task_experts=1, n_shared_experts=2)
    inputs = random_inputs(schema)

    def weights(layer):
        return [
            np.asarray(w, "float64") for w in model.get_layer(layer).weights
        ]

    def experts(layer, x):
        (kernel, bias), outputs = weights(layer), []
        for k, c in zip(kernel, bias, strict=True):
            outputs.append(np.maximum(x @ k + c, 0))
        return outputs

    def mixture(gate, x, outputs):
        (kernel,) = weights(gate)
        shares = softmax(x @ kernel)
        assert shares.shape[1] == len(outputs)
        return sum(shares[:, [i]] * output for i, output in enumerate(outputs))

    x = value_of(model, "features", inputs).astype("float64")
    own = {p: experts(f"level_1_experts_{p}", x) for p in "ab"}
    shared = experts("level_1_experts_shared", x)
    mid = {p: mixture(f"level_1_gate_{p}", x, own[p] + shared) for p in "ab"}
    mid_shared = mixture(
        "level_1_gate_shared", x, own["a"] + own["b"] + shared
    )
    shared = experts("experts_shared", mid_shared)
    for p in "ab":
        outputs = experts(f"experts_{p}", mid[p]) + shared
        top = mixture(f"gate_{p}", mid[p], outputs)
        np.testing.assert_allclose(
            value_of(model, f"mixture_{p}", inputs), top, atol=1e-4
        )


def test_number_of_parameters():
    m, s, h, tower, t = 2, 3, 5, 4, 2
    d = 4 * 3 + 2
    ends = sum(SCHEMA.field_sizes) * 3 + t * (h * tower + 2 * tower + 1)
    sizes = {"n_task_experts": m, "n_shared_experts": s, **SMALL}

    def level(d, shared_gate):
        gates = t * d * (m + s) + shared_gate * d * (t * m + s)
        return (t * m + s) * (d * h + h) + gates

    cgc = models.cgc(SCHEMA, **sizes)
    assert models.count_parameters(cgc) == level(d, False) + ends
    ple = models.ple(SCHEMA, n_levels=2, **sizes)
    assert models.count_parameters(ple) == (
        level(d, True) + level(h, False) + ends
    )


# -- reading the gates ----------------------------------------------------


def test_gate_columns_name_the_owners_of_the_experts():
    model = models.ple(SCHEMA, n_task_experts=1, n_shared_experts=2, **SMALL)
    last = {t: (t, "shared", "shared") for t in (A, B)}
    assert models.gate_columns(model) == last
    assert models.gate_columns(model, 2) == last
    assert models.gate_columns(model, 1) == {
        **last,
        "shared": (A, B, "shared", "shared"),
    }
    only_own = models.cgc(SCHEMA, n_shared_experts=0, **SMALL)
    assert models.gate_columns(only_own) == {t: (t, t) for t in (A, B)}
    only_shared = models.cgc(SCHEMA, n_task_experts=0, **SMALL)
    assert set(models.gate_columns(only_shared)[B]) == {"shared"}


@pytest.mark.parametrize("level", [1, 2])
def test_a_gate_that_picks_a_column_yields_its_owners_expert(level):
    model = built(gate_bias=True, n_task_experts=1, n_shared_experts=2)
    prefix = "level_1_" if level == 1 else ""
    for path, owners in models.gate_columns(model, level).items():
        gate = model.get_layer(f"{prefix}gate_{path}")
        n_seen = dict.fromkeys(owners, 0)
        for column, owner in enumerate(owners):
            gate.bias.assign(1e3 * np.eye(len(owners))[column])
            gate_value = models.gate_values(model, INPUTS, level=level)[path]
            np.testing.assert_allclose(gate_value[:, column], 1, atol=1e-6)
            experts = value_of(model, f"{prefix}experts_{owner}")
            np.testing.assert_allclose(
                value_of(model, f"{prefix}mixture_{path}"),
                experts[:, n_seen[owner]],
                atol=1e-5,
            )
            n_seen[owner] += 1


def test_gate_values_of_every_level():
    model = built(n_levels=3)
    with pytest.raises(ValueError, match="level must be 1 to 3"):
        models.gate_values(model, INPUTS, level=4)
    with pytest.raises(ValueError, match="level must be 1 to 3"):
        models.gate_columns(model, 0)
    for level in (1, 2, 3, None):
        values = models.gate_values(model, INPUTS, level=level)
        columns = models.gate_columns(model, level)
        assert list(values) == list(columns)
        assert ("shared" in values) == (level in (1, 2))
        for path, weights in values.items():
            assert weights.shape == (24, len(columns[path]))
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(
        models.gate_values(model, INPUTS)[A],
        models.gate_values(model, INPUTS, level=3)[A],
    )


def test_gates_are_read_the_same_from_a_saved_model(tmp_path):
    model = built(gate_dropout=0.2, gate_temperature=2.0)
    model.save(tmp_path / "ple.keras")
    copy = keras.saving.load_model(tmp_path / "ple.keras")
    for level in (1, 2):
        assert models.gate_columns(copy, level) == models.gate_columns(
            model, level
        )
        ours = models.gate_values(copy, INPUTS, level=level)
        theirs = models.gate_values(model, INPUTS, level=level)
        for path, weights in theirs.items():
            np.testing.assert_array_equal(ours[path], weights)


def test_gate_options_reach_every_gate():
    model = models.ple(
        SCHEMA, gate_temperature=0.5, gate_dropout=0.25, gate_bias=True
    )
    gates = [x for x in model.layers if isinstance(x, models.SoftmaxGate)]
    assert len(gates) == 3 + 2
    for gate in gates:
        assert (gate.temperature, gate.dropout) == (0.5, 0.25)
        assert gate.use_bias


def test_the_order_of_tasks_changes_no_gate():
    ours = models.ple(SCHEMA, seed=1)
    theirs = models.ple(SCHEMA.with_tasks([B, A]), seed=1)
    for path, value in models.gate_values(ours, INPUTS, level=1).items():
        np.testing.assert_allclose(
            models.gate_values(theirs, INPUTS, level=1)[path],
            value,
            atol=1e-6,
        )
    assert models.gate_columns(ours, 1) == models.gate_columns(theirs, 1)


# -- friendly errors ------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_levels": 0}, "n_levels must be a whole number of at least 1"),
        ({"n_levels": 1.5}, "n_levels must be a whole number"),
        ({"n_task_experts": -1}, "n_task_experts must be a whole number"),
        ({"n_shared_experts": True}, "n_shared_experts must be a whole"),
        ({"n_task_experts": 0, "n_shared_experts": 0}, "both 0"),
        ({"expert_units": ()}, "needs a layer"),
        ({"gate_temperature": 0.0}, "temperature"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        models.ple(SCHEMA, **options)


@pytest.mark.parametrize("pattern", [models.cgc, models.ple])
@pytest.mark.parametrize("name", ["shared", "experts_a", "level_1_x"])
def test_a_task_named_like_a_path_is_refused(pattern, name):
    with pytest.raises(ValueError, match=f"cannot be called '{name}'"):
        pattern(small_schema([Task(name), Task("a")]))
