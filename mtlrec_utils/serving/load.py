"""A load for a server: connections that each send, wait, send again.

Its own few lines of HTTP, since a full client costs more time than the server
it measures.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from mtlrec_utils.serving.certificates import client_context


@dataclass(frozen=True)
class Load:
    """What a load met.

    Attributes:
        seconds: from the first request to the last answer.
        latencies: seconds of each request, in no order.
        statuses: HTTP status -> how often; 0 is no answer.
        versions: version of the model -> how often it answered.
    """

    seconds: float
    latencies: np.ndarray
    statuses: Counter[int]
    versions: Counter[str]

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return a percentile of the latencies, in milliseconds."""
        return float(1e3 * np.percentile(self.latencies, share))

    def summary(self) -> dict[str, float]:
        """Return requests per second, and milliseconds they waited."""
        return {
            "requests/s": self.per_second,
            "p50 ms": self.percentile(50),
            "p99 ms": self.percentile(99),
        }


async def load(
    address: str,
    authority: str | os.PathLike[str],
    token: str,
    requests: Sequence[list[dict[str, Any]]],
    *,
    connections: int = 8,
) -> Load:
    """Send requests over some connections; each waits for its answer.

    Args:
        address: "https://HOST:PORT".
        authority: path of the certificate to trust.
        token: with the scope "score".
        requests: the rows of each request, of plain Python values.
        connections: kept open; a broken one is opened again.
    """
    where = urlsplit(address)
    head = (
        f"POST /v1/score HTTP/1.1\r\nhost: {where.netloc}\r\n"
        f"authorization: Bearer {token}\r\n"
        "content-type: application/json\r\ncontent-length: "
    ).encode("ascii")
    waiting = []
    for rows in requests:
        body = json.dumps({"rows": rows}).encode("utf-8")
        waiting.append(head + b"%d\r\n\r\n%s" % (len(body), body))
    waiting.reverse()
    context = client_context(authority)
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    versions: Counter[str] = Counter()

    async def connection() -> None:
        while waiting:
            try:
                reader, writer = await asyncio.open_connection(
                    where.hostname, where.port, ssl=context
                )
            except OSError:
                statuses[0] += 1
                waiting.pop()
                continue
            try:
                while waiting:
                    sent = time.perf_counter()
                    writer.write(waiting.pop())
                    status, body = await _answer(reader)
                    latencies.append(time.perf_counter() - sent)
                    statuses[status] += 1
                    if status == 200:
                        versions[json.loads(body)["version"]] += 1
            except (OSError, asyncio.IncompleteReadError, ValueError):
                statuses[0] += 1
            finally:
                writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(connections)))
    return Load(
        time.perf_counter() - began, np.array(latencies), statuses, versions
    )


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next(
        int(line.partition(":")[2])
        for line in lines
        if line.lower().startswith("content-length:")
    )
    return int(lines[0].split()[1]), await reader.readexactly(length)


def send_load(*arguments: Any, **options: Any) -> Load:
    """``load`` for callers that have no event loop, or one that is busy."""
    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(lambda: asyncio.run(load(*arguments, **options)))
        return work.result()
