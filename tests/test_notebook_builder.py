"""The builder: one text becomes notebooks, exercises and answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader", reason="needs the development environment")

from nbformat import NotebookNode
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearSolutions,
    ComputeChecksums,
)

from tools import build_notebooks, notebook_build, notebook_outputs
from tools.build_notebooks import build_all, select
from tools.notebook_answers import extract_answers
from tools.notebook_build import reason_to_execute, rebuild
from tools.notebook_course import ANSWERS, BuildError, Course, Target
from tools.notebook_drift import check, differences
from tools.notebook_execution import execute
from tools.notebook_outputs import machine_path, normalise, serialise
from tools.notebook_source import runtime

HERE = Path(__file__).parent
FIXTURE = HERE / "notebook_course"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Course:
    """The miniature course, executed once; tests copy it to change it."""
    root = tmp_path_factory.mktemp("built") / "course"
    shutil.copytree(FIXTURE, root)
    course = Course(root)
    assert build_all(course, course.targets(), jobs=2) == []
    return course


@pytest.fixture
def course(built, tmp_path) -> Course:
    root = tmp_path / "course"
    shutil.copytree(built.root, root)
    return Course(root)


@pytest.fixture
def no_execution(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("executed")

    monkeypatch.setattr(notebook_build, "execute", refuse)


def target(course: Course, label: str) -> Target:
    return next(t for t in course.targets() if t.label == label)


def read(course: Course, label: str) -> NotebookNode:
    return nbformat.read(target(course, label).path, as_version=4)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


# --- what is built -------------------------------------------------------


@pytest.mark.parametrize("label", ["notebooks/09_small", "solutions/09_small"])
def test_executed_notebook_is_in_normal_form(built, label):
    notebook = read(built, label)
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"
    assert dict(notebook.metadata.language_info) == {"name": "python"}
    assert set(notebook.metadata.mtlrec) == {
        "source_hash",
        "code_hash",
        "seconds",
    }
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "exercise", "nbgrader"}
    text = target(built, label).path.read_text("utf-8")
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")
    assert (
        text
        == json.dumps(
            json.loads(text), indent=1, sort_keys=True, ensure_ascii=False
        )
        + "\n"
    )


def test_kernel_sees_fast_mode_and_addresses_are_removed(built):
    text = target(built, "notebooks/09_small").path.read_text("utf-8")
    assert "fast mode: True" in text
    assert "object at 0x0" in text


def test_widget_leaves_its_static_picture(built):
    [cell] = [
        c
        for c in code(read(built, "notebooks/09_small"))
        if c.source.startswith("dial(")
    ]
    assert set(cell.outputs[0].data) == {"text/html", "text/plain"}


def test_title_has_links_and_measured_time(built):
    notebook = read(built, "notebooks/09_small")
    title = notebook.cells[0].source
    assert (
        "(https://colab.research.google.com/github/example/miniature/blob/"
        "main/notebooks/09_small.ipynb)" in title
    )
    assert "[Exercises](../exercises/09_small.ipynb)" in title
    assert runtime(notebook.metadata.mtlrec.seconds) in title
    first = read(built, "notebooks/00_first").cells[0].source
    assert "exercises" not in first


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "a time not measured yet"),
        (1, "about 10 s on two CPU cores"),
        (10, "about 10 s on two CPU cores"),
        (10.1, "about 20 s on two CPU cores"),
        (81, "about 90 s on two CPU cores"),
    ],
)
def test_runtime_is_rounded_up(seconds, words):
    assert runtime(seconds) == words


def test_cells_keep_their_ids_when_others_change(course):
    before = [c.id for c in read(course, "notebooks/09_small").cells]
    lesson = target(course, "notebooks/09_small")
    edit(lesson.source, "say what a count does not show", "say more")
    after = [c.id for c in nbformat.reads(rebuild(lesson), as_version=4).cells]
    assert before[0] != after[0]
    assert before[1:] == after[1:]


def test_equal_cells_get_different_ids(course):
    lesson = target(course, "notebooks/00_first")
    twice = "\n```{code-cell} ipython3\nsetup()\n```\n"
    with lesson.source.open("a") as file:
        file.write(twice * 2)
    notebook = nbformat.reads(rebuild(lesson), as_version=4)
    ids = [cell.id for cell in notebook.cells]
    assert ids[-1] == f"{ids[-2]}-2"


# --- exercises and answers -----------------------------------------------


def test_exercise_holds_stubs_and_no_answer(built):
    notebook = read(built, "exercises/09_small")
    text = target(built, "exercises/09_small").path.read_text("utf-8")
    for secret in (
        "first_summand",
        "two_as_float",
        "multiplying",
        "SOLUTION",
    ):
        assert secret not in text
    stubs = [c.source for c in code(notebook) if "exercise" in c.metadata]
    assert stubs == [
        "def double(value):\n    raise NotImplementedError",
        "class Doubler:\n    def __call__(self, value):\n"
        "        raise NotImplementedError",
    ]
    assert all(not c.outputs for c in code(notebook))
    assert all(c.execution_count is None for c in code(notebook))


def test_exercise_shows_what_the_answer_arrives_at(built):
    shown = [
        cell
        for cell in read(built, "exercises/09_small").cells
        if "expected" in cell.metadata.get("tags", [])
    ]
    assert [cell.cell_type for cell in shown] == ["markdown", "markdown"]
    assert "double(21) is 42" in shown[0].source
    assert "<b>42</b>\n<i>forty-two</i>" in shown[1].source
    assert "print" not in shown[0].source


def test_exercise_runs_to_its_end_with_stubs_untouched(built):
    notebook = read(built, "exercises/09_small")
    folder = built.root / "exercises"
    execute(notebook, root=built.root, folder=folder, strict=False, timeout=60)
    said = [o.text for c in code(notebook) for o in c.outputs]
    assert said[-2:] == [
        "Exercise 09.1: not attempted yet.\n",
        "Exercise 09.2: not attempted yet.\n",
    ]


def test_answers_are_extracted_as_running_code(built):
    answers = json.loads((built.root / ANSWERS).read_text("utf-8"))
    assert list(answers) == ["09.1", "09.2"]
    names: dict = {}
    for answer in answers.values():
        assert "SOLUTION" not in answer
        exec(answer, names)
    assert names["double"](3) == 6
    assert names["Doubler"]()(3) == 6.0


def test_nbgrader_makes_the_same_exercise(built):
    """With its default settings, which insist on metadata."""
    notebook = read(built, "solutions/09_small")
    resources: dict = {}
    for step in (ClearSolutions(), CheckCellMetadata(), ComputeChecksums()):
        notebook, resources = step.preprocess(notebook, resources)
    mine = {c.id: c.source for c in code(read(built, "exercises/09_small"))}
    theirs = {
        c.id: c.source.replace("# YOUR CODE HERE\n", "")
        for c in code(notebook)
        if c.id in mine and c.metadata.get("nbgrader", {}).get("grade")
    }
    assert len(theirs) == 2
    assert theirs.items() <= mine.items()
    stubs = [c for c in code(notebook) if "exercise" in c.metadata]
    assert all("raise NotImplementedError()" in c.source for c in stubs)
    assert all("summand" not in c.source for c in stubs)
    graded = [
        c.metadata.nbgrader.grade_id
        for c in notebook.cells
        if "nbgrader" in c.metadata
    ]
    assert graded == [
        "exercise-09-1",
        "check-09-1",
        "exercise-09-2",
        "check-09-2",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"09.2"', '"09.1"', "double"),
        (':exercise: "09.2"', ":exercise: 9.2", "must be written"),
        (':exercise: "09.2"\n', "", "an answer without its number"),
        ("        ### END SOLUTION", "", "no end solution"),
        ("{{links}}", "{{link}}", "unknown placeholder {{link}}"),
        (":exercise:", ":exercize:", "unknown cell metadata"),
        (':exercise: "09.1"', ":exercise: [", "Invalid YAML"),
    ],
)
def test_faulty_source_is_named(course, no_execution, old, new, message):
    edit(course.root / "source/exercises/09_small.md", old, new)
    with pytest.raises(BuildError, match=message) as caught:
        extract_answers(course)
        rebuild(target(course, "exercises/09_small"))
    assert "09_small" in str(caught.value) or "SOLUTION" in str(caught.value)


# --- what is executed when -----------------------------------------------


def test_nothing_changed_nothing_executed(course, no_execution, capsys):
    before = {p: p.read_bytes() for p in course.root.rglob("*.ipynb")}
    assert build_all(course, course.targets()) == []
    assert {p: p.read_bytes() for p in course.root.rglob("*.ipynb")} == before
    assert capsys.readouterr().out.count("unchanged") == len(before) == 4
    assert check(course) == []


def test_change_of_prose_keeps_outputs(course, no_execution):
    lesson = target(course, "notebooks/09_small")
    edit(lesson.source, "Is a **count** of three", "Is a **number** of three")
    assert reason_to_execute(lesson) is None
    assert check(course) != []
    assert build_all(course, [lesson]) == []
    notebook = read(course, "notebooks/09_small")
    assert "**number**" in notebook.cells[2].source
    assert all(c.execution_count for c in code(notebook))
    assert check(course) == []


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("mtlrec_utils/classroom/__init__.py", "package"),
        ("mtlrec_utils/new_data.toml", "package"),
        ("datasets/results/new.csv", "package"),
        ("requirements.lock", "package"),
        ("tools/notebook_execution.py", "package"),
        ("source/lessons/09_small.md", "code cells changed"),
    ],
)
def test_what_can_change_outputs_executes(course, file, reason):
    path = course.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".md":
        edit(path, "rows = [1, 2, 3]", "rows = [1, 2, 3, 4]")
    else:
        with path.open("a") as changed:
            changed.write("\n# changed\n")
    course = Course(course.root)
    found = reason_to_execute(target(course, "notebooks/09_small"))
    assert found is not None
    assert found.startswith(reason)


@pytest.mark.parametrize(
    "file",
    [
        ANSWERS.as_posix(),
        "datasets/card.md",
        "mtlrec_utils/__pycache__/x.pyc",
        "README.md",
        "tools/lint_rules.py",
    ],
)
def test_what_cannot_change_outputs_does_not(course, file):
    path = course.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
    course = Course(course.root)
    assert reason_to_execute(target(course, "notebooks/09_small")) is None


def test_without_execution_changed_cells_lose_their_outputs(
    course, no_execution
):
    lesson = target(course, "notebooks/09_small")
    edit(lesson.source, "rows = [1, 2, 3]", "rows = [1, 2, 3, 4]")
    assert build_all(course, [lesson], execute_cells=False) == []
    notebook = read(course, "notebooks/09_small")
    empty = [c.source for c in code(notebook) if c.execution_count is None]
    assert empty == ["rows = [1, 2, 3, 4]\nrows"]
    assert reason_to_execute(lesson) is not None


def test_removed_cell_is_remembered_as_stale(course, no_execution):
    """The kept outputs came from a run that had one more cell."""
    lesson = target(course, "notebooks/09_small")
    cell = (
        "```{code-cell} ipython3\n:tags: [data]\nrows = [1, 2, 3]\nrows\n```"
    )
    edit(lesson.source, cell, "")
    assert build_all(course, [lesson], execute_cells=False) == []
    assert reason_to_execute(lesson) is not None


def test_failing_cell_is_shown_and_nothing_written(course, capsys):
    solutions = target(course, "solutions/09_small")
    exercises = target(course, "exercises/09_small")
    before = solutions.path.read_bytes(), exercises.path.read_bytes()
    edit(solutions.source, "return first_summand + value", "return value")
    [error] = build_all(course, [solutions, exercises])
    assert error.startswith(
        "solutions/09_small: a cell failed under the heading "
        "“Exercise 09.1: twice”\nsource/exercises/09_small.md, "
    )
    line = (
        solutions.source.read_text()
        .splitlines()
        .index('check("09.1", double)')
        + 1
    )
    assert f"cell at line {line}:" in error
    assert '    check("09.1", double)\n' in error
    assert "AssertionError: Exercise 09.1: not yet." in error
    assert "\x1b" not in error
    after = solutions.path.read_bytes(), exercises.path.read_bytes()
    assert after == before
    assert not list(course.root.rglob(".*.ipynb*"))


def test_cell_that_takes_too_long_is_shown(course):
    lesson = target(course, "notebooks/00_first")
    edit(lesson.source, "setup()\n```", "import time\ntime.sleep(60)\n```")
    [error] = build_all(course, [lesson], timeout=2)
    assert "ran longer than 2 s" in error
    assert "time.sleep(60)" in error


def test_command_line(course, monkeypatch, capsys, no_execution):
    monkeypatch.setattr(build_notebooks, "ROOT", course.root)
    assert build_notebooks.main(["09", "--no-execute"]) == 0
    assert "notebooks/09_small: unchanged" in capsys.readouterr().out
    assert build_notebooks.main(["--check"]) == 0
    assert build_notebooks.main(["77"]) == 1
    assert "no source for '77'" in capsys.readouterr().err
    target(course, "notebooks/09_small").path.unlink()
    assert build_notebooks.main(["--check"]) == 1
    assert "notebooks/09_small: not built" in capsys.readouterr().err


def test_selection_by_number_and_file(course):
    labels = [t.label for t in select(course, ["09"])]
    assert labels == [
        "notebooks/09_small",
        "solutions/09_small",
        "exercises/09_small",
    ]
    assert select(course, []) == course.targets()
    assert select(course, ["notebooks/00_first.ipynb"]) == [
        target(course, "notebooks/00_first")
    ]


def test_course_without_sources_is_fine(tmp_path):
    shutil.copy(FIXTURE / "pyproject.toml", tmp_path)
    course = Course(tmp_path)
    assert build_all(course, course.targets()) == []
    assert (tmp_path / ANSWERS).read_text() == "{}\n"
    assert check(course) == []


@pytest.mark.parametrize(
    "address", ["", "https://gitlab.com/a/b", "https://github.com/a"]
)
def test_repository_must_be_on_github(tmp_path, address):
    text = f'[project]\n[project.urls]\nRepository = "{address}"\n'
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(BuildError, match="https://github.com/owner/name"):
        Course(tmp_path).repository()


# --- drift ---------------------------------------------------------------


def change_source(notebook):
    notebook.cells[3].source += "\n# by hand"


def change_prose(notebook):
    notebook.cells[2].source += " By hand."


def change_tags(notebook):
    notebook.cells[1].metadata["tags"] = []


def remove_cell(notebook):
    del notebook.cells[4]


def add_widget_state(notebook):
    notebook.metadata["widgets"] = {"state": {}}


def change_id(notebook):
    notebook.cells[1].id = "abc"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_source, "differs in its source"),
        (change_prose, "differs in its source"),
        (change_tags, "differs in its metadata"),
        (change_id, "differs in its id"),
        (remove_cell, "cells, the source:"),
        (add_widget_state, "layout of the file"),
    ],
)
@pytest.mark.parametrize("folder", ["notebooks", "solutions", "exercises"])
def test_hand_edits_are_found(course, folder, change, message):
    assert differences(course) == []
    notebook = read(course, f"{folder}/09_small")
    change(notebook)
    nbformat.write(notebook, target(course, f"{folder}/09_small").path)
    found = [d for d in differences(course) if d.startswith(folder)]
    assert len(found) == 1
    assert message in found[0]


def test_answers_and_orphans_are_compared(course):
    (course.root / ANSWERS).write_text("{}\n")
    shutil.copy(
        course.root / "notebooks/09_small.ipynb",
        course.root / "notebooks/10_other.ipynb",
    )
    assert differences(course) == [
        "notebooks/10_other.ipynb: no source for it",
        "mtlrec_utils/classroom/solutions.json: not what the sources say",
    ]


# --- outputs -------------------------------------------------------------


def one_cell(*outputs: dict) -> NotebookNode:
    cell = nbformat.v4.new_code_cell("f()", execution_count=7)
    cell.outputs = [nbformat.from_dict(output) for output in outputs]
    return nbformat.v4.new_notebook(cells=[cell])


def stream(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data: object) -> dict:
    bundle = {kind.replace("_", "/"): value for kind, value in data.items()}
    return {"output_type": "display_data", "metadata": {}, "data": bundle}


def normal(*outputs: dict) -> list[NotebookNode]:
    notebook = one_cell(*outputs)
    normalise(notebook, Path("/course"))
    first = serialise(notebook)
    normalise(notebook, Path("/course"))
    assert serialise(notebook) == first
    assert notebook.cells[0].execution_count == 1
    return notebook.cells[0].outputs


def test_streams_are_merged_and_overwritten_as_a_terminal_does():
    [output] = normal(stream("1/3\r2/3"), stream("\r3/3\ndone\n"))
    assert output.text == "3/3\ndone\n"
    assert len(normal(stream("a"), shown(text_html="b"), stream("c"))) == 3


def test_results_are_numbered_like_their_cell():
    result = shown(text_plain="<f at 0x7f3a>") | {
        "output_type": "execute_result",
        "execution_count": 7,
    }
    [output] = normal(result)
    assert output.execution_count == 1
    assert output.data["text/plain"] == "<f at 0x0>"


VIEW = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}}


def test_live_view_goes_where_a_picture_stays():
    both = shown(text_html="<img>")
    both["data"] |= VIEW
    alone = shown(text_plain="IntSlider()")
    alone["data"] |= VIEW
    [output] = normal(both, alone)
    assert dict(output.data) == {"text/html": "<img>"}
    with pytest.raises(BuildError, match="static picture"):
        normal(alone)


@pytest.mark.parametrize(
    "text",
    [
        "File /course/mtlrec_utils/data/world.py",
        "saved to /tmp/tmpabc/model.keras",
        "in '/home/ada/course'",
        "C:\\Users\\ada\\course",
        "/usr/lib/python3/site.py:3",
        f"{Path.home()}/.keras",
        f"{sys.prefix}/bin/python",
    ],
)
def test_paths_of_the_machine_are_refused(text):
    for output in (
        stream(f"{text}\n"),
        shown(text_html=f"<p>{text}</p>"),
        shown(text_plain=text),
    ):
        with pytest.raises(BuildError, match="path of this machine"):
            normal(output)


@pytest.mark.parametrize(
    "text",
    [
        "like/finish",
        "clicks/tmp/rows",
        "https://example.org/home/ada",
        "notebooks/home/x",
        "3 / 4 / 5",
        '<img src="data:image/png;base64,AAA/tmp/AAA/home/a==">',
    ],
)
def test_other_slashes_are_no_paths(text):
    assert (
        machine_path(
            notebook_outputs.DATA_ADDRESS.sub("", text), Path("/course")
        )
        is None
    )
    normal(shown(text_html=text))


def test_error_stream_is_refused():
    with pytest.raises(BuildError, match="error stream.*oneDNN"):
        normal(stream("oneDNN custom operations are on", "stderr"))


def test_large_notebook_is_refused():
    with pytest.raises(BuildError, match="at most 500,000"):
        normal(stream("x" * 500_000))


# --- nbval ---------------------------------------------------------------


def write_notebook(path: Path, *sources: str) -> None:
    path.parent.mkdir()
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
    }
    notebook.cells = [nbformat.v4.new_markdown_cell("## Under here")]
    notebook.cells += [nbformat.v4.new_code_cell(s) for s in sources]
    nbformat.write(notebook, path)


def test_nbval_runs_notebooks_as_the_builder_does(tmp_path):
    fast = 'import os; assert os.environ["MTLREC_SPEED"] == "fast"'
    package = "import mtlrec_utils"
    strict = 'os.environ.get("MTLREC_CHECK") == "strict"'
    write_notebook(
        tmp_path / "solutions/a.ipynb", fast, package, f"assert {strict}"
    )
    write_notebook(
        tmp_path / "exercises/a.ipynb", fast, f"assert not {strict}", "1 / 0"
    )
    command = [
        *(sys.executable, "-m", "pytest", "-p", "tools.nbval_settings"),
        *("-p", "no:cacheprovider", "--nbval-lax", "--nbval-cell-timeout=60"),
        *("--nbval-current-env", f"--rootdir={tmp_path}", "-c", os.devnull),
        str(tmp_path),
    ]
    done = subprocess.run(
        command, cwd=HERE.parent, capture_output=True, text=True
    )
    assert "1 failed, 5 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1
    assert "under “Under here”" in done.stdout
    assert "ZeroDivisionError" in done.stdout
