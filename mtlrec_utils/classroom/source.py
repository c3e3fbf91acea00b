"""Show code and sentences that come from the running package."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtlrec_utils.classroom.display import emit
from mtlrec_utils.folders import PACKAGE


def say(text: str) -> None:
    """Display ``text`` as Markdown, for sentences with computed numbers.

    ``say(f"Clicks are **{rate:.1%}** of the rows.")`` keeps a number in the
    prose equal to the variable it came from.
    """
    text = textwrap.dedent(text).strip()
    emit(text, markdown=text)


def show_source(
    function: Callable[..., Any] | type, *, docstrings: bool = False
) -> None:
    """Display the source code of a function or class of the package.

    Docstrings are left out unless ``docstrings`` is true: ``help(function)``
    shows them.

    Raises:
        ValueError: the source of ``function`` cannot be read.
    """
    code = source_of(function, docstrings=docstrings)
    place = _place(function)
    emit(
        f"# {place}\n{code}" if place else code,
        markdown=(f"`{place}`\n\n" if place else "") + fenced(code),
    )


def source_of(
    function: Callable[..., Any] | type, *, docstrings: bool = True
) -> str:
    """Return the source code of ``function``, without outer indentation.

    Raises:
        ValueError: ``function`` was not written in Python, or its source is
            not at hand.
    """
    try:
        code = inspect.getsource(inspect.unwrap(function))
    except (TypeError, OSError) as error:
        raise ValueError(
            f"The source of {function!r} cannot be shown: it needs a function "
            "or a class that was written in Python."
        ) from error
    code = textwrap.dedent(code).rstrip()
    return code if docstrings else without_docstrings(code)


def without_docstrings(code: str) -> str:
    """Return ``code`` without the docstrings of its functions and classes."""
    lines = code.splitlines()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    documented = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, kinds) and ast.get_docstring(node) is not None
    ]
    # From the bottom up, so that earlier line numbers stay right.
    for node in sorted(documented, key=lambda node: -node.lineno):
        text = node.body[0]
        first, last = text.lineno - 1, text.end_lineno or text.lineno
        if lines[first][: text.col_offset].strip():
            continue  # on the line of the `def`: leave such a one-liner
        if last < len(lines) and not lines[last].strip():
            last += 1
        only_docstring = len(node.body) == 1
        indent = " " * text.col_offset
        lines[first:last] = [f"{indent}..."] if only_docstring else []
    return "\n".join(lines)


def fenced(code: str) -> str:
    """Return ``code`` as a Markdown code block, whatever it contains."""
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}python\n{code}\n{fence}"


def _place(function: Any) -> str:
    """Return the file of ``function`` inside the package, '' if elsewhere."""
    file = inspect.getsourcefile(inspect.unwrap(function))
    if file is None:
        return ""
    path = Path(file).resolve()
    if not path.is_relative_to(PACKAGE):
        return ""
    return path.relative_to(PACKAGE.parent).as_posix()
