"""Exercises of lesson 11: stub, wrong answers, solution; and its figures."""

import numpy as np
import pandas as pd
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom import pattern_figures
from mtlrec_utils.classroom.check import judge

NAMES = {"11.1": "cross_stitch", "11.2": "readers", "11.3": "name_models"}


@pytest.mark.parametrize("exercise", NAMES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written_solution(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", NAMES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def rescaled(hidden, mixing):
    shares = mixing / mixing.sum(axis=1, keepdims=True)
    return np.einsum("ts,sbh->tbh", shares, hidden)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda h, a: np.einsum("st,sbh->tbh", a, h), "swapped"),
        (lambda h, a: np.einsum("ts,sbh->bh", a, h), "shape"),
        (lambda h, a: h.sum(axis=0) + 0 * h, "With the identity"),
        (rescaled, "rescaled to sum 1"),
        (lambda h, a: np.einsum("ts,sbh->tbh", a**2, h), "is not right"),
    ],
)
def test_wrong_stitches(answer, hint):
    result = judge("11.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def blocks(n_tasks, own, shared, private):
    return np.hstack([private, np.ones((n_tasks, shared), bool)])


def in_turns(n_tasks, own, shared):
    private = np.tile(np.eye(n_tasks, dtype=bool), own)
    return blocks(n_tasks, own, shared, private)


def of_the_others(n_tasks, own, shared):
    private = ~np.repeat(np.eye(n_tasks, dtype=bool), own, axis=1)
    return blocks(n_tasks, own, shared, private)


def shared_first(n_tasks, own, shared):
    return written_solution("11.2")(n_tasks, own, shared)[:, ::-1]


def at_least_one(n_tasks, own, shared):
    return written_solution("11.2")(n_tasks, max(own, 1), shared)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda t, o, s: np.ones((t, t * o + s)), "that is MMoE"),
        (lambda t, o, s: np.ones((t, o + s)), "the shape is (2, 7)"),
        (in_turns, "`np.repeat`, not `np.tile`"),
        (of_the_others, "the *other* one"),
        (shared_first, "come last"),
        (at_least_one, "own=0"),
    ],
)
def test_wrong_readers(answer, hint):
    result = judge("11.2", answer)
    assert result.state == "not yet"
    assert hint in result.message


def by_the_sum(changes):
    total = changes.sum(axis=1)
    seesaw = (changes.min(axis=1) < 0) & (changes.max(axis=1) > 0)
    words = np.where(total < 0, "better", np.where(total > 0, "worse", "same"))
    far = seesaw & (np.abs(total) < 1)
    return list(np.where(far, "seesaw", words))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda c: written_solution("11.3")(-c), "swapped"),
        (lambda c: ["seesaw"] * len(c), "are called 'seesaw'"),
        (lambda c: ["better"], "words; there are 1"),
        (by_the_sum, "do not add tasks up"),
    ],
)
def test_wrong_names(answer, hint):
    result = judge("11.3", answer)
    assert result.state == "not yet"
    assert hint in result.message


def table():
    """Two models and a sweep in two worlds, with known changes."""
    rows = []
    for model, weight, click, minutes in [
        ("single_task", 1.0, "0.5 0.6", "20 22"),
        ("shared_bottom", 1.0, "0.4 0.5", "19 23"),
        ("shared_bottom", 3.0, "0.6 0.7", "18 20"),
        ("cgc", 1.0, "0.45 0.4", "21 21"),
    ]:
        for task, scores in (("click", click), ("watch_minutes", minutes)):
            rows.append(
                {
                    "task_correlation": 0.0,
                    "task": task,
                    "model": model,
                    "weight": weight,
                    "scores": scores,
                }
            )
    return pd.DataFrame(rows)


def test_the_seesaw_counts_trainings_with_one_end_up():
    """Of four dots, one each of both models helps one task only."""
    figure, alt = pattern_figures.seesaw_figure(table(), 0.0)
    assert "2 of 4 dots" in alt
    assert figure.axes[0].get_title().endswith("2 of 4 trainings")


def test_two_models_are_compared_world_by_world():
    found = pattern_figures.against(table(), 0.0, "cgc", "shared_bottom")
    assert found.loc["click", "difference"] == pytest.approx(-0.025)
    assert found.loc["watch_minutes", "difference"] == pytest.approx(0.0)
    assert set(found["verdict"]) == {"cannot tell"}


def test_a_model_beats_a_weight_that_it_equals_in_one_task_and_betters():
    rows = table()
    cgc = rows["model"] == "cgc"
    click = rows["task"] == "click"
    # Against weight 3 better in clicks and level in minutes; against weight 1
    # worse in clicks, and of its minutes two worlds cannot tell.
    rows.loc[cgc & click, "scores"] = "0.5 0.601"
    rows.loc[cgc & ~click, "scores"] = "18 20"
    found = pattern_figures.beside_the_sweep(rows, "cgc")
    assert found == {"beats": [3.0], "beaten by": [1.0]}
    rows.loc[cgc & click, "scores"] = "0.7 0.801"
    found = pattern_figures.beside_the_sweep(rows, "cgc")
    assert found == {"beats": [], "beaten by": [1.0, 3.0]}


def test_the_diagram_says_who_reads_whom():
    _, alt = pattern_figures.pattern_figure()
    assert "one expert of its own and two shared" in alt
