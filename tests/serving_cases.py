"""A small model to serve, a server in a thread, requests by hand."""

import contextlib
import functools
import json
import socket
import ssl
import threading
from collections.abc import Iterator

from mtlrec_utils.data import Categorical, Schema, Task, World
from mtlrec_utils.models import mmoe
from mtlrec_utils.serving.certificates import client_context
from mtlrec_utils.serving.server import Server, Settings

COLUMNS = ("user", "item", "age_group", "device", "genre")


@functools.cache
def log():
    world = World(n_users=60, n_items=20, seed=1)
    return world.with_features(world.log(2_000, domain="films"))


@functools.cache
def schema():
    return Schema(
        [Categorical(column) for column in COLUMNS],
        [Task("click"), Task("like", sample_space="click")],
    ).fit(log())


@functools.cache
def model(seed=0):
    return mmoe(schema(), embedding_dimension=4, n_experts=2, seed=seed)


def rows(n, start=0):
    """Rows of the log as plain Python values."""
    part = log().iloc[start : start + n]
    return json.loads(part[list(COLUMNS)].to_json(orient="records"))


@contextlib.contextmanager
def running(settings: Settings, **options) -> Iterator[Server]:
    """A server in a thread, stopped as by a signal."""
    ready = threading.Event()
    server = Server(settings, on_ready=lambda told: ready.set(), **options)
    thread = threading.Thread(target=server.serve_until_stopped)
    thread.start()
    try:
        assert ready.wait(30), "the server did not start"
        yield server
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive(), "the server did not stop"


def authority(settings: Settings):
    return settings.state_folder / "certificates" / "authority.pem"


def connected(settings: Settings, port: int) -> ssl.SSLSocket:
    """An encrypted connection, nothing sent yet."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    context = client_context(authority(settings))
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def request(
    token,
    body=b"{}",
    method="POST",
    path="/v1/score",
    kind="application/json",
    length=None,
    extra=(),
):
    """Bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *extra]
    if token:
        lines.append(f"authorization: Bearer {token}")
    if kind:
        lines.append(f"content-type: {kind}")
    lines.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def answer(connection) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; (0, {}, b"") when it was closed."""
    found = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while b"\r\n\r\n" not in found:
            part = connection.recv(65536)
            if not part:
                break
            found += part
        head, _, body = found.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        while len(body) < int(headers.get("content-length", 0)):
            part = connection.recv(65536)
            if not part:
                break
            body += part
        if lines[0]:
            return int(lines[0].split()[1]), headers, body
    return 0, {}, b""


def ask(settings, port, sent) -> tuple[int, dict[str, str], bytes]:
    """Send bytes over a new connection and read the answer."""
    with connected(settings, port) as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            connection.sendall(sent)
        return answer(connection)
