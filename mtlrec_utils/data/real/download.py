"""Fetch one file over HTTP so that a broken transfer can be taken up again.

The bytes go to `<name>.part`; `<name>.part.json` beside it remembers the
server's validator (ETag or date), so a resumed file is never glued together
from two versions. No reader ever looks at a `.part` file.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtlrec_utils.data.real.files import DataFileError

TIMEOUT = 30.0  # seconds without a byte before a connection counts as dead
_BLOCK = 1 << 18
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


class DownloadError(OSError):
    """A file could not be downloaded: network, server or disk."""


class _InterruptedError(Exception):
    """The transfer stopped on the way; the next try can go on from there."""


class ResumableDownload:
    """A pooch downloader that resumes and reports faults in plain words.

    Args:
        part: where the unfinished file is kept between attempts.
        check: called with the whole file before pooch sees it; raises
            DataFileError if the bytes cannot be the file wanted.
        attempts: connections tried before giving up.
        pause: seconds between attempts.
    """

    def __init__(
        self,
        part: Path,
        check: Callable[[Path], None],
        *,
        attempts: int = 3,
        pause: float = 1.0,
    ) -> None:
        self.part = part
        self.notes = part.with_name(part.name + ".json")
        self.check = check
        self.attempts = attempts
        self.pause = pause

    def __call__(
        self,
        url: str,
        output_file: str,
        pooch: Any = None,
        check_only: bool = False,
    ) -> None:
        """Download `url` to `output_file`; see the class for the rest.

        Raises:
            DownloadError: no network, a refusing server, a full disk, or a
                connection that broke `attempts` times.
            DataFileError: the server sent a web page or a damaged file.
        """
        for attempt in range(self.attempts):
            try:
                self._transfer(url)
                break
            except _InterruptedError as error:
                if attempt + 1 == self.attempts:
                    raise DownloadError(
                        f"The download of {url} broke off ({error}). "
                        f"{self._kept():,} bytes are kept: run the same line "
                        "again to go on from there."
                    ) from error
                time.sleep(self.pause)
            except OSError as error:
                if error.errno in _FULL:
                    raise self._disk_full(url) from error
                raise
        try:
            self.check(self.part)
        except DataFileError:
            self.discard()
            raise
        os.replace(self.part, output_file)
        self.discard()

    def discard(self) -> None:
        """Delete the unfinished file and its notes."""
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    def _kept(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _transfer(self, url: str) -> None:
        notes = self._read_notes(url)
        offset = self._kept() if notes else 0
        if notes and offset == notes["size"]:
            return
        headers = {"User-Agent": "mtlrec-utils", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            headers["If-Range"] = notes["validator"]
        response = self._connect(url, headers)
        with response:
            resumes = response.status == 206
            if resumes and not _continues(response, offset, notes["size"]):
                self.discard()
                raise _InterruptedError(
                    "the server resumed at the wrong place"
                )
            if not resumes:
                offset = 0
                notes = self._new_notes(url, response)
            size = notes["size"]
            if size is not None:
                self._check_room(url, size - offset)
            self._receive(response, append=resumes)
        if size is not None and self._kept() != size:
            raise _InterruptedError(f"{self._kept():,} of {size:,} bytes came")

    def _connect(self, url: str, headers: dict[str, str]) -> Any:
        request = urllib.request.Request(url, headers=headers)
        try:
            response = urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part does not fit this file
                self.discard()
                raise _InterruptedError(
                    "the server refused to resume"
                ) from error
            if error.code >= 500:
                raise _InterruptedError(
                    f"server error {error.code}"
                ) from error
            raise DownloadError(
                f"The server refused {url}: {error.code} {error.reason}."
            ) from error
        except urllib.error.URLError as error:
            raise DownloadError(_unreachable(url, error.reason)) from error
        except (http.client.HTTPException, OSError) as error:
            raise DownloadError(_unreachable(url, error)) from error
        if "text/html" in (response.headers.get("Content-Type") or ""):
            response.close()
            raise DataFileError(
                f"{url} answered with a web page instead of the file: a "
                "log-in page of the network, or the file has moved. Nothing "
                "was kept."
            )
        return response

    def _receive(self, response: Any, *, append: bool) -> None:
        with open(self.part, "ab" if append else "wb") as file:
            while True:
                try:
                    block = response.read(_BLOCK)
                except (http.client.HTTPException, OSError) as error:
                    raise _InterruptedError(str(error)) from error
                if not block:
                    return
                file.write(block)

    def _new_notes(self, url: str, response: Any) -> dict[str, Any]:
        length = response.headers.get("Content-Length")
        etag = response.headers.get("ETag") or ""
        if not etag.startswith('"'):  # a weak tag may not be used in If-Range
            etag = response.headers.get("Last-Modified")
        notes = {
            "address": url,
            "size": int(length) if length else None,
            "validator": etag,
        }
        self.discard()
        self.notes.write_text(json.dumps(notes))
        return notes

    def _read_notes(self, url: str) -> dict[str, Any]:
        try:
            notes = json.loads(self.notes.read_text())
            usable = notes["address"] == url and notes["validator"]
            size = notes["size"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        if not usable or size is None or self._kept() > size:
            return {}
        return notes

    def _check_room(self, url: str, needed: int) -> None:
        if shutil.disk_usage(self.part.parent).free < needed:
            raise self._disk_full(url)

    def _disk_full(self, url: str) -> DownloadError:
        self.discard()  # give the room back
        return DownloadError(
            errno.ENOSPC,
            f"The disk is full: no room for {url}. Nothing was kept. Free "
            "some space, or set MTLREC_DATA to a folder with more room",
            str(self.part.parent),
        )


def _continues(response: Any, offset: int, size: int) -> bool:
    found = response.headers.get("Content-Range") or ""
    return found.startswith(f"bytes {offset}-") and found.endswith(f"/{size}")


def _unreachable(url: str, reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"{url} shows a certificate that is not valid here "
            f"({reason.verify_message}). Nothing was downloaded: this check "
            "is never skipped."
        )
    return (
        f"{url} cannot be reached ({reason}). Is there a network? Every "
        "lesson also runs without one, on the simulated world."
    )
