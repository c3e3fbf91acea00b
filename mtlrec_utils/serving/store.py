"""Versions of a model on disk.

    MODEL/versions/NAME/    manifest.json, schema.json, model.tflite, ...
    MODEL/current           the name of the version to serve

A version appears whole (a folder that is renamed) and never changes.
``current`` is one small file that is replaced, so whoever reads it finds the
old name or the new one. A version's sha256 sums find accidents, a broken
disk or a cut-off copy; against somebody who may write here they do nothing,
since the sums can be rewritten too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtlrec_utils.whole_file import whole_file

FORMAT = 1
SIGNATURE = "score"
MANIFEST, SCHEMA = "manifest.json", "schema.json"
LITERT, SAVED_MODEL = "model.tflite", "saved_model"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ModelError(ValueError):
    """A stored version is damaged, missing, or not one of ours."""


@dataclass(frozen=True)
class Manifest:
    """What a version says about itself.

    Attributes:
        version: its name.
        created: UTC time, ISO 8601.
        signature: name of the function to call in both formats.
        tasks: task -> "binary", "regression" or "multiclass".
        inputs: input of the model -> its number of columns.
        probe: encoded rows and what the model said of them, to try the
            loaded model on.
        files: path within the version -> sha256.
        libraries: what wrote it.
    """

    version: str
    created: str
    signature: str
    tasks: dict[str, str]
    inputs: dict[str, int]
    probe: dict[str, dict[str, list[Any]]]
    files: dict[str, str]
    libraries: dict[str, str]


def check_name(version: str) -> str:
    """Return a version's name if it is one.

    Raises:
        ModelError: it could leave its folder, or is hidden, or too long.
    """
    if not isinstance(version, str) or not _NAME.fullmatch(version):
        raise ModelError(
            f"{version!r} cannot be the name of a version: use 1 to 64 "
            "letters, digits, dots, dashes and underscores."
        )
    return version


def version_folder(model: str | os.PathLike[str], version: str) -> Path:
    """Return where a version lies."""
    return Path(model) / "versions" / check_name(version)


def versions(model: str | os.PathLike[str]) -> list[str]:
    """Return the names of the stored versions, sorted."""
    folder = Path(model) / "versions"
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)
    )


def current_version(model: str | os.PathLike[str]) -> str:
    """Return the version to serve.

    Raises:
        ModelError: none was activated.
    """
    pointer = Path(model) / "current"
    try:
        return check_name(pointer.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{os.fspath(model)} has no current version "
            f"({type(error).__name__}). Call activate(model, version)."
        ) from error


def activate(model: str | os.PathLike[str], version: str) -> None:
    """Make a stored version the one to serve, if it is whole.

    A running server does not look at this until it starts again; ask it to
    swap with ``Client.activate``, which calls this too.

    Raises:
        ModelError: the version is missing or damaged.
    """
    verify(version_folder(model, version))
    point_to(model, version)


def point_to(model: str | os.PathLike[str], version: str) -> None:
    """Replace the pointer, in one step."""
    with whole_file(Path(model) / "current") as part:
        part.write_text(f"{check_name(version)}\n", "utf-8")


def verify(folder: Path) -> Manifest:
    """Check every file of a version against its manifest.

    Raises:
        ModelError: a file is missing, changed, or not in the manifest.
    """
    manifest = read_manifest(folder)
    found = file_sums(folder)
    for name in sorted(found.keys() | manifest.files.keys()):
        if found.get(name) != manifest.files.get(name):
            state = (
                "is missing"
                if name not in found
                else "is not in the manifest"
                if name not in manifest.files
                else "has changed since it was exported"
            )
            raise ModelError(
                f"Version {folder.name!r} is damaged: {name} {state}. "
                "Export it again under a new name."
            )
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read a version's manifest.

    Raises:
        ModelError: there is none, or it is broken, or of another version.
    """
    try:
        form = json.loads((folder / MANIFEST).read_text("utf-8"))
        if form.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        manifest = Manifest(**form)
        if manifest.version != folder.name:
            raise ValueError(f"it is of version {manifest.version!r}")
    except FileNotFoundError:
        raise ModelError(
            f"There is no version {folder.name!r} of this model."
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"Version {folder.name!r} is damaged: its manifest cannot be "
            f"read ({error}). Export it again under a new name."
        ) from error
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, last of all files."""
    form = {"format": FORMAT, **asdict(manifest)}
    with whole_file(folder / MANIFEST) as part:
        part.write_text(json.dumps(form, indent=1), "utf-8")


def file_sums(folder: Path) -> dict[str, str]:
    """Return path -> sha256 of a version's files, the manifest left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() != MANIFEST
    }
