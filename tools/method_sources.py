"""What the code says of each method: docstring, place, length, names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "mtlrec_utils" / "models"
LEARNING = ROOT / "mtlrec_utils" / "learning"
BALANCING = LEARNING / "balancing"
TRANSFER = LEARNING / "transfer"
PATTERNS = (
    "single_task",
    "shared_bottom",
    "l2_constrained",
    "cross_stitch",
    "omoe",
    "mmoe",
    "mmoe_with_position_bias",
    "cgc",
    "ple",
    "esmm",
    "aitm",
)
# Function (or class) -> its name in the tables of mapping between domains.
MAPPINGS = {
    "orthogonal_bridge": "rotation",
    "ridge_bridge": "EMCDR",
    "rating_bridge": "on ratings",
    "described": "personal",
    "CollectiveFactors": "CMF",
    "emcdr_network": "EMCDR, network",
    "personal_network": "PTUPCDR",
    "semi_supervised_network": "SSCDR",
}
# Function or class -> its names in the tables; () if no table has it.
Listed = Mapping[str, tuple[str, ...]]
FINE_TUNING: Listed = {
    "fit": ("scratch",),
    "transfer_weights": ("fine-tuned",),
    "freeze": ("frozen",),
    "L2SP": ("L2-SP",),
    "fit_gradually": (),
}
ALIGNMENT: Listed = {
    "aligned": ("none",),
    "GradientReversal": ("DANN 0.3", "DANN 1"),
    "reversal_schedule": (),
    "coral_loss": ("CORAL",),
    "recoloured": ("recoloured",),
    "mmd_loss": ("MMD",),
    "prior_weights": (),
    "resampled_rows": ("DANN 1, weighted", "DANN 1, true prior", "weighted"),
    "corrected_probabilities": ("corrected",),
    "estimated_prior": (),
}
MANY_DOMAINS: Listed = {
    "pooled_domains": ("pooled", "pooled + id"),
    "separate_domains": ("separate",),
    "shared_bottom_over_domains": (
        "shared bottom",
        "shared bottom, wide",
        "shared bottom, a model per task",
    ),
    "mmoe_over_domains": ("MMoE",),
    "star": ("STAR",),
    "PartitionedNorm": (),
    "epnet": ("EPNet",),
    "ppnet": (),
    "pepnet": ("PEPNet",),
    "PriorGate": (),
    "carry_domains": ("new tower", "new row"),
}
_SECTION = re.compile(
    r"(Args|Raises|Returns|Attributes)(:$| and | are )", re.MULTILINE
)


class Method(NamedTuple):
    """A method: where its code is, and what the code says of itself."""

    name: str
    path: Path
    text: str  # the docstring, without its sections of arguments
    lines: int  # of code

    @property
    def summary(self) -> str:
        """Its first sentence."""
        return self.text.split("\n", 1)[0]


def balancing_methods() -> list[Method]:
    """Read all exported balancing methods, in the order of their modules."""
    tree = ast.parse((BALANCING / "__init__.py").read_text("utf-8"))
    exported = {
        element.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for element in getattr(node.value, "elts", [])
    }
    return [
        method
        for path in sorted(BALANCING.glob("*.py"))
        for method in _methods(path, ast.ClassDef)
        if method.name in exported and not method.name.endswith("Balancing")
    ]


def sharing_patterns() -> list[Method]:
    """Read all sharing patterns."""
    found = {
        method.name: method
        for path in sorted(MODELS.glob("*.py"))
        for method in _methods(path, ast.FunctionDef)
    }
    return [found[name] for name in PATTERNS]


def mappings() -> list[Method]:
    """Read all ways to carry users to another domain."""
    folders = (MODELS / "classic", TRANSFER)
    paths = [p for each in folders for p in sorted(each.glob("*.py"))]
    return _chosen(MAPPINGS, paths)


def fine_tunings() -> list[Method]:
    """Read all ways to go on from a trained model."""
    paths = [LEARNING / "training.py", LEARNING / "anchors.py"]
    names = ("freezing", "fine_tuning", "modules")
    return _chosen(FINE_TUNING, paths + [TRANSFER / f"{n}.py" for n in names])


def alignments() -> list[Method]:
    """Read all ways to make two domains alike."""
    paths = [MODELS / f"domain_{n}.py" for n in ("alignment", "distances")]
    names = ("prior_shift", "recolouring")
    return _chosen(ALIGNMENT, paths + [TRANSFER / f"{n}.py" for n in names])


def domain_models() -> list[Method]:
    """Read all models of many domains."""
    paths = [MODELS / f"{n}.py" for n in ("multidomain", "star", "pepnet")]
    return _chosen(MANY_DOMAINS, [*paths, TRANSFER / "new_domains.py"])


def _chosen(names: Iterable[str], paths: Iterable[Path]) -> list[Method]:
    found = {
        method.name: method
        for path in paths
        for method in _methods(path, (ast.FunctionDef, ast.ClassDef))
    }
    return [found[name] for name in names]


def _methods(path: Path, kind: type | tuple[type, ...]) -> Iterator[Method]:
    source = path.read_text("utf-8")
    module = ast.parse(source)
    for node in module.body:
        if isinstance(node, kind) and ast.get_docstring(node):
            text = _without_sections(ast.get_docstring(node) or "")
            text = _with_source(text, ast.get_docstring(module) or "")
            yield Method(node.name, path, text, _lines_of_code(source, node))


def _with_source(text: str, of_module: str) -> str:
    """Add what the module says if the source is named there only."""
    if "Source:" in text or "Source:" not in of_module:
        return text
    return "\n\n".join([text, *of_module.split("\n\n")[1:]])


def _without_sections(text: str) -> str:
    """Leave out what a docstring says of arguments, results and errors."""
    kept, inside = [], False
    for paragraph in text.split("\n\n"):
        starts = _SECTION.match(paragraph) is not None
        inside = starts or (inside and paragraph.startswith("    "))
        if not inside:
            kept.append(paragraph)
    return "\n\n".join(kept)


def _lines_of_code(source: str, node: ast.stmt) -> int:
    """Count lines that are neither blank, comment nor docstring."""
    skipped: set[int] = set()
    for each in ast.walk(node):
        body = getattr(each, "body", None)
        if isinstance(each, ast.ClassDef | ast.FunctionDef) and isinstance(
            getattr(body[0], "value", None), ast.Constant
        ):
            skipped |= set(range(body[0].lineno, body[0].end_lineno + 1))
    lines = source.splitlines()
    return sum(
        bool(line) and not line.startswith("#")
        for number in range(node.lineno, (node.end_lineno or 0) + 1)
        if number not in skipped
        for line in [lines[number - 1].strip()]
    )


def table_names() -> dict[str, str]:
    """Return class -> its name in the table ``balancing_methods``."""
    path = ROOT / "source" / "evidence" / "balancing_methods.py"
    names = {"Sum": "equal"}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if (
                    isinstance(key, ast.Constant)
                    and isinstance(value, ast.Call)
                    and isinstance(value.func, ast.Attribute)
                ):
                    names[value.func.attr] = str(key.value)
    return names
