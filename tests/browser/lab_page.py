"""One notebook in JupyterLab, handled the way a learner does.

Everything is done with menus, keys and the mouse, and read from what the page
shows.  Nothing waits for a fixed time: each wait is for something to appear.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image
from playwright.sync_api import (
    ConsoleMessage,
    Locator,
    Page,
    TimeoutError,
    expect,
)

#: Milliseconds.  Long, because a busy machine is not a broken lesson.
STEP = 120_000
OPENING = 240_000
RUNNING = 600_000

#: A laptop's window, and a tall one for pictures.
WINDOW = {"width": 1280, "height": 800}
TALL = {"width": 1280, "height": 1700}

NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook"

#: What the console of JupyterLab itself says without anything being wrong.
BENIGN: tuple[tuple[str, str], ...] = ()

#: Read from the page: the cells in order, with their prompts and whatever
#: should not be among their outputs.  JupyterLab shows a traceback as it shows
#: a line of the error stream.
CELLS = """selector => {
  const unwelcome = output =>
    /jupyter\\.(error|stderr)$/.test(output.dataset.mimeType ?? '')
    || /Error (displaying|creating) widget/.test(output.textContent);
  return [...document.querySelectorAll(`${selector} .jp-Cell`)].map(cell => ({
    code: cell.classList.contains('jp-CodeCell'),
    empty: !cell.querySelector('.cm-content')?.textContent.trim(),
    prompt: cell.querySelector('.jp-InputPrompt')?.textContent.trim() ?? '',
    unwelcome: [...cell.querySelectorAll('.jp-OutputArea-output')]
      .filter(unwelcome).map(output => output.textContent),
  }));
}"""
IDLE = """() => [...document.querySelectorAll('.jp-StatusBar-Widget *')]
  .some(item => item.children.length == 0
    && /\\| Idle$/.test(item.textContent.trim()))"""
CLEARED = f"""selector => ({CELLS})(selector).every(
  cell => !/\\d/.test(cell.prompt))"""
#: A cell that waits for its turn has a star; after an error none has.
FINISHED = f"""selector => {{
  const prompts = ({CELLS})(selector).map(cell => cell.prompt);
  return ({IDLE})() && prompts.some(prompt => /\\d/.test(prompt))
    && !prompts.some(prompt => prompt.includes('*'));
}}"""

#: Lines of text are broken to fit the page; unbroken they show their width.
WIDE = """selector => {
  const outputs = [...document.querySelectorAll(
    `${selector} .jp-OutputArea-output`)];
  const texts = outputs.flatMap(
    output => [...output.querySelectorAll('pre')]);
  texts.forEach(text => text.style.whiteSpace = 'pre');
  const wide = outputs
    .filter(output => [output, ...output.querySelectorAll('pre')].some(
      part => part.scrollWidth > part.clientWidth + 2))
    .map(output => output.textContent.slice(0, 150));
  texts.forEach(text => text.style.whiteSpace = '');
  return wide;
}"""


class LabPage:
    """A notebook of the course, open in a browser window."""

    def __init__(self, page: Page, url: str, token: str, file: Path) -> None:
        """Take over ``page``; ``file`` is the notebook on disk."""
        self.page = page
        self.file = file
        self.source = nbformat.read(file, as_version=4)
        self.complaints: list[str] = []
        page.set_default_timeout(STEP)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self._note(f"exception: {error}"))
        page.on("crash", lambda _: self._note("the page crashed"))
        # A workspace of its own: the default one would open the notebooks of
        # the tests before again.
        own = f"workspaces/{file.parent.name}-{file.stem}"
        place = f"{file.parent.name}/{file.name}"
        page.goto(
            f"{url}lab/{own}/tree/{place}?token={token}", timeout=OPENING
        )
        page.wait_for_selector(f"{NOTEBOOK} .jp-Cell", timeout=OPENING)
        # Only now has the notebook a kernel; "Run All" would do nothing.
        page.wait_for_function(IDLE, timeout=OPENING)

    @property
    def lesson(self) -> str:
        """The lesson's number, "09"."""
        return self.file.name[:2]

    # -- running ----------------------------------------------------------

    def run_all(self) -> None:
        """Choose Run All Cells, and wait for the end or the first error."""
        # A stored notebook looks as if it had run already.
        self.menu("Edit", "Clear Outputs of All Cells")
        self.page.wait_for_function(CLEARED, arg=NOTEBOOK)
        self.menu("Run", "Run All Cells")
        try:
            self.page.wait_for_function(
                FINISHED, arg=NOTEBOOK, timeout=RUNNING
            )
        except TimeoutError as error:
            cells = self.page.evaluate(CELLS, NOTEBOOK)
            waiting = [i for i, c in enumerate(cells) if "*" in c["prompt"]]
            raise AssertionError(
                f"{self.file.name} did not finish in {RUNNING // 1000} s; "
                f"these cells wait: {waiting}"
            ) from error

    def run_cell(self, index: int) -> None:
        """Run one cell with Control-Enter and wait for its end."""
        cell = self.cell(index)
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text().strip()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        expect(prompt).not_to_have_text(before, timeout=RUNNING)
        expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=RUNNING)
        self.page.wait_for_function(IDLE, timeout=RUNNING)

    def type_into(self, index: int, code: str) -> None:
        """Replace the code of a cell by ``code``."""
        editor = self.cell(index).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(code)
        lines = editor.locator(".cm-line")
        expect(lines).to_have_count(len(code.split("\n")))
        # The editor must not have helped with indents or brackets.
        assert "\n".join(lines.all_text_contents()) == code

    def menu(self, *names: str) -> None:
        """Click through a menu of the menu bar."""
        labels = ".lm-MenuBar-itemLabel, .lm-Menu-itemLabel"
        for name in names:
            whole = re.compile(f"^{re.escape(name)}$")
            item = self.page.locator(labels).filter(has_text=whole)
            item.filter(visible=True).click()

    # -- reading ----------------------------------------------------------

    def cell(self, index: int) -> Locator:
        """Return cell ``index``, counted as in the notebook file."""
        return self.page.locator(f"{NOTEBOOK} .jp-Cell").nth(index)

    def code_cells(self, pattern: str) -> list[int]:
        """Return the places of the code cells whose source fits."""
        return [
            place
            for place, cell in enumerate(self.source.cells)
            if cell.cell_type == "code"
            and re.search(pattern, cell.source, re.M)
        ]

    def faults(self) -> list[str]:
        """Return all that is wrong on the page, with the number of the cell.

        Errors, lines on the error stream, widgets that could not be shown,
        code cells that did not run, and what the browser's console says.
        """
        found = []
        for place, cell in enumerate(self.page.evaluate(CELLS, NOTEBOOK)):
            found += [f"cell {place}: {line}" for line in cell["unwelcome"]]
            numbered = re.fullmatch(r"\[\d+\]:", cell["prompt"])
            if cell["code"] and not cell["empty"] and not numbered:
                found.append(f"cell {place} did not run: {cell['prompt']}")
        return found + self.complaints

    def too_wide(self) -> list[str]:
        """Return the outputs with a line that the page breaks or cuts."""
        found: list[str] = self.page.evaluate(WIDE, NOTEBOOK)
        return found

    def dials(self) -> list[Locator]:
        """Return the outputs that hold a figure with controls."""
        outputs = self.page.locator(f"{NOTEBOOK} .jp-OutputArea-output")
        return outputs.filter(has=self.page.locator(".widget-vbox img")).all()

    def pictures(self) -> Iterator[tuple[str, Image.Image]]:
        """Yield each PNG that the notebook shows, with its description."""
        images = self.page.locator(f"{NOTEBOOK} .jp-OutputArea-output img")
        for image in images.all():
            address = image.get_attribute("src") or ""
            kind, _, data = address.partition(",")
            if kind == "data:image/png;base64":
                stream = io.BytesIO(base64.b64decode(data))
                yield image.get_attribute("alt") or "", Image.open(stream)

    # -- looks ------------------------------------------------------------

    def use_theme(self, name: str) -> None:
        """Choose a theme from the Settings menu, as "JupyterLab Dark"."""
        self.menu("Settings", "Theme", name)
        body = self.page.locator(f'body[data-jp-theme-name="{name}"]')
        body.wait_for(state="attached")

    def photograph_part(self, part: Locator, file: Path) -> None:
        """Save a picture of one part of the page."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.set_viewport_size(TALL)
        try:
            part.screenshot(path=file)
        finally:
            self.page.set_viewport_size(WINDOW)

    def photograph(self, folder: Path, name: str) -> list[Path]:
        """Save the first screen, then the notebook from top to end."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{name}_*.png"):
            old.unlink()
        self._scroll_to(0)
        saved = [folder / f"{name}_first_screen.png"]
        self.page.screenshot(path=saved[0])
        self.page.set_viewport_size(TALL)
        try:
            panel = self.page.locator(NOTEBOOK)
            top, number = 0, 0
            while True:
                reached = self._scroll_to(top)
                number += 1
                saved.append(folder / f"{name}_{number:02}.png")
                panel.screenshot(path=saved[-1])
                if reached["top"] + reached["height"] >= reached["whole"] - 1:
                    return saved
                top = reached["top"] + reached["height"] - 60
        finally:
            self.page.set_viewport_size(WINDOW)

    def _scroll_to(self, top: float) -> Any:
        return self.page.evaluate(
            """async ([selector, top]) => {
              const notebook = document.querySelector(selector);
              const outer = notebook.querySelector('.jp-WindowedPanel-outer')
                ?? notebook;
              outer.scrollTop = top;
              for (let frame = 0; frame < 3; frame++)
                await new Promise(requestAnimationFrame);
              return {top: outer.scrollTop, height: outer.clientHeight,
                      whole: outer.scrollHeight};
            }""",
            [NOTEBOOK, top],
        )

    # -- the console ------------------------------------------------------

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        place = message.location.get("url", "")
        for words, _ in BENIGN:
            if re.search(words, f"{message.text} {place}"):
                return
        self._note(f"{message.text} ({place})")

    def _note(self, complaint: str) -> None:
        self.complaints.append(f"console: {complaint}")
