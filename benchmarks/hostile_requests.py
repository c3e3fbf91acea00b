"""Hostile requests, and a server killed at random points.

    python -m benchmarks.hostile_requests \
        --save datasets/results/hostile_requests.csv

Ten thousand requests of twelve kinds in random order: each must get the
status that ``serving.app`` documents for its kind, no answer may hold a
trace, and a good request must still be answered after all of them. Then the
server is killed (SIGKILL) fifty times under load and swaps, at random times:
each new start must find a whole version, and the tokens.

Status 0 is a connection that is closed without an answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import shlex
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import serving
from benchmarks.__main__ import pin
from mtlrec_utils.evidence import write_results
from mtlrec_utils.serving import Client, TokenStore, store
from mtlrec_utils.serving.backends import _interpreter
from mtlrec_utils.serving.certificates import client_context
from mtlrec_utils.serving.server import Server, Settings

TRACES = (b"Traceback", b'File "', b"Error(", b"site-packages")
SLOW = 0.5  # seconds that the server waits for headers and bodies
#: kind -> (share of the requests, documented status)
KINDS = {
    "malformed JSON": (12, 400),
    "NaN or infinity": (12, 400),
    "wrong types": (12, 422),
    "missing or unknown columns": (10, 422),
    "too many rows": (6, 413),
    "huge body": (4, 413),
    "not JSON": (10, 415),
    "expired token": (10, 401),
    "guessed token": (10, 401),
    "token without the scope": (8, 403),
    "slow headers": (1, 0),
    "slow body": (1, 408),
    "plain HTTP": (4, 0),
}


class Forked:
    """A server in a process forked from this one, which imported all."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        told, tell = os.pipe()
        sys.stdout.flush()
        self.process_id = os.fork()
        if self.process_id == 0:
            os.close(told)
            _serve(settings, tell)
        os.close(tell)
        ready = select.select([told], [], [], 60)[0]
        line = os.read(told, 4096) if ready else b""
        os.close(told)
        if not line:
            self.end(signal.SIGKILL)
            raise RuntimeError("the server did not start.")
        form = json.loads(line)
        self.address, self.version = form["address"], form["version"]
        self.authority = form["authority"]
        self.port = int(self.address.rpartition(":")[2])

    def end(self, by: int = signal.SIGTERM) -> int:
        """Send a signal and wait; return the status (0: by itself)."""
        os.kill(self.process_id, by)
        return os.waitpid(self.process_id, 0)[1]


def _serve(settings: Settings, tell: int) -> None:
    status = 1
    try:

        def say(form: dict[str, str]) -> None:
            os.write(tell, json.dumps(form).encode())
            os.close(tell)

        Server(settings, on_ready=say).serve_until_stopped()
        status = 0
    finally:
        os._exit(status)


def body_of(rows: Any) -> bytes:
    return json.dumps({"rows": rows}).encode()


def http(
    token: str,
    body: bytes,
    *,
    path: str = "/v1/score",
    kind: str = "application/json",
    length: int | None = None,
) -> bytes:
    size = len(body) if length is None else length
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: {kind}\r\n"
        f"content-length: {size}\r\n\r\n"
    ).encode() + body


def request_of(
    kind: str, rows: list[Any], tokens: dict[str, str], draw: random.Random
) -> bytes:
    """Make one request of a kind."""
    token, row = tokens["score"], draw.choice(rows)
    whole = body_of([row])
    column = draw.choice(sorted(row))
    makers: dict[str, Callable[[], bytes]] = {
        "malformed JSON": lambda: http(
            token,
            draw.choice(
                [
                    whole[: draw.randrange(1, len(whole) - 1)],
                    draw.randbytes(draw.randrange(1, 300)),
                    b"[" * draw.randrange(1, 90_000),
                    b"",
                ]
            ),
        ),
        "NaN or infinity": lambda: http(
            token,
            body_of(
                [{**row, column: draw.choice([1, -1]) * float("inf")}]
                if draw.random() < 0.5
                else [{**row, column: float("nan")}]
            ),
        ),
        "wrong types": lambda: http(
            token,
            body_of(
                [{**row, column: draw.choice([[], {}, True, 0.5, [[1]]])}]
            ),
        ),
        "missing or unknown columns": lambda: http(
            token,
            body_of(
                [{**row, "more": 1}]
                if draw.random() < 0.5
                else [{k: v for k, v in row.items() if k != column}]
            ),
        ),
        "too many rows": lambda: http(token, body_of([row] * 513)),
        "huge body": lambda: http(token, b" " * 300_000),
        "not JSON": lambda: http(token, whole, kind="text/plain"),
        "expired token": lambda: http(tokens["expired"], whole),
        "guessed token": lambda: http(
            f"{draw.randbytes(6).hex()}.{draw.randbytes(32).hex()}", whole
        ),
        "token without the scope": lambda: http(
            token, b'{"version": "2"}', path="/v1/activate"
        ),
        "slow headers": lambda: http(token, whole)[:40],
        "slow body": lambda: http(token, whole[:9], length=len(whole)),
        "plain HTTP": lambda: http(token, whole),
    }
    return makers[kind]()


