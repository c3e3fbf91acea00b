"""Layers: limit cases, closed forms, hand values, saved forms."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from models_under_test import dense

from mtlrec_utils.models import (
    MLP,
    Experts,
    FusedEmbedding,
    SoftmaxGate,
    WeightedSum,
)
from mtlrec_utils.models.initialisation import (
    PerExpert,
    derived_seed,
    seeded,
)

RNG = np.random.default_rng(0)


def column(start, stop, field, pooled=False):
    return SimpleNamespace(
        name=f"c{start}", start=start, stop=stop, field=field, pooled=pooled
    )


def rows(n, width, scale=1.0):
    rng = np.random.default_rng(width)
    return rng.normal(0, scale, (n, width)).astype("float32")


@pytest.fixture
def policy():
    """Set a dtype policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


# -- the fused embedding ------------------------------------------------


# plain user, sequence of items, plain item, plain item again
MIXED = (
    column(0, 1, 0),
    column(1, 4, 1, pooled=True),
    column(4, 5, 1),
    column(5, 6, 1),
)
IDS = np.array(
    [
        [3, 2, 5, 1, 2, 4],
        [0, 1, 1, 1, 5, 0],
        [2, 4, 4, 4, 3, 3],
    ],
    dtype="int32",
)


def test_embedding_reads_each_field_at_its_offset():
    layer = FusedEmbedding((4, 6), MIXED, 3)
    out = np.asarray(layer(IDS))
    table = np.asarray(layer.table)
    users, items = table[:4], table[4:]
    assert table.shape == (10, 3)
    assert out.shape == (3, 12)
    np.testing.assert_array_equal(out[:, :3], users[IDS[:, 0]])
    np.testing.assert_array_equal(out[:, 6:9], items[IDS[:, 4]])
    np.testing.assert_array_equal(out[:, 9:], items[IDS[:, 5]])


def test_embedding_averages_what_is_not_padding():
    layer = FusedEmbedding((4, 6), MIXED, 3)
    pooled = np.asarray(layer(IDS))[:, 3:6]
    items = np.asarray(layer.table)[4:]
    np.testing.assert_allclose(pooled[0], (items[2] + items[5]) / 2, 1e-6)
    np.testing.assert_array_equal(pooled[1], 0)
    np.testing.assert_allclose(pooled[2], items[4], 1e-6)


def test_embedding_of_a_sequence_ignores_where_the_padding_stands():
    layer = FusedEmbedding((6,), [column(0, 4, 0, pooled=True)], 3)
    right = layer(np.array([[2, 5, 1, 1]]))
    left = layer(np.array([[1, 1, 2, 5]]))
    np.testing.assert_array_equal(np.asarray(right), np.asarray(left))


def test_embedding_width_without_a_value():
    layer = FusedEmbedding((4, 6), MIXED, 3)
    assert layer.compute_output_shape((None, 6)) == (None, 12)
    assert layer(keras.Input((6,), dtype="int32")).shape == (None, 12)


def test_padding_rows_receive_no_gradient():
    layer = FusedEmbedding((4, 6), MIXED, 3)
    layer.build((None, 6))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(IDS) ** 2)
    gradient = tape.gradient(loss, layer.table)
    # Sparse: an optimiser can touch the batch's rows alone.
    assert isinstance(gradient, tf.IndexedSlices)
    moved = np.abs(dense(gradient)).sum(axis=1) > 0
    users, items = {0, 2, 3}, {0, 2, 3, 4, 5}
    expected = [r in users for r in range(4)]
    expected += [r in items for r in range(6)]
    assert moved.tolist() == expected


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_embedding_in_half_precision_keeps_a_float32_table(policy, name):
    policy(name)
    layer = FusedEmbedding((4, 6), MIXED, 3)
    with tf.GradientTape() as tape:
        out = layer(IDS)
        loss = tf.reduce_sum(out)
    assert out.dtype == name.removeprefix("mixed_")
    assert layer.table.dtype == "float32"
    gradient = tape.gradient(loss, layer.table)
    assert isinstance(gradient, tf.IndexedSlices)
    # The rows are cast, never a copy of the whole table.
    graph = tf.function(layer).get_concrete_function(tf.constant(IDS)).graph
    casts = [op for op in graph.get_operations() if op.type == "Cast"]
    assert all(op.outputs[0].shape[0] != 10 for op in casts)


