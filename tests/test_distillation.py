"""Soft targets: limits by hand, weights, masks."""

import keras
import numpy as np
import pytest
from models_under_test import random_inputs, random_labels, small_schema

from mtlrec_utils.data.examples import Examples
from mtlrec_utils.data.tasks import Task
from mtlrec_utils.learning import fit, predict
from mtlrec_utils.learning.compress import (
    SoftTarget,
    distil,
    soft_examples,
    with_soft_targets,
)
from mtlrec_utils.models import mmoe, shared_bottom

SIZES = {"embedding_dimension": 2, "bottom_units": (4,), "tower_units": ()}
KINDS = {"click": "binary", "minutes": "regression"}
SCHEMA = small_schema([Task(name, kind) for name, kind in KINDS.items()])
FIT = {"epochs": 2, "batch_size": 16, "learning_rate": 0.02, "seed": 1}


def rows(n=48, seed=0, masked=()):
    """Examples of the small schema; some tasks known on half the rows."""
    inputs = random_inputs(SCHEMA, n, seed)
    labels = {
        name: np.asarray(values)[:, 0]
        for name, values in random_labels(SCHEMA, n, seed + 1).items()
    }
    half = (np.arange(n) % 2).astype("float32")
    masks = {t: half if t in masked else np.ones(n, "f4") for t in labels}
    labels = {t: labels[t] * masks[t] for t in labels}
    return Examples(
        inputs["ids"], inputs["numbers"], labels, masks, None, np.arange(n)
    )


@pytest.fixture(scope="module")
def teacher():
    model = mmoe(SCHEMA, expert_units=(8,), seed=5)
    fit(model, rows(), epochs=3, learning_rate=0.05)
    return model


def student(seed=2):
    return shared_bottom(SCHEMA, seed=seed, **SIZES)


def weights_after(train, model, *arguments, **options):
    train(model, *arguments, **FIT, **options)
    return model.get_weights()


def same(a, b, atol=0.0):
    return all(
        np.allclose(x, y, rtol=0, atol=atol) for x, y in zip(a, b, strict=True)
    )


def loss_and_slope(logit, label, temperature):
    import tensorflow as tf

    layer = SoftTarget(temperature)
    z = tf.Variable([[logit]], dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = layer.row_loss(z, tf.constant([label], tf.float32), None)[0]
    return float(loss), float(tape.gradient(loss, z)[0, 0])


def test_the_loss_by_hand():
    # z = ln 3, T = 1: sigmoid is 3/4, and q = 1/4.
    loss, slope = loss_and_slope(np.log(3), 0.25, 1.0)
    assert loss == pytest.approx(-0.25 * np.log(0.75) - 0.75 * np.log(0.25))
    assert slope == pytest.approx(0.75 - 0.25)
    # T = 2, z = 2 ln 3: the same sigmoid; loss times 4, slope times 2.
    loss, slope = loss_and_slope(2 * np.log(3), 0.25, 2.0)
    assert loss == pytest.approx(
        4 * (-0.25 * np.log(0.75) - 0.75 * np.log(0.25))
    )
    assert slope == pytest.approx(2 * (0.75 - 0.25))


def test_a_high_temperature_matches_logits():
    teacher_logit, logit, t = 1.5, -0.5, 100.0
    q = 1 / (1 + np.exp(-teacher_logit / t))
    _, slope = loss_and_slope(logit, q, t)
    assert slope == pytest.approx((logit - teacher_logit) / 4, abs=1e-3)


def test_soft_targets_at_both_ends():
    examples = rows(5, masked=("minutes",))
    given = {
        "click": np.array([0.1, 0.4, 0.5, 0.6, 1.0]),
        "minutes": np.arange(5.0),
    }
    kinds = {name: KINDS[name] for name in given}

    def click(temperature):
        soft = soft_examples(examples, given, kinds, temperature)
        return soft.labels["click_soft"]

    np.testing.assert_allclose(click(1.0), given["click"], atol=1e-6)
    np.testing.assert_array_equal(click(1e-3), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(click(1e6), 0.5, atol=1e-5)
    # logit(0.1) / 2 = -ln 3, and its sigmoid is 1/4.
    np.testing.assert_allclose(click(2.0)[0], 0.25, atol=1e-6)
    soft = soft_examples(examples, given, kinds, 2.0)
    np.testing.assert_array_equal(soft.labels["minutes_soft"], [0, 1, 0, 3, 0])
    np.testing.assert_array_equal(
        soft.masks["minutes_soft"], examples.masks["minutes"]
    )


def test_weight_0_is_plain_training(teacher):
    plain = weights_after(fit, student(), rows())
    zero = weights_after(distil, student(), teacher, rows(), weight=0.0)
    assert same(plain, zero)
    half = weights_after(distil, student(), teacher, rows(), weight=0.5)
    assert not same(plain, half, 1e-3)


def test_weight_1_ignores_the_labels(teacher):
    here = rows()
    other = Examples(
        here.ids,
        here.numbers,
        {task: 1 - label for task, label in here.labels.items()},
        here.masks,
        None,
        here.rows,
    )
    one = weights_after(distil, student(), teacher, here, weight=1.0)
    two = weights_after(distil, student(), teacher, other, weight=1.0)
    assert same(one, two)


def test_masked_rows_teach_nothing(teacher):
    here = rows(masked=tuple(KINDS))
    known = here.masks["click"] > 0
    ids = here.ids.copy()
    ids[~known] = 2
    moved = Examples(
        ids, here.numbers, here.labels, here.masks, None, here.rows
    )
    one = weights_after(distil, student(), teacher, here)
    two = weights_after(distil, student(), teacher, moved)
    assert same(one, two)


def test_a_student_learns_its_teacher(teacher):
    here, model = rows(), student()
    options = {**FIT, "epochs": 40}

    def gap():
        ours, theirs = predict(model, here), predict(teacher, here)
        return {t: np.abs(ours[t] - theirs[t]).mean() for t in KINDS}

    before = gap()
    history = distil(model, teacher, here, weight=1.0, **options)
    after = gap()
    assert all(after[task] < before[task] for task in KINDS), (before, after)
    assert "click_soft" in set(history.table["task"])
    assert set(model.output) == set(KINDS)


def test_the_softened_student_is_saved(tmp_path):
    model = with_soft_targets(student(), 3.0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    inputs = random_inputs(SCHEMA)
    for name, value in model(inputs).items():
        np.testing.assert_allclose(again(inputs)[name], value, atol=1e-6)
    assert again.get_layer("click_soft").temperature == 3.0


def test_what_is_refused(teacher):
    with pytest.raises(ValueError, match="weight=1.5"):
        distil(student(), teacher, rows(), weight=1.5)
    for bad in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="temperature="):
            distil(student(), teacher, rows(), temperature=bad)
    small = shared_bottom(small_schema((Task("click"),)), **SIZES)
    with pytest.raises(ValueError, match="the student also 'minutes'"):
        distil(student(), small, rows())
    several = small_schema((Task("kind", "multiclass", classes=3),))
    with pytest.raises(ValueError, match="is multiclass"):
        with_soft_targets(shared_bottom(several, **SIZES), 1.0)
    with pytest.raises(ValueError, match="no labels of task 'sale'"):
        soft_examples(rows(), {}, {"sale": "binary"}, 1.0)
