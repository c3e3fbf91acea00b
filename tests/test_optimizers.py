"""RowSparseAdam against exact Adam in NumPy, and Keras' own for the rest."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtlrec_utils.learning import RowSparseAdam
from mtlrec_utils.learning.optimizers import merge_rows

RATE, BETA_1, BETA_2, EPSILON = 0.1, 0.9, 0.999, 1e-7
SMALL = 0.01  # in float32, 1 - beta_2^t is off by 1e-5 of itself at first


def slices(rows, values, n_rows):
    """Name a gradient's rows, as the gradient of a look-up does."""
    values = np.asarray(values, np.float32)
    return tf.IndexedSlices(
        tf.constant(values),
        tf.constant(np.asarray(rows, np.int32)),
        tf.constant([n_rows, values.shape[1]]),
    )


class AdamInNumPy:
    """Kingma & Ba with "epsilon hat", in float64, optionally by rows."""

    def __init__(self, weights):
        self.w = np.array(weights, np.float64)
        self.m, self.v, self.t = (
            np.zeros_like(self.w),
            np.zeros_like(self.w),
            0,
        )

    def step(self, gradient, rows=slice(None)):
        self.t += 1
        g = gradient[rows]
        self.m[rows] = BETA_1 * self.m[rows] + (1 - BETA_1) * g
        self.v[rows] = BETA_2 * self.v[rows] + (1 - BETA_2) * g**2
        rate = SMALL * np.sqrt(1 - BETA_2**self.t) / (1 - BETA_1**self.t)
        self.w[rows] -= rate * self.m[rows] / (np.sqrt(self.v[rows]) + EPSILON)


def added(rows, values, n_rows):
    dense = np.zeros((n_rows, values.shape[1]))
    np.add.at(dense, rows, values)
    return dense


def test_equals_dense_adam_when_every_row_is_in_every_batch():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(6, 4)).astype("float32")
    table, oracle = keras.Variable(start), AdamInNumPy(start)
    optimizer = RowSparseAdam(SMALL)
    for _ in range(30):
        rows = rng.permutation(np.r_[np.arange(6), rng.integers(6, size=9)])
        values = rng.normal(size=(15, 4)).astype("float32")
        optimizer.apply([slices(rows, values, 6)], [table])
        oracle.step(added(rows, values, 6))
    np.testing.assert_allclose(table.numpy(), oracle.w, atol=1e-6)
    momentum, velocity = optimizer._momentums[0], optimizer._velocities[0]
    np.testing.assert_allclose(momentum.numpy(), oracle.m, atol=1e-6)
    np.testing.assert_allclose(velocity.numpy(), oracle.v, atol=1e-6)


def test_rows_that_come_and_go_keep_their_moments_and_the_global_step():
    rng = np.random.default_rng(1)
    start = rng.normal(size=(8, 3)).astype("float32")
    table, oracle = keras.Variable(start), AdamInNumPy(start)
    optimizer = RowSparseAdam(SMALL)
    for _ in range(40):
        rows = rng.integers(8, size=5)
        values = rng.normal(size=(5, 3)).astype("float32")
        optimizer.apply([slices(rows, values, 8)], [table])
        oracle.step(added(rows, values, 8), np.unique(rows))
    np.testing.assert_allclose(table.numpy(), oracle.w, atol=1e-6)


def one_row_four_times(optimizer):
    table = keras.Variable(np.zeros((3, 1), "float32"))
    optimizer.apply([slices([1] * 4, np.ones((4, 1)), 3)], [table])
    return table.numpy()[:, 0], optimizer._velocities[0].numpy()[:, 0]


def test_one_row_looked_up_four_times_takes_one_step():
    weights, velocity = one_row_four_times(RowSparseAdam(RATE))
    # Hand values: the merged gradient is 4, v = .001 * 16, and the first
    # step of Adam is one learning rate whatever the gradient's size.
    np.testing.assert_allclose(velocity, [0, 0.016, 0], atol=1e-7)
    np.testing.assert_allclose(weights, [0, -0.1, 0], atol=1e-6)


def test_keras_own_adam_is_why():
    weights, velocity = one_row_four_times(keras.optimizers.Adam(RATE))
    if np.isclose(velocity[1], 0.016):
        pytest.skip("this Keras merges repeated rows: the fault is gone")
    # v = .001 * (1 + 1 + 1 + 1), and twice the largest first step.
    np.testing.assert_allclose(velocity[1], 0.004, atol=1e-7)
    np.testing.assert_allclose(weights[1], -0.2, atol=1e-5)


def test_rows_outside_the_batch_do_not_move_at_all():
    rng = np.random.default_rng(2)
    table = keras.Variable(rng.normal(size=(5, 2)).astype("float32"))
    optimizer = RowSparseAdam(RATE)
    optimizer.apply([slices(range(5), np.ones((5, 2)), 5)], [table])
    before = [v.numpy() for v in (table, *optimizer.variables[2:])]
    optimizer.apply([slices([0, 3, 3], np.ones((3, 2)), 5)], [table])
    after = [v.numpy() for v in (table, *optimizer.variables[2:])]
    assert len(before) == 3
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old[[1, 2, 4]], new[[1, 2, 4]])
        assert (old[[0, 3]] != new[[0, 3]]).all()


