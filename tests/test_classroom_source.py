"""Source code and sentences shown from the running package."""

import pytest

from mtlrec_utils.classroom import source
from mtlrec_utils.classroom.setup import at_speed


@pytest.fixture
def emitted(monkeypatch):
    outputs = []
    monkeypatch.setattr(
        source, "emit", lambda text, **forms: outputs.append((text, forms))
    )
    return outputs


def test_say_shows_markdown_and_plain_text(emitted):
    rate = 0.1234
    source.say(
        f"""
        Clicks are **{rate:.1%}**
        of the rows.
        """
    )
    text = "Clicks are **12.3%**\nof the rows."
    assert emitted == [(text, {"markdown": text})]


def test_show_source_names_the_file_and_leaves_docstrings_out(emitted):
    source.show_source(at_speed)
    text, forms = emitted[0]
    assert text.startswith("# mtlrec_utils/classroom/setup.py\ndef at_speed(")
    assert forms["markdown"].startswith(
        "`mtlrec_utils/classroom/setup.py`\n\n```python\ndef at_speed("
    )
    assert forms["markdown"].endswith("\n```")
    assert at_speed.__doc__.strip() not in text
    source.show_source(at_speed, docstrings=True)
    assert at_speed.__doc__.strip() in emitted[1][0]


def test_a_function_from_elsewhere_shows_no_path(emitted):
    def local():
        return 1

    source.show_source(local)
    assert emitted[0][0] == "def local():\n    return 1"


def test_without_docstrings_keeps_everything_else():
    code = '''
class Gate:
    """Two
    lines."""

    size = 3

    def call(self):
        """One."""
        return "not a docstring"

    def empty(self):
        """Only this."""
'''.strip()
    assert source.without_docstrings(code) == (
        "class Gate:\n"
        "    size = 3\n\n"
        "    def call(self):\n"
        '        return "not a docstring"\n\n'
        "    def empty(self):\n"
        "        ..."
    )


def test_what_is_shown_still_runs():
    scope = {"speed": lambda: "fast", "Value": object}
    exec(source.source_of(at_speed, docstrings=False), scope)
    assert scope["at_speed"](fast=1, full=2) == 1


def test_a_builtin_is_refused():
    with pytest.raises(ValueError, match="written in Python"):
        source.show_source(len)


def test_a_fence_inside_the_code_does_not_end_the_block():
    assert source.fenced('"```"').startswith("````python\n")
