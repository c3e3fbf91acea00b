"""What each gradient-level method promises for any Jacobian at all."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from balancing_cases import (
    DETERMINISTIC,
    METHODS,
    REFERENCE,
    close,
    found,
    jacobians,
    norms,
    step,
)

from mtlrec_utils.learning.balancing import (
    DBMTL,
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    FairGrad,
    GradDrop,
    GradVac,
    LossBalancing,
    Mean,
    NashMTL,
    PCGrad,
    Sum,
    UPGrad,
    direction,
    gram_matrix,
)


def name(method):
    return str(method)


def bends(method):
    """IMTL-G and Aligned-MTL are ill-posed at dependent gradients."""
    return isinstance(method, IMTLG | AlignedMTL)


@pytest.mark.parametrize(
    "method", [UPGrad(), MGDA(), CAGrad(1.0), CAGrad(2.0)], ids=name
)
def test_no_task_loses(method):
    for rows in jacobians(56, 10):
        n, d = norms(rows), found(method, rows)
        assert np.isfinite(d).all()
        assert (rows @ d >= -1e-7 * n * n.max()).all()


def test_cagrad_below_one_may_conflict():
    rows = np.array([[-4.0, 0.1, 0.1], [6.0, 0.1, 0.1]])
    assert (rows @ found(CAGrad(0.5), rows)).min() < -0.1
    assert (rows @ found(CAGrad(1.0), rows)).min() >= -1e-12


@pytest.mark.parametrize("method", DETERMINISTIC, ids=name)
def test_order_of_tasks_does_not_matter(method):
    rng = np.random.default_rng(11)
    for rows in jacobians(16, 11, singular=False, scales=2):
        losses, new = (
            rng.uniform(0.1, 9, len(rows)),
            rng.permutation(len(rows)),
        )
        close(
            found(method, rows, losses), found(method, rows[new], losses[new]),
            1e-5,
        )  # fmt: skip


def power(method):
    """Directions scale with the gradients to this power."""
    if isinstance(method, FairGrad | NashMTL):
        alpha = getattr(method, "alpha", 1.0)
        return (alpha - 1) / (-alpha - 1)
    return 1


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_scaling(method):
    for rows in jacobians(8, 12, scales=2):
        expected = found(method, rows)
        for s in (1e-6, 0.5, 1e6):
            size = norms(rows).max() ** power(method)
            close(
                found(method, s * rows),
                s ** power(method) * expected,
                1e-4 if bends(method) else 1e-6,
                1e-9 * s ** power(method) * size,
            )


@pytest.mark.parametrize("method", [NashMTL(), IMTLG()], ids=name)
def test_a_task_on_another_scale(method):
    """Only the directions of gradients count (IMTL-G: up to the length)."""
    for rows in jacobians(12, 13, tasks=(2,), singular=False, scales=0):
        d, e = found(method, rows), found(method, rows * [[1e-6], [1e6]])
        if isinstance(method, IMTLG):
            d, e = d / np.linalg.norm(d), e / np.linalg.norm(e)
        close(d, e, 1e-6)


@pytest.mark.parametrize(
    "method",
    [MGDA(), UPGrad(), CAGrad(1.5), NashMTL(), FairGrad(2.0), IMTLG()],
    ids=name,
)
def test_a_stationary_point_is_left_alone(method):
    """w^T J = 0 with w > 0: no direction is good for all."""
    rng = np.random.default_rng(14)
    for n_tasks in (2, 3, 5) * 3:
        rows = rng.normal(size=(n_tasks, 8))
        w = rng.uniform(0.2, 1, n_tasks)
        rows[-1] = -w[:-1] @ rows[:-1] / w[-1]
        for dtype in (np.float64, np.float32):
            d = found(method, rows.astype(dtype))
            limit = 1e-5 if dtype is np.float64 else 0.02
            assert np.linalg.norm(d) < limit * norms(rows).max()


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_one_task_goes_its_way(method):
    row = np.array([[3.0, -4.0, 12.0]])
    factor = {
        NashMTL(): 1 / 13,
        FairGrad(2.0): 13 ** (-4 / 3),
        CAGrad(0.5): 1.5,
        CAGrad(2.0): 3,
    }.get(method, 1)
    close(found(method, row), factor * row[0], 1e-6)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_two_equal_gradients(method):
    row = np.array([2.0, -1.0, 0.5, 3.0])
    length = np.linalg.norm(row)
    factor = {
        Sum(): 2, PCGrad(): 2, GradVac(): 2, DBMTL(): 2, GradDrop(): 2,
        NashMTL(): 2**0.5 / length,
        FairGrad(2.0): 2 * (2 * length**2) ** (-2 / 3),
        CAGrad(0.5): 1.5, CAGrad(2.0): 3,
    }.get(method, 1)  # fmt: skip
    close(found(method, np.stack([row, row])), factor * row, 1e-6)


@pytest.mark.parametrize("method", [MGDA(), IMTLG(), AlignedMTL()], ids=name)
def test_a_copy_of_a_task(method):
    rows = np.array([[1.0, 2.0, -0.5], [-2.0, 0.3, 1.0]])
    expected = found(method, rows)
    d = found(method, np.vstack([rows, rows[1]]))
    if not isinstance(method, AlignedMTL):  # a mean counts the copy
        close(d, expected, 1e-9)
    assert np.isfinite(d).all()


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_zero_gradient_is_finite(method):
    rows = np.vstack([REFERENCE, np.zeros(3)])
    d = found(method, rows)
    assert np.isfinite(d).all()
    np.testing.assert_array_equal(found(method, np.zeros((3, 4))), 0)
    same = (Sum(), PCGrad(), GradVac(), NashMTL(), FairGrad(2.0), DBMTL())
    if method in same or isinstance(method, IMTLG):
        close(d, found(method, REFERENCE), 1e-9)
    if isinstance(method, Mean | UPGrad | AlignedMTL):
        close(d, 2 / 3 * found(method, REFERENCE), 1e-9)
    if isinstance(method, MGDA):
        np.testing.assert_array_equal(d, 0)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_every_kind_is_finite(method):
    for rows in jacobians(28, 15):
        d, state = step(method, rows)
        assert np.isfinite(d).all()
        assert all(np.isfinite(v).all() for v in state.values())


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_float32_is_close_to_float64(method):
    for rows in jacobians(6, 16, singular=False, scales=1):
        single = rows.astype(np.float32)
        d = found(method, single)
        assert d.dtype == np.float32
        if not isinstance(method, GradDrop):  # draws differ with the type
            size = norms(rows).max() if power(method) == 1 else 1
            close(
                d, found(method, single.astype(np.float64)), 1e-5, 1e-5 * size
            )


@pytest.mark.parametrize(
    "method", [m for m in METHODS if m != GradDrop()], ids=name
)
def test_parts_make_a_whole(method):
    """A Jacobian split over tensors has one direction, in parts."""
    rows = np.random.default_rng(17).normal(size=(3, 7))
    state = method.initial_state(["a", "b", "c"], 3)
    parts = [tf.constant(rows[:, a:b]) for a, b in ((0, 2), (2, 3), (3, 7))]
    combined, _ = method.combine(parts, tf.ones(3), state)
    assert [p.shape[0] for p in combined] == [2, 1, 4]
    close(np.concatenate([p.numpy() for p in combined]), found(method, rows))


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_state_keeps_its_form(method):
    state = method.initial_state(["t0", "t1"], 1)
    _, after = step(method, REFERENCE, state=state)
    _, after = step(method, REFERENCE, state=after)
    assert after.keys() == state.keys()
    for key, value in state.items():
        assert (after[key].shape, after[key].dtype) == (
            value.shape,
            value.dtype,
        )


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_nan_is_passed_on(method):
    """The loop reports it; a solver's error would hide where it began."""
    rows = REFERENCE.copy()
    rows[0, 1] = np.nan
    assert np.isnan(found(method, rows)[1])


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_the_shortcut_is_the_first_step(method):
    for rows in (REFERENCE, REFERENCE.astype(np.float32)):
        d = direction(method, rows, [2.0, 0.5])
        assert d.shape == (3,) and d.dtype == rows.dtype
        if not isinstance(method, GradDrop):
            close(d, found(method, rows, [2.0, 0.5]), 1e-6)
    assert direction(method, [[1, 0], [0, 1]]).dtype == np.float64


