"""From a source text to the cells of a notebook, before any execution.

The text is a MyST Markdown notebook, read by jupytext.  Code cells carry
their tags as options, Markdown cells on the break before them::

    +++ {"tags": ["prediction"]}

    ## The question

    ```{code-cell} ipython3
    :tags: [setup]
    import mtlrec_utils
    ```

The first cell may hold two placeholders: ``{{links}}`` becomes the links to
Colab, to the download and to the neighbouring notebooks; ``{{runtime}}``
becomes the measured time, "about 40 s on two CPU cores".  In a cell tagged
``setup``, ``{{repository}}`` becomes the address Colab fetches the course
from.
"""

from __future__ import annotations

import math
import re

import nbformat
from jupytext.myst import MystMetadataParsingError, myst_to_notebook
from nbformat import NotebookNode

from tools.notebook_course import BRANCH, BuildError, Target, digest

NOT_MEASURED = "a time not measured yet"
FAQ = "FAQ.md"
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
CELL_METADATA = {"exercise", "tags"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def read_source(target: Target) -> tuple[NotebookNode, list[int]]:
    """Read the cells of a source, and the line where each one starts.

    The placeholders of the first cell are still in place.

    Raises:
        BuildError: if the text or a cell's metadata cannot be read.
    """
    where = f"source/{target.source.parent.name}/{target.source.name}"
    text = target.source.read_text("utf-8")
    try:
        parsed = myst_to_notebook(text, add_source_map=True)
    except MystMetadataParsingError as error:
        raise BuildError(f"{where}: {error}") from error
    lines = [line + 1 for line in parsed.metadata["source_map"]]
    if not parsed.cells or parsed.cells[0].cell_type != "markdown":
        raise BuildError(f"{where}: the first cell must be the title")
    notebook = nbformat.v4.new_notebook()
    taken: dict[str, int] = {}
    for cell, line in zip(parsed.cells, lines, strict=True):
        unknown = set(cell.metadata) - CELL_METADATA
        if unknown:
            raise BuildError(
                f"{where}:{line}: unknown cell metadata {sorted(unknown)}; "
                f"known are {sorted(CELL_METADATA)}"
            )
        if cell.cell_type == "raw":
            raise BuildError(
                f"{where}:{line}: raw cells are not shown to learners; "
                "write Markdown or code"
            )
        if "setup" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace(
                "{{repository}}", target.course.address()
            )
        cell.id = _cell_id(target.name, cell, taken)
        notebook.cells.append(cell)
    return notebook, lines


def _cell_id(name: str, cell: NotebookNode, taken: dict[str, int]) -> str:
    """Make a stable id: a cell that keeps its text keeps its id.

    Cells of equal text are told apart by counting them.
    """
    key = digest(f"{name}\n{cell.cell_type}\n{cell.source}".encode())
    taken[key] = taken.get(key, 0) + 1
    return key if taken[key] == 1 else f"{key}-{taken[key]}"


def fill_title(
    cell: NotebookNode, target: Target, seconds: float | None
) -> None:
    """Replace the placeholders of the title cell, in place.

    Raises:
        BuildError: if a placeholder is unknown.
    """

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "links":
            return links(target)
        if match[1] == "runtime":
            return runtime(seconds)
        raise BuildError(
            f"{target.label}: unknown placeholder {match[0]} in the title "
            "cell; known are {{links}} and {{runtime}}"
        )

    cell.source = PLACEHOLDER.sub(replacement, cell.source)


def runtime(seconds: float | None) -> str:
    """Say a measured time, rounded up to the next ten seconds."""
    if seconds is None:
        return NOT_MEASURED
    tens = max(10, math.ceil(seconds / 10) * 10)
    return f"about {tens} s on two CPU cores"


def links(target: Target) -> str:
    """Write one line of links for the title of a notebook."""
    repository = target.course.repository()
    file = f"{target.folder}/{target.name}.ipynb"
    parts = [
        "[Open in Colab](https://colab.research.google.com/github/"
        f"{repository}/blob/{BRANCH}/{file})",
        "[Download this notebook](https://raw.githubusercontent.com/"
        f"{repository}/{BRANCH}/{file})",
    ]
    neighbours = {
        "notebooks": "The lesson",
        "exercises": "Exercises",
        "solutions": "Answers",
    }
    if target.folder == "notebooks":
        del neighbours["solutions"]
    for folder, text in neighbours.items():
        neighbour = target.sibling(folder)
        if folder != target.folder and neighbour.source.exists():
            parts.append(f"[{text}](../{folder}/{target.name}.ipynb)")
    if target.folder == "notebooks" and (target.course.root / FAQ).exists():
        parts.append(f"[Questions](../{FAQ})")
    return " · ".join(parts)


def notebook_metadata(
    target: Target, code_hash: str, seconds: int | None
) -> NotebookNode:
    """Make the metadata of a notebook: the kernel, and how it was made."""
    return nbformat.from_dict(
        {
            "kernelspec": KERNEL,
            "language_info": {"name": "python"},
            "mtlrec": {
                "source_hash": target.source_hash(),
                "code_hash": code_hash,
                "seconds": seconds,
            },
        }
    )
