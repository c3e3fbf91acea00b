"""Where the course's own files stand; standard library only."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def course_folder(name: str = "datasets", *, package: Path = PACKAGE) -> Path:
    """Return the course's folder ``name``.

    An installed wheel carries the folder inside the package, as ``_datasets``
    for "datasets"; a checkout has it beside the package.

    Raises:
        FileNotFoundError: neither exists; the message says what to do.
    """
    packaged = package / f"_{name}"
    if packaged.is_dir():
        return packaged
    repository = package.parent
    if _is_course_repository(repository) and (repository / name).is_dir():
        return repository / name
    raise FileNotFoundError(
        f"The course folder {name!r} was found neither inside the installed "
        f"package (as '_{name}') nor beside it in a checkout of the course. "
        "Install the package from the course's repository, or run from a "
        "complete checkout."
    )


def _is_course_repository(folder: Path) -> bool:
    """Tell a checkout of this course from any other folder.

    Beside an installed package stand other packages, one of which may well be
    called ``datasets``.
    """
    project = folder / "pyproject.toml"
    return project.is_file() and 'name = "mtlrec-utils"' in project.read_text(
        encoding="utf-8"
    )
