"""The checks of the exercises: one module per lesson, `lesson_09.py`.

A check is a function of the answer, registered under the exercise's id::

    @exercise("09.1", hints=["Start from ...", "Write ..."])
    def masked_mean(answer):
        if answer(...) != 2.0:
            raise NotYet("The mean runs over all rows; ...")

It returns when the answer is right and raises ``NotYet`` with a hint that
names the likely mistake.
"""

from mtlrec_utils.classroom.check import NotYet, exercise

__all__ = ["NotYet", "exercise"]