def test_guard_reads_an_id_outside_its_field_as_unknown():
    layer = FusedEmbedding((4, 6), MIXED, 3, guard=True)
    bad = IDS.copy()
    bad[0] = [4, 6, -1, 1, 99, 5]
    known = IDS.copy()
    known[0] = [0, 0, 0, 1, 0, 5]
    np.testing.assert_array_equal(
        np.asarray(layer(bad)), np.asarray(layer(known))
    )
    trusting = FusedEmbedding((4, 6), MIXED, 3)
    trusting.build(IDS.shape)
    trusting.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        np.asarray(layer(IDS)), np.asarray(trusting(IDS))
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 6), MIXED, 0), "dimension"),
        (((4, 6), (), 3), "nothing to embed"),
        (((4,), MIXED, 3), "names field 1"),
        (((4, 6), MIXED[:1] + MIXED[2:], 3), "without a gap"),
        (((4, 6), (column(0, 0, 0),), 3), "without a gap"),
    ],
)
def test_embedding_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        FusedEmbedding(*arguments)


def test_embedding_refuses_ids_of_another_schema():
    layer = FusedEmbedding((4, 6), MIXED, 3)
    with pytest.raises(ValueError, match="ids has 5 columns"):
        layer(IDS[:, :5])


# -- dense stacks -------------------------------------------------------


def test_mlp_is_a_chain_of_dense_layers():
    x = rows(7, 5)
    layer = MLP((4, 3), seed=1)
    chain = keras.Sequential(
        [keras.layers.Dense(4, "relu"), keras.layers.Dense(3, "relu")]
    )
    out = layer(x)
    chain.build(x.shape)
    chain.set_weights(layer.get_weights())
    np.testing.assert_allclose(np.asarray(out), np.asarray(chain(x)), 1e-6)
    assert layer.count_params() == 5 * 4 + 4 + 4 * 3 + 3


def test_mlp_without_layers_returns_its_input():
    x = rows(3, 4)
    np.testing.assert_array_equal(np.asarray(MLP(())(x)), x)


@pytest.mark.parametrize(
    ("units", "message"),
    [((0,), "at least 1"), ((3, -1), "-1"), ((2.5,), "2.5"), (8, r"\(8,\)")],
)
def test_widths_are_checked(units, message):
    with pytest.raises(ValueError, match=message):
        MLP(units)
    with pytest.raises(ValueError, match=message):
        Experts(2, units)


@pytest.mark.parametrize("make", [MLP, lambda u, **o: Experts(2, u, **o)])
def test_dropout_acts_in_training_only(make):
    x = np.ones((400, 3), "float32")
    layer = make((50,), activation="linear", dropout=0.25, seed=3)
    quiet = np.asarray(layer(x, training=False))
    np.testing.assert_array_equal(quiet, np.asarray(make_again(layer)(x)))
    noisy = np.asarray(layer(x, training=True))
    n = noisy.size
    dropped = (noisy == 0).mean()
    assert abs(dropped - 0.25) < 5 * np.sqrt(0.25 * 0.75 / n)
    np.testing.assert_allclose(
        noisy[noisy != 0], (quiet / 0.75)[noisy != 0], 1e-5
    )
    with pytest.raises(ValueError, match="dropout"):
        make((50,), dropout=1.0)


def make_again(layer):
    return type(layer).from_config(layer.get_config())


# -- experts ------------------------------------------------------------