def test_dense_variables_are_trained_exactly_as_by_keras():
    rng = np.random.default_rng(3)
    start = rng.normal(size=(4, 5)).astype("float32")
    ours, keras_own = keras.Variable(start), keras.Variable(start)
    optimizers = RowSparseAdam(RATE), keras.optimizers.Adam(RATE)
    for _ in range(10):
        gradient = tf.constant(rng.normal(size=(4, 5)), tf.float32)
        optimizers[0].apply([gradient], [ours])
        optimizers[1].apply([gradient], [keras_own])
    np.testing.assert_array_equal(ours.numpy(), keras_own.numpy())


def test_merged_rows_are_distinct_and_add_up():
    rng = np.random.default_rng(4)
    rows, values = rng.integers(7, size=50), rng.normal(size=(50, 3))
    merged = merge_rows(slices(rows, values, 9))
    found = merged.indices.numpy()
    assert len(found) == len(set(found)) == len(set(rows))
    np.testing.assert_allclose(
        added(found, merged.values.numpy(), 9),
        added(rows, values, 9),
        atol=1e-5,
    )
    assert merged.dense_shape.numpy().tolist() == [9, 3]


@pytest.mark.parametrize(
    "clip",
    [{"clipnorm": 0.5}, {"clipvalue": 0.2}, {"global_clipnorm": 0.5}],
    ids=lambda clip: next(iter(clip)),
)
def test_clipping_sees_the_merged_gradient(clip):
    rng = np.random.default_rng(5)
    start = rng.normal(size=(4, 2)).astype("float32")
    weight = rng.normal(size=3).astype("float32")
    by_rows = [keras.Variable(start), keras.Variable(weight)]
    dense = [keras.Variable(start), keras.Variable(weight)]
    sparse_adam = RowSparseAdam(RATE, **clip)
    dense_adam = keras.optimizers.Adam(RATE, **clip)
    for _ in range(5):
        rows = np.r_[np.arange(4), rng.integers(4, size=6)]
        values = rng.normal(size=(10, 2)).astype("float32")
        other = tf.constant(rng.normal(size=3), tf.float32)
        sparse_adam.apply([slices(rows, values, 4), other], by_rows)
        whole = tf.constant(added(rows, values, 4), tf.float32)
        dense_adam.apply([whole, other], dense)
    for a, b in zip(by_rows, dense, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "option",
    [
        {"weight_decay": 0.1},
        {"amsgrad": True},
        {"use_ema": True},
        {"gradient_accumulation_steps": 2},
        {"loss_scale_factor": 8.0},
    ],
    ids=lambda option: next(iter(option)),
)
def test_options_that_touch_whole_tables_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        RowSparseAdam(RATE, **option)


def test_configuration_round_trip():
    optimizer = RowSparseAdam(0.02, 0.8, 0.99, 1e-6, clipnorm=2.0)
    text = keras.optimizers.serialize(optimizer)
    again = keras.optimizers.deserialize(text)
    assert type(again) is RowSparseAdam
    assert again.get_config() == optimizer.get_config()
    assert again.clipnorm == 2.0
    assert again.beta_2 == 0.99


def test_schedule_gives_the_rate_of_each_step():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [0], [1.0, 0.0]
    )
    table = keras.Variable(np.zeros((2, 1), "float32"))
    optimizer = RowSparseAdam(schedule)
    moves = []
    for _ in range(2):
        before = table.numpy()[0, 0]
        optimizer.apply([slices([0], [[1.0]], 2)], [table])
        moves.append(table.numpy()[0, 0] - before)
    np.testing.assert_allclose(moves, [-1, 0], atol=1e-5)


def embedding_model(policy="float32"):
    keras.utils.set_random_seed(0)
    ids = keras.Input((2,), dtype="int32")
    vectors = keras.layers.Embedding(6, 3, dtype=policy)(ids)
    hidden = keras.layers.Flatten()(vectors)
    hidden = keras.layers.Dense(4, activation="relu", dtype=policy)(hidden)
    output = keras.layers.Dense(1, dtype="float32")(hidden)
    return keras.Model(ids, output)


IDS = np.array([[0, 0], [0, 1], [1, 2], [3, 0]], "int32")
TARGETS = np.array([[0.0], [1.0], [2.0], [-1.0]], "float32")


def test_trains_and_resumes_inside_compile_and_fit(tmp_path):
    model = embedding_model()
    model.compile(RowSparseAdam(0.05), "mse", jit_compile=False)
    options = {"epochs": 3, "batch_size": 4, "shuffle": False, "verbose": 0}
    table = model.layers[1].embeddings
    unused = table.numpy()[4:]
    losses = model.fit(IDS, TARGETS, **options).history["loss"]
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(table.numpy()[4:], unused)

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, RowSparseAdam)
    for m in (model, again):
        m.fit(IDS, TARGETS, **options)
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_updates_by_row(policy):
    model = embedding_model(policy)
    model.compile(RowSparseAdam(0.05), "mse", jit_compile=False)
    table = model.layers[1].embeddings
    before = table.numpy()
    model.fit(IDS, TARGETS, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(table.numpy()).all()
    assert (table.numpy()[:4] != before[:4]).any(axis=1).all()
    np.testing.assert_array_equal(table.numpy()[4:], before[4:])


def test_loss_scaling_changes_nothing():
    plain, scaled = (
        keras.Variable(np.zeros((3, 1), "float32")) for _ in range(2)
    )
    RowSparseAdam(RATE).apply([slices([1, 1], [[1.0], [2.0]], 3)], [plain])
    optimizer = keras.optimizers.LossScaleOptimizer(
        RowSparseAdam(RATE), initial_scale=8.0
    )
    optimizer.apply([slices([1, 1], [[8.0], [16.0]], 3)], [scaled])
    np.testing.assert_allclose(plain.numpy(), scaled.numpy(), atol=1e-7)
