"""Every balancing method trains two models, and is not the plain sum."""

import inspect
from typing import Any, NamedTuple

import numpy as np
import pytest
from gradient_oracles import descent
from learning_cases import KINDS, SIZES, examples, small_model, weights

from mtlrec_utils.data import Task
from mtlrec_utils.data.features import IdColumns
from mtlrec_utils.learning import balancing, fit
from mtlrec_utils.models import mmoe

pytestmark = pytest.mark.slow

ARGUMENTS = {"MetaBalance": ("minutes",), "StaticWeights": ({"mood": 3.0},)}
METHODS = {
    name: kind
    for name in balancing.__all__
    if inspect.isclass(kind := getattr(balancing, name))
    and not inspect.isabstract(kind)
    and issubclass(kind, balancing.Balancing)
    and kind is not balancing.Balancing
}


class Encoded(NamedTuple):
    """What a model reads of a schema."""

    id_columns: Any
    field_sizes: Any
    number_names: Any
    tasks: Any


def small_mmoe(seed=0):
    schema = Encoded(
        tuple(IdColumns(f"f{i}", i, i + 1, i, False) for i in range(2)),
        SIZES,
        ("a", "b"),
        tuple(
            Task(task, kind, classes=3)
            if kind == "multiclass"
            else Task(task, kind)
            for task, kind in KINDS.items()
        ),
    )
    return mmoe(
        schema,
        embedding_dimension=3,
        n_experts=2,
        expert_units=(4,),
        tower_units=(),
        seed=seed,
    )


MODELS = {"shared bottom": small_model, "mmoe": small_mmoe}


def train(build, method, at="parameters"):
    model = build(seed=1)
    history = fit(
        model,
        examples(64),
        epochs=3,
        batch_size=16,
        optimizer=descent(0.05),
        balancing=method,
        balance_at=at,
    )
    return weights(model), history


@pytest.fixture(scope="module", params=MODELS)
def network(request):
    build = MODELS[request.param]
    return build, train(build, None)[0]


def test_all_methods_are_here():
    assert len(METHODS) >= 20
    assert {"PCGrad", "FAMO", "GradNorm", "MetaBalance", "Sum"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_trains_and_differs_from_the_sum(network, name):
    build, summed = network
    method = METHODS[name](*ARGUMENTS.get(name, ()))
    looks_at_gradients = isinstance(method, balancing.GradientBalancing)
    found, history = train(build, method)
    assert np.isfinite(history.table["loss"]).all()
    curve = history.losses()
    assert curve.iloc[-1] < curve.iloc[0]
    moved = max(
        np.abs(x - y).max() for x, y in zip(found, summed, strict=True)
    )
    if name == "Sum":
        assert moved < 1e-5
    else:
        assert moved > 1e-4
    has_weights = not looks_at_gradients or isinstance(
        method, balancing.GramBalancing
    )
    assert len(history.weights) == (9 if has_weights else 0)
    assert np.isfinite(history.weights["weight"].to_numpy("float64")).all()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, kind in METHODS.items()
        if issubclass(kind, balancing.GradientBalancing)
    ],
)
def test_a_method_at_the_representation(name):
    method = METHODS[name](*ARGUMENTS.get(name, ()))
    found, history = train(small_model, method, "representation")
    assert np.isfinite(history.table["loss"]).all()
    summed, _ = train(small_model, None)
    moved = max(
        np.abs(x - y).max() for x, y in zip(found, summed, strict=True)
    )
    assert moved < 1e-5 if name == "Sum" else moved > 1e-4