@pytest.mark.parametrize("units", [(4,), (6, 5, 4)])
def test_experts_equal_a_loop_of_dense_stacks(units):
    n_experts, width = 3, 5
    x = tf.constant(rows(7, width))
    experts = Experts(n_experts, units, activation="tanh", seed=1)
    experts.build(x.shape)
    loop = []
    for e in range(n_experts):
        stack = keras.Sequential(
            [keras.layers.Dense(unit, "tanh") for unit in units]
        )
        stack.build(x.shape)
        for layer, kernel, bias in zip(
            stack.layers, experts.kernels, experts.biases, strict=True
        ):
            bias.assign(rows(n_experts, bias.shape[-1]))
            layer.set_weights([np.asarray(kernel)[e], np.asarray(bias)[e]])
        loop.append(stack)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = experts(x)
        theirs = tf.stack([stack(x) for stack in loop], axis=1)
        our_loss, their_loss = (
            tf.reduce_sum(tf.sin(ours)),
            tf.reduce_sum(tf.sin(theirs)),
        )
    assert ours.shape == (7, n_experts, units[-1])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(our_loss, x), tape.gradient(their_loss, x), atol=1e-5
    )
    for depth, kernel in enumerate(experts.kernels):
        theirs = [
            tape.gradient(their_loss, stack.layers[depth].kernel)
            for stack in loop
        ]
        np.testing.assert_allclose(
            dense(tape.gradient(our_loss, kernel)), theirs, atol=1e-5
        )


def test_experts_parameter_count():
    layer = Experts(8, (6, 4))
    layer.build((None, 10))
    assert layer.count_params() == 8 * (10 * 6 + 6 + 6 * 4 + 4)
    assert layer.compute_output_shape((None, 10)) == (None, 8, 4)


def test_each_expert_starts_like_a_dense_layer_of_its_own():
    experts = Experts(8, (256,), seed=0)
    experts.build((None, 512))
    alone = keras.layers.Dense(256)
    alone.build((None, 512))
    spread = np.asarray(experts.kernels[0]).std(axis=(1, 2))
    # Uniform Glorot: sqrt(2 / (512 + 256)) = .0510. Fans read from the
    # stacked shape would give .0180.
    np.testing.assert_allclose(spread, np.sqrt(2 / 768), rtol=0.02)
    np.testing.assert_allclose(
        spread, np.asarray(alone.kernel).std(), rtol=0.02
    )


@pytest.mark.parametrize(
    "initializer",
    [
        "glorot_uniform",
        keras.initializers.GlorotUniform(),
        keras.initializers.HeNormal(seed=4),
        keras.initializers.HeNormal(seed=keras.random.SeedGenerator(4)),
    ],
    ids=["name", "instance", "seeded instance", "seed generator"],
)
@pytest.mark.parametrize("seed", [None, 7])
def test_no_two_experts_nor_depths_start_alike(initializer, seed):
    layer = Experts(3, (6, 6), kernel_initializer=initializer, seed=seed)
    layer.build((None, 6))
    kernels = np.concatenate([np.asarray(k) for k in layer.kernels])
    assert kernels.shape == (6, 6, 6)
    for a in range(6):
        for b in range(a):
            assert np.abs(kernels[a] - kernels[b]).max() > 0.1


def test_same_seed_same_experts():
    a, b, c = (Experts(3, (4, 4), seed=s) for s in (1, 1, 2))
    for layer in (a, b, c):
        layer.build((None, 4))
    for ours, same, other in zip(a.kernels, b.kernels, c.kernels, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(same))
        assert np.abs(np.asarray(ours) - np.asarray(other)).max() > 0.1


def test_without_a_seed_the_global_generator_rules():
    def kernels():
        layer = Experts(2, (4,))
        layer.build((None, 4))
        return np.asarray(layer.kernels[0])

    keras.utils.set_random_seed(3)
    first, second = kernels(), kernels()
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(kernels(), first)
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("n_experts", [0, -2, 1.5, True])
def test_number_of_experts_is_checked(n_experts):
    with pytest.raises(ValueError, match="n_experts"):
        Experts(n_experts, (4,))
    with pytest.raises(ValueError, match="n_experts"):
        SoftmaxGate(n_experts)


def test_experts_need_a_layer():
    with pytest.raises(ValueError, match="units is empty"):
        Experts(2, ())


# -- gates --------------------------------------------------------------


