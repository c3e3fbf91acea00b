"""From a function in a notebook to a file that can be graded, and a page."""

from __future__ import annotations

import ast
import builtins
import dis
import html
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtlrec_utils.whole_file import whole_file

NAME = re.compile(r"[A-Za-z0-9_-]+")
FUNCTION = "recommender"


def hand_in(
    recommender: Callable[..., Any],
    name: str,
    folder: str | Path = ".",
) -> Path:
    """Write the source of a recommender into ``folder/name.py``.

    The function must stand on its own: what it uses is imported or defined
    inside it.

    Args:
        recommender: a function of two logs, named ``recommender``.
        name: of the file: letters, digits, "_" and "-".
        folder: where to put it.

    Returns:
        The file.

    Raises:
        ValueError: a name that is no file's name, a function with another
            name or without a readable source, or one that uses names from
            outside it.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"name={name!r}: use letters, digits, '_' and '-' only."
        )
    try:
        source = textwrap.dedent(inspect.getsource(recommender))
    except (OSError, TypeError) as error:
        raise ValueError(
            "The source of this recommender cannot be read; define it with "
            "'def' in a cell of the notebook, and run the cell."
        ) from error
    tree = ast.parse(source)
    defined = tree.body[0]
    if not isinstance(defined, ast.FunctionDef) or defined.name != FUNCTION:
        raise ValueError("Name the function 'recommender': def recommender(")
    outside = sorted(_outside_names(recommender))
    if outside:
        raise ValueError(
            f"recommender uses {', '.join(map(repr, outside))} from outside "
            "it. Import or define them inside the function."
        )
    file = Path(folder) / f"{name}.py"
    with whole_file(file) as part:
        part.write_text(source, "utf-8")
    return file


def _outside_names(function: Callable[..., Any]) -> set[str]:
    """Names that a function, or one inside it, looks up in its module."""
    found: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [c for c in code.co_consts if inspect.iscode(c)]
        found |= {
            instruction.argval
            for instruction in dis.get_instructions(code)
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        }
    return {name for name in found if not hasattr(builtins, name)}


def completion_page(
    name: str, points: Mapping[str, float], truth: Mapping[str, float]
) -> str:
    """Return a page to print: whose recommender reached what.

    Args:
        name: of the learner or the file.
        points: part -> points, with "total".
        truth: arm -> points per visit, as in ``Grade.truth``.
    """
    rows = "".join(
        f"<tr><td>{html.escape(part)}</td><td>{value:.0f}</td></tr>"
        for part, value in points.items()
    )
    arms = "".join(
        f"<tr><td>{html.escape(arm)}</td><td>{value:.2f}</td></tr>"
        for arm, value in truth.items()
    )
    return PAGE.format(name=html.escape(name), rows=rows, arms=arms)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<title>One Model, Many Goals: {name}</title>
<style>
body {{ font: 16px/1.5 Georgia, serif; max-width: 40em; margin: 3em auto;
color: #111; background: #fff; }}
h1 {{ font-weight: normal; }}
table {{ border-collapse: collapse; margin: 1em 0; }}
td {{ border-bottom: 1px solid #999; padding: .2em 2em .2em 0; }}
td + td {{ text-align: right; }}
@media print {{ body {{ margin: 0; }} }}
</style></head><body>
<h1>One Model, Many Goals</h1>
<p><strong>{name}</strong> built a recommender for two shops and three
tasks. It was tried on visitors whose true answers are known.</p>
<table><caption>Points</caption>{rows}</table>
<table><caption>True points per visit</caption>{arms}</table>
</body></html>
"""
