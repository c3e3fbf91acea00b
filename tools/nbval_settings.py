"""A pytest plugin: notebooks run under nbval as the builder runs them.

``pytest -p tools.nbval_settings --nbval-lax ...`` gives each kernel the
environment of :mod:`tools.notebook_kernel`: fast mode, no progress bars,
the package of this checkout, and checks that raise in ``solutions/``.
nbval starts a kernel with the first cell of a notebook, and a kernel keeps
the environment it was started with.

Holes of nbval 0.11, and what closes them:

* it compares no outputs of a notebook that was stripped, and takes
  ``raises-exception`` to mean "may raise": the linter forbids both the tag
  and the markers, and wants every cell executed;
* it reports the cells after a timeout as expected failures: the cell that
  timed out still fails, so the run is red;
* it numbers code cells from 0, which no reader sees: the report of a failed
  cell gets the heading above it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tools.notebook_cells import heading_above
from tools.notebook_kernel import kernel_environment

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _heading(item: Any) -> str:
    """Find the heading above a cell of nbval, which counts code cells."""
    notebook = item.parent.nb
    code = [i for i, c in enumerate(notebook.cells) if c.cell_type == "code"]
    return heading_above(notebook, code[item.cell_num])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Set the variables while nbval starts a kernel."""
    if item.path.suffix != ".ipynb":
        return (yield)
    values = kernel_environment(
        ROOT,
        strict=item.path.parent.name == "solutions",
        profile=os.path.join(tempfile.gettempdir(), "mtlrec-ipython"),
    )
    with _environment(values):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say under which heading a failed cell stands."""
    report = yield
    if report.failed and item.path.suffix == ".ipynb":
        report.sections.append(("notebook", f"under “{_heading(item)}”"))
    return report
