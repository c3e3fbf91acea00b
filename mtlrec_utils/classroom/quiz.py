"""Multiple-choice questions with a reason for every choice."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets

from mtlrec_utils.classroom.display import box, emit, emit_bundle, to_html
from mtlrec_utils.classroom.widgets import widget_bundle

_FOLDER = Path(__file__).parent / "quizzes"

FEWEST_CHOICES = 3


@dataclass(frozen=True)
class Choice:
    """One choice of a question, and why it is right or wrong."""

    letter: str
    text: str
    correct: bool
    reason: str


@dataclass(frozen=True)
class Question:
    """A question with its choices, exactly one of which is correct."""

    id: str
    text: str
    choices: tuple[Choice, ...]

    def choice(self, letter: str) -> Choice:
        """Return the choice ``letter``; ValueError if there is none."""
        for choice in self.choices:
            if choice.letter == str(letter).strip().lower():
                return choice
        letters = ", ".join(choice.letter for choice in self.choices)
        raise ValueError(
            f"Question {self.id} has the choices {letters}, not {letter!r}."
        )


def quiz_lessons() -> list[str]:
    """Return the lessons that have a quiz: ["00", "09", ...]."""
    return sorted(path.stem for path in _FOLDER.glob("[0-9][0-9].toml"))


def load_questions(lesson: str) -> tuple[Question, ...]:
    """Read the questions of a lesson from ``quizzes/NN.toml``.

    Raises:
        ValueError: the lesson has no quiz, or a question breaks a rule: at
            least three choices, exactly one correct, a different reason for
            each.
    """
    path = _FOLDER / f"{lesson}.toml"
    if not path.is_file():
        known = ", ".join(quiz_lessons()) or "none yet"
        raise ValueError(
            f"There is no quiz {lesson!r}. Lessons with a quiz: {known}."
        )
    content = tomllib.loads(path.read_text("utf-8"))
    questions = tuple(_question(item) for item in content["question"])
    ids = [question.id for question in questions]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{path.name}: a question id appears twice: {ids}.")
    strangers = [i for i in ids if not i.startswith(f"{lesson}.q")]
    if strangers:
        raise ValueError(
            f"{path.name}: the id {strangers[0]!r} should begin with "
            f"'{lesson}.q'."
        )
    return questions


def quiz(quiz_id: str) -> None:
    """Display a lesson's questions ("09") or one of them ("09.q2").

    Choosing and pressing "Check" shows the reason for the choice.

    Raises:
        ValueError: there is no such quiz or question.
    """
    for question in _find(quiz_id):
        emit_bundle(
            widget_bundle(
                partial(_form, question),
                html=_static(question),
                text=_plain(question),
            )
        )


def answer(question_id: str, letter: str) -> None:
    """Display whether choice ``letter`` of a question is right, and why.

    The way to answer where buttons do not work: ``answer("09.q1", "b")``.

    Raises:
        ValueError: there is no such question or choice.
    """
    questions = _find(question_id)
    if "." not in question_id:
        first = questions[0].id
        raise ValueError(
            f"Name one question, as in answer({first!r}, 'a'), not the "
            f"lesson {question_id!r}."
        )
    choice = questions[0].choice(letter)
    headline = _headline(choice)
    emit(f"{headline} {choice.reason}", html=_verdict(choice))


def resolve(lesson: str, prediction: Any, *, truth: str, reason: str) -> None:
    """Display how the prediction made before the run turned out.

    Args:
        lesson: the lesson's number, "09".
        prediction: the letter or word the learner wrote down; None or ``...``
            when nothing was.
        truth: the letter or word that the run showed to be right.
        reason: why, in a sentence; numbers come from variables.
    """
    if prediction is None or prediction is ...:
        tone, headline = "wait", f'The run says "{truth}".'
        reason = f"{reason} (No prediction was written down.)"
    elif str(prediction).strip().lower() == truth.lower():
        tone, headline = "good", f'Predicted "{truth}", and so it is.'
    else:
        tone = "try_again"
        headline = f'Predicted "{prediction}"; the run says "{truth}".'
    text = f"Prediction of lesson {lesson}. {headline}"
    emit(f"{text} {reason}", html=box(tone, text, to_html(reason)))


def _find(quiz_id: str) -> tuple[Question, ...]:
    lesson = str(quiz_id).partition(".")[0]
    questions = load_questions(lesson)
    if quiz_id == lesson:
        return questions
    chosen = tuple(q for q in questions if q.id == quiz_id)
    if not chosen:
        known = ", ".join(question.id for question in questions)
        raise ValueError(
            f"There is no question {quiz_id!r}. Questions: {known}."
        )
    return chosen


def _question(item: dict[str, Any]) -> Question:
    name = item.get("id", "without id")
    choices = tuple(
        Choice(
            letter,
            str(choice["text"]).strip(),
            bool(choice.get("correct", False)),
            " ".join(str(choice.get("reason", "")).split()),
        )
        for letter, choice in zip(
            string.ascii_lowercase, item.get("choice", []), strict=False
        )
    )
    _require(len(choices) >= FEWEST_CHOICES, name, "fewer than three choices")
    right = sum(choice.correct for choice in choices)
    _require(right == 1, name, f"{right} correct choices instead of one")
    reasons = [choice.reason for choice in choices]
    _require(all(reasons), name, "a choice without a reason")
    _require(len(set(reasons)) == len(reasons), name, "a reason twice")
    texts = [choice.text for choice in choices]
    _require(len(set(texts)) == len(texts), name, "a choice twice")
    return Question(name, " ".join(item["question"].split()), choices)


def _require(holds: bool, name: str, fault: str) -> None:
    if not holds:
        raise ValueError(f"Quiz question {name!r} has {fault}.")


def _headline(choice: Choice) -> str:
    verdict = "right" if choice.correct else "not right"
    return f"Choice {choice.letter} is {verdict}."


def _verdict(choice: Choice) -> str:
    tone = "good" if choice.correct else "try_again"
    return box(tone, _headline(choice), to_html(choice.reason))


def _asked(question: Question) -> str:
    items = "".join(f"<li>{to_html(c.text)}</li>" for c in question.choices)
    return (
        f"<p><strong>{to_html(question.text)}</strong></p>"
        f'<ol type="a">{items}</ol>'
    )


def _form(question: Question) -> ipywidgets.Widget:
    """Return the question as a widget: radio buttons and "Check"."""
    letters = ipywidgets.RadioButtons(
        options=[choice.letter for choice in question.choices],
        value=None,
        description="Choice:",
        layout=ipywidgets.Layout(width="auto"),
    )
    button = ipywidgets.Button(
        description="Check", layout=ipywidgets.Layout(width="90px")
    )
    feedback = ipywidgets.HTML()
    button.on_click(_answerer(question, letters, feedback))
    return ipywidgets.VBox(
        [ipywidgets.HTML(_asked(question)), letters, button, feedback]
    )


def _answerer(
    question: Question,
    letters: ipywidgets.RadioButtons,
    feedback: ipywidgets.HTML,
) -> Callable[[Any], None]:
    def show_reason(_: Any) -> None:
        if letters.value is None:
            feedback.value = box("wait", "Choose one of the letters first.")
        else:
            feedback.value = _verdict(question.choice(letters.value))

    return show_reason


def _static(question: Question) -> str:
    """Return the question for a page without widgets: reasons folded in."""
    folded = "".join(
        f"<details><summary>{choice.letter}. {to_html(choice.text)}"
        f"</summary>{_verdict(choice)}</details>"
        for choice in question.choices
    )
    return f"<p><strong>{to_html(question.text)}</strong></p>{folded}"


def _plain(question: Question) -> str:
    lines = [f"{choice.letter}. {choice.text}" for choice in question.choices]
    ask = f'To answer: answer("{question.id}", "a")'
    return "\n".join([question.text, *lines, ask])
