"""Quizzes: the rules of their files, answers, predictions, stored form."""

import importlib
import re

import pytest

module = importlib.import_module("mtlrec_utils.classroom.quiz")

GOOD = """
[[question]]
id = "98.q1"
question = "What does a `mask` do?"
[[question.choice]]
text = "It hides rows without a label."
correct = true
reason = "Rows without a label have weight zero."
[[question.choice]]
text = "It hides users."
reason = "It belongs to rows, not to users."
[[question.choice]]
text = "Nothing < at all."
reason = "Without it, a missing label becomes NaN."
"""


@pytest.fixture(autouse=True)
def quizzes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FOLDER", tmp_path)

    def write(text):
        (tmp_path / "98.toml").write_text(text)

    write(GOOD)
    return write


def test_load():
    (question,) = module.load_questions("98")
    assert question.id == "98.q1"
    assert [choice.letter for choice in question.choices] == ["a", "b", "c"]
    assert question.choice(" A ").correct
    assert not question.choice("b").correct


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("correct = true", "correct = false", "0 correct choices"),
        (
            'text = "It hides users."',
            'text = "x"\ncorrect = true',
            "2 correct",
        ),
        (
            'reason = "It belongs to rows, not to users."',
            "",
            "without a reason",
        ),
        (
            "It belongs to rows, not to users.",
            "Rows without a label have weight zero.",
            "a reason twice",
        ),
        ("It hides users.", "It hides rows without a label.", "choice twice"),
        ('id = "98.q1"', 'id = "97.q1"', "should begin with '98.q'"),
    ],
)
def test_faulty_files_are_refused(quizzes, old, new, message):
    assert old in GOOD
    quizzes(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        module.load_questions("98")


def test_too_few_choices_and_twice_the_same_id(quizzes):
    quizzes(GOOD[: GOOD.rindex("[[question.choice]]")])
    with pytest.raises(ValueError, match="fewer than three"):
        module.load_questions("98")
    quizzes(GOOD + GOOD)
    with pytest.raises(ValueError, match="id appears twice"):
        module.load_questions("98")


def test_answer_gives_the_reason_of_the_choice(capsys):
    module.answer("98.q1", "b")
    module.answer("98.q1", "a")
    assert capsys.readouterr().out.splitlines() == [
        "Choice b is not right. It belongs to rows, not to users.",
        "Choice a is right. Rows without a label have weight zero.",
    ]


def test_wrong_names_are_told():
    with pytest.raises(ValueError, match="choices a, b, c, not 'd'"):
        module.answer("98.q1", "d")
    with pytest.raises(ValueError, match=r"answer\('98.q1', 'a'\)"):
        module.answer("98", "a")
    with pytest.raises(ValueError, match=r"no question '98.q7'.*98.q1"):
        module.answer("98.q7", "a")
    with pytest.raises(ValueError, match="no quiz '97'.*98"):
        module.quiz("97")


def test_quiz_without_a_kernel_is_plain_text(capsys):
    module.quiz("98")
    out = capsys.readouterr().out
    assert "a. It hides rows without a label." in out
    assert 'answer("98.q1", "a")' in out


def test_the_stored_form_folds_each_reason_in():
    (question,) = module.load_questions("98")
    html = module._static(question)
    assert html.count("<details>") == html.count("</details>") == 3
    assert "Nothing &lt; at all." in html
    for choice in question.choices:
        assert choice.reason in html


def test_the_form_shows_the_reason_of_the_chosen_letter():
    (question,) = module.load_questions("98")
    asked, letters, button, feedback = module._form(question).children
    assert "It hides users." in asked.value
    button.click()
    assert "Choose one of the letters first." in feedback.value
    letters.value = "c"
    button.click()
    assert "Choice c is not right." in feedback.value
    assert "becomes NaN" in feedback.value
    letters.value = "a"
    button.click()
    assert "Choice a is right." in feedback.value


def test_right_and_wrong_look_different():
    (question,) = module.load_questions("98")
    right, wrong = (
        re.search(r"background:(#\w+)", module._verdict(choice))[1]
        for choice in question.choices[:2]
    )
    assert right != wrong


@pytest.mark.parametrize(
    ("prediction", "said"),
    [
        ("b", 'Predicted "b", and so it is. Because.'),
        (" B ", 'Predicted "b", and so it is. Because.'),
        ("a", 'Predicted "a"; the run says "b". Because.'),
        (..., 'The run says "b". Because. (No prediction was written down.)'),
        (None, 'The run says "b". Because. (No prediction was written down.)'),
    ],
)
def test_resolve(prediction, said, capsys):
    module.resolve("98", prediction, truth="b", reason="Because.")
    out = capsys.readouterr().out.strip()
    assert out == f"Prediction of lesson 98. {said}"


def test_every_quiz_of_the_course(monkeypatch):
    monkeypatch.undo()
    for lesson in module.quiz_lessons():
        questions = module.load_questions(lesson)
        assert len(questions) >= 3, lesson
        right = {c.letter for q in questions for c in q.choices if c.correct}
        assert len(right) > 1, f"lesson {lesson}: always the same letter"
