"""The committed notebooks are what their sources and the house rules say.

What nbval cannot see.  Every test here also holds for a course with no
lesson at all; ``test_notebook_builder.py`` and ``test_notebook_linter.py``
show on a course in miniature that each can fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("nbgrader", reason="needs the development environment")

from tools.lint_exercises import leaks
from tools.lint_notebooks import lint
from tools.notebook_answers import has_solution
from tools.notebook_build import assemble, rebuild, stored
from tools.notebook_course import ANSWERS, Course, Target
from tools.notebook_drift import differences

COURSE = Course(Path(__file__).resolve().parents[1])
TARGETS = COURSE.targets()
EXERCISES = [target for target in TARGETS if target.folder == "exercises"]


def label(target: Target) -> str:
    return target.label


def test_rebuilding_changes_nothing():
    assert differences(COURSE) == []


def test_house_rules():
    assert [str(finding) for finding in lint(COURSE)] == []


@pytest.mark.parametrize("target", TARGETS, ids=label)
def test_rebuilt_bytes_are_the_committed_ones(target):
    assert rebuild(target) == target.path.read_text("utf-8")


@pytest.mark.parametrize("target", TARGETS, ids=label)
def test_executed_from_first_to_last_cell(target):
    notebook = stored(target)
    assert notebook is not None, "run make notebooks"
    code = [c for c in notebook.cells if c.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    if target.is_executed:
        assert counts == list(range(1, len(code) + 1))
        assert any(cell.outputs for cell in code)
    else:
        assert counts == [None] * len(code)
        assert not any(cell.outputs for cell in code)


@pytest.mark.parametrize("target", EXERCISES, ids=label)
def test_no_answer_in_an_exercise(target):
    notebook = stored(target)
    assert notebook is not None, "run make notebooks"
    known = json.loads((COURSE.root / ANSWERS).read_text("utf-8"))
    text = target.path.read_text("utf-8")
    assert "SOLUTION" not in text
    for cell in assemble(target).cells:
        if has_solution(cell):
            assert leaks(notebook, cell.source) == []
            assert cell.metadata["exercise"] in known
