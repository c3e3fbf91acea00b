"""Checks of exercises: three states, hints, solutions, strict mode."""

import importlib
import json

import numpy as np
import pytest

# The package offers the function `check` under the same name.
module = importlib.import_module("mtlrec_utils.classroom.check")

# Ids of lessons that no syllabus has, so that real ones are left alone.
ID = "98.1"


@pytest.fixture(autouse=True)
def masked_mean(monkeypatch, tmp_path):
    """Register one exercise: the mean of the values with mask 1."""
    monkeypatch.setattr(module, "_CHECKS", tmp_path)
    monkeypatch.setattr(module, "_registered", {})
    monkeypatch.setattr(module, "_hints_given", {})
    monkeypatch.delenv("MTLREC_CHECK", raising=False)

    @module.exercise(ID, hints=["Think of `mask`.", "Divide by sum(mask)."])
    def verify(answer):
        if answer([1.0, 3.0], [1, 0]) != 1.0:
            raise module.NotYet("The mean runs over all rows.")

    return verify


def right(values, mask):
    return sum(v * m for v, m in zip(values, mask, strict=True)) / sum(mask)


def stub(*_args, **_options):
    raise NotImplementedError("masked_mean")


def wrong(values, mask):
    return sum(values) / len(values)


def broken(values, mask):
    return values / 0


def test_correct():
    assert module.judge(ID, right) == module.Result("correct")


@pytest.mark.parametrize("answer", [stub, None, ..., (right, ...), {"a": ...}])
def test_not_attempted(answer):
    assert module.judge(ID, answer).state == "not attempted yet"


def test_not_yet_names_the_mistake():
    assert module.judge(ID, wrong) == module.Result(
        "not yet", "The mean runs over all rows."
    )


def test_an_exception_is_told_with_its_line_and_without_a_traceback():
    message = module.judge(ID, broken).message
    line = broken.__code__.co_firstlineno + 1
    assert message.startswith(
        f"The code stopped in line {line}, `return values / 0`: TypeError: "
    )


def test_an_exception_in_a_library_is_told_at_the_learners_line():
    def answer(values, mask):
        return np.reshape(values, (3, 5))

    message = module.judge(ID, answer).message
    assert "`return np.reshape(values, (3, 5))`: ValueError" in message


def test_not_implemented_inside_a_library_is_an_attempt(monkeypatch):
    def answer(values, mask):
        return json.JSONEncoder().default(values)  # TypeError, in a library

    def unfinished(self, values):
        raise NotImplementedError

    scope = {}
    exec(
        compile(
            "def default(self, o):\n    raise NotImplementedError('later')",
            json.__file__,
            "exec",
        ),
        scope,
    )
    monkeypatch.setattr(json.JSONEncoder, "default", scope["default"])
    assert module.judge(ID, answer).state == "not yet"
    monkeypatch.setattr(json.JSONEncoder, "default", unfinished)
    assert module.judge(ID, answer).state == "not attempted yet"


def test_an_answer_of_the_wrong_kind():
    result = module.judge(ID, 3.0)
    assert result.state == "not yet"
    assert "could not use the answer (TypeError" in result.message


def test_arrays_are_answers():
    @module.exercise("98.2", hints=["one"])
    def verify(answer):
        if not np.array_equal(answer, [1, 2]):
            raise module.NotYet("other")

    assert module.judge("98.2", np.array([1, 2])).state == "correct"
    assert module.judge("98.2", np.array([1, 3])).state == "not yet"


def test_interrupting_is_not_an_answer():
    def answer(values, mask):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.judge(ID, answer)


def test_check_prints_and_returns_nothing(capsys):
    assert module.check(ID, right) is None
    module.check(ID, wrong)
    module.check(ID, stub)
    assert capsys.readouterr().out.splitlines() == [
        f"Exercise {ID}: correct.",
        f"Exercise {ID}: not yet. The mean runs over all rows.",
        f"Exercise {ID}: not attempted yet.",
    ]


@pytest.mark.parametrize("answer", [wrong, stub, broken])
def test_strict_mode_raises(monkeypatch, answer):
    monkeypatch.setenv("MTLREC_CHECK", "strict")
    with pytest.raises(module.CheckFailed, match=f"Exercise {ID}: not "):
        module.check(ID, answer)
    module.check(ID, right)


def test_unknown_id_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no exercise '98\.7'.*98\.1"):
        module.check("98.7", right)
    with pytest.raises(ValueError, match="Write the id as text"):
        module.check(98.1, right)


def test_hints_come_one_by_one(capsys):
    for _ in range(3):
        module.hint(ID)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Hint 1 of 2: Think of `mask`."
    assert lines[1] == "Hint 2 of 2: Divide by sum(mask)."
    assert lines[2].startswith("There are no more hints.")


def test_solution(tmp_path, monkeypatch, capsys):
    file = tmp_path / "solutions.json"
    monkeypatch.setattr(module, "_SOLUTIONS", file)
    module.solution(ID)
    assert "folder `solutions/`" in capsys.readouterr().out
    file.write_text(json.dumps({ID: "def mean(): ..."}))
    module.solution(ID)
    assert "def mean(): ..." in capsys.readouterr().out
    with pytest.raises(ValueError, match="no exercise"):
        module.solution("98.9")


def test_a_check_is_registered_once(masked_mean):
    module.exercise(ID, hints=["again"])(masked_mean)  # a reloaded module
    with pytest.raises(ValueError, match="Two checks are registered"):
        module.exercise(ID, hints=["x"])(lambda answer: None)
    for faulty in ("9.1", "09", "09.a", "lesson_09.1"):
        with pytest.raises(ValueError, match="written like '09.1'"):
            module.exercise(faulty, hints=["x"])
    with pytest.raises(ValueError, match="no hints"):
        module.exercise("98.3", hints=[])


def test_every_exercise_of_the_course_knows_a_stub_from_an_attempt(
    monkeypatch,
):
    monkeypatch.undo()  # the real exercises
    for exercise_id in module.exercise_ids():
        exercise = module.find(exercise_id)
        assert all(len(hint) > 10 for hint in exercise.hints)
        assert module.judge(exercise_id, stub).state == "not attempted yet"
        assert module.judge(exercise_id, object()).state == "not yet"
