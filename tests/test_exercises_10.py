"""Exercises of lesson 10: stub, plausible wrong answers, solution."""

import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge

EXERCISES = ("10.1", "10.2", "10.3")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def softmax(logits, axis):
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def mixed(weights, experts):
    return np.einsum("be,beh->bh", weights, experts)


def naive_softmax(logits, experts):
    powers = np.exp(logits)
    return mixed(powers / powers.sum(axis=1, keepdims=True), experts)


def first_axis_gone(logits, experts):
    return (softmax(logits, 1)[:, :, None] * experts).sum(axis=0)


def one_softmax_for_all(logits, experts):
    powers = np.exp(logits - logits.max())
    return mixed(powers / powers.sum(), experts)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda g, f: mixed(softmax(g, 0), f), "the wrong axis"),
        (lambda g, f: mixed(g, f), "a softmax is missing"),
        (lambda g, f: mixed(np.exp(g), f), "sum of the experts"),
        (first_axis_gone, "leaves [B, H]"),
        (one_softmax_for_all, "A row alone"),
        (naive_softmax, "exp(1000) is infinite"),
        (
            lambda g, f: mixed(softmax(g, 1)[:, ::-1], f),
            "weight e meets expert e",
        ),
    ],
)
def test_wrong_gated_sums(answer, hint):
    result = judge("10.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def shared_out(powers, axis=1):
    return powers / powers.sum(axis=axis, keepdims=True)


def through_logarithms(weights, temperature):
    logits = np.log(np.maximum(weights, 1e-9)) / temperature
    return softmax(logits, 1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda g, t: g ** (1 / t), "no longer sum to 1"),
        (lambda g, t: shared_out(g**t), "Upside down"),
        (lambda g, t: softmax(g / t, 1), "takes the weights for logits"),
        (lambda g, t: shared_out(g ** (1 / t), 0), "sums over the batch"),
        (lambda g, t: shared_out(g ** (1 / t)), "0 / 0 is NaN"),
        (through_logarithms, "must stay 0"),
        (lambda g, t: g.mean(axis=0), "the shape must stay"),
    ],
)
def test_wrong_temperatures(answer, hint):
    result = judge("10.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def entropy(shares):
    used = shares[shares > 0]
    return -(used * np.log(used)).sum()


def use(evenness, idle=lambda mean: np.flatnonzero(mean < 0.1 / len(mean))):
    return lambda gates: (evenness(gates), list(idle(gates.mean(axis=0))))


def normalised(gates):
    return entropy(gates.mean(axis=0)) / np.log(gates.shape[1])


def mean_of_entropies(gates):
    return np.mean([entropy(g) for g in gates]) / np.log(gates.shape[1])


def zero_times_infinity(gates):
    mean = gates.mean(axis=0)
    return -(mean * np.log(mean)).sum() / np.log(len(mean))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (use(mean_of_entropies), "have not collapsed"),
        (use(lambda g: entropy(g.mean(axis=0))), "divide the entropy"),
        (use(lambda g: -normalised(g)), "The sign is wrong"),
        (use(zero_times_infinity), "0 times log 0"),
        (use(lambda g: g.max(axis=1)), "one number for all rows"),
        (
            use(normalised, lambda m: [m.argmax()] if m.max() > 0.9 else []),
            "does everything here",
        ),
        (use(normalised, lambda m: np.flatnonzero(m < 0.1)), "only number 1"),
        (normalised, "Return two things"),
    ],
)
def test_wrong_evenness(answer, hint):
    result = judge("10.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
