"""One JupyterLab server and one Chromium for the tests of this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab_server import LabServer
    from playwright.sync_api import Browser

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")

#: Containers run as root and have no GPU, and a test calls nobody.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """Return the path of the system's Chromium, None if there is none."""
    named = os.environ.get("MTLREC_CHROMIUM")
    names = (named,) if named else CHROMIUM_NAMES
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def chromium() -> str:
    """Path of Chromium; without one, skip, or fail where CI needs it."""
    path = find_chromium()
    if path:
        return path
    message = (
        "No Chromium found. Install the system's package 'chromium', or name "
        "the program in MTLREC_CHROMIUM."
    )
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


# Scoped to the module: while Playwright is started, an event loop runs in
# this thread, which other tests of the same process would trip over.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Headless Chromium."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs the development environment"
    )
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=chromium, args=list(FLAGS), timeout=180_000
        )
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(
    chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabServer]:
    """The server of `make lab` on a copy of the course's notebooks."""
    from lab_server import LabServer

    with LabServer(tmp_path_factory.mktemp("lab")) as running:
        yield running