def status_of(
    kind: str, sent: bytes, port: int, context: ssl.SSLContext
) -> tuple[int, bytes]:
    """Send a request; return its status (0: closed) and all bytes."""
    found = b""
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        link: socket.socket = opened.enter_context(
            socket.create_connection(("127.0.0.1", port), 20)
        )
        if kind != "plain HTTP":
            link = opened.enter_context(
                context.wrap_socket(link, server_hostname="127.0.0.1")
            )
        with contextlib.suppress(OSError):  # refused before all was sent
            link.sendall(sent)
        while not _whole(found):
            part = link.recv(65536)
            if not part:
                break
            found += part
    if not found.startswith(b"HTTP/1.1 "):
        return 0, found
    return int(found.split()[1]), found


def _whole(found: bytes) -> bool:
    head, end, body = found.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return bool(end) and len(body) >= int(line.split()[1])
    return False


def hostile(
    server: Forked, rows: list[Any], tokens: dict[str, str], n: int
) -> pd.DataFrame:
    """Send n hostile requests; one row per kind."""
    draw = random.Random(0)
    shares = [share for share, _ in KINDS.values()]
    kinds = draw.choices(list(KINDS), shares, k=n)
    sent = [(kind, request_of(kind, rows, tokens, draw)) for kind in kinds]
    context = client_context(server.authority)
    right: Counter[str] = Counter()
    traces: Counter[str] = Counter()

    def one(pair: tuple[str, bytes]) -> tuple[str, int, bytes]:
        return pair[0], *status_of(*pair, server.port, context)

    odd: Counter[tuple[str, int]] = Counter()
    with ThreadPoolExecutor(12) as pool:
        for kind, status, answered in pool.map(one, sent):
            right[kind] += status == KINDS[kind][1]
            traces[kind] += any(trace in answered for trace in TRACES)
            if status != KINDS[kind][1]:
                odd[kind, status] += 1
    print("not as documented:", dict(odd))
    counts = Counter(kinds)
    return pd.DataFrame(
        {
            "part": "hostile",
            "kind": list(KINDS),
            "status": [status for _, status in KINDS.values()],
            "n": [counts[kind] for kind in KINDS],
            "as_documented": [right[kind] for kind in KINDS],
            "traces": [traces[kind] for kind in KINDS],
        }
    )


def kills(
    settings: Settings, rows: list[Any], tokens: dict[str, str], n: int
) -> pd.DataFrame:
    """Kill a server n times at random times; count whole restarts."""
    draw = random.Random(0)
    good = answered = 0
    for _ in range(n):
        server = Forked(settings)
        with Client(server.address, tokens["score"], server.authority) as one:
            found = one.score(rows[:3])
            whole = found.version == store.current_version(settings.model)
            store.verify(store.version_folder(settings.model, server.version))
            good += whole and server.version in serving.VERSIONS
        stop = threading.Event()
        busy = threading.Thread(
            target=swap_and_score, args=(server, rows, tokens, stop)
        )
        busy.start()
        time.sleep(draw.uniform(0.0, 0.5))
        answered += server.end(signal.SIGKILL) == signal.SIGKILL
        stop.set()
        busy.join()
    kept = TokenStore(settings.tokens).find(tokens["score"]) is not None
    return pd.DataFrame(
        {
            "part": "kill",
            "kind": ["SIGKILL", "tokens kept"],
            "status": [0, 0],
            "n": [n, 1],
            "as_documented": [good if answered == n else -1, int(kept)],
            "traces": [0, 0],
        }
    )


def swap_and_score(
    server: Forked,
    rows: list[Any],
    tokens: dict[str, str],
    stop: threading.Event,
) -> None:
    """Swap to and fro, and ask, until the server is gone."""
    with (
        contextlib.suppress(Exception),
        Client(server.address, tokens["admin"], server.authority) as admin,
        Client(server.address, tokens["score"], server.authority) as one,
    ):
        while not stop.is_set():
            for version in serving.VERSIONS:
                admin.activate(version)
                one.score(rows[:3])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hostile_requests",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--save", type=Path, help="write the table here")
    options = parser.parse_args()
    pinned = pin(2)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        rows = serving.prepare(folder)
        _interpreter()  # imported once, for all that are forked
        limits = replace(
            serving.OPEN, seconds_of_headers=SLOW, seconds_of_body=SLOW
        )
        settings = Settings(
            folder, Path(place) / "state", port=0, limits=limits
        )
        tokens = {s: serving.token_of(settings, s) for s in ("score", "admin")}
        issue = TokenStore(settings.tokens).issue
        tokens["expired"] = issue("expired", ("score",), 1e-6)
        server = Forked(settings)
        table = hostile(server, rows, tokens, options.requests)
        with Client(server.address, tokens["score"], server.authority) as one:
            assert one.score(rows[:3]).version == serving.VERSIONS[0]
        # Its work done, the server ends by the signal that asked for it.
        assert server.end() in (0, signal.SIGTERM), "it did not end well"
        table = pd.concat(
            [table, kills(settings, rows, tokens, options.kills)]
        )
    print(table.to_string(index=False))
    if options.save:
        write_results(
            table,
            options.save,
            seeds=[0],
            command=shlex.join(
                ["python", "-m", "benchmarks.hostile_requests", *sys.argv[1:]]
            ),
            machine=pinned,
        )


if __name__ == "__main__":
    main()