def test_gram_matrix_has_float64_products():
    rows = np.array([[1, 0.1], [1, 0.1 + 1e-5]], np.float32) * [[1], [1e3]]
    rows = rows.astype(np.float32)
    wide = rows.astype(np.float64)
    gram = gram_matrix([tf.constant(rows[:, :1]), tf.constant(rows[:, 1:])])
    np.testing.assert_allclose(gram, wide @ wide.T, rtol=1e-15)


def test_methods_are_values():
    for method in METHODS:
        assert replace(method) == method
        assert hash(replace(method)) == hash(method)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: CAGrad(-0.1), "c"),
        (lambda: CAGrad(float("nan")), "c"),
        (lambda: FairGrad(0), "alpha"),
        (lambda: GradVac(rate=0), "rate"),
        (lambda: GradVac(seed=-1), "seed"),
        (lambda: PCGrad(seed=0.5), "seed"),
        (lambda: GradDrop(seed=None), "seed"),
        (lambda: DBMTL(averaging=1), "averaging"),
    ],
)
def test_arguments_out_of_range(make, word):
    with pytest.raises(ValueError, match=f"{word}="):
        make()


@pytest.mark.parametrize("method", [MGDA(), UPGrad(), CAGrad()], ids=name)
def test_too_many_tasks_for_all_supports(method):
    with pytest.raises(ValueError, match="11 tasks.*PCGrad"):
        method.initial_state([f"t{k}" for k in range(11)], 1)
    with pytest.raises(ValueError, match="11 tasks"):
        method.weights(tf.eye(11, dtype=tf.float64), tf.ones(11), {})
    rows = np.random.default_rng(18).normal(size=(10, 12))
    assert (rows @ direction(MGDA(), rows) > 0).all()


def test_learners_mistakes():
    class Equal(LossBalancing):
        def weights(self, losses, state):
            return tf.ones_like(losses), state

    with pytest.raises(ValueError, match="weighs losses"):
        direction(Equal(), REFERENCE)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        direction(MGDA(), [1, 2, 3])
    with pytest.raises(ValueError, match="2 rows"):
        direction(MGDA(), REFERENCE, [1, 2, 3])


def test_a_gram_method_with_a_combine_of_its_own_is_refused():
    """Training asks for its weights alone: the combine would be ignored."""
    with pytest.raises(TypeError, match="Doubled has a combine.. of its own"):

        class Doubled(PCGrad):
            def combine(self, jacobian, losses, state):
                found, state = super().combine(jacobian, losses, state)
                return [2 * rows for rows in found], state


def test_a_gram_method_with_other_weights_is_welcome():
    class Doubled(PCGrad):
        def weights(self, gram, losses, state):
            weights, state = super().weights(gram, losses, state)
            return 2 * weights, state

    close(found(Doubled(), REFERENCE), 2 * found(PCGrad(), REFERENCE))
