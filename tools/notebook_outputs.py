"""Stored outputs in normal form, so that a rebuild changes only what changed.

Also the place where outputs that must never be published stop a build.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.notebook_course import BuildError

MAXIMUM_BYTES = 500_000
WIDGET = "application/vnd.jupyter.widget-view+json"
STATIC = {"text/html", "image/png", "text/markdown"}
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
DATA_ADDRESS = re.compile(r"data:[\w/+.-]+;base64,[\w+/=\s]*")
MACHINE_PATH = re.compile(
    r"(?<![\w./:~-])/(?:home|Users|root|tmp|var|opt|usr|mnt|content)/[^\s\"'<>]+"
    r"|\b[A-Z]:\\+Users\\+[^\s\"'<>]+"
)


def normalise(notebook: NotebookNode, root: Path) -> None:
    """Bring the outputs of an executed notebook to normal form, in place.

    Applying it again changes nothing.

    Raises:
        BuildError: if an output shows a path of this machine, an error
            stream, or a widget without a picture that stands in for it.
    """
    notebook.metadata.pop("widgets", None)
    count = 0
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        cell.outputs = _merge_streams(cell.outputs)
        cell.outputs = _without_widgets(cell, index)
        for output in cell.outputs:
            _tidy(output)
            if output.output_type == "execute_result":
                output.execution_count = count
            _refuse(output, cell, index, root)


def serialise(notebook: NotebookNode) -> str:
    """Write a notebook as text: sorted keys, closing line break.

    Raises:
        BuildError: if it is not a valid notebook, or too large.
    """
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    size = len(text.encode())
    if size > MAXIMUM_BYTES:
        raise BuildError(
            f"the notebook has {size:,} bytes, at most {MAXIMUM_BYTES:,} are "
            "allowed: show fewer or smaller figures"
        )
    return text


def _merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    merged: list[NotebookNode] = []
    for output in outputs:
        before = merged[-1] if merged else None
        if (
            before is not None
            and output.output_type == before.output_type == "stream"
            and output.name == before.name
        ):
            before.text += output.text
        else:
            merged.append(output)
    return merged


def _without_widgets(cell: NotebookNode, index: int) -> list[NotebookNode]:
    """Drop live views: they need a kernel, and state the file lacks."""
    shown = any(STATIC & set(o.get("data", {})) for o in cell.outputs)
    kept = []
    for output in cell.outputs:
        data = output.get("data", {})
        if WIDGET not in data:
            kept.append(output)
        elif not shown:
            raise BuildError(
                f"cell {index} shows a widget and nothing else; give it a "
                "static picture or table for readers without a kernel:\n"
                + cell.source
            )
        elif STATIC & set(data):
            del data[WIDGET]
            kept.append(output)
    return kept


def _tidy(output: NotebookNode) -> None:
    if output.output_type == "stream":
        output.text = ADDRESS.sub("at 0x0", _overwritten(output.text))
        return
    if output.output_type == "error":
        return
    output.pop("transient", None)
    for kind, content in output.data.items():
        if kind.startswith("text/") and isinstance(content, str):
            output.data[kind] = ADDRESS.sub("at 0x0", content)
        elif kind == "image/png":
            output.data[kind] = content.replace("\n", "")


def _overwritten(text: str) -> str:
    """Play carriage returns, as a terminal does: the last writing stays."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        parts = [part for part in line.split("\r") if part]
        lines.append(parts[-1] if parts else "")
    return "\n".join(lines)


def _refuse(
    output: NotebookNode, cell: NotebookNode, index: int, root: Path
) -> None:
    problem = None
    if output.output_type == "stream" and output.name == "stderr":
        problem = f"writes to the error stream: {output.text[:500]!r}"
    for text in output_texts(output):
        found = machine_path(text, root)
        if found:
            problem = f"shows a path of this machine: {found!r}"
    if problem:
        raise BuildError(f"cell {index} {problem}\n{cell.source}")


def output_texts(output: NotebookNode) -> list[str]:
    """List what a reader of an output can read, without encoded pictures."""
    if output.output_type == "stream":
        texts = [output.text]
    elif output.output_type == "error":
        texts = [*output.traceback, output.evalue]
    else:
        texts = [
            text
            for kind, text in output.data.items()
            if isinstance(text, str) and not kind.startswith("image/png")
        ]
    return [DATA_ADDRESS.sub("", text) for text in texts]


def machine_path(text: str, root: Path) -> str | None:
    """Find an absolute path that exists on the builder's machine only."""
    own = (root, Path.home(), Path(sys.prefix), Path(tempfile.gettempdir()))
    for folder in own:
        if len(folder.parts) < 2:
            continue
        if re.search(rf"(?<![\w./-]){re.escape(str(folder))}\b", text):
            return str(folder)
    match = MACHINE_PATH.search(text)
    return match[0] if match else None
