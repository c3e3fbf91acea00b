"""Exercises of lesson 12: stub, wrong answers, solution; and the bowl."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom import weight_bowl
from mtlrec_utils.classroom.check import judge
from mtlrec_utils.learning import balancing

EXERCISES = ("12.1", "12.2", "12.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def without_care(before, last, temperature):
    powers = np.exp(last / before / temperature)
    return len(last) * powers / powers.sum()


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda b, a, t: softmax(a / b / t), "The weights sum to 1"),
        (lambda b, a, t: 3 * softmax(b / a / t), "improves fastest"),
        (lambda b, a, t: 3 * softmax(a / b * t), "multiplied by the temp"),
        (lambda b, a, t: 3 * softmax(a / t), "not the size of a loss"),
        (lambda b, a, t: 3 * softmax((a - b) / t), "not the size of a loss"),
        (lambda b, a, t: 3 * softmax(a / b), "divided by the temperature"),
        (without_care, "Subtract the largest logit"),
        (
            lambda b, a, t: 3 * softmax(np.minimum(a / b / t, 500)),
            "slowest task gets all",
        ),
        (lambda b, a, t: 3.0, "three weights"),
    ],
)
def test_wrong_dynamic_weights(answer, hint):
    result = judge("12.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x, a, b: (np.log(x), 1 / (2 * x)), "only for a = b"),
        (lambda x, a, b: (-np.log(a * x / b), b / x), "the sign of s"),
        (
            lambda x, a, b: (max(np.log(a * x / b), 0), b / x),
            "Do not clip at 0",
        ),
        (lambda x, a, b: (np.log(a * x / b), b / a / x), "in front is miss"),
        (
            lambda x, a, b: (np.log(a * x / b), a * b / x),
            "the weight a e^-s is",
        ),
        (lambda x, a, b: (np.log(b * x / a), b / x), "the slope"),
        (lambda x, a, b: b / x, "two numbers"),
    ],
)
def test_wrong_equilibria(answer, hint):
    result = judge("12.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def compared(losses):
    return losses[:, None], losses[None, :]


def better_on_all(losses):
    ours, theirs = compared(losses)
    return ~(ours < theirs).all(axis=2).any(axis=0)


def as_good_is_enough(losses):
    ours, theirs = compared(losses)
    as_good = (ours <= theirs).all(axis=2)
    np.fill_diagonal(as_good, False)
    return ~as_good.any(axis=0)


def right(losses):
    ours, theirs = compared(losses)
    dominates = (ours <= theirs).all(axis=2) & (ours < theirs).any(axis=2)
    return ~dominates.any(axis=0)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (better_on_all, "as good on one task"),
        (as_good_is_enough, "Equal settings"),
        (lambda x: right(-x), "higher is better"),
        (lambda x: ~right(x), "These are the dominated"),
        (lambda x: right(x[:, :2]), "every column counts"),
        (lambda x: np.flatnonzero(right(x)), "truth values"),
    ],
)
def test_wrong_fronts(answer, hint):
    result = judge("12.3", answer)
    assert result.state == "not yet"
    assert hint in result.message


def test_a_static_weight_ends_where_the_weighted_sum_is_least():
    for weight in (0.2, 1.0, 50.0):
        method = balancing.StaticWeights({"watch_minutes": weight})
        found = weight_bowl.descend(method, -2.0)
        assert found == pytest.approx(weight_bowl.bowl_minimum(weight))
        theta = np.linspace(-1.5, 1.5, 3001)
        click, watch = weight_bowl.bowl(theta)
        least = theta[(click + weight * watch).argmin()]
        assert found == pytest.approx(least, abs=1e-3)


def test_a_factor_acts_on_static_weights_as_a_weight_does():
    found = weight_bowl.descend(balancing.StaticWeights(), 2.0, factor=9.0)
    assert found == pytest.approx(0.8)


@pytest.mark.parametrize("factor", [1.0, 1000.0])
@pytest.mark.parametrize("start", [-2.0, 0.3])
def test_the_geometric_mean_ends_at_a_minimum_of_the_product(start, factor):
    method = balancing.GeometricMean()
    found = weight_bowl.descend(method, start, factor=factor)
    assert found == pytest.approx(np.sign(start) * 0.5**0.5, abs=1e-3)


def test_only_with_its_decay_famo_ends_there():
    ends = [
        weight_bowl.descend(balancing.FAMO(decay=decay), 0.3)
        for decay in (0.01, 0.0)
    ]
    assert ends[0] == pytest.approx(0.5**0.5, abs=0.02)
    assert ends[1] == pytest.approx(0.3, abs=0.02)
