"""Retrieval losses against hand calculations and full sums."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logsumexp

from mtlrec_utils.models import SoftmaxMatch
from mtlrec_utils.models.retrieval_losses import (
    HIDDEN,
    accidental_hits,
    bpr_loss,
    hardest,
    hide,
    log_expected_count,
    softmax_loss,
)

LABELS = tf.ones(3)


def vectors(n, d=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype("float32")


def row_losses(layer, users, items, own, drawn=None, identity=None):
    ends = [users, items, np.reshape(own, (-1, 1)).astype("float32")]
    if drawn is not None:
        ends += [drawn, np.reshape(identity, (-1, 1)).astype("float32")]
    ends = [tf.constant(end) for end in ends]
    if not layer.built:
        layer.build([end.shape for end in ends])
    label = tf.ones(len(users))
    return layer.row_loss(ends, label, label)


def test_bpr_gradient_by_hand():
    users, items = vectors(3, seed=1), vectors(6, seed=2)
    table = tf.Variable(users)
    others = tf.Variable(items)
    with tf.GradientTape() as tape:
        positive = tf.reduce_sum(table * others[:3], 1)
        negative = tf.reduce_sum(table * others[3:], 1)
        loss = tf.reduce_sum(bpr_loss(positive, negative[:, None]))
    of_users, of_items = tape.gradient(loss, [table, others])
    x = np.sum(users * (items[:3] - items[3:]), axis=1)
    weight = -(1 - expit(x))[:, None]  # d/dx of -log sigmoid(x)
    np.testing.assert_allclose(loss, -np.log(expit(x)).sum(), rtol=1e-5)
    expected = weight * (items[:3] - items[3:])
    np.testing.assert_allclose(of_users, expected, rtol=1e-4, atol=1e-6)
    expected = np.concatenate([weight * users, -weight * users])
    np.testing.assert_allclose(
        tf.convert_to_tensor(of_items), expected, rtol=1e-4, atol=1e-6
    )


def test_bpr_leaves_hits_out():
    positive, others = tf.constant([1.0, 2]), tf.constant([[0.0, 9], [3, 9]])
    hits = tf.constant([[False, True], [True, True]])
    found = bpr_loss(positive, others, hits).numpy()
    np.testing.assert_allclose(found, [np.log1p(np.exp(-1)), 0], rtol=1e-6)


def test_sampling_all_items_is_the_full_softmax():
    users, items = vectors(5, seed=3), vectors(7, seed=4)
    own = np.array([0, 3, 3, 6, 1])
    layer = SoftmaxMatch(in_batch=False, drawn=0)
    found = row_losses(layer, users, items[own], own, items, np.arange(7))
    scores = users @ items.T
    expected = logsumexp(scores, axis=1) - scores[np.arange(5), own]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_in_batch_softmax_of_three_rows_by_hand():
    users = np.array([[1, 0], [0, 1], [1, 1]], "float32")
    items = np.array([[2, 0], [0, 1], [1, 1]], "float32")
    # Scores, rows are users: [2, 0, 1], [0, 1, 1], [2, 1, 2].
    found = row_losses(SoftmaxMatch(), users, items, [4, 5, 6])
    e = np.exp(1)
    expected = [
        np.log(e**2 + 1 + e) - 2,
        np.log(1 + e + e) - 1,
        np.log(e**2 + e + e**2) - 2,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("drawn", [0, 4])
def test_a_uniform_q_changes_nothing(drawn):
    users, items, own = vectors(6), vectors(6, seed=1), np.arange(6)
    more = (vectors(4, seed=2), [6, 7, 8, 9]) if drawn else ()
    options = {"drawn": drawn, "n_items": 10, "n_identities": 10}
    plain = row_losses(SoftmaxMatch(**options), users, items, own, *more)
    layer = SoftmaxMatch(correction=True, **options)
    layer.build(None)
    layer.log_share.assign(np.full(10, np.log(0.1), "float32"))
    found = row_losses(layer, users, items, own, *more)
    np.testing.assert_allclose(found, plain, rtol=1e-5)


def test_the_correction_takes_log_q_off_every_score():
    users, items, own = vectors(4), vectors(4, seed=1), np.array([2, 0, 1, 3])
    share = np.array([0.5, 0.3, 0.15, 0.05])
    layer = SoftmaxMatch(correction=True, n_identities=4)
    layer.build(None)
    layer.log_share.assign(np.log(share).astype("float32"))
    found = row_losses(layer, users, items, own)
    scores = users @ items.T - np.log(share[own])
    expected = logsumexp(scores, axis=1) - np.diag(scores)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_expected_counts_of_a_mixture():
    share = np.array([0.6, 0.4], "float32")
    found = log_expected_count(tf.math.log(share), 10, 8, 4)
    np.testing.assert_allclose(np.exp(found), [6 + 2, 4 + 2], rtol=1e-5)


@pytest.mark.parametrize("in_batch", [True, False])
def test_changing_a_masked_duplicate_changes_nothing(in_batch):
    """keras-rs 0.4.0 added 1.2e-40 here, and looked at row 0 only."""
    users, items = vectors(3, seed=5), vectors(3, seed=6)
    own = [7, 8, 8]  # row 2 holds the item of row 1
    more = ()
    if not in_batch:
        more = (vectors(3, seed=7), [9, 8, 10])
    before = row_losses(
        SoftmaxMatch(in_batch=in_batch), users, items, own, *more
    ).numpy()
    if in_batch:
        items = items.copy()
        items[2] = 5 * users[1]  # the duplicate, as row 1 sees it
    else:
        more[0][1] = 5 * users[1]
    layer = SoftmaxMatch(in_batch=in_batch)
    after = row_losses(layer, users, items, own, *more).numpy()
    assert after[1] == pytest.approx(before[1], abs=1e-6)
    assert abs(after[0] - before[0]) > 0.05  # for row 0 it is a negative
    layer = SoftmaxMatch(in_batch=in_batch, mask_hits=False)
    unmasked = row_losses(layer, users, items, own, *more).numpy()
    assert abs(unmasked[1] - before[1]) > 0.1


def test_a_hidden_score_has_no_gradient():
    scores = tf.Variable([[1.0, 2.0, 3.0]])
    with tf.GradientTape() as tape:
        hidden = hide(scores, tf.constant([[False, True, False]]))
        loss = tf.reduce_sum(softmax_loss(tf.constant([0.5]), hidden))
    gradient = tape.gradient(loss, scores).numpy()
    assert hidden.numpy()[0, 1] <= HIDDEN * 0.999
    assert gradient[0, 1] == 0 and (gradient[0, [0, 2]] > 0).all()


def test_only_hits_leave_no_loss():
    hits = accidental_hits(tf.constant([3]), tf.constant([3, 3]))
    others = hide(tf.constant([[9.0, 9.0]]), hits)
    assert softmax_loss(tf.constant([1.0]), others).numpy() == [0]


def test_hits_are_found_per_row():
    rows = tf.constant([1, 2])
    shared = accidental_hits(rows, tf.constant([2, 5, 1])).numpy()
    assert shared.tolist() == [[False, False, True], [True, False, False]]
    own = accidental_hits(rows, tf.constant([[1, 2], [1, 2]])).numpy()
    assert own.tolist() == [[True, False], [False, True]]


def test_the_hardest_are_the_highest():
    scores = tf.constant([[1.0, 5, 3], [2, 2, 9]])
    assert hardest(scores, 2).numpy().tolist() == [[5, 3], [9, 2]]
    assert (hardest(scores, 3) == scores).numpy().all()


def test_the_hardest_of_a_batch():
    users, items, own = vectors(5), vectors(5, seed=1), np.arange(5)
    plain = row_losses(SoftmaxMatch(), users, items, own)
    many = row_losses(SoftmaxMatch(n_hardest=9), users, items, own)
    np.testing.assert_allclose(many, plain, rtol=1e-5)
    one = row_losses(SoftmaxMatch(n_hardest=1), users, items, own)
    scores = users @ items.T
    positive = np.diag(scores).copy()
    np.fill_diagonal(scores, -np.inf)
    expected = np.logaddexp(positive, scores.max(axis=1)) - positive
    np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-6)


def test_the_hardest_where_the_batch_size_is_unknown():
    @tf.function(input_signature=[tf.TensorSpec([None, None])])
    def found(scores):
        return hardest(scores, 3)

    assert found(tf.constant([[1.0, 5]]))[0].numpy().tolist() == [
        5,
        1,
        np.float32(HIDDEN),
    ]
