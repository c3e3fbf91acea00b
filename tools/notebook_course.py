"""Where the notebooks of the course live, and what their outputs depend on.

A :class:`Course` is one checkout.  A :class:`Target` is one notebook file
to be built, with the text file that people write for it:

==============================  =======================================
``source/lessons/NN_name.md``    ``notebooks/NN_name.ipynb`` (executed)
``source/exercises/NN_name.md``  ``solutions/NN_name.ipynb`` (executed)
                                 ``exercises/NN_name.ipynb`` (not executed)
==============================  =======================================
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

BRANCH = "main"
SOURCE_OF = {
    "notebooks": "lessons",
    "solutions": "exercises",
    "exercises": "exercises",
}
ANSWERS = Path("mtlrec_utils", "classroom", "solutions.json")
# Data that lessons read.  Cards and licences are prose: they change no output.
DATA_SUFFIXES = {".csv", ".json", ".npz", ".parquet"}
# The rest of the builder changes cells, which are compared, or rewrites
# stored outputs each time.
MODULES_BEHIND_OUTPUTS = (
    "notebook_execution.py",
    "notebook_kernel.py",
    "notebook_outputs.py",
)


class BuildError(Exception):
    """A source cannot be built; the message says where and what to do."""


@dataclass(frozen=True)
class Target:
    """One notebook file to build."""

    course: Course
    name: str
    folder: str  # "notebooks", "solutions" or "exercises"

    @property
    def label(self) -> str:
        """How messages name it: ``notebooks/09_shared_bottom``."""
        return f"{self.folder}/{self.name}"

    @property
    def path(self) -> Path:
        """The built notebook."""
        return self.course.root / self.folder / f"{self.name}.ipynb"

    @property
    def source(self) -> Path:
        """The text people write."""
        folder = SOURCE_OF[self.folder]
        return self.course.root / "source" / folder / f"{self.name}.md"

    @property
    def is_executed(self) -> bool:
        """Whether the stored notebook carries outputs."""
        return self.folder != "exercises"

    def sibling(self, folder: str) -> Target:
        """The notebook of the same name in another folder."""
        return Target(self.course, self.name, folder)

    def source_hash(self) -> str:
        """Digest of the text, the same on every platform."""
        return digest(self.source.read_text("utf-8").encode())


@dataclass(frozen=True)
class Course:
    """One checkout of the course."""

    root: Path

    def targets(self) -> list[Target]:
        """All notebooks that the sources ask for, in building order.

        The solutions stand before the exercises, because an exercise
        notebook shows results that its solution computed.
        """
        return [
            Target(self, path.stem, folder)
            for folder, source in SOURCE_OF.items()
            for path in sorted((self.root / "source" / source).glob("*.md"))
        ]

    def orphans(self) -> list[Path]:
        """Notebook files without a source."""
        wanted = {target.path for target in self.targets()}
        return [
            path
            for folder in SOURCE_OF
            for path in sorted((self.root / folder).glob("*.ipynb"))
            if path not in wanted
        ]

    def address(self) -> str:
        """Address of the repository on GitHub."""
        return f"https://github.com/{self.repository()}"

    def repository(self) -> str:
        """``owner/name`` on GitHub, from ``[project.urls] Repository``.

        Raises:
            BuildError: if the entry is missing or is not a GitHub address.
        """
        text = (self.root / "pyproject.toml").read_text("utf-8")
        urls = tomllib.loads(text)["project"].get("urls", {})
        address = urls.get("Repository", "")
        match = re.fullmatch(
            r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", address
        )
        if match is None:
            raise BuildError(
                f"pyproject.toml, [project.urls] Repository = {address!r}: "
                "write https://github.com/owner/name, the Colab links are "
                "made from it"
            )
        return match[1]

    @cached_property
    def code_hash(self) -> str:
        """Digest of everything but the source that can change an output.

        The package with its data, the bundled data sets, the lock file and
        the way of executing.  The extracted answers are left out: they are an
        output of the builder, and no cell prints one unasked.
        """
        lines = [
            f"{path.relative_to(self.root).as_posix()} "
            f"{digest(path.read_bytes())}"
            for path in sorted(self._files_behind_outputs())
        ]
        return digest("\n".join(lines).encode())

    def _files_behind_outputs(self) -> Iterator[Path]:
        for path in (self.root / "mtlrec_utils").rglob("*"):
            is_code = path.is_file() and "__pycache__" not in path.parts
            if is_code and path != self.root / ANSWERS:
                yield path
        for path in (self.root / "datasets").rglob("*"):
            if path.suffix in DATA_SUFFIXES:
                yield path
        others = [Path("requirements.lock")]
        others += [Path("tools", name) for name in MODULES_BEHIND_OUTPUTS]
        for path in (self.root / other for other in others):
            if path.exists():
                yield path


def digest(content: bytes) -> str:
    """Sixteen hexadecimal digits of SHA-256: enough to see a change."""
    return hashlib.sha256(content).hexdigest()[:16]
