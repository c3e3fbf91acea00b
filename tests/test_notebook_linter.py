"""The linter: each rule is broken once and must be the one that speaks."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader", reason="needs the development environment")

from nbformat import NotebookNode

from tools import lint_notebooks, lint_rules
from tools.build_notebooks import build_all
from tools.lint_assertions import weak_assertions
from tools.lint_exercises import check_exercises, leaks, stub_problem
from tools.lint_lesson import check_lesson
from tools.lint_markdown import (
    anchors,
    bold_terms,
    count_list_items,
    count_words,
    has_formula,
    headings,
    links,
    pictures,
)
from tools.lint_notebooks import check_code, lint
from tools.lint_prose import (
    check_alternatives,
    check_headings,
    check_links,
    check_numbers,
    check_terms,
    figures,
)
from tools.lint_rules import EXCEPTIONS, LESSON, rules_of
from tools.notebook_course import Course

FIXTURE = Path(__file__).parent / "notebook_course"
SHORT = replace(LESSON, words=(50, 400))
ALT = "Two curves over label counts; joint training stays above"


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Course:
    root = tmp_path_factory.mktemp("linted") / "course"
    shutil.copytree(FIXTURE, root)
    course = Course(root)
    assert build_all(course, course.targets(), jobs=2) == []
    return course


@pytest.fixture
def lesson(course) -> NotebookNode:
    path = course.root / "notebooks/09_small.ipynb"
    return nbformat.read(path, as_version=4)


def prose(*sources: str) -> NotebookNode:
    cells = [nbformat.v4.new_markdown_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


def program(*sources: str) -> NotebookNode:
    cells = [
        nbformat.v4.new_code_cell(source, execution_count=1)
        for source in sources
    ]
    return nbformat.v4.new_notebook(cells=cells)


def rules(findings) -> list[str]:
    return [finding.rule for finding in findings]


# --- the whole course ----------------------------------------------------


def test_good_course_has_no_findings(course, monkeypatch, capsys):
    monkeypatch.setitem(EXCEPTIONS, "09_small", SHORT)
    monkeypatch.setattr(lint_notebooks, "ROOT", course.root)
    assert [str(finding) for finding in lint(course, ["09"])] == []
    assert lint_notebooks.main(["09"]) == 0
    assert "0 findings" in capsys.readouterr().out


def test_findings_are_lines_with_a_place(course, monkeypatch, capsys):
    monkeypatch.setattr(lint_notebooks, "ROOT", course.root)
    assert lint_notebooks.main(["00"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (
        "notebooks/00_first: cell 1 (“A first lesson”): [summary] "
        "the last cell is not the summary" in lines
    )


def test_time_of_the_whole_course(course, monkeypatch):
    monkeypatch.setattr(lint_notebooks, "COURSE_SECONDS", 1)
    assert any(
        f.rule == "time" and f.notebook == "notebooks" for f in lint(course)
    )


def test_notebook_that_was_not_built(course, tmp_path):
    root = tmp_path / "course"
    shutil.copytree(course.root, root)
    (root / "notebooks/09_small.ipynb").unlink()
    found = lint(Course(root))
    assert ("notebooks/09_small", "not-built") in [
        (f.notebook, f.rule) for f in found
    ]


def test_first_lesson_asks_for_less():
    start = rules_of("00_start_here")
    assert set(start.blocks) < set(LESSON.blocks)
    assert not start.has_prerequisites
    assert rules_of("09_shared_bottom") is LESSON


# --- a lesson's anatomy --------------------------------------------------


def cell_of(notebook: NotebookNode, tag: str) -> NotebookNode:
    return lint_rules.tagged(notebook, tag)[-1]


def untag(tag):
    def change(notebook):
        for cell in lint_rules.tagged(notebook, tag):
            cell.metadata["tags"].remove(tag)

    return change


def replace_text(tag, old, new):
    def change(notebook):
        for cell in lint_rules.tagged(notebook, tag):
            cell.source = cell.source.replace(old, new)

    return change


def in_title(old, new):
    def change(notebook):
        cell = notebook.cells[0]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def wrong_verdict(notebook):
    cell_of(notebook, "run").outputs = []


def quiz_first(notebook):
    cell = cell_of(notebook, "quiz")
    notebook.cells.remove(cell)
    notebook.cells.insert(3, cell)


def many_cells(notebook):
    extra = [nbformat.v4.new_markdown_cell("More.") for _ in range(20)]
    notebook.cells[5:5] = extra


def long_cells(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source += "\nx = 1" * 7


def no_figures(notebook):
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []


def many_figures(notebook):
    cell = cell_of(notebook, "run")
    cell.outputs += 3 * cell_of(notebook, "dial").outputs


def slow(notebook):
    notebook.metadata.mtlrec.seconds = 91


def unmeasured(notebook):
    notebook.metadata.mtlrec.seconds = None


def wordy(notebook):
    notebook.cells[0].source += " word" * 400


def wordy_idea(notebook):
    lint_rules.tagged(notebook, "idea")[0].source += " word" * 151


def plain_idea(notebook):
    cell = lint_rules.tagged(notebook, "idea")[0]
    cell.source = cell.source.replace("$", "")


def picture_elsewhere(notebook):
    for cell in lint_rules.tagged(notebook, "idea"):
        if cell.cell_type == "code":
            cell.metadata["tags"] = []


def code_before_setup(notebook):
    notebook.cells.insert(1, nbformat.v4.new_code_cell("x = 1"))


def code_after_summary(notebook):
    notebook.cells.append(nbformat.v4.new_code_cell("x = 1"))


def unknown_tag(notebook):
    notebook.cells[1].metadata["tags"].append("raises-exception")


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        *((untag(b), "missing-block", b) for b in lint_rules.BLOCKS),
        (unknown_tag, "unknown-tag", "raises-exception"),
        (quiz_first, "block-order", "'quiz' comes before 'resolve'"),
        (code_before_setup, "block-order", "set-up"),
        (replace_text("setup", "setup()", "x"), "block-content", "setup("),
        (replace_text("dial", "dial", "show"), "block-content", "dial("),
        (replace_text("quiz", "quiz", "ask"), "block-content", "quiz("),
        (
            replace_text("resolve", "resolve", "say"),
            "block-content",
            "resolve(",
        ),
        (
            replace_text("checkpoint", "assert", "print"),
            "block-content",
            "assert",
        ),
        (
            replace_text("code", "show_source", "print"),
            "block-content",
            "show_source(",
        ),
        (replace_text("code", "assert", "print"), "block-content", "assert"),
        (wrong_verdict, "verdict", "cannot tell"),
        (many_cells, "cells", "at most 35"),
        (long_cells, "pooled-lines", "at most 8"),
        (no_figures, "figures", "0 figures, not 3–5"),
        (many_figures, "figures", "6 figures, not 3–5"),
        (slow, "time", "91 s"),
        (unmeasured, "time", "not measured"),
        (wordy, "words", "not 50–400"),
        (wordy_idea, "idea", "at most 150"),
        (plain_idea, "idea", "no formula"),
        (picture_elsewhere, "idea", "no figure"),
        (in_title("colab.research", "x"), "title", "{{links}}"),
        (in_title("two CPU cores", "x"), "title", "{{runtime}}"),
        (in_title("2. count columns,\n", ""), "title", "2 list items"),
        (in_title("(00_first.ipynb)", "(x.md)"), "title", "prerequisite"),
        (code_after_summary, "summary", "last cell"),
        (
            replace_text("summary", "When not", "When"),
            "summary",
            "no heading “When not to use it”",
        ),
        (replace_text("summary", "(1956)", ""), "summary", "year"),
    ],
)
def test_broken_lesson(lesson, change, rule, words):
    assert list(check_lesson(lesson, SHORT)) == []
    change(lesson)
    found = list(check_lesson(lesson, SHORT))
    assert any(f.rule == rule and words in f.message for f in found), found


# --- code ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1", []),
        ("x = 1\n" * 25 + "\n" * 9, []),
        ("x = 1\n" * 26, ["cell-lines"]),
        ("x = '" + "a" * 73 + "'", []),
        ("x = '" + "a" * 74 + "'", ["columns"]),
        ("\n\n", ["empty-cell"]),
        ("# NBVAL_SKIP\nx = 1", ["nbval-marker"]),
        ("# NBVAL_RAISES_EXCEPTION\nx = 1", ["nbval-marker"]),
        ("# NBVAL_CHECK_OUTPUT\nx = 1", []),
        ("assert True", ["weak-assertion"]),
    ],
)
def test_code_cells(source, expected):
    assert rules(check_code(program(source), executed=True)) == expected


def test_execution_is_asked_of_lessons_and_refused_in_exercises():
    notebook = program("x = 1")
    assert rules(check_code(notebook, executed=False)) == ["stored-output"]
    notebook.cells[0].execution_count = None
    assert rules(check_code(notebook, executed=True)) == ["not-executed"]
    assert rules(check_code(notebook, executed=False)) == []


@pytest.mark.parametrize(
    "source",
    [
        "assert True",
        "assert 1",
        "assert False",
        'assert (auc > 0.6, "message")',
        "assert auc == auc",
        "assert abs(auc - 0.7) < 0.2001",
        "assert abs(0.7 - result.auc) <= 0.3",
        'assert abs(table.loc["click", "auc"] - 0.7) < 0.25',
        "assert 0.4 < auc_joint < 0.9",
        "assert auc > 0.4",
        "assert 0.49 <= test_gauc",
        "assert auc > 0.6 and 0.3 < gauc < 0.7 + 0",
        "assert auc == approx(0.7, abs=0.2001)",
        "assert pytest.approx(0.7, abs=0.3) == auc",
        "assert np.isclose(auc, 0.7, atol=0.5)",
        "assert math.isclose(0.7, auc, abs_tol=0.5)",
        "assert abs(gain - 0.01) < 0.02",
        "assert gain_like > -0.01",
        "assert -0.1 < auc_difference < 0.2",
        "%time f()\nassert auc > 0.3",
    ],
)
def test_assertions_that_cannot_fail_are_found(source):
    assert len(weak_assertions(source)) == 1, source


@pytest.mark.parametrize(
    "source",
    [
        "assert auc > 0.5",
        "assert auc > 0.6",
        "assert abs(auc - 0.7) < 0.1",
        "assert abs(auc - 0.5) < 0.02",
        "assert 0.6 < auc < 0.9",
        "assert auc < 0.9",
        "assert auc > baseline",
        "assert abs(auc - best) < 0.5",
        "assert gain > 0",
        "assert abs(gain - 0.03) < 0.02",
        "assert auc_difference < 0",
        "assert auc == approx(0.7, abs=0.1)",
        "assert np.allclose(weights, 0.25, atol=1)",
        "assert len(rows) == 3, 'three rows'",
        "assert verdict == 'helps'",
        "assert 0 < learning_rate < 1",
        "not python at all",
    ],
)
def test_assertions_that_can_fail_pass(source):
    assert weak_assertions(source) == []


# --- prose ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "The AUC rises to 0.78 here.",
        "The AUC rises by -0.02.",
        "about 12 % of the rows",
        "about 12% of the rows",
        "12 per cent of the rows",
        "It is (0.7) or so.",
        "| model | AUC |\n|---|---|\n| ours | 0.81 |",
        "- a list with 3.5 items",
        "> quoted: 0.25",
        "two lines\nwith 0.25 in the second",
        "**0.25** in bold",
        "a 95 % share of clicks",
        "0.25 <!-- fixed: -->",
        "one 0.25\ntwo <!-- fixed: only the second line -->",
    ],
)
def test_numbers_in_prose_are_found(text):
    assert rules(check_numbers(prose(text))) == ["number-in-prose"], text


@pytest.mark.parametrize(
    "text",
    [
        "Three rows, 25 lessons, 1,000 users, in 2024.",
        "Chance is 0.5 by definition. <!-- fixed: definition of AUC -->",
        "one\nIt is 0.5. <!-- fixed: definition of AUC -->",
        "| a |\n|---|\n| 0.5 <!-- fixed: definition --> |",
        "`learning_rate=0.001` and $p = 0.5$ and $$x = 0.25$$",
        "$$\n0.25\n$$",
        "```\n0.25\n```",
        "    0.25 in an indented block",
        "TensorFlow 2.21, Keras 3.15 and Python 3.11; CC BY 4.0",
        "see section 3.3, equation 2.1 and Figures 1.1 and 1.2",
        "Exercise 09.1 and exercises 09.1, 09.2",
        "[arXiv:2308.03241](https://arxiv.org/abs/2308.03241)",
        "arXiv:2308.03241 and doi:10.1145/3219819.3220007",
        "a 95 % interval, a 95 % confidence interval, 95 % bootstrap interval",
        "## A heading with 0.5",
        "version 1.2.3 at 10.0.0.1",
        "<span title='0.5'>word</span>",
    ],
)
def test_other_numbers_are_left_alone(text):
    assert [str(f) for f in check_numbers(prose(text))] == []


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["# A", "## B\n\n### C\n\n## D"], []),
        (["# A", "### C"], ["heading-order"]),
        (["## A"], ["heading-order", "one-title"]),
        (["# A", "# B"], ["one-title"]),
        (["no heading"], ["one-title"]),
        (["# A \N{ROCKET}"], ["heading-pictogram"]),
        (["# A", "```\n# comment\n```"], []),
    ],
)
def test_headings(sources, expected):
    assert rules(check_headings(prose(*sources))) == expected


def test_terms_stand_in_bold_once():
    once = prose("A **gate** weighs.", "A gate is **not** a **tower**.")
    assert list(check_terms(once)) == []
    twice = prose("A **gate** weighs.", "The **Gate** again.")
    assert rules(check_terms(twice)) == ["bold-once"]
    labels = prose("**Note.** One.", "**Note.** Two, **not** **not** three.")
    assert list(check_terms(labels)) == []
    assert list(check_terms(prose("# **a**", "## **a** again"))) == []


def displayed(**data: str) -> NotebookNode:
    bundle = {kind.replace("_", "/"): text for kind, text in data.items()}
    notebook = program("show()")
    notebook.cells[0].outputs = [
        nbformat.v4.new_output("display_data", data=bundle)
    ]
    return notebook


@pytest.mark.parametrize(
    ("notebook", "expected"),
    [
        (displayed(text_html=f'<img alt="{ALT}" src="data:,">'), []),
        (displayed(text_html='<img src="data:,">'), ["alternative-text"]),
        (displayed(text_html='<img alt="" src="a">'), ["alternative-text"]),
        (displayed(text_html='<img alt="plot" src=a>'), ["alternative-text"]),
        (displayed(image_png="iVBO"), ["alternative-text"]),
        (
            displayed(image_png="iVBO", text_html=f'<img alt="{ALT}" src=a>'),
            [],
        ),
        (displayed(text_html="<table></table>"), []),
        (prose(f"![{ALT}](a.png)"), []),
        (prose("![](a.png)"), ["alternative-text"]),
        (prose("![chart](a.png)"), ["alternative-text"]),
        (prose(f'<img alt="{ALT}" src="a.png">'), []),
        (prose('<img src="a.png">'), ["alternative-text"]),
        (prose(f"![{ALT}](https://img.shields.io/x.svg)"), ["badge"]),
    ],
)
def test_alternative_text(notebook, expected):
    assert rules(check_alternatives(notebook)) == expected


def test_figures_are_counted_in_text_and_outputs():
    notebook = displayed(text_html="<img src=a><img src=b>")
    notebook.cells += prose(f"![{ALT}](c.png)").cells
    assert [index for index, _ in figures(notebook)] == [0, 0, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[the lesson](09_small.ipynb)", []),
        ("[the exercises](../exercises/09_small.ipynb)", []),
        ("[the question](09_small.ipynb#The-question)", []),
        ("[the question](#The-question)", []),
        ("[the question](#the-question)", []),
        ("[a site](https://example.org/x)", []),
        ("[mail](mailto:a@example.org)", []),
        ("[README](../README.md#first-steps)", []),
        (
            "[a file](https://github.com/example/miniature/blob/main/"
            "README.md)",
            [],
        ),
        (
            "[a file](https://github.com/example/miniature/blob/main/no.md)",
            ["link-target"],
        ),
        (
            "[colab](https://colab.research.google.com/github/example/"
            "miniature/blob/main/notebooks/10_none.ipynb)",
            ["link-target"],
        ),
        ("[next](10_none.ipynb)", ["link-target"]),
        ("[no](09_small.ipynb#nowhere)", ["link-target"]),
        ("[no](#nowhere)", ["link-target"]),
        ("[no](../README.md#nowhere)", ["link-target"]),
        ("[root](/notebooks/09_small.ipynb)", ["link-target"]),
        ("[out](../../outside.txt)", ["link-target"]),
        ("[odd](attachment:x.png)", ["link-target"]),
        (f"![{ALT}](missing.png)", ["link-target"]),
        ('<a href="missing.md">text</a>', ["link-target"]),
        ("[here](09_small.ipynb)", ["link-text"]),
        ("[](09_small.ipynb)", ["link-text"]),
        ("[text]: 10_none.ipynb\n\nSee [text].", ["link-target"]),
    ],
)
def test_links(course, lesson, text, expected):
    root = course.root
    (root / "README.md").write_text("# Title\n\n## First steps!\n")
    (root.parent / "outside.txt").write_text("")
    lesson.cells = [
        *prose("## The question").cells,
        *prose(text).cells,
    ]
    found = check_links(
        lesson,
        root / "notebooks/09_small.ipynb",
        root,
        "example/miniature",
    )
    assert rules(found) == expected


# --- exercises -----------------------------------------------------------


@pytest.fixture
def pair(course) -> tuple[NotebookNode, NotebookNode]:
    exercises, solutions = (
        nbformat.read(course.root / f"{folder}/09_small.ipynb", as_version=4)
        for folder in ("exercises", "solutions")
    )
    return exercises, solutions


def solve(notebook):
    cell = next(c for c in notebook.cells if "exercise" in c.metadata)
    cell.source = (
        "def double(value):\n    first_summand = value\n"
        "    return first_summand + value"
    )


def leak_in_prose(notebook):
    notebook.cells[0].source += "\nTry `return first_summand + value`."


def swap(old, new):
    def change(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)

    return change


def no_expected(notebook):
    notebook.cells = [
        c
        for c in notebook.cells
        if "expected" not in c.metadata.get("tags", [])
    ]


def no_cell(notebook):
    notebook.cells = [
        c for c in notebook.cells if c.metadata.get("exercise") != "09.2"
    ]


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (solve, "answer-leak", "return first_summand + value"),
        (solve, "exercise-stub", "09.1: no stub"),
        (leak_in_prose, "answer-leak", "stands here"),
        (swap('check("09.1"', 'check("09.2"'), "exercise", 'no check("09.1"'),
        (swap('check("09.1"', '# check("09.1"'), "exercise", "no check"),
        (swap('hint("09.2")', ""), "exercise", 'no hint("09.2")'),
        (swap('solution("09.2")', ""), "exercise", "no solution"),
        (swap("Exercise 09.2", "Exercise"), "exercise", "heading"),
        (no_expected, "exercise", "'expected'"),
        (no_cell, "exercise", "no cell for exercise 09.2"),
    ],
)
def test_broken_exercise(pair, change, rule, words):
    exercises, solutions = pair
    assert list(check_exercises(exercises, solutions, "09")) == []
    change(exercises)
    found = list(check_exercises(exercises, solutions, "09"))
    assert any(f.rule == rule and words in f.message for f in found), found


def test_exercises_are_numbered_through(pair):
    exercises, solutions = pair
    assert "exercises" in rules(check_exercises(exercises, solutions, "10"))
    one = copy.deepcopy(solutions)
    one.cells = [c for c in one.cells if c.metadata.get("exercise") != "09.2"]
    found = list(check_exercises(exercises, one, "09"))
    assert "1 exercises, not 2–3" in [f.message for f in found]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def f(x):\n    raise NotImplementedError", None),
        ("def f(x):\n    raise NotImplementedError()", None),
        ("raise NotImplementedError", "outside a function"),
        (
            "def f(x):\n    raise NotImplementedError\n"
            "raise NotImplementedError",
            "outside a function",
        ),
        ("def f(x):\n    return x", "no stub"),
        ("def f(x:", "not Python"),
    ],
)
def test_stub_raises_when_called(source, problem):
    found = stub_problem(source)
    assert found is None if problem is None else problem in found


def test_leaks_are_seen_in_outputs_and_not_in_trifles():
    answer = (
        "### BEGIN SOLUTION\nimport numpy as np_long_name\n"
        "y = x\nweights = softmax(scores)\n### END SOLUTION\n"
        "given_code_outside_the_region = 1"
    )
    notebook = program(
        "import numpy as np_long_name\ny = x",
        "given_code_outside_the_region = 1",
        "print('shown')",
    )
    assert leaks(notebook, answer) == []
    notebook.cells[2].outputs = [
        nbformat.v4.new_output(
            "stream", name="stdout", text="  weights = softmax(scores)\n"
        )
    ]
    assert leaks(notebook, answer) == [(2, "weights = softmax(scores)")]


# --- reading Markdown ----------------------------------------------------


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("two words", 2),
        ("[two words](https://example.org/not/counted)", 2),
        ("one <!-- not counted at all -->", 1),
        ("<div>\nnot counted\n</div>\n\none", 1),
        ("one `code` word", 3),
        ("```\nnot counted\n```\n\none", 1),
        ("# A title\n\n- one\n- two", 4),
        ("one\ntwo\nthree", 3),
        ("one — two · three", 3),
        ("| a | b |\n|---|---|\n| c | d |", 4),
    ],
)
def test_count_words(source, words):
    assert count_words(source) == words


def test_markdown_is_read_as_shown():
    text = "# A *b* `c`\n\n**d** [e **f**](g.md)\n\n![h](i.png) $x$\n\n1. j"
    assert [(h.level, h.text) for h in headings(text)] == [(1, "A b c")]
    assert [(a.target, a.text) for a in links(text)] == [("g.md", "e f")]
    assert [(p.address, p.alt) for p in pictures(text)] == [("i.png", "h")]
    assert bold_terms(text) == ["d", "f"]
    assert has_formula(text)
    assert not has_formula("it costs $5 or so")
    assert count_list_items("1. a\n   - b\n2. c") == 2
    assert anchors("## When *not* to") == {"When-not-to", "when-not-to"}