def test_gate_is_a_softmax_over_the_expert_axis():
    x = rows(6, 4, scale=3)
    gate = SoftmaxGate(3, temperature=0.7, use_bias=True, seed=1)
    gate.build(x.shape)
    gate.bias.assign([0.5, -1.0, 0.2])
    logits = x @ np.asarray(gate.kernel) + np.asarray(gate.bias)
    powers = np.exp(logits / 0.7)
    weights = np.asarray(gate(x))
    assert weights.shape == (6, 3)
    np.testing.assert_allclose(
        weights, powers / powers.sum(axis=1, keepdims=True), atol=1e-6
    )
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (weights > 0).all()
    assert (weights < 1).all()


def test_swapping_gate_columns_swaps_weights_and_swapping_rows_rows():
    x = rows(5, 4)
    gate = SoftmaxGate(3, seed=1)
    weights = np.asarray(gate(x))
    order = [2, 0, 1]
    np.testing.assert_allclose(
        np.asarray(gate(x[::-1].copy())), weights[::-1], atol=1e-6
    )
    gate.kernel.assign(np.asarray(gate.kernel)[:, order])
    np.testing.assert_allclose(
        np.asarray(gate(x)), weights[:, order], atol=1e-6
    )


def test_zero_gate_is_uniform_and_a_large_bias_picks_one():
    x = rows(5, 4)
    gate = SoftmaxGate(3, use_bias=True, kernel_initializer="zeros")
    np.testing.assert_allclose(np.asarray(gate(x)), 1 / 3, atol=1e-7)
    gate.bias.assign([0.0, 50.0, 0.0])
    np.testing.assert_allclose(
        np.asarray(gate(x)), np.tile([0, 1, 0], (5, 1)), atol=1e-6
    )


def test_a_constant_added_to_all_logits_changes_nothing():
    x = rows(5, 4)
    gate = SoftmaxGate(3, use_bias=True, seed=1)
    before = np.asarray(gate(x))
    gate.bias.assign(np.full(3, 7.5))
    np.testing.assert_allclose(np.asarray(gate(x)), before, atol=1e-5)


def test_temperature_from_one_hot_to_uniform():
    x = rows(50, 4)

    def weights(temperature):
        gate = SoftmaxGate(3, temperature=temperature, seed=1)
        return np.asarray(gate(x)), x @ np.asarray(gate.kernel)

    cold, logits = weights(1e-4)
    best = np.eye(3)[logits.argmax(axis=1)]
    clear = np.diff(np.sort(logits, axis=1)[:, 1:]).ravel() > 0.01
    assert clear.sum() > 40
    np.testing.assert_allclose(cold[clear], best[clear], atol=1e-6)
    hot, _ = weights(1e6)
    np.testing.assert_allclose(hot, 1 / 3, atol=1e-5)


def test_one_expert_has_weight_one_and_its_gate_no_gradient():
    x = rows(50, 4)
    gate = SoftmaxGate(1, use_bias=True, seed=1)
    gate.build(x.shape)
    with tf.GradientTape() as tape:
        weights = gate(x)
        loss = tf.reduce_sum(weights * tf.constant(rows(50, 1)))
    np.testing.assert_array_equal(np.asarray(weights), 1)
    for gradient in tape.gradient(loss, gate.trainable_weights):
        np.testing.assert_array_equal(dense(gradient), 0)


def test_gate_dropout_shares_weight_among_the_kept():
    x = rows(3000, 4)
    gate = SoftmaxGate(3, dropout=0.4, seed=1)
    full = np.asarray(gate(x, training=False))
    np.testing.assert_array_equal(full, np.asarray(gate(x)))
    some = np.asarray(gate(x, training=True))
    np.testing.assert_allclose(some.sum(axis=1), 1, atol=1e-6)
    kept = some > 0
    # The kept experts keep their proportions.
    share = np.where(kept, full, 0)
    np.testing.assert_allclose(
        some, share / share.sum(axis=1, keepdims=True), atol=1e-6
    )
    # An expert goes with chance .4, unless all three would: .4 - .4**3.
    chance = 0.4 - 0.4**3
    error = np.sqrt(chance * (1 - chance) / 3000)
    np.testing.assert_allclose(1 - kept.mean(axis=0), chance, atol=5 * error)


