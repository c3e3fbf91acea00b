"""Rich outputs that degrade to plain text.

Every output of the classroom carries a ``text/plain`` twin, so that a
terminal, a screen reader and a stored notebook all show something sensible.
"""

from __future__ import annotations

import html
import re
from typing import Any

from IPython.display import display

#: Background and border of a message box, by the tone of the message.  Both
#: are set together with a text colour: a box reads the same in a dark theme.
_BOX_COLOURS = {
    "good": ("#e8f5ef", "#20705f"),
    "try_again": ("#fdf1e3", "#a85b00"),
    "wait": ("#eef1f5", "#5a6472"),
}


class Output:
    """One thing to display: MIME type -> text, and a plain-text twin."""

    def __init__(self, text: str, **forms: str) -> None:
        self._text = text
        self._forms = {
            f"text/{kind}": value for kind, value in forms.items() if value
        }

    def __repr__(self) -> str:
        return self._text

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]:
        return {"text/plain": self._text, **self._forms}


def emit(text: str, **forms: str) -> None:
    """Display ``forms`` (``html=``, ``markdown=``) with ``text`` as twin."""
    display(Output(text, **forms))


def emit_bundle(bundle: dict[str, Any]) -> None:
    """Display a complete MIME bundle; plain text outside IPython."""

    class Bundle:
        def __repr__(self) -> str:
            return str(bundle["text/plain"])

        def _repr_mimebundle_(
            self, include: object = None, exclude: object = None
        ) -> dict[str, Any]:
            return bundle

    display(Bundle())


def box(tone: str, headline: str, body: str = "") -> str:
    """Return a coloured message box as HTML.

    ``tone`` is "good", "try_again" or "wait"; ``headline`` is plain text and
    ``body`` is HTML.
    """
    background, colour = _BOX_COLOURS[tone]
    style = (
        f"background:{background};color:#1c1c1c;"
        f"border-left:5px solid {colour};padding:8px 12px;margin:4px 0"
    )
    separator = " " if body else ""
    return (
        f'<div role="status" style="{style}"><strong style="color:#1c1c1c">'
        f"{html.escape(headline)}</strong>{separator}{body}</div>"
    )


def to_html(text: str) -> str:
    """Escape ``text`` for HTML; `back-quoted` parts become code."""
    return re.sub(
        r"`([^`]+)`",
        r'<code style="color:inherit;background:transparent;padding:0">'
        r"\1</code>",
        html.escape(text),
    )
