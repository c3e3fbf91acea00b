"""Assertions that cannot fail prove nothing: find them by reading the code.

What is seen, in ``assert`` statements of code cells:

* constants and tuples: ``assert True``, ``assert (x, "message")``, and an
  expression compared with itself;
* for a quantity whose name tells its chance level (``auc``, ``gauc``: 0.5;
  ``gain``, ``difference``, ``lift``: 0), an interval of literals that
  contains this level: ``abs(auc - 0.7) < 0.2``, ``0.4 < auc < 0.9``,
  ``auc > 0.4``, ``auc == approx(0.7, abs=0.2)``,
  ``isclose(auc, 0.7, atol=0.2)``.

An interval around the chance level itself claims chance (a signal-free
world) and is allowed; so is an upper bound alone.  A bound that is a
variable is not judged here: the mutation tests do that.
"""

from __future__ import annotations

import ast
import re
import warnings

from IPython.core.inputtransformer2 import TransformerManager

CHANCE = (
    (re.compile(r"(?:^|_)g?auc(?:_|$)", re.I), 0.5),
    (re.compile(r"(?:^|_)(?:gain|difference|lift)s?(?:_|$)", re.I), 0.0),
)
TOLERANCES = {"abs", "atol", "abs_tol", "delta"}


def parse(source: str) -> ast.Module | None:
    """Parse a code cell, magics included; None if it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError:
        return None


def weak_assertions(source: str) -> list[str]:
    """Describe each assertion of a code cell that cannot fail."""
    tree = parse(source)
    if tree is None:
        return []
    return [
        f"`{ast.unparse(node)}` {problem}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        for problem in _problems(node.test)
    ]


def _problems(test: ast.expr) -> list[str]:
    if isinstance(test, ast.Constant):
        return ["is about a constant" if test.value else "always fails"]
    if isinstance(test, ast.Tuple):
        return ["is about a tuple, which is always true"]
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return [p for value in test.values for p in _problems(value)]
    if isinstance(test, ast.Compare):
        sides = [test.left, *test.comparators]
        if len({ast.dump(side) for side in sides}) < len(sides):
            return ["compares something with itself"]
    for quantity, low, high in _intervals(test):
        chance = chance_level(quantity)
        if chance is None or (low + high) / 2 == chance:
            continue
        if low < chance < high:
            return [f"also holds at the chance level {chance:g}"]
    return []


def chance_level(quantity: ast.expr) -> float | None:
    """Look up the chance level that the name of a quantity tells."""
    names = []
    for node in ast.walk(quantity):
        if isinstance(node, ast.Name):
            names.append(node.id)
        elif isinstance(node, ast.Attribute):
            names.append(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append(node.value)
    for pattern, level in reversed(CHANCE):
        if any(pattern.search(name) for name in names):
            return level
    return None


def _intervals(test: ast.expr) -> list[tuple[ast.expr, float, float]]:
    """List quantities with the literal interval an assertion allows."""
    if isinstance(test, ast.Call) and _called(test).endswith("close"):
        return _around(test.args, test.keywords)
    if not isinstance(test, ast.Compare):
        return []
    sides = [test.left, *test.comparators]
    if len(sides) == 2 and isinstance(test.ops[0], ast.Eq):
        for quantity, other in (sides, sides[::-1]):
            if isinstance(other, ast.Call) and _called(other) == "approx":
                return _around([quantity, *other.args], other.keywords)
    infinity = float("inf")
    bounds: dict[str, tuple[ast.expr, float, float]] = {}
    for left, operator, right in zip(sides, test.ops, sides[1:], strict=False):
        if isinstance(operator, ast.Gt | ast.GtE):
            left, right = right, left
        elif not isinstance(operator, ast.Lt | ast.LtE):
            continue
        for quantity, number, is_low in (
            (right, _number(left), True),
            (left, _number(right), False),
        ):
            if number is None or _number(quantity) is not None:
                continue
            key = ast.dump(quantity)
            _, low, high = bounds.get(key, (quantity, -infinity, infinity))
            low, high = (number, high) if is_low else (low, number)
            bounds[key] = (quantity, low, high)
    found = []
    for quantity, low, high in bounds.values():
        distance = _distance(quantity)
        if distance is not None and high < infinity:
            centre = distance[1]
            found.append((distance[0], centre - high, centre + high))
        elif low > -infinity and distance is None:
            found.append((quantity, low, high))
    return found


def _around(
    arguments: list[ast.expr], keywords: list[ast.keyword]
) -> list[tuple[ast.expr, float, float]]:
    tolerance = next(
        (_number(k.value) for k in keywords if k.arg in TOLERANCES), None
    )
    if len(arguments) < 2 or tolerance is None:
        return []
    quantity, expected = arguments[:2]
    if _number(quantity) is not None:
        quantity, expected = expected, quantity
    centre = _number(expected)
    if centre is None:
        return []
    return [(quantity, centre - tolerance, centre + tolerance)]


def _distance(node: ast.expr) -> tuple[ast.expr, float] | None:
    """Read ``abs(quantity - number)``."""
    if not (isinstance(node, ast.Call) and _called(node) == "abs"):
        return None
    inside = node.args[0] if node.args else None
    if not isinstance(inside, ast.BinOp) or not isinstance(inside.op, ast.Sub):
        return (inside, 0.0) if inside is not None else None
    left, right = _number(inside.left), _number(inside.right)
    if right is not None:
        return inside.left, right
    if left is not None:
        return inside.right, left
    return None


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _number(node: ast.expr) -> float | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
