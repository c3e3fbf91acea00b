"""The lessons in a real browser, used as a learner uses them.

Each notebook is opened and run once; the tests then look at the same page.
Pictures of every lesson, light and dark, are left in `tests/artefacts`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

pytest.importorskip(
    "playwright.sync_api", reason="needs the development environment"
)

from lab_page import NOTEBOOK, STEP, WINDOW, LabPage
from lab_server import ROOT, LabServer, lab_command
from playwright.sync_api import Browser, Locator, expect

from mtlrec_utils.classroom.quiz import Choice, load_questions

pytestmark = pytest.mark.browser


def numbers(folder: str) -> list[str]:
    """The lessons that have a notebook in a folder: 00, 01, ..."""
    return [file.name[:2] for file in sorted((ROOT / folder).glob("*.ipynb"))]


LESSONS = numbers("notebooks")
WITH_EXERCISES = numbers("exercises")
ARTEFACTS = ROOT / "tests" / "artefacts"
ANSWERS = ROOT / "mtlrec_utils" / "classroom" / "solutions.json"


def opened(browser: Browser, server: LabServer, file: Path) -> LabPage:
    page = browser.new_page(viewport=WINDOW)
    return LabPage(page, server.url, server.token, file)


def run_through(
    browser: Browser, server: LabServer, folder: str, lesson: str
) -> Iterator[LabPage]:
    """Open the only notebook of a lesson in ``folder`` and run it."""
    files = sorted((server.course / folder).glob(f"{lesson}_*.ipynb"))
    if len(files) != 1:
        pytest.fail(f"{folder}/{lesson}_*.ipynb: found {files or 'none'}")
    notebook = opened(browser, server, files[0])
    try:
        notebook.run_all()
        yield notebook
    finally:
        notebook.page.close()
        server.stop_kernels()


@pytest.fixture(scope="module", params=LESSONS)
def lesson(
    request: pytest.FixtureRequest, browser: Browser, server: LabServer
) -> Iterator[LabPage]:
    yield from run_through(browser, server, "notebooks", request.param)


@pytest.fixture(scope="module", params=WITH_EXERCISES)
def exercises(
    request: pytest.FixtureRequest, browser: Browser, server: LabServer
) -> Iterator[LabPage]:
    yield from run_through(browser, server, "exercises", request.param)


# -- the command -----------------------------------------------------------


def test_make_lab_opens_the_first_lesson_on_this_machine_only():
    command = lab_command()
    assert "--ip=127.0.0.1" in command
    first = "notebooks/00_start_here.ipynb"
    assert f"--LabApp.default_url=/lab/tree/{first}" in command
    # Its token is JupyterLab's own: nothing may switch it off.
    assert not [word for word in command if "token" in word.lower()]
    assert not [word for word in command if "password" in word.lower()]


def test_the_server_lets_nobody_in_without_its_token(
    browser: Browser, server: LabServer
):
    page = browser.new_page()
    page.goto(f"{server.url}lab", timeout=STEP)
    assert "/login" in page.url
    page.close()


def test_a_teachers_buttons_are_not_shown(browser: Browser, server: LabServer):
    """nbgrader is installed for the builder; its buttons confuse learners."""
    page = browser.new_page(viewport=WINDOW)
    page.goto(f"{server.url}lab?token={server.token}", timeout=STEP)
    expect(page.get_by_role("menuitem", name="Help")).to_be_visible(
        timeout=STEP
    )
    settings = page.locator("#jupyter-config-data").text_content()
    assert settings
    config = json.loads(settings)
    names = [entry["name"] for entry in config["federated_extensions"]]
    assert "@jupyter/nbgrader" in names  # else nothing is left to hide
    expect(page.get_by_role("menuitem", name="Nbgrader")).to_have_count(0)
    page.close()


# -- the instrument itself -------------------------------------------------


def test_faults_of_every_kind_are_seen(
    browser: Browser, server: LabServer, tmp_path: Path
):
    """A check of the checks: each kind of trouble is found where it is."""
    cells = [
        "import sys; print('a warning', file=sys.stderr)\n"
        "print('short'); print('long', 'x' * 140)",
        "from IPython.display import Javascript\n"
        "Javascript('console.error(\"said by a script\")')",
        "from IPython.display import HTML\n"
        "HTML('<script>setTimeout(() => {throw Error(\"thrown\")})</script>')",
        "raise ValueError('an error')",
        "print('never reached')",
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    file = server.course / "notebooks" / "faults.ipynb"
    nbformat.write(notebook, file)
    faulty = opened(browser, server, file)
    faulty.run_all()
    faults = "\n".join(faulty.faults())
    wide = faulty.too_wide()
    faulty.page.close()
    server.stop_kernels()
    assert re.search(r"^cell 0: a warning", faults, re.M)
    assert re.search(r"^console: said by a script", faults, re.M)
    assert re.search(r"^console: exception: .*thrown", faults, re.M)
    assert re.search(r"^cell 3: .*\n*ValueError", faults, re.M)
    assert re.search(r"^cell 4 did not run", faults, re.M)
    assert len(wide) == 1 and "long xxx" in wide[0]


# -- lessons ---------------------------------------------------------------


def test_lesson_runs_without_a_fault(lesson: LabPage):
    assert lesson.faults() == []


def test_each_figure_is_described_and_has_an_opaque_background(
    lesson: LabPage,
):
    pictures = list(lesson.pictures())
    assert pictures, "the lesson shows no figure"
    for alt, picture in pictures:
        assert alt.strip(), "a figure without a description"
        colours = picture.convert("RGBA")
        right, bottom = colours.width - 1, colours.height - 1
        corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
        clear = [at for at in corners if colours.getpixel(at)[3] != 255]
        assert not clear, f"transparent at {clear}: {alt}"


def test_nothing_is_wider_than_the_page(lesson: LabPage):
    """On a laptop no output has to be moved sideways, and no line breaks."""
    assert lesson.too_wide() == []


def test_pictures_of_the_lesson_in_light_and_dark(lesson: LabPage):
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        lesson.use_theme(theme)
        shade = theme.split()[-1].lower()
        saved = lesson.photograph(ARTEFACTS, f"{lesson.lesson}_{shade}")
        assert all(path.stat().st_size > 5_000 for path in saved)
    assert lesson.faults() == []


def test_turning_each_dial_changes_its_figure(lesson: LabPage):
    dials = lesson.dials()
    assert dials, "the lesson has no dial"
    assert len(dials) == len(lesson.code_cells(r"^dial\("))
    for number, dial in enumerate(dials, 1):
        controls = 0
        for handle in dial.get_by_role("slider").all():
            turn_slider(dial, handle)
            controls += 1
        for buttons in dial.locator(".widget-toggle-buttons").all():
            press_button(dial, buttons)
            controls += 1
        assert controls, "a dial without a control"
        place = ARTEFACTS / f"{lesson.lesson}_dial_{number}_turned.png"
        lesson.photograph_part(dial, place)
    assert lesson.faults() == []


def turn_slider(dial: Locator, handle: Locator) -> None:
    """Move a slider one step by keyboard; the figure must change."""
    figure = dial.locator("img")
    before = figure.get_attribute("src") or ""
    value = float(handle.get_attribute("aria-valuenow") or 0)
    end = float(handle.get_attribute("aria-valuemax") or 0)
    handle.focus()
    handle.press("ArrowRight" if value < end else "ArrowLeft")
    expect(figure).not_to_have_attribute("src", before, timeout=STEP)


def press_button(dial: Locator, buttons: Locator) -> None:
    """Press a button that is not pressed; the figure must change."""
    figure = dial.locator("img")
    before = figure.get_attribute("src") or ""
    buttons.locator("button:not(.mod-active)").first.click()
    expect(figure).not_to_have_attribute("src", before, timeout=STEP)


def test_quiz_gives_its_reasons_for_wrong_and_right_answers(lesson: LabPage):
    forms = lesson.page.locator(f"{NOTEBOOK} .widget-vbox").filter(
        has=lesson.page.locator(".widget-radio-box")
    )
    questions = load_questions(lesson.lesson)
    expect(forms).to_have_count(len(questions))
    for form, question in zip(forms.all(), questions, strict=True):
        expect(form).to_contain_text(displayed(question.text))
        check = form.get_by_role("button", name="Check", exact=True)
        check.click()
        status = form.get_by_role("status")
        expect(status).to_contain_text("Choose one", timeout=STEP)
        # Wrong ones first, so that the right one has the last word.
        ordered = sorted(question.choices, key=lambda choice: choice.correct)
        for choice in ordered:
            choose(form, choice)
            check.click()
            expect(status).to_contain_text(
                f"Choice {choice.letter} is "
                f"{'right' if choice.correct else 'not right'}.",
                timeout=STEP,
            )
            expect(status).to_contain_text(displayed(choice.reason))
            shot = f"{question.id.replace('.', '_')}{choice.letter}.png"
            lesson.photograph_part(form, ARTEFACTS / shot)
    assert lesson.faults() == []


def choose(form: Locator, choice: Choice) -> None:
    form.locator(f'input[type="radio"][data-value="{choice.letter}"]').check()


def displayed(text: str) -> str:
    """Return ``text`` as the page shows it: without back-quotes."""
    return " ".join(text.replace("`", "").split())


# -- exercises -------------------------------------------------------------


def test_untouched_exercises_run_to_their_end(exercises: LabPage):
    assert exercises.faults() == []
    checks = exercises.code_cells(r"^check\(")
    assert checks, "the notebook checks nothing"
    for place in checks:
        assert "not attempted yet" in exercises.cell(place).inner_text()


def test_exercises_tell_wrong_from_right_answers(exercises: LabPage):
    answers = json.loads(ANSWERS.read_text("utf-8"))
    stubs = exercises.code_cells(r"raise NotImplementedError")
    assert stubs, "the notebook has no stub"
    for stub in stubs:
        number = str(exercises.source.cells[stub].metadata["exercise"])
        quoted = re.escape(number)
        (check,) = exercises.code_cells(rf"^check\(\s*[\"']{quoted}[\"']")
        result = exercises.cell(check).get_by_role("status")
        wrong = without_an_answer(exercises.source.cells[stub].source)
        tries = [(wrong, "not yet"), (answers[number], "correct")]
        for code, verdict in tries:
            exercises.type_into(stub, code)
            exercises.run_cell(stub)
            exercises.run_cell(check)
            expect(result.first).to_contain_text(
                f"Exercise {number}: {verdict}.", timeout=STEP
            )
    assert exercises.faults() == []


def without_an_answer(stub: str) -> str:
    """Return a stub whose function gives back a senseless number."""
    code = re.sub(r"raise NotImplementedError\(?\)?", "return -12345.0", stub)
    ast.parse(code)
    return code


def test_pictures_of_the_exercises(exercises: LabPage):
    saved = exercises.photograph(ARTEFACTS, f"{exercises.lesson}_exercises")
    assert all(path.stat().st_size > 5_000 for path in saved)