def test_gate_dropout_of_one_expert_keeps_it():
    gate = SoftmaxGate(1, dropout=0.9, seed=1)
    np.testing.assert_array_equal(
        np.asarray(gate(rows(50, 4), training=True)), 1
    )


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_gate_weights_are_float32_under_every_policy(policy, name):
    policy(name)
    weights = SoftmaxGate(5, seed=1)(rows(40, 4))
    assert weights.dtype == "float32"
    np.testing.assert_allclose(np.asarray(weights).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), np.nan])
def test_temperature_is_checked(temperature):
    with pytest.raises(ValueError, match="temperature"):
        SoftmaxGate(3, temperature=temperature)


def test_gate_dropout_is_checked():
    with pytest.raises(ValueError, match="dropout"):
        SoftmaxGate(3, dropout=-0.1)


# -- mixture ------------------------------------------------------------


def test_weighted_sum_by_hand():
    gate = np.array([[0.25, 0.75], [1.0, 0.0]], "float32")
    experts = np.array([[[1, 2, 3], [5, 6, 7]], [[8, 9, 1], [0, 0, 0]]])
    out = WeightedSum()([gate, experts.astype("float32")])
    np.testing.assert_allclose(np.asarray(out), [[4, 5, 6], [8, 9, 1]])


@pytest.mark.parametrize(
    ("gate", "experts"), [((4, 3), (4, 2, 5)), ((4, 3), (4, 3))]
)
def test_weighted_sum_refuses_a_gate_of_other_experts(gate, experts):
    with pytest.raises(ValueError, match=r"\[gate, experts\]"):
        WeightedSum()([np.ones(gate), np.ones(experts)])


# -- seeds and saved forms ----------------------------------------------


def test_derived_seeds_differ_by_part_and_seed():
    parts = [(), ("a",), ("b",), ("a", 1), ("a", 2), ("tower", "click")]
    seeds = {derived_seed(s, *p) for s in (0, 1) for p in parts}
    assert len(seeds) == 2 * len(parts)
    assert derived_seed(0, "a") == derived_seed(0, "a")
    assert derived_seed(None, "a") is None
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_reused_initialiser_gives_each_weight_its_own_values():
    shared = keras.initializers.GlorotUniform()
    same = [np.asarray(shared((4, 4))) for _ in range(2)]
    np.testing.assert_array_equal(*same)  # what Keras does by itself
    a, b = (np.asarray(seeded(shared, None)((4, 4))) for _ in range(2))
    assert np.abs(a - b).max() > 0.1


LAYERS = [
    (FusedEmbedding((4, 6), MIXED, 3, guard=True, seed=1), IDS),
    (MLP((4, 3), "tanh", dropout=0.1, seed=1), rows(5, 4)),
    (
        Experts(
            3, (4, 3), "tanh", 0.1, keras.initializers.HeNormal(2), seed=1
        ),
        rows(5, 4),
    ),
    (SoftmaxGate(3, 0.5, 0.1, True, "he_normal", seed=1), rows(5, 4)),
    (WeightedSum(), [rows(5, 3), rows(15, 4).reshape(5, 3, 4)]),
]


@pytest.mark.parametrize(
    ("layer", "x"), LAYERS, ids=[type(pair[0]).__name__ for pair in LAYERS]
)
def test_configuration_round_trip(layer, x):
    again = make_again(layer)
    assert again.get_config() == layer.get_config()
    saved = keras.saving.serialize_keras_object(layer)
    assert saved["registered_name"].startswith("mtlrec>")
    copy = keras.saving.deserialize_keras_object(saved)
    # The seed is part of the configuration: a copy starts the same.
    np.testing.assert_array_equal(np.asarray(copy(x)), np.asarray(layer(x)))


def test_per_expert_initialiser_round_trip():
    initializer = PerExpert(keras.initializers.GlorotUniform(3))
    saved = keras.saving.serialize_keras_object(initializer)
    copy = keras.saving.deserialize_keras_object(saved)
    np.testing.assert_array_equal(
        np.asarray(copy((2, 3, 4))), np.asarray(initializer((2, 3, 4)))
    )
