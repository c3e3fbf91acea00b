"""Read members of data files in place: zip, tar.gz, gzip, folder.

Nothing is ever unpacked to disk, so a hostile archive cannot write
anywhere. Its member names are checked all the same: an archive with a path
outside its own folder is not the published file.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

ZIP_MAGIC = b"PK\x03\x04"
GZIP_MAGIC = b"\x1f\x8b"
_DAMAGE = (
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
)
_BLOCK = 1 << 20


class DataFileError(ValueError):
    """A data file is damaged, unsafe or not in its official layout."""


def looks_like_web_page(head: bytes) -> bool:
    """Tell whether the first bytes of a file are those of an HTML page."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))


def check_member_names(names: Sequence[str], source: object) -> None:
    """Refuse an archive with a member path outside its own folder.

    Raises:
        DataFileError: for an absolute path, a drive letter or a `..` part.
    """
    for name in names:
        parts = re.split(r"[/\\]", name)
        if name.startswith(("/", "\\")) or ":" in parts[0] or ".." in parts:
            raise DataFileError(
                f"{source} has the member {name!r}, a path outside its own "
                "folder. This is not the published file and may be an "
                "attack: delete it and get it again from the publisher."
            )


def check_whole(path: Path, name: str) -> None:
    """Read an archive to its end, so that no truncated file is accepted.

    Args:
        path: the file to read.
        name: the name it will have; `.zip`, `.tar.gz`, `.tgz` and `.gz` are
            checked, every other ending only against a web page.

    Raises:
        DataFileError: it is a web page, another format, or damaged.
    """
    with open(path, "rb") as file:
        head = file.read(512)
    _check_magic(head, name)
    with _damage_named(name):
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                check_member_names(archive.namelist(), name)
                bad = archive.testzip()
            if bad is not None:
                raise zipfile.BadZipFile(f"bad checksum of {bad}")
        elif name.endswith((".tar.gz", ".tgz")):
            with tarfile.open(path, "r|gz") as archive:
                for entry in archive:
                    check_member_names([entry.name], name)
        elif name.endswith(".gz"):
            with gzip.open(path) as stream:
                while stream.read(_BLOCK):
                    pass


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open one plain or gzipped file for reading bytes.

    Raises:
        DataFileError: the file is damaged or not what its name says.
    """
    with open(path, "rb") as file:
        _check_magic(file.read(512), path.name)
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with _damage_named(path.name), opener(path, "rb") as stream:
        yield stream


@contextmanager
def open_member(
    source: Path, member: str, *, inside: str | None = None
) -> Iterator[IO[bytes]]:
    """Open a member of a zip, a tar.gz or an unpacked folder.

    Args:
        source: the archive or the folder.
        member: base name of the member, such as `u.data`; the folders above
            it do not matter.
        inside: base name of an archive within the archive that holds the
            member (the publisher of Census-Income packs twice).

    Raises:
        DataFileError: damaged or unsafe archive, member absent, or two
            members of that name.
    """
    if source.is_dir():
        found = [p for p in source.rglob(member) if p.is_file()]
        with open(_only(found, member, source.name), "rb") as file:
            yield file
        return
    with open(source, "rb") as file, _damage_named(source.name):
        _check_magic(file.read(512), source.name)
        file.seek(0)
        if inside is not None:
            with _member(file, source.name, inside) as packed:
                inner = io.BytesIO(packed.read())
            with _member(inner, inside, member) as stream:
                yield stream
        else:
            with _member(file, source.name, member) as stream:
                yield stream


def member_names(source: Path) -> list[str]:
    """Base names of all files in an archive or below a folder, sorted.

    Raises:
        DataFileError: damaged or unsafe archive.
    """
    if source.is_dir():
        return sorted(p.name for p in source.rglob("*") if p.is_file())
    with open(source, "rb") as file, _damage_named(source.name):
        _check_magic(file.read(512), source.name)
        file.seek(0)
        names = _list(file, source.name)
    return sorted(name.rsplit("/", 1)[-1] for name in names)


def read_columns(
    stream: Any,
    names: Sequence[str],
    *,
    what: str,
    dtypes: Mapping[str, Any] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Read a table without a header line that must have these columns.

    Args:
        stream: anything `pandas.read_csv` takes.
        names: the column names, in file order.
        what: the file's name, for messages.
        dtypes: dtype of each column, by name; others are inferred.
        **options: passed on to `pandas.read_csv`.

    Raises:
        DataFileError: another number of columns, or a value that does not
            fit its dtype.
    """
    positions = {name: at for at, name in enumerate(names)}
    by_position = {positions[k]: v for k, v in (dtypes or {}).items()}
    with layout_errors(what, f"{len(names)} columns {', '.join(names)}"):
        frame = pd.read_csv(stream, header=None, dtype=by_position, **options)
        if frame.shape[1] != len(names):
            raise ValueError(f"found {frame.shape[1]} columns")
    frame.columns = pd.Index(names)
    return frame


@contextmanager
def layout_errors(what: str, expected: str) -> Iterator[None]:
    """Turn a parser's complaint into one that names file and layout."""
    try:
        yield
    except DataFileError:
        raise
    except (ValueError, KeyError, AttributeError) as error:
        raise DataFileError(
            f"{what} is not in the official layout ({expected}): "
            f"{' '.join(str(error).split())}. Get the file again from the "
            "publisher, unchanged."
        ) from error


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DataFileError(
            f"{name} is damaged or was cut off ({error}). Delete it and get "
            "it again."
        ) from error


def _check_magic(head: bytes, name: str) -> None:
    wanted = None
    if name.endswith(".zip"):
        wanted = ZIP_MAGIC
    elif name.endswith((".gz", ".tgz")):
        wanted = GZIP_MAGIC
    if looks_like_web_page(head):
        raise DataFileError(
            f"{name} is a web page, not the data file: an error or log-in "
            "page was saved under its name. Delete it and get it again."
        )
    if wanted is not None and not head.startswith(wanted):
        raise DataFileError(
            f"{name} is not a {name.rsplit('.', 1)[-1]} file (it begins "
            f"with {head[:8]!r}). Delete it and get it again."
        )


def _list(file: IO[bytes], name: str) -> list[str]:
    if name.endswith(".zip"):
        with zipfile.ZipFile(file) as archive:
            names = [i.filename for i in archive.infolist() if not i.is_dir()]
    else:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            names = [entry.name for entry in tar if entry.isfile()]
    check_member_names(names, name)
    return names


@contextmanager
def _member(file: IO[bytes], name: str, member: str) -> Iterator[IO[bytes]]:
    names = _list(file, name)
    match = [n for n in names if n.rsplit("/", 1)[-1] == member]
    wanted = _only(match, member, name)
    file.seek(0)
    if name.endswith(".zip"):
        with (
            zipfile.ZipFile(file) as archive,
            archive.open(wanted) as stream,
        ):
            yield stream
    else:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            extracted = tar.extractfile(wanted)
            assert extracted is not None, "_list returns regular files only"
            with extracted:
                yield extracted


def _only(found: Sequence[Any], member: str, source: str) -> Any:
    found = [p for p in found if "__MACOSX" not in os.fspath(p)]
    if len(found) == 1:
        return found[0]
    count = "no" if not found else str(len(found))
    raise DataFileError(
        f"{source} has {count} file named {member!r}, one was expected. "
        "Use the publisher's archive, unchanged, or its unpacked folder."
    )
