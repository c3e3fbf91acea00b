"""What notebooks use: set-up, figures, controls, checks, quizzes, doctor."""

from mtlrec_utils.classroom import plots
from mtlrec_utils.classroom.check import CheckFailed, check, hint, solution
from mtlrec_utils.classroom.doctor import doctor
from mtlrec_utils.classroom.folders import course_folder
from mtlrec_utils.classroom.plots import show
from mtlrec_utils.classroom.quiz import answer, quiz, resolve
from mtlrec_utils.classroom.setup import at_speed, setup, speed
from mtlrec_utils.classroom.source import say, show_source
from mtlrec_utils.classroom.widgets import dial

__all__ = [
    "CheckFailed",
    "answer",
    "at_speed",
    "check",
    "course_folder",
    "dial",
    "doctor",
    "hint",
    "plots",
    "quiz",
    "resolve",
    "say",
    "setup",
    "show",
    "show_source",
    "solution",
    "speed",
]
