"""Imports go one way: the rooms of the house know only what they stand on."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mtlrec_utils"

# room -> the rooms it may import; the classroom stands on top of all
MAY_IMPORT = {
    "data": {"data"},
    "evidence": {"evidence"},
    "models": {"models", "data"},
    "learning": {"learning", "models", "data", "evidence"},
    "serving": {"serving", "learning", "models", "data", "evidence"},
    "capstone": {"capstone", "learning", "models", "data", "evidence"},
}
# Every room may import these; they need the standard library only.
GROUND = {"machine", "whole_file"}
FRAMEWORKS = {"tensorflow", "keras", "keras_rs", "tf_keras", "jax", "torch"}


def imports(source, module, *, at_import_time=False):
    """Dotted names that a module's source imports.

    `from a import b` gives "a" and "a.b", as b may be a module. Relative
    imports are resolved against `module` (a package ends in "__init__").
    """
    found = set()

    def visit(node):
        if at_import_time and isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level]
                base = ".".join([*parents, *filter(None, [base])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return found


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts)


def broken_laws(source, module):
    """Say in words which laws a module breaks."""
    room = module.split(".")[1]
    banned = set()
    if room in ("data", "evidence", "classroom"):
        banned = FRAMEWORKS
    elif room == "models":
        banned = FRAMEWORKS - {"keras", "keras_rs"}  # keras.ops only
    if module.startswith("mtlrec_utils.models.classic"):
        banned = FRAMEWORKS
    broken = []
    for name in imports(source, module):
        parts = name.split(".")
        ours = parts[0] == "mtlrec_utils" and len(parts) > 1
        if ours and parts[1] == "__version__":
            continue
        if not ours or parts[1] in GROUND:
            continue
        if parts[1] not in MAY_IMPORT.get(room, {parts[1]}):
            broken.append(name)
    # The classroom may import a framework late, inside a function.
    late = room == "classroom"
    for name in imports(source, module, at_import_time=late):
        if name.split(".")[0] in banned:
            broken.append(name)
    return [f"{module} imports {name}" for name in sorted(broken)]


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_the_rooms_are_there():
    rooms = {module_of(path).split(".")[1] for path in SOURCES}
    assert {"data", "evidence", "models"} <= rooms


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_go_one_way(path):
    if path.parent == PACKAGE:
        return  # doctor and the like stand outside the rooms
    assert broken_laws(path.read_text("utf-8"), module_of(path)) == []


def test_the_package_itself_imports_nothing():
    source = (PACKAGE / "__init__.py").read_text("utf-8")
    found = imports(source, "mtlrec_utils.__init__")
    outside = {name.split(".")[0] for name in found}
    assert not outside & (FRAMEWORKS | {"mtlrec_utils"})


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mtlrec_utils.data.world", "import mtlrec_utils.evidence.metrics"),
        ("mtlrec_utils.data.world", "from mtlrec_utils import evidence"),
        ("mtlrec_utils.data.world", "from ..evidence import metrics"),
        ("mtlrec_utils.data.real.x", "from ...models import layers"),
        ("mtlrec_utils.data.__init__", "from ..learning import training"),
        ("mtlrec_utils.data.world", "def f():\n import keras"),
        ("mtlrec_utils.evidence.compare", "import mtlrec_utils.data"),
        ("mtlrec_utils.evidence.compare", "from tensorflow import math"),
        ("mtlrec_utils.models.layers", "import tensorflow as tf"),
        ("mtlrec_utils.models.layers", "import mtlrec_utils.learning"),
        ("mtlrec_utils.models.layers", "from ..evidence import metrics"),
        ("mtlrec_utils.models.classic", "import keras"),
        ("mtlrec_utils.models.classic.bases", "import keras"),
        ("mtlrec_utils.learning.training", "from ..classroom import setup"),
        ("mtlrec_utils.classroom.plots", "import keras"),
        ("mtlrec_utils.classroom.plots", "if True:\n import tensorflow"),
    ],
)
def test_a_broken_law_is_seen(module, source):
    assert len(broken_laws(source, module)) >= 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mtlrec_utils.data.world", "from mtlrec_utils.data import schema"),
        ("mtlrec_utils.data.real.x", "from ..columns import SchemaError"),
        ("mtlrec_utils.models.layers", "import keras\nfrom keras import ops"),
        ("mtlrec_utils.models.layers", "from ..data.schema import Schema"),
        ("mtlrec_utils.learning.training", "import tensorflow as tf"),
        ("mtlrec_utils.learning.training", "from ..evidence import compare"),
        ("mtlrec_utils.classroom.setup", "def f():\n import keras"),
        ("mtlrec_utils.classroom.setup", "from ..models import layers"),
    ],
)
def test_an_allowed_import_is_not_blamed(module, source):
    assert broken_laws(source, module) == []


@pytest.mark.parametrize(
    "room",
    [
        "data",
        "evidence",
        "classroom",
        "classroom.log_figures",
        "classroom.recommender_figures",
        "classroom.evaluation_figures",
        "models",
        "models.classic",
        "serving",
        "serving.server",
    ],
)
def test_a_light_room_starts_without_a_framework(room):
    code = (
        f"import sys, mtlrec_utils.{room}; "
        f"print([name for name in {sorted(FRAMEWORKS)} "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_a_model_wins_over_the_module_of_its_name():
    code = (
        "import types, mtlrec_utils.models as models; "
        "models._OFFERED['layers'] += ('multitask',); "
        "models._NAMES.add('multitask'); "
        "import mtlrec_utils.models.layers as layers; "
        "layers.multitask = 'the model'; "
        "import mtlrec_utils.models.multitask; "
        "print(models.multitask)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "the model", result.stderr


@pytest.mark.parametrize("name", sorted(GROUND))
def test_the_ground_needs_the_standard_library_only(name):
    module = f"mtlrec_utils.{name}"
    found = imports((PACKAGE / f"{name}.py").read_text(), module)
    assert {x.split(".")[0] for x in found} <= sys.stdlib_module_names
