"""Downloads against a local server that misbehaves in every known way."""

import errno
import functools
import hashlib
import http.server
import io
import json
import shutil
import socket
import tarfile
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from mtlrec_utils.data.real import (
    REMOTE_FILES,
    DataFileError,
    DownloadError,
    cache,
    download,
    fetch,
    how_to_get,
)

NAME = "ml-latest-small"


class Publisher:
    """What the server sends; one misbehaviour per attribute."""

    def __init__(self, body):
        self.body = body
        self.content_type = "application/zip"
        self.etag = '"first"'
        self.modified = None
        self.ranges = True
        self.wrong_range = False
        self.length = True
        self.status = None
        self.die_after = []  # bytes sent before hanging up, per request
        self.seen = []  # Range header of each request
        self.answers = []  # status of each answer


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        site = self.server.site
        wanted = self.headers.get("Range")
        site.seen.append(wanted)
        if site.status:
            self.send_error(site.status)
            return
        start, status = 0, 200
        strong = site.etag if (site.etag or "W/")[:2] != "W/" else None
        validators = (strong, site.modified)
        if (
            site.ranges
            and wanted
            and self.headers.get("If-Range") in validators
        ):
            start, status = int(wanted[6:-1]), 206
        site.answers.append(status)
        self.send_response(status)
        self.send_header("Content-Type", site.content_type)
        if site.length:
            self.send_header("Content-Length", str(len(site.body) - start))
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.modified:
            self.send_header("Last-Modified", site.modified)
        if status == 206:
            shown = start + 5 * site.wrong_range
            last, total = len(site.body) - 1, len(site.body)
            self.send_header("Content-Range", f"bytes {shown}-{last}/{total}")
        self.end_headers()
        rest = site.body[start:]
        if site.die_after:
            rest = rest[: site.die_after.pop(0)]
        self.wfile.write(rest)


