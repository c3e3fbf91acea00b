"""Exercises of lesson 13: stub, wrong answers, solution; its figures."""

from pathlib import Path

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom import conflict_arrows, conflict_figures
from mtlrec_utils.classroom.check import judge
from mtlrec_utils.evidence import read_results
from mtlrec_utils.learning import balancing

RESULTS = Path(__file__).parents[1] / "datasets" / "results"
EXERCISES = ("13.1", "13.2", "13.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def off(g, other):
    return g - g @ other / (other @ other) * other


def one_projected(jacobian):
    first, second = jacobian
    return off(first, second) + second


def by_the_projected(jacobian):
    first, second = jacobian
    first = off(first, second)
    return first + off(second, first)


def always(jacobian):
    first, second = jacobian
    return off(first, second) + off(second, first)


def not_squared(jacobian):
    first, second = jacobian
    inner, norms = first @ second, np.linalg.norm(jacobian, axis=1)
    return first + second - inner * (second / norms[1] + first / norms[0])


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda j: j.sum(axis=0), "plain sum, (2, 2, 2)"),
        (one_projected, "Only one of the two"),
        (by_the_projected, "along the other as it was"),
        (lambda j: always(j) / 2, "mean of the projections"),
        (lambda j: off(j[0], j[1]), "Only one gradient is returned"),
        (not_squared, "squared length"),
        (always, "These gradients agree"),
        (lambda j: None, "returns nothing"),
        (lambda j: j, "the shape (2, 3)"),
    ],
)
def test_wrong_surgery(answer, hint):
    result = judge("13.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def unclipped(jacobian):
    first, second = jacobian
    gap = second - first
    weight = second @ gap / (gap @ gap)
    return np.array([weight, 1 - weight])


def clipped(jacobian):
    return np.clip(unclipped(jacobian), 0, 1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda j: clipped(j)[::-1], "swapped"),
        (unclipped, "leaves the interval"),
        (clipped, "give NaN"),
        (lambda j: np.array([0.5, 0.5]), "must be (0.6, 0.4)"),
        (lambda j: 2 * clipped(j), "sum to 2"),
        (lambda j: clipped(j) @ j, "the shape (3,)"),
        (
            lambda j: np.nan_to_num(clipped(j), nan=1.0),
            "equal gradients return halves",
        ),
    ],
)
def test_wrong_mixtures(answer, hint):
    result = judge("13.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def scaled(jacobian, target, relax, length=None):
    norms = np.linalg.norm(jacobian, axis=1)
    goal = norms[target] if length is None else length
    return (relax * goal / norms + 1 - relax) @ jacobian


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda j, t, r: scaled(j, t, 1 - r), "Upside down"),
        (lambda j, t, r: scaled(j, t, r, 1.0), "length 1 now"),
        (lambda j, t, r: scaled(j, 0, r), "always row 0"),
        (lambda j, t, r: scaled(j, t, r**2), "half way"),
        (scaled, "stay 0"),
        (lambda j, t, r: j.sum(axis=0), "With r = 1"),
        (lambda j, t, r: j.mean(axis=0), "With r = 0"),
    ],
)
def test_wrong_balances(answer, hint):
    result = judge("13.3", answer)
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(("angle", "length"), [(30, 10.0), (140, 3.0)])
def test_gradients_have_the_angle_and_length_asked_for(angle, length):
    first, second = conflict_arrows.gradients(angle, length)
    assert np.linalg.norm(first) == pytest.approx(1)
    assert np.linalg.norm(second) == pytest.approx(length)
    cosine = first @ second / length
    assert np.degrees(np.arccos(cosine)) == pytest.approx(angle)


def test_a_step_is_said_to_raise_a_loss_where_it_does():
    """Loss of task t: half the squared distance from its optimum, -g_t."""
    jacobian = conflict_arrows.gradients(140, 3.0)
    for method in (balancing.Sum(), balancing.PCGrad(), balancing.MGDA()):
        direction = balancing.direction(method, jacobian)
        after = jacobian - 1e-4 * direction  # optimum to place, negated
        rises = (after**2).sum(axis=1) > (jacobian**2).sum(axis=1)
        wanted = list(np.array(conflict_arrows.PAIR)[rises])
        assert conflict_arrows.harmed(direction, jacobian) == wanted
        assert bool(wanted) == isinstance(method, balancing.Sum)


def test_the_alternative_text_names_who_raises_what():
    jacobian = conflict_arrows.gradients(140, 3.0)
    steps = {
        name: balancing.direction(kind, jacobian)
        for name, kind in {
            "Sum": balancing.Sum(),
            "MGDA": balancing.MGDA(),
        }.items()
    }
    figure, alt = conflict_arrows.arrows_figure(steps, jacobian)
    assert "Sum raises click" in alt and "MGDA" not in alt
    assert figure.get_suptitle() == "1 of 2 steps raise a loss"


def test_every_method_of_the_table_has_its_gain_and_its_cost():
    table = read_results(RESULTS / "balancing_methods.csv").frame
    costs = read_results(RESULTS / "balancing_cost.csv").frame
    found = conflict_figures.gains_and_costs(table, costs)
    assert len(found) == len(table) / table["task"].nunique()
    assert np.isfinite(found[["gain", "cost"]].to_numpy()).all()
    equal = found[found["method"] == conflict_figures.EQUAL]
    assert (equal["gain"] == 0).all() and (equal["cost"] == 1).all()
    row = found.set_index(["world", "model", "method"]).loc[
        ("competing", "mmoe", "MGDA")
    ]
    cells = table.set_index(["world", "model", "method"]).sort_index()
    mine, theirs = (
        cells.loc[("competing", "mmoe", name), "candidate"].mean()
        for name in ("MGDA", "equal")
    )
    assert row["gain"] == pytest.approx(mine - theirs)
