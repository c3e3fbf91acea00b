"""Finding one's way among the cells of a notebook."""

from __future__ import annotations

import re

from nbformat import NotebookNode


def heading_above(notebook: NotebookNode, index: int) -> str:
    """Find the last heading above a cell, as messages name the place."""
    for cell in reversed(notebook.cells[: index + 1]):
        if cell.cell_type == "markdown":
            found = re.findall(r"^#{1,6}\s+(.+?)\s*$", cell.source, re.M)
            if found:
                return found[-1]
    return "(no heading)"