def zip_bytes(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    noise = np.random.default_rng(0).bytes(50_000)
    publisher = Publisher(zip_bytes({"ml-latest-small/noise": noise}))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.site = publisher
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/file.zip"
    set_remote(monkeypatch, address=address)
    monkeypatch.setattr(
        cache,
        "ResumableDownload",
        functools.partial(download.ResumableDownload, pause=0.0),
    )
    yield publisher
    server.shutdown()
    thread.join()
    server.server_close()


def set_remote(monkeypatch, **changes):
    changed = replace(REMOTE_FILES[NAME], **changes)
    monkeypatch.setitem(REMOTE_FILES, NAME, changed)


def files_below(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def get(folder):
    return fetch(NAME, folder, download=True)


def test_download_arrives_whole_and_is_not_repeated(site, tmp_path, capsys):
    path = get(tmp_path)
    assert path == tmp_path / "movielens" / "ml-latest-small.zip"
    assert path.read_bytes() == site.body
    printed = capsys.readouterr().out
    digest = hashlib.sha256(site.body).hexdigest()
    assert REMOTE_FILES[NAME].licence in printed
    assert digest in printed
    note = path.with_name(path.name + ".sha256")
    assert note.read_text() == f"{digest}  ml-latest-small.zip\n"
    assert files_below(tmp_path) == [path.name, note.name]
    assert get(tmp_path) == path
    assert site.seen == [None]
    assert capsys.readouterr().out == ""


def test_nothing_is_downloaded_unless_asked(site, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        fetch(NAME, tmp_path)
    assert str(error.value).splitlines()[0] == how_to_get(NAME)
    assert "download=True" in how_to_get(NAME)
    assert site.seen == []
    assert list(tmp_path.iterdir()) == []


def test_data_folder_from_the_environment(site, tmp_path, monkeypatch):
    monkeypatch.setenv("MTLREC_DATA", str(tmp_path / "chosen"))
    path = fetch(NAME, download=True)
    assert path.is_relative_to(tmp_path / "chosen")
    monkeypatch.setenv("MTLREC_DATA", "")
    assert cache.data_folder().name == "mtlrec"


def test_broken_connection_goes_on_where_it_stopped(site, tmp_path):
    site.die_after = [20_000, 15_000]
    assert get(tmp_path).read_bytes() == site.body
    assert site.seen == [None, "bytes=20000-", "bytes=35000-"]


def test_later_call_resumes_after_giving_up(site, tmp_path):
    site.die_after = [10_000, 0, 7]
    with pytest.raises(DownloadError, match="10,007 bytes are kept"):
        get(tmp_path)
    kept = ["ml-latest-small.zip.part", "ml-latest-small.zip.part.json"]
    assert files_below(tmp_path) == kept
    with pytest.raises(FileNotFoundError):
        fetch(NAME, tmp_path)  # a part is never taken for the file
    path = get(tmp_path)
    assert site.seen[-1] == "bytes=10007-"
    assert path.read_bytes() == site.body
    assert files_below(tmp_path) == [path.name, f"{path.name}.sha256"]


def test_last_modified_serves_where_the_tag_is_weak(site, tmp_path):
    site.etag, site.modified = 'W/"x"', "Mon, 03 Feb 2020 10:00:00 GMT"
    site.die_after = [20_000]
    assert get(tmp_path).read_bytes() == site.body
    assert site.seen == [None, "bytes=20000-"]
    assert site.answers == [200, 206]


def test_server_without_ranges_starts_over(site, tmp_path):
    site.ranges = False
    site.die_after = [20_000]
    assert get(tmp_path).read_bytes() == site.body
    assert site.seen == [None, "bytes=20000-"]


def test_without_validator_nothing_is_glued_together(site, tmp_path):
    site.etag = None
    site.die_after = [20_000]
    assert get(tmp_path).read_bytes() == site.body
    assert site.seen == [None, None]


def test_file_that_changed_meanwhile_is_fetched_anew(site, tmp_path):
    site.die_after = [20_000, 0, 0]
    with pytest.raises(DownloadError):
        get(tmp_path)
    site.body = zip_bytes({"other": b"x" * 60_000})
    site.etag = '"second"'
    assert get(tmp_path).read_bytes() == site.body


def test_resuming_at_the_wrong_place_starts_over(site, tmp_path):
    site.die_after = [20_000]
    site.wrong_range = True
    assert get(tmp_path).read_bytes() == site.body
    assert site.seen == [None, "bytes=20000-", None]


def test_whole_part_left_by_a_killed_process_is_used(site, tmp_path):
    folder = tmp_path / "movielens"
    folder.mkdir()
    part = folder / "ml-latest-small.zip.part"
    part.write_bytes(site.body)
    notes = {
        "address": REMOTE_FILES[NAME].address,
        "size": len(site.body),
        "validator": '"first"',
    }
    part.with_name(part.name + ".json").write_text(json.dumps(notes))
    assert get(tmp_path).read_bytes() == site.body
    assert site.seen == []


@pytest.mark.parametrize("notes", ["", "[]", "{}", '{"address": 1}'])
def test_spoilt_notes_start_over(site, tmp_path, notes):
    folder = tmp_path / "movielens"
    folder.mkdir()
    part = folder / "ml-latest-small.zip.part"
    part.write_bytes(b"something else")
    part.with_name(part.name + ".json").write_text(notes)
    assert get(tmp_path).read_bytes() == site.body


def test_wrong_checksum_keeps_nothing(site, tmp_path, monkeypatch):
    set_remote(monkeypatch, checksum="md5:" + "0" * 32)
    with pytest.raises(DataFileError, match="published checksum"):
        get(tmp_path)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_right_checksum_is_accepted(site, tmp_path, monkeypatch, capsys, kind):
    digest = hashlib.new(kind, site.body).hexdigest()
    set_remote(monkeypatch, checksum=f"{kind}:{digest}")
    assert get(tmp_path).read_bytes() == site.body
    assert "No published checksum" not in capsys.readouterr().out


def test_truncated_archive_keeps_nothing(site, tmp_path):
    site.body = site.body[:-30]
    with pytest.raises(DataFileError, match="damaged or was cut off"):
        get(tmp_path)
    assert files_below(tmp_path) == []


def test_cut_off_without_length_is_noticed(site, tmp_path):
    site.length = False
    site.die_after = [20_000]
    with pytest.raises(DataFileError, match="damaged or was cut off"):
        get(tmp_path)
    assert files_below(tmp_path) == []


def test_bit_flip_in_a_member_is_noticed(site, tmp_path):
    body = bytearray(site.body)
    body[25_000] ^= 1
    site.body = bytes(body)
    with pytest.raises(DataFileError, match="damaged"):
        get(tmp_path)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("content_type", ["text/html", "application/zip"])
def test_web_page_instead_of_the_file(site, tmp_path, content_type):
    site.body = b"\n<!DOCTYPE html><html>Please log in</html>"
    site.content_type = content_type
    with pytest.raises(DataFileError, match="web page"):
        get(tmp_path)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("member", ["../evil", "/evil", "a/../../e", "C:\\e"])
def test_zip_with_a_path_outside_its_folder(site, tmp_path, member):
    site.body = zip_bytes({"good": b"1", member: b"2"})
    folder = tmp_path / "data"
    with pytest.raises(DataFileError, match="outside its own folder"):
        get(folder)
    assert files_below(tmp_path) == []


def test_tar_with_a_path_outside_its_folder(site, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))
    site.body = buffer.getvalue()
    set_remote(monkeypatch, file="x.tar.gz")
    with pytest.raises(DataFileError, match="outside its own folder"):
        get(tmp_path)
    assert files_below(tmp_path) == []


def test_truncated_tar_keeps_nothing(site, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("a")
        info.size = 30_000
        noise = np.random.default_rng(1).bytes(info.size)
        archive.addfile(info, io.BytesIO(noise))
    set_remote(monkeypatch, file="x.tar.gz")
    site.body = buffer.getvalue()[:-5000]
    with pytest.raises(DataFileError, match="damaged or was cut off"):
        get(tmp_path)
    assert files_below(tmp_path) == []
    site.body = buffer.getvalue()
    assert get(tmp_path).read_bytes() == site.body


class FullDisk(io.BytesIO):
    def write(self, block):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_while_writing(site, tmp_path, monkeypatch):
    def open_full(path, mode):
        path.touch()
        return FullDisk()

    monkeypatch.setattr(download, "open", open_full, raising=False)
    with pytest.raises(DownloadError, match="disk is full") as error:
        get(tmp_path)
    assert error.value.errno == errno.ENOSPC
    assert "MTLREC_DATA" in str(error.value)
    assert files_below(tmp_path) == []


def test_full_disk_is_seen_before_the_transfer(site, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        download.shutil, "disk_usage", lambda _: usage._replace(free=10)
    )
    with pytest.raises(DownloadError, match="disk is full"):
        get(tmp_path)
    assert files_below(tmp_path) == []


def test_full_disk_when_the_folder_is_made(site, tmp_path, monkeypatch):
    def retrieve(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.pooch, "retrieve", retrieve)
    with pytest.raises(DownloadError, match="disk is full"):
        get(tmp_path)


def test_folder_that_cannot_be_written(site, tmp_path):
    (tmp_path / "movielens").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        get(tmp_path)
    assert files_below(tmp_path) == ["movielens"]


def test_no_network(site, tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening
        port = taken.getsockname()[1]
        set_remote(monkeypatch, address=f"http://127.0.0.1:{port}/x.zip")
        with pytest.raises(DownloadError, match="cannot be reached"):
            get(tmp_path)
    assert files_below(tmp_path) == []


def test_unknown_host(site, tmp_path, monkeypatch):
    def unresolved(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name not known")

    set_remote(monkeypatch, address="http://nowhere.invalid/x.zip")
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(DownloadError, match="cannot be reached"):
        get(tmp_path)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404])
def test_refusal_is_not_tried_again(site, tmp_path, status):
    site.status = status
    with pytest.raises(DownloadError, match=str(status)):
        get(tmp_path)
    assert len(site.seen) == 1
    assert files_below(tmp_path) == []


def test_server_error_is_tried_again(site, tmp_path):
    site.status = 503
    with pytest.raises(DownloadError, match="server error 503"):
        get(tmp_path)
    assert len(site.seen) == 3


def test_silent_server_times_out(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        set_remote(monkeypatch, address=f"http://127.0.0.1:{port}/x.zip")
        with pytest.raises(DownloadError, match="cannot be reached"):
            get(tmp_path)


def test_changed_file_is_refused_later(site, tmp_path):
    path = get(tmp_path)
    body = bytearray(site.body)
    body[1000] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises(DataFileError, match="not the file that was downl"):
        fetch(NAME, tmp_path)


def test_file_put_there_by_hand_needs_no_checksum(site, tmp_path):
    (tmp_path / "ml-latest-small.zip").write_bytes(site.body)
    assert fetch(NAME, tmp_path) == tmp_path / "ml-latest-small.zip"
    assert files_below(tmp_path) == ["ml-latest-small.zip"]


@pytest.mark.parametrize("name", REMOTE_FILES)
def test_registry_entries_are_complete(name):
    remote = REMOTE_FILES[name]
    hosts = (
        "https://files.grouplens.org/datasets/movielens/",
        "https://archive.ics.uci.edu/static/public/",
        "https://zenodo.org/records/10439422/",
    )
    assert remote.address.startswith(hosts)
    assert remote.address.endswith(remote.file)
    assert remote.licence.strip() == remote.licence != ""
    assert "\n" not in how_to_get(name)
    if remote.checksum is not None:
        kind, digest = remote.checksum.split(":")
        assert len(digest) == {"md5": 32, "sha256": 64}[kind]
        int(digest, 16)
