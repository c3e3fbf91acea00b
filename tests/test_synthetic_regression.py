"""The synthetic regression of the MMoE paper against its closed form."""

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import label_correlation, synthetic_regression

CURVES = [
    ((1.0, 2.0, 0.5, 1.5), (0.0, 1.0, 2.0, 0.5)),
    ((0.3, -1.2), (2.5, -0.7)),
    ((), ()),
]


def noise_free(frame, amplitudes=(1, 2, 0.5, 1.5), phases=(0, 1, 2, 0.5)):
    """Labels of both tasks recomputed from the stored weights."""
    x = frame.filter(like="x_").to_numpy()
    found = []
    for task in ("a", "b"):
        t = x @ np.array(frame.attrs[f"weights_{task}"])
        waves = [
            np.sin(a * t + b) for a, b in zip(amplitudes, phases, strict=True)
        ]
        found.append(t + sum(waves))
    return found


@pytest.mark.parametrize("p", [-0.6, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("scale", [0.3, 1.5])
@pytest.mark.parametrize("curve", CURVES)
def test_closed_form_against_monte_carlo(p, scale, curve):
    a, b = curve
    n = 400_000
    frame = synthetic_regression(
        n,
        correlation=p,
        dimension=2,
        scale=scale,
        amplitudes=a,
        phases=b,
        noise=0.3,
        seed=7,
    )
    found = np.corrcoef(frame["task_a"], frame["task_b"])[0, 1]
    assert label_correlation(p, scale, a, b, 0.3) == pytest.approx(
        found, abs=5e-3
    )


def test_closed_form_limits():
    assert label_correlation(1.0, noise=0.0) == pytest.approx(1)
    assert label_correlation(0.0) == pytest.approx(0, abs=1e-12)
    # No sines: labels are linear, and only noise thins the correlation.
    line = label_correlation(0.6, 2.0, (), (), 1.0)
    assert line == pytest.approx(0.6 * 4 / (4 + 1))
    values = [label_correlation(p) for p in np.linspace(-1, 1, 9)]
    assert (np.diff(values) > 0).all()


@pytest.mark.parametrize("p", [-1.0, 0.0, 0.3, 1.0])
def test_weights_have_the_cosine_and_length_asked_for(p):
    frame = synthetic_regression(2, correlation=p, scale=1.7, dimension=30)
    a, b = (np.array(frame.attrs[f"weights_{t}"]) for t in "ab")
    assert np.linalg.norm(a) == pytest.approx(1.7)
    assert np.linalg.norm(b) == pytest.approx(1.7)
    assert a @ b / 1.7**2 == pytest.approx(p, abs=1e-12)


def test_noise_is_the_floor_of_the_squared_error():
    frame = synthetic_regression(40_000, correlation=0.5, noise=0.2)
    for task, exact in zip("ab", noise_free(frame), strict=True):
        error = frame[f"task_{task}"] - exact
        assert np.mean(error**2) == pytest.approx(0.04, rel=4 * 0.0071)
    silent = synthetic_regression(100, correlation=0.5, noise=0.0)
    for task, exact in zip("ab", noise_free(silent), strict=True):
        assert np.allclose(silent[f"task_{task}"], exact)


def test_inputs_are_standard_normal_and_named():
    frame = synthetic_regression(20_000, correlation=0.2, dimension=5)
    names = [f"x_{k}" for k in range(5)] + ["task_a", "task_b"]
    assert list(frame) == names
    x = frame.filter(like="x_").to_numpy()
    assert np.allclose(np.cov(x.T), np.eye(5), atol=0.04)
    assert np.allclose(x.mean(axis=0), 0, atol=0.03)


def test_seed_and_draw():
    def make(**options):
        return synthetic_regression(50, correlation=0.4, **options)

    assert make().equals(make())
    assert make().equals(make(seed=0, draw=0))
    assert not make().equals(make(seed=1))
    other = make(draw=1)
    assert not make().equals(other)
    assert make().attrs == other.attrs
    assert make().attrs != make(seed=1).attrs
    # Turning p leaves inputs and the first task as they were.
    turned = synthetic_regression(50, correlation=-0.4)
    assert turned["task_a"].equals(make()["task_a"])
    assert not turned["task_b"].equals(make()["task_b"])


def test_the_curve_is_fixed_by_default():
    first = synthetic_regression(50, correlation=0.4, noise=0.0, seed=1)
    for task, exact in zip("ab", noise_free(first), strict=True):
        assert np.allclose(first[f"task_{task}"], exact)
    assert isinstance(first, pd.DataFrame)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"correlation": 1.1}, "correlation must be a number from -1 to 1"),
        ({"correlation": float("nan")}, "correlation must"),
        ({"n_rows": 0}, "n_rows must be a whole number from 1"),
        ({"dimension": 1}, "dimension must be a whole number from 2"),
        ({"seed": -1}, "seed must"),
        ({"draw": 0.5}, "draw must"),
        ({"scale": -1.0}, "scale must"),
        ({"noise": float("inf")}, "noise must"),
        ({"phases": (1.0,)}, "one length"),
        ({"amplitudes": (1, 2, 3, float("nan"))}, "finite"),
    ],
)
def test_bad_arguments(options, told):
    options = {"n_rows": 5, "correlation": 0.5, **options}
    with pytest.raises(ValueError, match=told):
        synthetic_regression(options.pop("n_rows"), **options)


def test_labels_that_do_not_vary_have_no_correlation():
    with pytest.raises(ValueError, match="do not vary"):
        label_correlation(0.5, 0.0, (), (), 0.0)
