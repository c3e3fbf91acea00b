"""Run the cells of a notebook in a fresh kernel, as a learner would."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)
from nbformat import NotebookNode

from tools.notebook_kernel import kernel_environment

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class CellError(Exception):
    """A cell raised, took too long or lost its kernel."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


def execute(
    notebook: NotebookNode,
    *,
    root: Path,
    folder: Path,
    strict: bool,
    timeout: int,
) -> float:
    """Run all cells, in place, and return the seconds it took.

    Args:
        notebook: cells to run; their outputs are replaced.
        root: checkout whose package the kernel imports.
        folder: working folder of the kernel.
        strict: whether a failed ``check`` raises.
        timeout: seconds a single cell may take.

    Raises:
        CellError: at the first cell that fails; the rest does not run.
    """
    current = 0

    def remember(cell: NotebookNode, cell_index: int) -> None:
        nonlocal current
        current = cell_index

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    folder.mkdir(parents=True, exist_ok=True)
    client = NotebookClient(
        notebook,
        # Newer kernels warn on each start that local traffic is plain.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        on_cell_start=remember,
    )
    start = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        environment = kernel_environment(root, strict=strict, profile=profile)
        try:
            client.execute(env=environment)
        except CellTimeoutError as error:
            raise CellError(
                current, f"the cell ran longer than {timeout} s"
            ) from error
        except CellExecutionError as error:
            raise CellError(
                current, ANSI.sub("", error.traceback or str(error))
            ) from error
        except DeadKernelError as error:
            raise CellError(
                current, "the kernel died (out of memory?)"
            ) from error
        except RuntimeError as error:
            raise CellError(current, f"no kernel: {error}") from error
    return time.monotonic() - start
