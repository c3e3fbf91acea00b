"""Check an exercise's answer, give hints, show the solution."""

from __future__ import annotations

import importlib
import json
import linecache
import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mtlrec_utils.classroom.display import box, emit, to_html
from mtlrec_utils.classroom.source import fenced
from mtlrec_utils.folders import PACKAGE

CORRECT = "correct"
NOT_YET = "not yet"
NOT_ATTEMPTED = "not attempted yet"

_CHECKS = Path(__file__).parent / "checks"
_SOLUTIONS = Path(__file__).parent / "solutions.json"
_TONES = {CORRECT: "good", NOT_YET: "try_again", NOT_ATTEMPTED: "wait"}

Verify = Callable[[Any], None]


class NotYet(Exception):  # noqa: N818 - a verdict, not a fault
    """Raised by a check: the answer is not right yet, and this is why.

    The message names the likely mistake and what to look at.
    """


class CheckFailed(AssertionError):  # noqa: N818 - as NotYet
    """Raised instead of "not yet" when ``MTLREC_CHECK`` is "strict"."""


@dataclass(frozen=True)
class Exercise:
    """An exercise's check: ``verify(answer)`` returns or raises NotYet."""

    id: str
    verify: Verify
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What a check says: one of the three states, and why."""

    state: str
    message: str = ""


_registered: dict[str, Exercise] = {}
_hints_given: dict[str, int] = {}


def exercise(
    exercise_id: str, *, hints: list[str]
) -> Callable[[Verify], Verify]:
    """Register the decorated function as the check of an exercise.

    Args:
        exercise_id: lesson and number, "09.1".
        hints: from the gentlest to the most explicit.

    Raises:
        ValueError: the id is malformed or taken, or there is no hint.
    """
    lesson, _, number = exercise_id.partition(".")
    if not (lesson.isdigit() and len(lesson) == 2 and number.isdigit()):
        raise ValueError(
            f"An exercise id is written like '09.1', not {exercise_id!r}."
        )
    if not hints:
        raise ValueError(f"Exercise {exercise_id} has no hints.")

    def register(verify: Verify) -> Verify:
        known = _registered.get(exercise_id)
        # Reloading a module registers the same function again.
        if known and known.verify.__qualname__ != verify.__qualname__:
            raise ValueError(
                f"Two checks are registered for exercise {exercise_id}: "
                f"{known.verify.__qualname__} and {verify.__qualname__}."
            )
        _registered[exercise_id] = Exercise(exercise_id, verify, tuple(hints))
        return verify

    return register


def exercise_ids() -> list[str]:
    """Return the ids of all exercises of the course, in order."""
    for path in sorted(_CHECKS.glob("lesson_*.py")):
        importlib.import_module(f"mtlrec_utils.classroom.checks.{path.stem}")
    return sorted(_registered, key=lambda name: [*map(int, name.split("."))])


def find(exercise_id: str) -> Exercise:
    """Return the exercise ``exercise_id``.

    Raises:
        ValueError: there is no such exercise; the message lists those there
            are.
    """
    # The number 9.10 would silently be exercise 9.1.
    name = exercise_id if isinstance(exercise_id, str) else ""
    module = f"lesson_{name.partition('.')[0]}"
    if (_CHECKS / f"{module}.py").is_file():
        importlib.import_module(f"mtlrec_utils.classroom.checks.{module}")
    if name not in _registered:
        known = ", ".join(exercise_ids()) or "none yet"
        raise ValueError(
            f"There is no exercise {exercise_id!r}. Exercises: {known}. "
            "Write the id as text, as in check('09.1', answer)."
        )
    return _registered[name]


def judge(exercise_id: str, answer: Any) -> Result:
    """Return what the check says about ``answer``, displaying nothing.

    Raises:
        ValueError: there is no such exercise.
    """
    verify = find(exercise_id).verify
    if _is_empty(answer):
        return Result(NOT_ATTEMPTED)
    try:
        verify(answer)
    except NotYet as reason:
        return Result(NOT_YET, str(reason))
    except Exception as error:
        return _explain(error, verify)
    return Result(CORRECT)


def check(exercise_id: str, answer: Any) -> None:
    """Display whether ``answer`` solves the exercise.

    The result is "correct", "not yet" with a hint at the likely mistake, or
    "not attempted yet" (the answer is None or ``...``, or raises
    NotImplementedError).

    Raises:
        ValueError: there is no such exercise.
        CheckFailed: ``MTLREC_CHECK`` is "strict" and the result is not
            "correct".
    """
    result = judge(exercise_id, answer)
    headline = f"Exercise {exercise_id}: {result.state}."
    emit(
        f"{headline} {result.message}".strip(),
        html=box(_TONES[result.state], headline, to_html(result.message)),
    )
    if os.environ.get("MTLREC_CHECK") == "strict" and result.state != CORRECT:
        raise CheckFailed(f"{headline} {result.message}".strip())


def hint(exercise_id: str) -> None:
    """Display the next hint of the exercise.

    Raises:
        ValueError: there is no such exercise.
    """
    hints = find(exercise_id).hints
    given = _hints_given.get(exercise_id, 0)
    _hints_given[exercise_id] = given + 1
    if given < len(hints):
        headline = f"Hint {given + 1} of {len(hints)}:"
        text = hints[given]
    else:
        headline = "There are no more hints."
        text = f'`solution("{exercise_id}")` shows an answer.'
    emit(f"{headline} {text}", html=box("wait", headline, to_html(text)))


def solution(exercise_id: str) -> None:
    """Display the written solution of the exercise.

    Raises:
        ValueError: there is no such exercise.
    """
    find(exercise_id)
    code = _solutions().get(exercise_id)
    if code is None:
        lesson = exercise_id.partition(".")[0]
        text = (
            "The solutions are not part of this copy of the package. Open the "
            f"notebook of lesson {lesson} in the folder `solutions/`."
        )
        headline = f"Exercise {exercise_id}:"
        emit(f"{headline} {text}", html=box("wait", headline, to_html(text)))
        return
    title = f"One solution of exercise {exercise_id}"
    emit(f"# {title}\n{code}", markdown=f"**{title}**\n\n{fenced(code)}")


def _solutions() -> dict[str, str]:
    """Return the code of all solutions, {} where none were written."""
    if not _SOLUTIONS.is_file():
        return {}
    written: dict[str, str] = json.loads(_SOLUTIONS.read_text("utf-8"))
    return written


def _is_empty(answer: Any) -> bool:
    """Return whether nothing was answered, or only a part."""
    if answer is None or answer is ...:
        return True
    if isinstance(answer, dict):
        answer = tuple(answer.values())
    return isinstance(answer, (tuple, list)) and any(
        part is ... for part in answer
    )


def _explain(error: Exception, verify: Verify) -> Result:
    """Return what to tell about an exception raised while checking."""
    place = _learners_line(error.__traceback__, verify)
    # A stub raises NotImplementedError itself; a library that raises it was
    # called by an answer.
    if isinstance(error, NotImplementedError) and place and place.is_last:
        return Result(NOT_ATTEMPTED)
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if len(what) > 400:
        what = what[:400].rstrip() + " …"
    if place is None:
        return Result(
            NOT_YET,
            f"The check could not use the answer ({what}). Is it of the kind "
            "that the exercise asks for?",
        )
    code = f", `{place.code}`" if place.code else ""
    return Result(
        NOT_YET, f"The code stopped in line {place.line}{code}: {what}"
    )


@dataclass(frozen=True)
class _Place:
    line: int
    code: str
    is_last: bool  # nothing deeper was running


def _learners_line(
    traceback: TracebackType | None, verify: Verify
) -> _Place | None:
    """Return the deepest line of the traceback that a learner wrote."""
    found = None
    while traceback is not None:
        running = traceback.tb_frame.f_code
        file = running.co_filename
        # A teacher may write a check in a notebook; it is no answer either.
        is_check = running is getattr(verify, "__code__", None)
        if not is_check and not _is_library(file):
            code = linecache.getline(file, traceback.tb_lineno).strip()
            found = _Place(
                traceback.tb_lineno, code, traceback.tb_next is None
            )
        traceback = traceback.tb_next
    return found


def _is_library(file: str) -> bool:
    """Return whether ``file`` belongs to Python or to a package."""
    paths = sysconfig.get_paths()
    folders = [PACKAGE, *(Path(p) for k, p in paths.items() if "lib" in k)]
    return file.startswith("<frozen") or any(
        Path(file).is_relative_to(folder) for folder in folders
    )
