"""Where the real data sets lie, and how they get there.

`MTLREC_DATA` names the folder; without it the platform's cache folder is
used. Nothing is downloaded unless a caller asks for it in so many words, and
a missing file is never replaced by made-up data.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pooch

from mtlrec_utils.data.real.download import DownloadError, ResumableDownload
from mtlrec_utils.data.real.files import DataFileError, check_whole
from mtlrec_utils.whole_file import whole_file

_GROUPLENS = "https://files.grouplens.org/datasets/movielens/"
_NO_COPIES = (
    "GroupLens licence: research use with acknowledgement, no commercial "
    "use, no redistribution without permission."
)
_SAME_TERMS = (
    "GroupLens licence: research use with acknowledgement, no commercial "
    "use; redistribution only under the same terms."
)


@dataclass(frozen=True)
class RemoteFile:
    """One published file.

    Attributes:
        title: the data set's name, for messages.
        folder: its folder below the data folder.
        file: the file's name there.
        address: the publisher's address.
        checksum: `md5:...` or `sha256:...` as published, or None where the
            publisher names none; then the sha256 received is remembered.
        licence: one line, printed at the first download.
        megabytes: size of the download, about.
        loader: the call that downloads it.
        unpacked: name of the folder the archive unpacks to, if any.
    """

    title: str
    folder: str
    file: str
    address: str
    checksum: str | None
    licence: str
    megabytes: int
    loader: str
    unpacked: str | None = None


def movielens_title(edition: str) -> str:
    """Its name: "1m" is MovieLens-1M, "latest-small" ml-latest-small."""
    named = edition[0].isdigit()
    return f"MovieLens-{edition.upper()}" if named else f"ml-{edition}"


def _movielens(
    edition: str, checksum: str | None, licence: str, megabytes: int
) -> RemoteFile:
    return RemoteFile(
        title=movielens_title(edition),
        folder="movielens",
        file=f"ml-{edition}.zip",
        address=f"{_GROUPLENS}ml-{edition}.zip",
        checksum=checksum,
        licence=licence,
        megabytes=megabytes,
        loader=f'load_movielens("{edition}", download=True)',
        unpacked=f"ml-{edition}",
    )


# The md5 sums are the ones GroupLens and Zenodo publish beside the files.
REMOTE_FILES: dict[str, RemoteFile] = {
    "ml-100k": _movielens(
        "100k", "md5:0e33842e24a9c977be4e0107933c0723", _NO_COPIES, 5
    ),
    "ml-1m": _movielens(
        "1m", "md5:c4d9eecfca2ab87c1945afe126590906", _NO_COPIES, 6
    ),
    # Regenerated from time to time, so no checksum can be pinned.
    "ml-latest-small": _movielens("latest-small", None, _SAME_TERMS, 1),
    "ml-25m": _movielens(
        "25m", "md5:6b51fb2759a8657d3bfcbfc42b592ada", _SAME_TERMS, 262
    ),
    "ml-32m": _movielens(
        "32m", "md5:d472be332d4daa821edc399621853b57", _SAME_TERMS, 239
    ),
    "census-income": RemoteFile(
        title="Census-Income (KDD)",
        folder="census-income",
        file="census+income+kdd.zip",
        address=(
            "https://archive.ics.uci.edu/static/public/117/"
            "census+income+kdd.zip"
        ),
        checksum=None,
        licence=(
            "CC BY 4.0; UCI Machine Learning Repository, data set 117, "
            "donors T. Lane and R. Kohavi."
        ),
        megabytes=10,
        loader='load_census_income("train", download=True)',
    ),
    "kuairand-pure": RemoteFile(
        title="KuaiRand-Pure",
        folder="kuairand",
        file="KuaiRand-Pure.tar.gz",
        address=(
            "https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz"
        ),
        checksum="md5:0820331067a3784d9691136f772b35a7",
        licence="CC BY-SA 4.0; Kuaishou and USTC, CIKM 2022.",
        megabytes=47,
        loader='load_kuairand(logs="all", download=True)',
        unpacked="KuaiRand-Pure",
    ),
}


def data_folder() -> Path:
    """The folder of the real data sets: `MTLREC_DATA` or the cache folder."""
    chosen = os.environ.get("MTLREC_DATA", "").strip()
    return (
        Path(chosen).expanduser() if chosen else Path(pooch.os_cache("mtlrec"))
    )


def find_file(
    folder: str | os.PathLike[str] | None,
    data_set: str,
    names: Sequence[str],
) -> Path | None:
    """First of `names` found below the data folder, or None.

    Args:
        folder: the data folder, None for `data_folder()`.
        data_set: the data set's own folder below it, such as `movielens`;
            files that lie directly in `folder` are found too.
        names: file or folder names, best first.

    Raises:
        DataFileError: the file changed since its sha256 was remembered.
    """
    root = data_folder() if folder is None else Path(folder)
    for name in names:
        for path in (root / data_set / name, root / name):
            if path.exists():
                _verify_remembered(path)
                return path
    return None


def how_to_get(name: str) -> str:
    """One line that says what is missing and which call downloads it.

    At most 79 characters: lessons print it, and no page may break it.
    """
    remote = REMOTE_FILES[name]
    return f"No {remote.title} here. Get it: {remote.loader}"


def missing(
    name: str, folder: str | os.PathLike[str] | None, names: Sequence[str]
) -> FileNotFoundError:
    """The error for an absent data set; its first line is `how_to_get`."""
    root = data_folder() if folder is None else Path(folder)
    remote = REMOTE_FILES[name]
    return FileNotFoundError(
        f"{how_to_get(name)}\nThat downloads {remote.megabytes} MB once. If "
        "you have it, set MTLREC_DATA to its folder.\n"
        f"Looked for {' or '.join(names)} in {root / remote.folder} and "
        f"{root}. By hand: {remote.address}\n"
        f"{remote.licence}"
    )


def fetch(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
) -> Path:
    """Path of a published archive (or its unpacked folder) on this machine.

    Args:
        name: a key of `REMOTE_FILES`.
        folder: the data folder, None for `data_folder()`.
        download: fetch the file if it is not there.

    Raises:
        FileNotFoundError: not there, and `download` is False.
        DownloadError: no network, refusing server, broken connection, full
            disk, folder that cannot be written.
        DataFileError: a wrong, damaged or unsafe file came, or the file on
            disk changed since it was downloaded.
    """
    remote = REMOTE_FILES[name]
    names = [remote.file] + ([remote.unpacked] if remote.unpacked else [])
    found = find_file(folder, remote.folder, names)
    if found is not None:
        return found
    if not download:
        raise missing(name, folder, names)
    root = data_folder() if folder is None else Path(folder)
    return _download(remote, root / remote.folder)


def _download(remote: RemoteFile, folder: Path) -> Path:
    print(
        f"{remote.title}: downloading {remote.megabytes} MB from "
        f"{remote.address}\nLicence: {remote.licence}"
    )
    downloader = ResumableDownload(
        folder / f"{remote.file}.part",
        lambda part: check_whole(part, remote.file),
    )
    log = pooch.get_logger()
    level = log.level
    log.setLevel(logging.WARNING)  # pooch's lines would repeat ours
    try:
        pooch.retrieve(
            remote.address,
            remote.checksum,
            fname=remote.file,
            path=folder,
            downloader=downloader,
        )
    except (DownloadError, DataFileError):
        raise
    except ValueError as error:  # pooch's word for a wrong checksum
        raise DataFileError(
            f"{remote.file} does not have the published checksum "
            f"({error}). Nothing was kept."
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        log.setLevel(level)
    path = folder / remote.file
    _remember(path, known=remote.checksum is not None)
    return path


def _unwritable(folder: Path, error: OSError) -> DownloadError:
    if error.errno == errno.ENOSPC:
        reason = "The disk is full. Free some space"
    else:
        reason = f"{folder} cannot be written ({error})"
    return DownloadError(
        f"{reason}, or set MTLREC_DATA to another folder. Nothing was kept."
    )


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _remember(path: Path, *, known: bool) -> None:
    digest = pooch.file_hash(str(path), alg="sha256")
    if not known:
        print(
            f"No published checksum for {path.name}. Received sha256 "
            f"{digest}; it is remembered and checked from now on."
        )
    with whole_file(_note_of(path)) as part:
        part.write_text(f"{digest}  {path.name}\n")


def _verify_remembered(path: Path) -> None:
    note = _note_of(path)
    if not path.is_file() or not note.is_file():
        return
    wanted = note.read_text().split()[:1]
    found = pooch.file_hash(str(path), alg="sha256")
    if wanted != [found]:
        raise DataFileError(
            f"{path.name} is not the file that was downloaded: its sha256 is "
            f"{found}, {note.name} says {' '.join(wanted)}. Delete both and "
            "get the file again."
        )
