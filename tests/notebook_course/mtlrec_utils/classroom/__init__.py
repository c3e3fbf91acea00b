"""The names that notebooks call, doing as little as they can."""

import os

from IPython.display import HTML, Markdown, display

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)


def setup():
    """Say where the notebook runs."""
    print(f"fast mode: {os.environ.get('MTLREC_SPEED') == 'fast'}")


def show(alt):
    """Show a figure of one pixel."""
    source = f"data:image/png;base64,{PIXEL}"
    display(HTML(f'<img alt="{alt}" src="{source}">'))


def say(text):
    """Show a sentence."""
    display(Markdown(text))


def dial(alt):
    """Show a control with its static picture."""
    view = {"version_major": 2, "version_minor": 0, "model_id": "abc"}
    html = f'<img alt="{alt}" src="data:image/png;base64,{PIXEL}">'
    display(
        {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": html,
            "text/plain": "a dial",
        },
        raw=True,
    )


def show_source(function):
    """Show where a function stands."""
    print(function.__name__)


def quiz(lesson):
    """Ask."""
    print("quiz", lesson)


def resolve(lesson, prediction, *, truth, reason):
    """Compare a prediction with what happened."""
    print(f"the run says {truth}: {reason}")


def check(exercise, answer):
    """Accept a function that doubles."""
    try:
        state = "correct" if answer(3) == 6 else "not yet"
    except NotImplementedError:
        state = "not attempted yet"
    print(f"Exercise {exercise}: {state}.")
    if os.environ.get("MTLREC_CHECK") == "strict" and state != "correct":
        raise AssertionError(f"Exercise {exercise}: {state}.")
